"""Tuning jobs over several training job definitions, with warm start, Autotune and other ends."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.clock import FakeClock
from local_sagemaker.engine import progress, search
from tests.local_sagemaker.test_tuning_jobs import (
    CONFIG,
    KIND,
    LOSS_IS_A,
    children,
    finish,
    number,
    refuse,
    tuning,
)
from tests.local_sagemaker.training import XGBOOST, channel, csv, rows, source_dir

ONE_TO_TWO = {"ContinuousParameterRanges": [number("a", 1, 2)]}
DEFINITION, DEFINITIONS = "TrainingJobDefinition", "TrainingJobDefinitions"


def several(local: Any, **config: Any) -> dict[str, Any]:
    """Two definitions: `good` has a loss from 1 to 2, `bad` one from 5 to 6."""
    request = tuning(local, LOSS_IS_A, ONE_TO_TWO, **config)
    base = request.pop(DEFINITION)
    for member in ("HyperParameterTuningJobObjective", "ParameterRanges"):
        del request[CONFIG][member]
    request[DEFINITIONS] = [
        {
            **copy.deepcopy(base),
            "DefinitionName": name,
            "TuningObjective": {"Type": "Minimize", "MetricName": "loss"},
            "HyperParameterRanges": {"ContinuousParameterRanges": [number("a", low, low + 1)]},
        }
        for name, low in (("bad", 5), ("good", 1))
    ]
    return request


def test_jobs_are_dealt_out_among_several_definitions(local: Any, sagemaker: Any) -> None:
    limits = {"MaxNumberOfTrainingJobs": 5, "MaxParallelTrainingJobs": 2}
    job = finish(local, several(local, ResourceLimits=limits))
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    found = children(local)
    names = [each["TrainingJobDefinitionName"] for each in found]
    assert names == ["bad", "good", "bad", "good", "bad"]
    assert [round(float(each["TunedHyperParameters"]["a"])) // 3 for each in found].count(0) == 2
    assert job["BestTrainingJob"]["TrainingJobDefinitionName"] == "good"
    assert [each["DefinitionName"] for each in job[DEFINITIONS]] == ["bad", "good"]


def test_each_definition_of_a_grid_has_a_grid_of_its_own(local: Any) -> None:
    request = several(local, Strategy="Grid", ResourceLimits={"MaxParallelTrainingJobs": 2})
    for each, values in zip(request[DEFINITIONS], (["7"], ["1", "2", "3"]), strict=True):
        ranges = {"CategoricalParameterRanges": [{"Name": "a", "Values": values}]}
        each["HyperParameterRanges"] = ranges
    finish(local, request)
    tried = [each["TunedHyperParameters"]["a"] for each in children(local)]
    assert sorted(tried) == ["1", "2", "3", "7"]


def test_a_single_definition_may_bring_its_own_objective_and_ranges(local: Any) -> None:
    request = tuning(local, LOSS_IS_A, ONE_TO_TWO)
    config, definition = request[CONFIG], request[DEFINITION]
    definition["TuningObjective"] = config.pop("HyperParameterTuningJobObjective")
    definition["HyperParameterRanges"] = config.pop("ParameterRanges")
    assert finish(local, request)["ObjectiveStatusCounters"]["Succeeded"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(TrainingJobDefinition=r[DEFINITIONS][0]), "give either"),
        (lambda r: r[DEFINITIONS][0].pop("DefinitionName"), "DefinitionName is required in each"),
        (lambda r: r[DEFINITIONS][0].pop("TuningObjective"), "TuningObjective is required"),
        (lambda r: r[DEFINITIONS][1].update(DefinitionName="bad"), "'bad' is given twice"),
        (refuse(f"{CONFIG}.ParameterRanges", ONE_TO_TWO), "is for one TrainingJobDefinition"),
        (refuse(f"{CONFIG}.TrainingJobEarlyStoppingType", "Auto"), "must be Off with"),
        (
            lambda r: r[DEFINITIONS][0]["TuningObjective"].update(Type="Maximize"),
            "Type is Maximize and Minimize; it must be the same",
        ),
        (
            refuse(
                "WarmStartConfig",
                {
                    "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "p"}],
                    "WarmStartType": "TransferLearning",
                },
            ),
            "WarmStartConfig is for a tuning job with one TrainingJobDefinition",
        ),
    ],
)
def test_several_definitions_that_cannot_be_meant_are_refused(
    local: Any, sagemaker: Any, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    request = several(local)
    change(request)
    with pytest.raises(ClientError, match=said):
        sagemaker.create_hyper_parameter_tuning_job(**request)


CHOICE = "HyperParameterTuningResourceConfig"
SMALL = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
LARGE = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 7}


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (LARGE, LARGE),
        (
            {
                "InstanceConfigs": [LARGE, SMALL],
                "AllocationStrategy": "Prioritized",
                "VolumeKmsKeyId": "k",
            },
            {**LARGE, "VolumeKmsKeyId": "k"},
        ),
    ],
)
def test_of_several_instance_types_the_first_is_taken(
    local: Any, sagemaker: Any, given: dict[str, Any], got: dict[str, Any]
) -> None:
    request = tuning(local, LOSS_IS_A, ONE_TO_TWO)
    del request[DEFINITION]["ResourceConfig"]
    request[DEFINITION][CHOICE] = given
    finish(local, request)
    name = children(local)[0]["TrainingJobName"]
    assert sagemaker.describe_training_job(TrainingJobName=name)["ResourceConfig"] == got


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("ResourceConfig"), f"give either ResourceConfig or {CHOICE}"),
        (lambda d: d.update({CHOICE: SMALL}), f"give either ResourceConfig or {CHOICE}"),
        (lambda d: d.update({CHOICE: {}}) or d.pop("ResourceConfig"), "either InstanceConfigs or"),
        (
            lambda d: (
                d.update({CHOICE: {**SMALL, "InstanceConfigs": [LARGE]}}) or d.pop("ResourceConfig")
            ),
            "either InstanceConfigs or all of InstanceType, InstanceCount, VolumeSizeInGB",
        ),
    ],
)
def test_instances_that_are_not_said_or_said_twice_are_refused(
    local: Any, sagemaker: Any, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    request = tuning(local, LOSS_IS_A, ONE_TO_TWO)
    change(request[DEFINITION])
    with pytest.raises(ClientError, match=said):
        sagemaker.create_hyper_parameter_tuning_job(**request)


def warm(request: dict[str, Any], kind: str, *parents: str) -> dict[str, Any]:
    """The request once more, started from these parents."""
    return {
        **copy.deepcopy(request),
        "HyperParameterTuningJobName": "warm",
        "WarmStartConfig": {
            "ParentHyperParameterTuningJobs": [
                {"HyperParameterTuningJobName": each} for each in parents or ("tune",)
            ],
            "WarmStartType": kind,
        },
    }


def test_an_identical_warm_start_knows_the_best_of_its_parents_too(
    local: Any, sagemaker: Any
) -> None:
    request = tuning(local, LOSS_IS_A, ONE_TO_TWO, Strategy="Bayesian")
    parent = finish(local, request)
    again = warm(request, "IdenticalDataAndAlgorithm")
    again[CONFIG]["ParameterRanges"] = {"ContinuousParameterRanges": [number("a", 1.99, 2)]}
    job = finish(local, again)
    assert job["OverallBestTrainingJob"] == parent["BestTrainingJob"]
    assert job["BestTrainingJob"]["TuningJobName"] == "warm"
    assert "OverallBestTrainingJob" not in parent
    assert job["WarmStartConfig"] == again["WarmStartConfig"]
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    told = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="warm")
    assert told["OverallBestTrainingJob"] == parent["BestTrainingJob"]


@pytest.mark.parametrize("kind", ["IdenticalDataAndAlgorithm", "TransferLearning"])
def test_a_search_is_told_what_its_parents_tried_where_it_searches(
    local: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What was static at the parent is a place in a new range like any other."""
    request = tuning(local, LOSS_IS_A, ONE_TO_TWO)
    request[DEFINITION]["StaticHyperParameters"]["b"] = "3"
    finish(local, request)
    asked: list[search.Question] = []
    propose = search.propose

    def listen(strategy: str, question: search.Question) -> search.Parameters:
        asked.append(question)
        return propose(strategy, question)

    monkeypatch.setattr(search, "propose", listen)
    again = warm(request, kind)
    del again[DEFINITION]["StaticHyperParameters"]["b"]
    ranges = {**ONE_TO_TWO, "IntegerParameterRanges": [number("b", 1, 5)]}
    again[CONFIG]["ParameterRanges"] = ranges
    assert finish(local, again)["HyperParameterTuningJobStatus"] == "Completed"
    told = asked[0].trials
    tried = {each["TunedHyperParameters"]["a"] for each in children(local)}
    assert {each.parameters["a"] for each in told} == tried
    assert {each.parameters["b"] for each in told} == {"3"}
    values = [each.objective for each in told if each.objective is not None]
    if kind == "TransferLearning":  # standard scores: of other data the values mean nothing
        assert sum(values) == pytest.approx(0, abs=1e-9)
    else:
        assert values == [float(each.parameters["a"]) for each in told]


def test_a_warm_bayesian_search_begins_where_its_parent_was_good(local: Any) -> None:
    """Without the parent its first proposals would be random; with it, low values come first."""
    wide = {"ContinuousParameterRanges": [number("a", 0, 100)]}
    grid = {"MaxNumberOfTrainingJobs": 12, "MaxParallelTrainingJobs": 2}
    request = tuning(local, LOSS_IS_A, wide, ResourceLimits=grid)
    finish(local, request)
    again = warm(request, "IdenticalDataAndAlgorithm")
    again[CONFIG] |= {
        "Strategy": "Bayesian",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 1},
    }
    finish(local, again)
    answer = local.client().list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="warm"
    )
    tried = [float(each["TunedHyperParameters"]["a"]) for each in answer["TrainingJobSummaries"]]
    assert sum(tried) / len(tried) < 40


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            refuse(f"{CONFIG}.HyperParameterTuningJobObjective.Type", "Maximize"),
            "the objective must be that of parent tuning job 'tune'",
        ),
        (
            refuse(f"{DEFINITION}.StaticHyperParameters.more", "1"),
            "number of static and tuned hyperparameters must be that of parent tuning job 'tune', "
            "which is 3, not 4",
        ),
        (
            refuse(f"{DEFINITION}.AlgorithmSpecification.TrainingImage", XGBOOST),
            "the training image must be .*sagemaker-scikit-learn.*Use TransferLearning",
        ),
        (
            refuse(f"{DEFINITION}.InputDataConfig", [channel("train", "s3://b/other")]),
            "the InputDataConfig must be .*Use TransferLearning",
        ),
        (
            refuse(
                "WarmStartConfig.ParentHyperParameterTuningJobs",
                [{"HyperParameterTuningJobName": "nobody"}],
            ),
            "can't find a parent tuning job 'nobody'",
        ),
        (
            refuse(
                "WarmStartConfig.ParentHyperParameterTuningJobs",
                [{"HyperParameterTuningJobName": "tune"}] * 2,
            ),
            "'tune' is given twice",
        ),
    ],
)
def test_a_warm_start_that_differs_from_its_parents_is_refused(
    local: Any, sagemaker: Any, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    request = tuning(local, LOSS_IS_A, ONE_TO_TWO)
    finish(local, request)
    again = warm(request, "IdenticalDataAndAlgorithm")
    change(again)
    with pytest.raises(ClientError, match=said):
        sagemaker.create_hyper_parameter_tuning_job(**again)


def test_a_parent_that_runs_must_end_first_and_is_not_deleted(local: Any, sagemaker: Any) -> None:
    request = tuning(local, "exec sleep 60", ONE_TO_TWO)
    sagemaker.create_hyper_parameter_tuning_job(**request)
    with pytest.raises(ClientError, match="'tune' is InProgress; wait until it is Completed"):
        sagemaker.create_hyper_parameter_tuning_job(**warm(request, "TransferLearning"))
    with pytest.raises(ClientError, match="is in status InProgress"):
        sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    local.until(KIND, "tune", "Stopped")


def test_a_deleted_tuning_job_leaves_its_training_jobs(local: Any, sagemaker: Any) -> None:
    finish(local, tuning(local, LOSS_IS_A, ONE_TO_TWO))
    one = children(local)[0]["TrainingJobName"]
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    with pytest.raises(ClientError, match="can't find a tuning job"):
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    assert sagemaker.describe_training_job(TrainingJobName=one)["TrainingJobStatus"] == "Completed"
    finish(local, tuning(local, LOSS_IS_A, ONE_TO_TWO))  # the name is free again


def test_training_jobs_are_listed_by_status_and_objective(local: Any, sagemaker: Any) -> None:
    script = 'if [ "$2" = bad ]; then exit 3; fi; echo loss=$2'
    ranges = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["3", "bad", "1", "2"]}]}
    finish(
        local,
        tuning(
            local, script, ranges, Strategy="Grid", ResourceLimits={"MaxParallelTrainingJobs": 2}
        ),
    )
    failed = children(local, StatusEquals="Failed")
    assert [each["TunedHyperParameters"]["a"] for each in failed] == ["bad"]
    order = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending"}
    assert [each["TunedHyperParameters"]["a"] for each in children(local, **order)] == list("321")
    page = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="tune", MaxResults=2, **order
    )
    rest = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="tune", MaxResults=2, NextToken=page["NextToken"], **order
    )
    assert [each["TunedHyperParameters"]["a"] for each in rest["TrainingJobSummaries"]] == ["1"]


def test_a_tuning_job_whose_time_is_over_keeps_what_it_has(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    clock = FakeClock()
    local = start(tmp_path / "timed", slots=2, clock=clock)
    script = "echo loss=$2; exec sleep 60"
    limits = {"MaxParallelTrainingJobs": 2, "MaxRuntimeInSeconds": 120}
    request = tuning(local, script, ONE_TO_TWO, ResourceLimits=limits)
    client = local.client()
    client.create_hyper_parameter_tuning_job(**request)
    logs = local.plane.config.home / "logs/training-job"
    local.until_true(
        lambda: sum("loss=" in log.read_text() for log in logs.glob("tune-*.log")) == 2
    )
    clock.advance(121)
    local.until(KIND, "tune")
    job = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2
    assert job["ConsumedResources"] == {"RuntimeInSeconds": 121}
    assert "BestTrainingJob" in job


def test_a_tuning_job_that_has_converged_ends_when_told_so(local: Any, sagemaker: Any) -> None:
    limits = {"MaxParallelTrainingJobs": 1}
    criteria = {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}
    request = tuning(
        local,
        "echo loss=1",
        ONE_TO_TWO,
        ResourceLimits=limits,
        TuningJobCompletionCriteria=criteria,
    )
    job = finish(local, request)
    assert job["TrainingJobStatusCounters"]["Completed"] == 1 + progress.CONVERGED_AFTER
    details = job["TuningJobCompletionDetails"]
    assert details["NumberOfTrainingJobsObjectiveNotImproving"] == progress.CONVERGED_AFTER
    assert details["ConvergenceDetectedTime"] <= job["HyperParameterTuningEndTime"]


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([], 0),
        ([5.0], 0),
        ([5.0, 5.0, 4.99], 2),  # less than 1 % is no improvement
        ([5.0, 4.0, 6.0, None], 2),
        ([None, None], 0),  # nothing yet to improve on
        ([5.0, 6.0, 3.0], 0),
    ],
)
def test_trials_that_improve_by_less_than_a_hundredth_do_not_improve(
    values: list[float | None], count: int
) -> None:
    found = [
        {"TrainingJobStatus": "Completed", "CreationTime": 0.0}
        | ({} if value is None else {"FinalObjectiveMetricValue": value})
        for value in values
    ]
    assert progress.not_improving(found, maximize=False) == count
    negated = [
        {**each, "FinalObjectiveMetricValue": -each["FinalObjectiveMetricValue"]}
        if "FinalObjectiveMetricValue" in each
        else each
        for each in found
    ]
    assert progress.not_improving(negated, maximize=True) == count


def xgboost(local: Any, **ranges: Any) -> dict[str, Any]:
    """An autotuned job of the algorithm in the XGBoost image."""
    request = tuning(local, "", ranges)
    objective = {"Type": "Minimize", "MetricName": "validation:rmse"}
    request[CONFIG]["HyperParameterTuningJobObjective"] = objective
    request[DEFINITION] |= {
        "StaticHyperParameters": {"num_round": "3"},
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "InputDataConfig": [
            channel("train", local.put("d/train.csv", csv(rows()))),
            channel("validation", local.put("d/validation.csv", csv(rows(30, 2)))),
        ],
    }
    request["Autotune"] = {"Mode": "Enabled"}
    return request


def test_autotune_chooses_ranges_for_what_it_is_named(local: Any) -> None:
    named = {"AutoParameters": [{"Name": "max_depth", "ValueHint": "5"}]}
    job = finish(local, xgboost(local, **named))
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    config = job[CONFIG]
    assert config["ParameterRanges"]["IntegerParameterRanges"] == [number("max_depth", 0, 10)]
    assert config["TrainingJobEarlyStoppingType"] == "Auto"
    criteria = config["TuningJobCompletionCriteria"]["ConvergenceDetected"]
    assert criteria == {"CompleteOnConvergence": "Enabled"}
    assert job["Autotune"] == {"Mode": "Enabled"}
    assert {tuple(each["TunedHyperParameters"]) for each in children(local)} == {("max_depth",)}


def test_autotune_without_any_range_tunes_what_matters_most_to_the_algorithm(local: Any) -> None:
    request = xgboost(local)
    del request[CONFIG]["ParameterRanges"]
    finish(local, request)
    tuned = set(children(local)[0]["TunedHyperParameters"])
    assert tuned == {"alpha", "min_child_weight", "subsample", "eta"}  # num_round is static


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.pop("Autotune"), "AutoParameters need Autotune"),
        (
            refuse(
                f"{CONFIG}.ParameterRanges.AutoParameters", [{"Name": "wings", "ValueHint": "2"}]
            ),
            "cannot choose a range for 'wings'.*max_depth",
        ),
        (
            lambda r: r[DEFINITION]["StaticHyperParameters"].update(sagemaker_program="x.py"),
            "of AWS's algorithms only XGBoost's has recommended ranges here",
        ),
    ],
)
def test_ranges_that_autotune_cannot_choose_are_refused(
    local: Any, sagemaker: Any, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    request = xgboost(local, AutoParameters=[{"Name": "eta", "ValueHint": "0.3"}])
    change(request)
    with pytest.raises(ClientError, match=said):
        sagemaker.create_hyper_parameter_tuning_job(**request)


def test_a_restarted_server_still_knows_the_parents(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """All that a warm start takes over lies in its own row."""
    first = start(tmp_path / "home", slots=2)
    request = tuning(first, LOSS_IS_A, ONE_TO_TWO)
    finish(first, request)
    marker = tmp_path / "go"
    again = warm(request, "IdenticalDataAndAlgorithm")
    code = {"train.sh": f"while [ ! -e {marker} ]; do sleep 0.01; done; echo loss=9"}
    uri = source_dir(first, code, "code/wait.tar.gz")
    again[DEFINITION]["StaticHyperParameters"]["sagemaker_submit_directory"] = uri
    client = first.client()
    client.create_hyper_parameter_tuning_job(**again)
    client.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    from local_sagemaker import boot

    boot.shut_down(first.plane)
    marker.touch()
    second = start(tmp_path / "home", slots=2)
    second.until(KIND, "warm")
    job = second.client().describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="warm")
    assert job["OverallBestTrainingJob"]["TuningJobName"] == "tune"
