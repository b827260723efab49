"""What is recorded by itself: of jobs, model packages and endpoints, and after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker import boot, lifecycle
from local_sagemaker.clock import FakeClock
from local_sagemaker.engine import lineage_recorder
from tests.local_sagemaker import hosting, pipelining, test_transform_jobs
from tests.local_sagemaker.test_lineage_entities import artifact, refused
from tests.local_sagemaker.test_lineage_queries import query
from tests.local_sagemaker.test_model_registry import IMAGE, register
from tests.local_sagemaker.test_pipeline_executions import output, training
from tests.local_sagemaker.test_processing_jobs import an_input, request

HEAD = "arn:aws:sagemaker:us-east-1:000000000000"
COPY = "cp -r /opt/ml/processing/input/data/. /opt/ml/processing/out/"
TRAIN = "cp -r /opt/ml/input/data/train/. /opt/ml/model/"
Edge = tuple[str, str, str]


def edges(sagemaker: Any, arn: str) -> set[Edge]:
    """The associations of one entity: the other end's source (or ARN) and type, and which way."""
    found = set()
    for mine, other, way in (("Source", "Destination", "->"), ("Destination", "Source", "<-")):
        for each in sagemaker.list_associations(**{f"{mine}Arn": arn}, MaxResults=100)[
            "AssociationSummaries"
        ]:
            what = source_of(sagemaker, each[f"{other}Arn"])
            found.add((what, each[f"{other}Type"], f"{each['AssociationType']} {way}"))
    return found


def source_of(sagemaker: Any, arn: str) -> str:
    if ":artifact/" in arn:
        return str(sagemaker.describe_artifact(ArtifactArn=arn)["Source"]["SourceUri"])
    return arn.partition("/")[2]


def artifact_of(sagemaker: Any, uri: str) -> str:
    (found,) = sagemaker.list_artifacts(SourceUri=uri)["ArtifactSummaries"]
    return str(found["ArtifactArn"])


def component(job: str, kind: str) -> str:
    return f"{HEAD}:experiment-trial-component/{job.lower()}-aws-{kind}"


def test_a_processing_job_is_recorded_with_image_inputs_and_outputs(
    local: Any, sagemaker: Any
) -> None:
    uri = local.put("in/a.csv", "1")
    wanted = request(local, "true", name="Clean", ProcessingInputs=[an_input("a", uri)])
    sagemaker.create_processing_job(**wanted)
    local.until("processing-job", "Clean")
    image = wanted["AppSpecification"]["ImageUri"]
    assert edges(sagemaker, component("Clean", "processing-job")) == {
        (uri, "DataSet", "ContributedTo <-"),
        (image, "Image", "ContributedTo <-"),
        (f"s3://{local.bucket}/out", "DataSet", "Produced ->"),
    }


def test_a_transform_job_is_recorded_with_its_model(local: Any, sagemaker: Any) -> None:
    model = hosting.create_model(local, sagemaker)
    local.put("in/a.csv", "1,2")
    sagemaker.create_transform_job(**test_transform_jobs.request(local, ModelName=model))
    local.until("transform-job", "job")
    bucket = f"s3://{local.bucket}"
    assert edges(sagemaker, component("job", "transform-job")) == {
        (f"{bucket}/in/", "DataSet", "ContributedTo <-"),
        (f"{bucket}/models/one/model.tar.gz", "Model", "ContributedTo <-"),
        (hosting.XGBOOST, "Image", "ContributedTo <-"),
        (f"{bucket}/out", "DataSet", "Produced ->"),
    }


def test_a_failed_job_has_produced_nothing(local: Any, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request(local, "exit 3"))
    local.until("processing-job", "job")
    found = edges(sagemaker, component("job", "processing-job"))
    assert {how for _, _, how in found} == {"ContributedTo <-"}


def test_a_job_may_be_associated_with_what_a_user_makes(local: Any, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request(local, "true", name="Job"))
    local.until("processing-job", "Job")
    code, job = artifact(sagemaker, "s3://b/code"), component("Job", "processing-job")
    sagemaker.add_association(SourceArn=code, DestinationArn=job)
    answer = sagemaker.query_lineage(StartArns=[code], Filters={"LineageTypes": ["TrialComponent"]})
    vertex = {"Arn": job, "Type": "ProcessingJob", "LineageType": "TrialComponent"}
    assert answer["Vertices"] == [vertex]
    other = component("nobody", "processing-job")
    with refused("ResourceNotFound", "does not exist"):
        sagemaker.query_lineage(StartArns=[other])


def test_from_the_data_to_the_endpoint_all_is_one_graph(local: Any, sagemaker: Any) -> None:
    data = local.put("data/word.txt", "one").removesuffix("word.txt")
    local.put("data/code/inference.py", hosting.ADDER)
    execution = run_to_an_endpoint(local, sagemaker, data)
    assert pipelining.status(sagemaker, execution)[0] == "Succeeded"

    (context,) = sagemaker.list_contexts(ContextType="Endpoint")["ContextSummaries"]
    assert context["Source"]["SourceUri"].endswith(":endpoint/e")
    upward = query(sagemaker, context["ContextArn"], "Ascendants")
    answer = sagemaker.query_lineage(
        StartArns=[context["ContextArn"]], Direction="Ascendants", IncludeEdges=False
    )
    types = sorted(vertex["Type"] for vertex in answer["Vertices"])
    jobs = ["ProcessingJob", "TrainingJob"]
    deployed = ["Approval", "Model", "Model", "ModelDeployment"]
    assert types == sorted([*deployed, *jobs, "DataSet", "DataSet", "Image"])
    assert artifact_of(sagemaker, data) in upward
    downward = query(sagemaker, artifact_of(sagemaker, data), "Descendants")
    (group,) = sagemaker.list_contexts(ContextType="ModelGroup")["ContextSummaries"]
    assert {context["ContextArn"], group["ContextArn"]} <= set(downward)
    described = sagemaker.describe_context(ContextName=group["ContextName"])
    assert described["Properties"] == {"PipelineExecutionArn": execution}


def run_to_an_endpoint(local: Any, sagemaker: Any, data: str) -> str:
    inputs = pipelining.reads(data, "input/data")
    inputs["ProcessingInputs"][0]["InputName"] = "data"
    prepare = pipelining.processing("P", COPY, arguments={**inputs, **output(local.bucket)})
    place = {"Get": "Steps.P.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": place}}
    channel = {"ChannelName": "train", "DataSource": source}
    train = training("T", TRAIN, local.bucket, arguments={"InputDataConfig": [channel]})
    container = {
        "Image": hosting.XGBOOST,
        "ModelDataUrl": {"Get": "Steps.T.ModelArtifacts.S3ModelArtifacts"},
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
    }
    package = {
        "ModelPackageGroupName": "churn",
        "ModelApprovalStatus": "Approved",
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    }
    made = {"ModelPackageName": {"Get": "Steps.R.ModelPackageArn"}}
    model = {"ExecutionRoleArn": pipelining.ROLE, "PrimaryContainer": made}
    config = {"ProductionVariants": [hosting.variant({"Get": "Steps.M.ModelName"})]}  # type: ignore[arg-type]
    endpoint = {"EndpointName": "e", "EndpointConfigName": {"Get": "Steps.C.EndpointConfigName"}}
    return pipelining.run(
        local,
        sagemaker,
        prepare,
        train,
        {"Name": "R", "Type": "RegisterModel", "Arguments": package},
        {"Name": "M", "Type": "Model", "Arguments": model},
        {"Name": "C", "Type": "EndpointConfig", "Arguments": config},
        {"Name": "E", "Type": "Endpoint", "Arguments": endpoint},
    )


@pytest.fixture
def restart(start: Callable[..., Any], tmp_path: Path) -> Callable[[], Any]:
    """A server in this test's home whose clock stands still, so that nothing is written in the
    background; again and again.
    """
    return lambda: start(tmp_path / "home", slots=1, clock=FakeClock())


def test_every_approval_is_an_action_of_its_own(restart: Callable[[], Any]) -> None:
    local = restart()
    sagemaker = local.client()
    sagemaker.create_model_package_group(ModelPackageGroupName="Churn")
    arn = register(sagemaker, "Churn", MetadataProperties={"CommitId": "abc"})
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sagemaker.list_actions()
    local.plane.clock.advance(60)
    sagemaker.update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={"not": "an approval"}
    )
    package = artifact_of(sagemaker, arn)
    assert sagemaker.describe_artifact(ArtifactArn=package)["MetadataProperties"] == {
        "CommitId": "abc"
    }
    found = sagemaker.list_actions(ActionType="Approval", SortOrder="Ascending")["ActionSummaries"]
    pending, approved = [each["ActionName"] for each in found]
    assert pending.startswith("Churn-1-PendingManualApproval-")
    assert approved.startswith("Churn-1-Approved-")
    assert approved.endswith("-aws-model-package")
    assert found[0]["Source"] == {"SourceUri": arn, "SourceType": "ARN"}
    properties = sagemaker.describe_action(ActionName=approved)["Properties"]
    assert properties == {"ModelApprovalStatus": "Approved"}
    (group,) = sagemaker.list_contexts()["ContextSummaries"]
    assert group["ContextName"].startswith("Churn-")
    assert edges(sagemaker, package) == {
        (IMAGE, "Image", "ContributedTo <-"),
        ("s3://b/model.tar.gz", "Model", "ContributedTo <-"),
        (pending.lower(), "Approval", "ContributedTo <-"),
        (approved.lower(), "Approval", "ContributedTo <-"),
        (group["ContextName"].lower(), "ModelGroup", "AssociatedWith ->"),
    }


def test_every_deployment_is_an_action_of_its_own(local: Any, sagemaker: Any) -> None:
    hosting.deploy(local, sagemaker)
    hosting.create_config(
        sagemaker, "e-2", hosting.variant(hosting.create_model(local, sagemaker, "two"))
    )
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e-2")
    local.until_true(
        lambda: sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "e-2"
    )
    local.until("endpoint", "e", "InService")
    (context,) = sagemaker.list_contexts(ContextType="Endpoint")["ContextSummaries"]
    found = sagemaker.list_actions(ActionType="ModelDeployment")["ActionSummaries"]
    described = [sagemaker.describe_action(ActionName=each["ActionName"]) for each in found]
    served = {each["Properties"]["EndpointConfigName"]: each["ActionArn"] for each in described}
    assert sorted(served) == ["e-1", "e-2"]
    for config, word in (("e-1", "one"), ("e-2", "two")):
        assert edges(sagemaker, served[config]) == {
            (f"s3://{local.bucket}/models/{word}/model.tar.gz", "Model", "ContributedTo <-"),
            (hosting.XGBOOST, "Image", "ContributedTo <-"),
            (context["ContextArn"].partition("/")[2], "Endpoint", "AssociatedWith ->"),
        }


def test_nothing_is_written_in_the_caller_s_time(restart: Callable[[], Any]) -> None:
    local = restart()
    sagemaker = local.client()
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    register(sagemaker, "g")
    assert local.plane.store.rows("artifact") == []
    assert len(sagemaker.list_artifacts()["ArtifactSummaries"]) == 3


def test_what_has_settled_is_recorded_before_it_is_told(restart: Callable[[], Any]) -> None:
    local = restart()
    job = {"TrainingJobName": "j", "TrainingJobArn": f"{HEAD}:training-job/j", "CreationTime": 1.0}
    store = local.plane.store
    store.insert("training-job", "j", {**job, "TrainingJobStatus": "InProgress"})
    lifecycle.announce(local.plane, "training-job", "j")
    ended = {"TrainingJobStatus": "Completed", "ModelArtifacts": {"S3ModelArtifacts": "s3://b/m"}}
    store.edit("training-job", "j", lambda row: {**row, **ended})
    assert artifact_of(local.client(), "s3://b/m")


def test_what_a_killed_server_did_not_write_is_written_by_the_next(
    restart: Callable[[], Any],
) -> None:
    local = restart()
    local.client().create_model_package_group(ModelPackageGroupName="g")
    arn = register(local.client(), "g")
    boot.shut_down(local.plane)
    sagemaker = restart().client()
    assert len(edges(sagemaker, artifact_of(sagemaker, arn))) == 4


def test_what_a_user_has_deleted_stays_deleted(restart: Callable[[], Any]) -> None:
    local = restart()
    sagemaker = local.client()
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    arn = register(sagemaker, "g")
    package = artifact_of(sagemaker, arn)
    for each in sagemaker.list_associations(DestinationArn=package)["AssociationSummaries"]:
        sagemaker.delete_association(SourceArn=each["SourceArn"], DestinationArn=package)
    boot.shut_down(local.plane)
    sagemaker = restart().client()
    assert {how for _, _, how in edges(sagemaker, package)} == {"AssociatedWith ->"}


def test_a_recorded_entity_is_the_user_s_where_that_was_first(sagemaker: Any) -> None:
    mine = artifact(sagemaker, "s3://b/model.tar.gz", ArtifactType="Mine", Properties={"a": "1"})
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    arn = register(sagemaker, "g")
    found = sagemaker.describe_artifact(ArtifactArn=mine)
    assert (found["ArtifactType"], found["Properties"]) == ("Mine", {"a": "1"})
    assert artifact_of(sagemaker, arn) in query(sagemaker, mine, "Descendants")


def test_what_was_deleted_and_made_again_is_recorded_again(sagemaker: Any) -> None:
    for _ in range(2):
        sagemaker.create_model_package_group(ModelPackageGroupName="g")
        sagemaker.list_contexts()
        sagemaker.delete_model_package_group(ModelPackageGroupName="g")
        found = sagemaker.list_contexts()["ContextSummaries"]
        assert found[0]["Source"]["SourceUri"].endswith(":model-package-group/g")
        for each in found:
            sagemaker.delete_context(ContextName=each["ContextName"])


def test_closing_is_not_missed_while_news_are_taken(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close that comes just before the recorder forgets that there were news."""
    recorder = lineage_recorder.Recorder(local.plane)
    forget = recorder._news.clear
    closes = threading.Thread(target=recorder.close, daemon=True)

    def clear() -> None:
        closes.start()
        assert recorder._closing.wait(10)
        assert recorder._news.wait(10)
        forget()

    monkeypatch.setattr(recorder._news, "clear", clear)
    recorder.start()
    recorder._news.set()
    recorder._thread.join(10)
    assert not recorder._thread.is_alive()
    closes.join(10)
