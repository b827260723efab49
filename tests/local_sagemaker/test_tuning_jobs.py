"""Hyperparameter tuning jobs through boto3: what is tried, what is best, how they end."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.engine import tuning as engine
from tests.local_sagemaker.training import (
    ROLE,
    SKLEARN,
    XGBOOST,
    channel,
    csv,
    rows,
    source_dir,
)

KIND = "hyper-parameter-tuning-job"
# The arguments come by name: --a VALUE --b VALUE.
LOSS_IS_A = "echo loss=9; echo loss=$2"
CONFIG = "HyperParameterTuningJobConfig"


def number(name: str, low: object, high: object, **more: str) -> dict[str, str]:
    return {"Name": name, "MinValue": str(low), "MaxValue": str(high), **more}


def tuning(local: Any, script: str, ranges: dict[str, Any], **config: Any) -> dict[str, Any]:
    """A tuning job over a shell script that prints `loss=<number>`."""
    static = {
        "sagemaker_program": "train.sh",
        "sagemaker_submit_directory": source_dir(local, {"train.sh": script}),
    }
    return {
        "HyperParameterTuningJobName": "tune",
        CONFIG: {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": ranges,
            "RandomSeed": 7,
            **config,
        },
        "TrainingJobDefinition": {
            "RoleArn": ROLE,
            "AlgorithmSpecification": {
                "TrainingImage": SKLEARN,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
            },
            "StaticHyperParameters": static,
            "OutputDataConfig": {"S3OutputPath": f"s3://{local.bucket}/out"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }


def finish(local: Any, request: dict[str, Any], timeout: float = 60.0) -> Any:
    client = local.client()
    client.create_hyper_parameter_tuning_job(**request)
    name = request["HyperParameterTuningJobName"]
    local.until(KIND, name, timeout=timeout)
    return client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def children(local: Any, **more: Any) -> list[Any]:
    answer = local.client().list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="tune", MaxResults=100, **more
    )
    return list(answer["TrainingJobSummaries"])


def test_random_search_finds_the_best_of_its_training_jobs(local: Any, sagemaker: Any) -> None:
    ranges = {
        "ContinuousParameterRanges": [number("a", 0.5, 2.5)],
        "IntegerParameterRanges": [number("b", 1, 3)],
    }
    request = {**tuning(local, LOSS_IS_A, ranges), "Tags": [{"Key": "team", "Value": "x"}]}
    job = finish(local, request)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["TrainingJobStatusCounters"]["Completed"] == 3
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    assert job["HyperParameterTuningEndTime"] >= job["CreationTime"]

    found = children(local, SortBy="FinalObjectiveMetricValue")
    values = [each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for each in found]
    assert values == sorted(values)
    assert values == [float(each["TunedHyperParameters"]["a"]) for each in found]
    assert job["BestTrainingJob"] == found[0]
    assert {each["TunedHyperParameters"]["b"] for each in found} <= {"1", "2", "3"}

    for order, each in enumerate(children(local), 1):
        assert re.fullmatch(rf"tune-{order:03d}-[0-9a-f]{{8}}", each["TrainingJobName"])
        child = sagemaker.describe_training_job(TrainingJobName=each["TrainingJobName"])
        assert child["TuningJobArn"] == job["HyperParameterTuningJobArn"]
        assert child["HyperParameters"]["_tuning_objective_metric"] == "loss"
        assert child["HyperParameters"]["a"] == each["TunedHyperParameters"]["a"]
        tags = sagemaker.list_tags(ResourceArn=child["TrainingJobArn"])["Tags"]
        assert tags == [{"Key": "team", "Value": "x"}]
    (listed,) = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert (listed["Strategy"], listed["HyperParameterTuningJobStatus"]) == ("Random", "Completed")


def test_no_more_run_at_once_than_asked(start: Callable[..., Any], tmp_path: Path) -> None:
    local = start(tmp_path / "home", slots=4)
    seen: list[int] = []

    def count(change: Any) -> None:
        if change.kind == "training-job":
            jobs = local.plane.store.rows("training-job")
            seen.append(sum(each["TrainingJobStatus"] == "InProgress" for each in jobs))

    local.plane.bus.subscribe(count)
    finish(local, tuning(local, LOSS_IS_A, {"ContinuousParameterRanges": [number("a", 0, 1)]}))
    assert max(seen) == 2


def test_the_same_seed_tries_the_same(local: Any) -> None:
    ranges = {"ContinuousParameterRanges": [number("a", 0, 1)]}
    first = tuning(local, LOSS_IS_A, ranges)
    finish(local, first)
    tried = [each["TunedHyperParameters"] for each in children(local)]
    finish(local, {**first, "HyperParameterTuningJobName": "again"})
    answer = local.client().list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="again"
    )
    assert [each["TunedHyperParameters"] for each in answer["TrainingJobSummaries"]] == tried


def test_a_grid_tries_every_combination_once(local: Any) -> None:
    ranges = {
        "CategoricalParameterRanges": [
            {"Name": "a", "Values": ["3", "1"]},
            {"Name": "b", "Values": ["x", "y"]},
        ]
    }
    request = tuning(local, LOSS_IS_A, ranges, Strategy="Grid")
    del request[CONFIG]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    job = finish(local, request)
    tried = {tuple(each["TunedHyperParameters"].values()) for each in children(local)}
    assert tried == {("3", "x"), ("3", "y"), ("1", "x"), ("1", "y")}
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"a": "1", "b": "x"}


def test_a_bayesian_search_tunes_the_algorithm_of_the_xgboost_image(local: Any) -> None:
    ranges = {
        "ContinuousParameterRanges": [number("eta", 0.01, 0.9, ScalingType="Logarithmic")],
        "IntegerParameterRanges": [number("max_depth", 1, 4)],
    }
    request = tuning(local, "", ranges, Strategy="Bayesian")
    objective = {"Type": "Minimize", "MetricName": "validation:rmse"}
    request[CONFIG]["HyperParameterTuningJobObjective"] = objective
    definition = request["TrainingJobDefinition"]
    definition["StaticHyperParameters"] = {"num_round": "5"}
    definition["AlgorithmSpecification"] = {
        "TrainingImage": XGBOOST,
        "TrainingInputMode": "File",
    }
    definition["InputDataConfig"] = [
        channel("train", local.put("d/train.csv", csv(rows()))),
        channel("validation", local.put("d/validation.csv", csv(rows(30, 2)))),
    ]
    job = finish(local, request)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 3
    metric = job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]
    assert metric["MetricName"] == "validation:rmse"


def test_a_failed_training_job_does_not_stop_the_others(local: Any) -> None:
    script = 'if [ "$2" = bad ]; then exit 3; fi; echo loss=$2'
    ranges = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["bad", "2"]}]}
    request = tuning(local, script, ranges, Strategy="Grid")
    del request[CONFIG]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    job = finish(local, request)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    counters = job["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["NonRetryableError"]) == (1, 1)
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    failed = children(local)[0]
    assert (failed["TrainingJobStatus"], failed["ObjectiveStatus"]) == ("Failed", "Failed")
    assert failed["FailureReason"].endswith("exit code: 3")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 1", "All training jobs failed"),
        ("true", "No objective metrics found after running 3"),
    ],
)
def test_a_tuning_job_without_any_objective_fails(local: Any, script: str, reason: str) -> None:
    ranges = {"ContinuousParameterRanges": [number("a", 0, 1)]}
    job = finish(local, tuning(local, script, ranges))
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert "BestTrainingJob" not in job


def test_stopping_stops_its_training_jobs(local: Any, sagemaker: Any) -> None:
    ranges = {"ContinuousParameterRanges": [number("a", 0, 1)]}
    request = tuning(local, "echo loss=1; exec sleep 60", ranges)
    sagemaker.create_hyper_parameter_tuning_job(**request)
    logs = local.plane.config.home / "logs/training-job"
    local.until_true(
        lambda: sum("loss=1" in log.read_text() for log in logs.glob("tune-*.log")) == 2
    )
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    local.until(KIND, "tune", "Stopped")
    job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2
    assert len(children(local)) == 2
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")


def test_a_good_enough_objective_ends_it(local: Any) -> None:
    ranges = {"ContinuousParameterRanges": [number("a", 0, 1)]}
    limits = {"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 1}
    criteria = {"TargetObjectiveMetricValue": 1.0}
    request = tuning(
        local,
        LOSS_IS_A,
        ranges,
        ResourceLimits=limits,
        TuningJobCompletionCriteria=criteria,
    )
    assert finish(local, request)["TrainingJobStatusCounters"]["Completed"] == 1


def test_a_job_worse_than_the_median_of_the_others_is_stopped_early(local: Any) -> None:
    """Three quick good ones, then one that is bad and would run for a minute."""
    script = 'echo loss=$2; if [ "$2" = 9 ]; then exec sleep 60; fi'
    ranges = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2", "3", "9"]}]}
    request = tuning(
        local,
        script,
        ranges,
        Strategy="Grid",
        TrainingJobEarlyStoppingType="Auto",
        ResourceLimits={"MaxParallelTrainingJobs": 1},
    )
    job = finish(local, request)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    counters = job["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["Stopped"]) == (3, 1)
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"a": "1"}


def test_hyperband_ends_every_job_at_its_most_epochs(local: Any) -> None:
    script = "echo loss=3; echo loss=$2; exec sleep 60"
    ranges = {"ContinuousParameterRanges": [number("a", 0, 1)]}
    request = tuning(
        local,
        script,
        ranges,
        Strategy="Hyperband",
        StrategyConfig={"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 2}},
        ResourceLimits={"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
    )
    job = finish(local, request)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 2


def test_a_restarted_server_continues_with_what_is_finished(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    first = start(tmp_path / "home", slots=2)
    marker = tmp_path / "second-life"
    script = f'echo loss=$2; if [ "$2" = 2 ] && [ ! -e {marker} ]; then exec sleep 60; fi'
    ranges = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2", "3"]}]}
    limits = {"MaxParallelTrainingJobs": 1}
    request = tuning(first, script, ranges, Strategy="Grid", ResourceLimits=limits)
    first.client().create_hyper_parameter_tuning_job(**request)
    logs = tmp_path / "home/logs/training-job"
    first.until_true(lambda: any("loss=2" in log.read_text() for log in logs.glob("tune-002-*")))
    boot.shut_down(first.plane)
    marker.touch()
    second = start(tmp_path / "home", slots=2)
    second.until(KIND, "tune")
    job = second.client().describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    counters = job["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["RetryableError"]) == (2, 1)
    tried = [each["TunedHyperParameters"]["a"] for each in children(second)]
    assert tried == ["1", "2", "3"]


def test_a_trial_that_was_written_but_not_started_is_started_after_a_restart(
    start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(tmp_path / "home", slots=2)
    written = threading.Event()
    with monkeypatch.context() as killed:
        killed.setattr(engine, "_create", lambda *_: written.set())
        ranges = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1"]}]}
        limits = {"MaxParallelTrainingJobs": 1}
        request = tuning(first, LOSS_IS_A, ranges, Strategy="Grid", ResourceLimits=limits)
        first.client().create_hyper_parameter_tuning_job(**request)
        assert written.wait(10)
        boot.shut_down(first.plane)
    second = start(tmp_path / "home", slots=2)
    (trial,) = second.plane.store.get(KIND, "tune")["Trials"]
    second.until(KIND, "tune", "Completed")
    assert [each["TrainingJobName"] for each in children(second)] == [trial["TrainingJobName"]]


def refuse(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set a dotted member of the request."""

    def change(request: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for each in parents:
            request = request.setdefault(each, {})
        request[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (refuse(f"{CONFIG}.ParameterRanges", {}), "give 1 to 30 ranges"),
        (
            refuse(f"{CONFIG}.ParameterRanges.ContinuousParameterRanges", [number("a", "x", "1")]),
            "'a': MinValue and MaxValue must be continuous numbers",
        ),
        (
            refuse(
                f"{CONFIG}.ParameterRanges.ContinuousParameterRanges",
                [number("a", 0, 1, ScalingType="Logarithmic")],
            ),
            "'a': Logarithmic scaling needs MinValue above 0",
        ),
        (refuse(f"{CONFIG}.Strategy", "Grid"), "Grid takes CategoricalParameterRanges alone"),
        (refuse(f"{CONFIG}.Strategy", "Hyperband"), "Hyperband needs .*MaxResource"),
        (
            refuse(f"{CONFIG}.HyperParameterTuningJobObjective.MetricName", "auc"),
            "objective metric 'auc' is not defined.*Defined: loss",
        ),
        (
            refuse("TrainingJobDefinition.StaticHyperParameters.a", "1"),
            "'a' is both static and tuned",
        ),
        (
            refuse("TrainingJobDefinition.AlgorithmSpecification.TrainingImage", "nobody/knows:1"),
            "'nobody/knows:1' cannot run here",
        ),
        (
            refuse("TrainingJobDefinition.EnableManagedSpotTraining", True),
            "EnableManagedSpotTraining.* is not supported by the local SageMaker",
        ),
        (
            refuse(f"{CONFIG}.ResourceLimits", {"MaxParallelTrainingJobs": 1}),
            "MaxNumberOfTrainingJobs is required",
        ),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    local: Any, sagemaker: Any, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    request = tuning(local, "true", {"ContinuousParameterRanges": [number("a", 0, 1)]})
    change(request)
    with pytest.raises(ClientError, match=said):
        sagemaker.create_hyper_parameter_tuning_job(**request)
    assert sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []


def test_an_unknown_tuning_job_is_not_found_in_awss_words(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="can't find a tuning job") as caught:
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="nobody")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFound"
