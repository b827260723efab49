"""Experiments, trials and trial components, through boto3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from tests.local_sagemaker import pipelining, training
from tests.local_sagemaker.test_check_steps import check, supplied

Q = {"Name": "q", "Type": "String", "DefaultValue": "not a name"}
CONFIG = {
    "ExperimentName": {"Get": "Execution.PipelineName"},
    "TrialName": {"Get": "Execution.PipelineExecutionId"},
}


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def trial(sagemaker: Any) -> str:
    sagemaker.create_experiment(ExperimentName="churn", Tags=[{"Key": "team", "Value": "a"}])
    sagemaker.create_trial(TrialName="first", ExperimentName="churn")
    return "first"


def component(sagemaker: Any, name: str = "step", **members: Any) -> dict[str, Any]:
    sagemaker.create_trial_component(TrialComponentName=name, **members)
    return dict(sagemaker.describe_trial_component(TrialComponentName=name))


def processed(local: Any, sagemaker: Any, name: str = "clean", **members: Any) -> str:
    """A processing job that has ended; the name of its component."""
    step = pipelining.processing(name)["Arguments"]
    sagemaker.create_processing_job(ProcessingJobName=name, **step, **members)
    local.until("processing-job", name)
    return f"{name}-aws-processing-job"


def names(summaries: list[dict[str, Any]], member: str = "TrialComponentName") -> list[str]:
    return [each[member] for each in summaries]


def test_an_experiment_is_what_it_was_made_of(sagemaker: Any, trial: str) -> None:
    found = sagemaker.describe_experiment(ExperimentName="churn")
    assert found["ExperimentArn"].endswith(":experiment/churn")
    assert found["DisplayName"] == "churn"
    sagemaker.update_experiment(ExperimentName="churn", DisplayName="Churn", Description="why")
    found = sagemaker.describe_experiment(ExperimentName="churn")
    assert (found["DisplayName"], found["Description"]) == ("Churn", "why")
    tags = sagemaker.list_tags(ResourceArn=found["ExperimentArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "a"}]
    (summary,) = sagemaker.list_experiments()["ExperimentSummaries"]
    assert summary["ExperimentName"] == "churn"


def test_a_trial_belongs_to_its_experiment(sagemaker: Any, trial: str) -> None:
    sagemaker.create_experiment(ExperimentName="other")
    sagemaker.create_trial(
        TrialName="second", ExperimentName="other", MetadataProperties={"CommitId": "abc"}
    )
    sagemaker.update_trial(TrialName="second", DisplayName="Second")
    found = sagemaker.describe_trial(TrialName="second")
    assert found["ExperimentName"] == "other"
    assert found["DisplayName"] == "Second"
    assert found["MetadataProperties"] == {"CommitId": "abc"}
    listed = sagemaker.list_trials(ExperimentName="churn")["TrialSummaries"]
    assert names(listed, "TrialName") == ["first"]
    listed = sagemaker.list_trials(SortBy="Name", SortOrder="Ascending", MaxResults=1)
    assert names(listed["TrialSummaries"], "TrialName") == ["first"]
    listed = sagemaker.list_trials(
        SortBy="Name", SortOrder="Ascending", MaxResults=1, NextToken=listed["NextToken"]
    )
    assert names(listed["TrialSummaries"], "TrialName") == ["second"]


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("describe_experiment", {"ExperimentName": "x"}),
        ("update_experiment", {"ExperimentName": "x"}),
        ("delete_experiment", {"ExperimentName": "x"}),
        ("create_trial", {"TrialName": "t", "ExperimentName": "x"}),
        ("describe_trial", {"TrialName": "x"}),
        ("update_trial", {"TrialName": "x"}),
        ("delete_trial", {"TrialName": "x"}),
        ("list_trials", {"ExperimentName": "x"}),
        ("list_trials", {"TrialComponentName": "x"}),
        ("list_trial_components", {"ExperimentName": "x"}),
        ("list_trial_components", {"TrialName": "x"}),
        ("describe_trial_component", {"TrialComponentName": "x-aws-training-job"}),
        ("update_trial_component", {"TrialComponentName": "x"}),
        ("delete_trial_component", {"TrialComponentName": "x"}),
        ("associate_trial_component", {"TrialComponentName": "x", "TrialName": "first"}),
        ("disassociate_trial_component", {"TrialComponentName": "x", "TrialName": "first"}),
    ],
)
def test_unknown_names_are_not_found(
    sagemaker: Any, trial: str, operation: str, request_: dict[str, str]
) -> None:
    code, message = refused(getattr(sagemaker, operation), **request_)
    assert code == "ResourceNotFound"
    assert "x" in message


def test_names_are_given_once(sagemaker: Any, trial: str) -> None:
    component(sagemaker)
    for call, request in (
        (sagemaker.create_experiment, {"ExperimentName": "Churn"}),
        (sagemaker.create_trial, {"TrialName": "first", "ExperimentName": "churn"}),
        (sagemaker.create_trial_component, {"TrialComponentName": "step"}),
    ):
        code, message = refused(call, **request)
        assert code == "ValidationException"
        assert "already exists" in message


def test_what_is_in_use_is_not_deleted(sagemaker: Any, trial: str) -> None:
    component(sagemaker)
    both = {"TrialComponentName": "step", "TrialName": "first"}
    sagemaker.associate_trial_component(**both)
    for call, request in (
        (sagemaker.delete_experiment, {"ExperimentName": "churn"}),
        (sagemaker.delete_trial, {"TrialName": "first"}),
        (sagemaker.delete_trial_component, {"TrialComponentName": "step"}),
    ):
        code, message = refused(call, **request)
        assert code == "ValidationException"
        assert "is linked to 1 or more trial" in message
    sagemaker.disassociate_trial_component(**both)
    sagemaker.delete_trial_component(TrialComponentName="step")
    sagemaker.delete_trial(TrialName="first")
    sagemaker.delete_experiment(ExperimentName="churn")
    assert sagemaker.list_experiments()["ExperimentSummaries"] == []


def test_an_update_of_a_component_merges_and_removes(sagemaker: Any) -> None:
    made = component(
        sagemaker,
        Parameters={"depth": {"NumberValue": 3}, "kind": {"StringValue": "tree"}},
        InputArtifacts={"data": {"Value": "s3://b/data", "MediaType": "text/csv"}},
        Status={"PrimaryStatus": "InProgress"},
    )
    assert made["Parameters"]["depth"] == {"NumberValue": 3.0}
    sagemaker.update_trial_component(
        TrialComponentName="step",
        DisplayName="Step",
        Status={"PrimaryStatus": "Completed", "Message": "done"},
        Parameters={"eta": {"NumberValue": 0.5}},
        ParametersToRemove=["kind"],
        OutputArtifacts={"model": {"Value": "s3://b/model"}},
        InputArtifactsToRemove=["data"],
    )
    found = sagemaker.describe_trial_component(TrialComponentName=made["TrialComponentArn"])
    assert found["DisplayName"] == "Step"
    assert found["Status"] == {"PrimaryStatus": "Completed", "Message": "done"}
    assert found["Parameters"] == {"depth": {"NumberValue": 3.0}, "eta": {"NumberValue": 0.5}}
    assert found["InputArtifacts"] == {}
    assert found["OutputArtifacts"] == {"model": {"Value": "s3://b/model"}}


def test_an_update_that_contradicts_itself_is_refused(sagemaker: Any) -> None:
    component(sagemaker)
    code, message = refused(
        sagemaker.update_trial_component,
        TrialComponentName="step",
        Parameters={"a": {"StringValue": "x"}},
        ParametersToRemove=["a"],
    )
    assert code == "ValidationException"
    assert "'a'" in message
    many = {f"p{n}": {"NumberValue": n} for n in range(300)}
    sagemaker.update_trial_component(TrialComponentName="step", Parameters=many)
    code, message = refused(
        sagemaker.update_trial_component,
        TrialComponentName="step",
        Parameters={"one-more": {"NumberValue": 1}},
    )
    assert (code, "301" in message) == ("ValidationException", True)


def test_components_are_listed_by_trial_experiment_and_source(
    local: Any, sagemaker: Any, trial: str
) -> None:
    component(sagemaker)
    sagemaker.associate_trial_component(TrialComponentName="step", TrialName="first")
    job = processed(local, sagemaker)
    every = sagemaker.list_trial_components(SortBy="Name", SortOrder="Ascending")
    assert names(every["TrialComponentSummaries"]) == [job, "step"]
    for filter_ in ({"TrialName": "first"}, {"ExperimentName": "churn"}):
        found = sagemaker.list_trial_components(**filter_)
        assert names(found["TrialComponentSummaries"]) == ["step"]
    arn = sagemaker.describe_processing_job(ProcessingJobName="clean")["ProcessingJobArn"]
    (found,) = sagemaker.list_trial_components(SourceArn=arn)["TrialComponentSummaries"]
    assert found["TrialComponentName"] == job
    source = {"SourceArn": arn, "SourceType": "SageMakerProcessingJob"}
    assert found["TrialComponentSource"] == source
    code, message = refused(sagemaker.list_trial_components, SourceArn=arn, TrialName="first")
    assert (code, "exclude each other" in message) == ("ValidationException", True)


def test_a_training_job_is_a_component_with_parameters_artifacts_and_metrics(
    local: Any, sagemaker: Any, trial: str
) -> None:
    request = training.request(
        local,
        {"eta": "0.3", "sagemaker_job": '"text"', "n": "1_0"},
        TrainingJobName="Fit",
        AlgorithmSpecification={
            "TrainingImage": training.XGBOOST,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/sh", "-c", "echo loss=4; echo loss=1; echo loss=1"],
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        },
        ExperimentConfig={"TrialName": "first", "TrialComponentDisplayName": "Fitting"},
    )
    sagemaker.create_training_job(**request)
    row = local.until("training-job", "Fit")
    assert row["TrainingJobStatus"] == "Completed"
    found = sagemaker.describe_trial_component(TrialComponentName="Fit-aws-training-job")
    assert found["TrialComponentName"] == "fit-aws-training-job"
    assert found["DisplayName"] == "Fitting"
    assert found["Status"] == {
        "PrimaryStatus": "Completed",
        "Message": "Status: Completed, secondary status: Completed, failure reason: null",
    }
    assert found["EndTime"] >= found["StartTime"]
    assert found["Parameters"] == {
        "eta": {"NumberValue": 0.3},
        "sagemaker_job": {"StringValue": '"text"'},
        "n": {"StringValue": "1_0"},
        "SageMaker.ImageUri": {"StringValue": training.XGBOOST},
        "SageMaker.InstanceCount": {"NumberValue": 1.0},
        "SageMaker.InstanceType": {"StringValue": "ml.m5.large"},
        "SageMaker.VolumeSizeInGB": {"NumberValue": 10.0},
    }
    assert found["InputArtifacts"]["train"]["MediaType"] == "text/csv"
    model = row["ModelArtifacts"]["S3ModelArtifacts"]
    assert found["OutputArtifacts"] == {"SageMaker.ModelArtifact": {"Value": model}}
    (metric,) = found["Metrics"]
    shown = [metric[each] for each in ("MetricName", "Min", "Max", "Last", "Avg", "Count")]
    assert shown == ["loss", 1.0, 4.0, 1.0, 2.0, 3]
    assert metric["StdDev"] == pytest.approx(2**0.5)
    assert metric["SourceArn"] == row["TrainingJobArn"]
    described = sagemaker.describe_training_job(TrainingJobName="Fit")
    assert [each["Value"] for each in described["FinalMetricDataList"]] == [1.0]
    listed = sagemaker.list_trial_components(TrialName="first")["TrialComponentSummaries"]
    assert names(listed) == ["fit-aws-training-job"]


def test_a_failed_job_is_a_failed_component_with_the_reason(local: Any, sagemaker: Any) -> None:
    step = pipelining.processing("bad", "exit 3")["Arguments"]
    sagemaker.create_processing_job(ProcessingJobName="bad", **step)
    reason = local.until("processing-job", "bad")["FailureReason"]
    found = sagemaker.describe_trial_component(TrialComponentName="bad-aws-processing-job")
    assert found["Status"]["PrimaryStatus"] == "Failed"
    assert reason in found["Status"]["Message"]
    image = found["InputArtifacts"]["SageMaker.ImageUri"]
    assert image == {"Value": pipelining.IMAGE}


def test_a_job_is_refused_a_trial_that_is_not_there_or_not_of_the_experiment(
    sagemaker: Any, trial: str
) -> None:
    sagemaker.create_experiment(ExperimentName="other")
    step = pipelining.processing("clean")["Arguments"]
    for config, code in (
        ({"TrialName": "none"}, "ResourceNotFound"),
        ({"ExperimentName": "none"}, "ResourceNotFound"),
        ({"TrialName": "first", "ExperimentName": "other"}, "ValidationException"),
    ):
        request = {"ProcessingJobName": "clean", "ExperimentConfig": config, **step}
        assert refused(sagemaker.create_processing_job, **request)[0] == code
    assert sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []


def test_a_job_that_names_an_experiment_alone_gets_a_trial_of_its_own(
    local: Any, sagemaker: Any, trial: str
) -> None:
    job = processed(local, sagemaker, ExperimentConfig={"ExperimentName": "churn"})
    (made,) = sagemaker.list_trials(TrialComponentName=job)["TrialSummaries"]
    assert made["TrialName"] == "clean-aws-trial"
    assert sagemaker.describe_trial(TrialName="clean-aws-trial")["ExperimentName"] == "churn"


def test_what_a_user_changes_of_a_jobs_component_stays_through_a_restart(
    start: Any, tmp_path: Path
) -> None:
    local = start(tmp_path / "home", slots=2)
    sagemaker = local.client()
    sagemaker.create_experiment(ExperimentName="churn")
    for name in ("one", "two"):
        sagemaker.create_trial(TrialName=name, ExperimentName="churn")
    job = processed(local, sagemaker, ExperimentConfig={"TrialName": "one"})
    gone = processed(local, sagemaker, "other")
    sagemaker.update_trial_component(
        TrialComponentName=job,
        Parameters={"mine": {"NumberValue": 1}},
        ParametersToRemove=["SageMaker.InstanceType"],
    )
    sagemaker.associate_trial_component(TrialComponentName=job, TrialName="two")
    sagemaker.disassociate_trial_component(TrialComponentName=job, TrialName="one")
    sagemaker.delete_trial_component(TrialComponentName=gone)
    arn = sagemaker.describe_trial_component(TrialComponentName=job)["TrialComponentArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "k", "Value": "v"}])

    boot.shut_down(local.plane)
    again = start(tmp_path / "home", slots=2).client()
    found = again.describe_trial_component(TrialComponentName=job)
    assert set(found["Parameters"]) == {
        "mine",
        "SageMaker.InstanceCount",
        "SageMaker.VolumeSizeInGB",
    }
    assert found["Status"]["PrimaryStatus"] == "Completed"
    assert again.list_trial_components(TrialName="one")["TrialComponentSummaries"] == []
    listed = again.list_trial_components(TrialName="two")["TrialComponentSummaries"]
    assert names(listed) == [job]
    assert names(again.list_trial_components()["TrialComponentSummaries"]) == [job]
    assert refused(again.describe_trial_component, TrialComponentName=gone)[0] == "ResourceNotFound"
    assert again.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_jobs_component_has_tags_as_any_other_and_loses_them_with_itself(
    local: Any, sagemaker: Any
) -> None:
    job = processed(local, sagemaker)
    arn = sagemaker.describe_trial_component(TrialComponentName=job)["TrialComponentArn"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "k", "Value": "v"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    sagemaker.delete_trial_component(TrialComponentName=job)
    assert local.plane.store.tags(arn) == []
    assert refused(sagemaker.list_tags, ResourceArn=f"{arn}x")[0] == "ValidationException"


def test_a_component_is_not_made_over_a_jobs(local: Any, sagemaker: Any) -> None:
    job = processed(local, sagemaker)
    code, message = refused(sagemaker.create_trial_component, TrialComponentName=job)
    assert (code, "already exists" in message) == ("ValidationException", True)


def test_an_execution_makes_its_experiment_and_trial_and_its_jobs_are_in_them(
    local: Any, sagemaker: Any
) -> None:
    fit = training.request(
        local,
        {"objective": "reg:squarederror", "num_round": "3"},
        ExperimentConfig={"TrialComponentDisplayName": "Fitting"},
    )
    del fit["TrainingJobName"]
    steps = (
        pipelining.processing("Prepare"),
        {"Name": "Fit", "Type": "Training", "Arguments": fit, "DependsOn": ["Prepare"]},
    )
    arn = pipelining.run(local, sagemaker, *steps, PipelineExperimentConfig=CONFIG)
    assert pipelining.status(sagemaker, arn) == ("Succeeded", None)
    run = arn.rpartition("/")[2]
    described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert described["PipelineExperimentConfig"] == {"ExperimentName": "p", "TrialName": run}
    trial = sagemaker.describe_trial(TrialName=run)
    assert trial["ExperimentName"] == "p"
    assert trial["Source"]["SourceArn"] == arn
    source = sagemaker.describe_experiment(ExperimentName="p")["Source"]
    assert source["SourceArn"] == described["PipelineArn"]
    parts = sagemaker.list_trial_components(
        TrialName=run, SortBy="CreationTime", SortOrder="Ascending"
    )["TrialComponentSummaries"]
    jobs = [step["Metadata"] for step in pipelining.listed(sagemaker, arn).values()]
    sources = [each["TrialComponentSource"]["SourceArn"] for each in parts]
    assert sources == [jobs[0]["ProcessingJob"]["Arn"], jobs[1]["TrainingJob"]["Arn"]]
    fitted = sagemaker.describe_trial_component(TrialComponentName=parts[1]["TrialComponentName"])
    assert fitted["DisplayName"] == "Fitting"
    assert fitted["Parameters"]["num_round"] == {"NumberValue": 3.0}
    metric = {each["MetricName"]: each for each in fitted["Metrics"]}["train:rmse"]
    assert metric["Count"] == 3
    assert metric["Min"] <= metric["Avg"] <= metric["Max"]

    again = pipelining.rerun(local, sagemaker)
    trials = sagemaker.list_trials(ExperimentName="p")["TrialSummaries"]
    assert names(trials, "TrialName") == [again.rpartition("/")[2], run]


def test_the_job_of_a_check_is_in_the_trial_too(local: Any, sagemaker: Any) -> None:
    arn = pipelining.run(
        local,
        sagemaker,
        check(local.bucket, **supplied(local)),
        PipelineExperimentConfig=CONFIG,
    )
    assert pipelining.status(sagemaker, arn) == ("Succeeded", None)
    parts = sagemaker.list_trial_components(TrialName=arn.rpartition("/")[2])
    (part,) = parts["TrialComponentSummaries"]
    assert part["TrialComponentSource"]["SourceType"] == "SageMakerProcessingJob"


def test_a_pipeline_without_an_experiment_makes_none(local: Any, sagemaker: Any) -> None:
    arn = pipelining.run(
        local, sagemaker, pipelining.processing("A"), PipelineExperimentConfig=None
    )
    found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert "PipelineExperimentConfig" not in found
    assert sagemaker.list_experiments()["ExperimentSummaries"] == []
    (part,) = sagemaker.list_trial_components()["TrialComponentSummaries"]
    assert part["TrialComponentName"].startswith("pipelines-")


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"ExperimentName": {"Get": "Parameters.q"}, "TrialName": "t"}, "experimentName"),
        ({"TrialName": "t"}, "experimentName"),
        ({"ExperimentName": "e", "Trial": "t"}, "'Trial'"),
        ({"ExperimentName": "mine", "TrialName": "taken"}, "belongs to experiment 'other'"),
    ],
)
def test_names_that_no_experiment_may_have_are_refused_when_the_execution_starts(
    sagemaker: Any, config: dict[str, Any], complaint: str
) -> None:
    sagemaker.create_experiment(ExperimentName="other")
    sagemaker.create_trial(TrialName="taken", ExperimentName="other")
    pipelining.upsert(
        sagemaker,
        pipelining.fail("F"),
        Parameters=[Q],
        PipelineExperimentConfig=config,
    )
    code, message = refused(sagemaker.start_pipeline_execution, PipelineName="p")
    assert code == "ValidationException"
    assert complaint in message
    executions = sagemaker.list_pipeline_executions(PipelineName="p")
    assert executions["PipelineExecutionSummaries"] == []
