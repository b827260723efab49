"""Hyperparameter tuning jobs: create, describe, list, stop, and list their training jobs. How one
runs is engine/tuning.py.
"""

from __future__ import annotations

import secrets
from typing import Any

from local_sagemaker import lifecycle, paging
from local_sagemaker.arns import arn
from local_sagemaker.engine import tuning, tuning_check, tuning_rows
from local_sagemaker.engine.tuning_rows import KIND
from local_sagemaker.errors import resource_in_use, resource_not_found, validation
from local_sagemaker.operations import check, operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

SORT_KEYS = {
    "Name": "HyperParameterTuningJobName",
    "CreationTime": "CreationTime",
    "Status": "HyperParameterTuningJobStatus",
}
CHILD_SORT_KEYS = {
    "Name": "TrainingJobName",
    "CreationTime": "CreationTime",
    "Status": "TrainingJobStatus",
    "FinalObjectiveMetricValue": "FinalObjectiveMetricValue",
}
CONFIG = "HyperParameterTuningJobConfig"


@operation(
    "CreateHyperParameterTuningJob",
    (
        "HyperParameterTuningJobName",
        f"{CONFIG}.Strategy",
        f"{CONFIG}.StrategyConfig",
        f"{CONFIG}.HyperParameterTuningJobObjective",
        f"{CONFIG}.ResourceLimits.MaxNumberOfTrainingJobs",
        f"{CONFIG}.ResourceLimits.MaxParallelTrainingJobs",
        f"{CONFIG}.ParameterRanges.IntegerParameterRanges",
        f"{CONFIG}.ParameterRanges.ContinuousParameterRanges",
        f"{CONFIG}.ParameterRanges.CategoricalParameterRanges",
        f"{CONFIG}.TrainingJobEarlyStoppingType",
        f"{CONFIG}.TuningJobCompletionCriteria.TargetObjectiveMetricValue",
        f"{CONFIG}.TuningJobCompletionCriteria.BestObjectiveNotImproving",
        f"{CONFIG}.RandomSeed",
        "TrainingJobDefinition.StaticHyperParameters",
        # What CreateTrainingJob refuses is refused here as well.
        *(f"TrainingJobDefinition.{member}" for member in tuning.DEFINED),
        "Tags",
    ),
    only={
        f"{CONFIG}.TuningJobCompletionCriteria.ConvergenceDetected.CompleteOnConvergence": (
            "Disabled",
        )
    },
)
def create_hyper_parameter_tuning_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name, now = request["HyperParameterTuningJobName"], plane.clock.now()
    tuning_check.check(request)
    _check_child(plane, request)
    seed = request[CONFIG].get("RandomSeed")
    row = {
        **{member: value for member, value in request.items() if member != "Tags"},
        "HyperParameterTuningJobArn": arn(plane.config, KIND, name),
        "HyperParameterTuningJobStatus": "InProgress",
        "CreationTime": now,
        "LastModifiedTime": now,
        "Seed": secrets.randbelow(2**31) if seed is None else seed,
        "Trials": [],
    }
    try:
        plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        raise resource_in_use(
            "Tuning job names must be unique within an AWS account and region, and a tuning job "
            f"with this name already exists ({row['HyperParameterTuningJobArn']})"
        ) from cause
    lifecycle.announce(plane, KIND, name)
    tuning.start(plane, name)
    return row


@operation("DescribeHyperParameterTuningJob")
def describe_hyper_parameter_tuning_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return tuning_rows.described(plane, _existing(plane, request["HyperParameterTuningJobName"]))


@operation("ListHyperParameterTuningJobs")
def list_hyper_parameter_tuning_jobs(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS)
    shown = [tuning_rows.described(plane, row) for row in rows]
    return {"HyperParameterTuningJobSummaries": shown, "NextToken": token}


@operation("StopHyperParameterTuningJob")
def stop_hyper_parameter_tuning_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = _existing(plane, request["HyperParameterTuningJobName"])
    try:
        lifecycle.transition(plane, KIND, row["HyperParameterTuningJobName"], "Stopping")
    except lifecycle.IllegalTransition as cause:
        raise validation(
            "The request was rejected because the hyperparameter tuning job is in status "
            f"{row['HyperParameterTuningJobStatus']}."
        ) from cause
    return {}


@operation("ListTrainingJobsForHyperParameterTuningJob")
def list_training_jobs_for_hyper_parameter_tuning_job(
    plane: Plane, request: dict[str, Any]
) -> dict[str, Any]:
    """Sorted by the objective, jobs without one are left out, as at AWS."""
    found = tuning_rows.summaries(plane, _existing(plane, request["HyperParameterTuningJobName"]))
    if request.get("SortBy") == "FinalObjectiveMetricValue":
        found = [each for each in found if "FinalObjectiveMetricValue" in each]
    spec = paging.Spec("TrainingJobName", "TrainingJobStatus", CHILD_SORT_KEYS, "Ascending", 10)
    rows, token = paging.page(list(enumerate(found)), request, spec)
    return {"TrainingJobSummaries": rows, "NextToken": token}


def _check_child(plane: Plane, request: dict[str, Any]) -> None:
    """A training job of it must be one that CreateTrainingJob takes, without a number tried yet."""
    name = tuning.child_name(request["HyperParameterTuningJobName"], 1, "0" * 8)
    _, child = check("CreateTrainingJob", tuning.child_request(request, name, {}))
    tuning_check.check_child(plane, child, tuning_rows.objective(request)["MetricName"])


def _existing(plane: Plane, name: str) -> dict[str, Any]:
    row = plane.store.get(KIND, name)
    if row is None:
        raise resource_not_found(
            f"Amazon SageMaker can't find a tuning job with the name {name!r}. Check the name."
        )
    return row
