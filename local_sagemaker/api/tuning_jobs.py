"""Hyperparameter tuning jobs: create, describe, list, stop, delete, and list their training jobs.
How one runs is engine/tuning.py.
"""

from __future__ import annotations

import secrets
from typing import Any

from local_sagemaker import lifecycle, paging
from local_sagemaker.arns import arn
from local_sagemaker.engine import (
    autotune,
    tuning,
    tuning_check,
    tuning_definitions,
    tuning_rows,
    warm_start,
)
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
DEFINED = (
    "DefinitionName",
    "TuningObjective",
    "HyperParameterRanges",
    "StaticHyperParameters",
    tuning_definitions.CHOICE,
)


@operation(
    "CreateHyperParameterTuningJob",
    (
        "HyperParameterTuningJobName",
        f"{CONFIG}.Strategy",
        f"{CONFIG}.StrategyConfig",
        f"{CONFIG}.HyperParameterTuningJobObjective",
        f"{CONFIG}.ResourceLimits",
        f"{CONFIG}.ParameterRanges",
        f"{CONFIG}.TrainingJobEarlyStoppingType",
        f"{CONFIG}.TuningJobCompletionCriteria",
        f"{CONFIG}.RandomSeed",
        # What CreateTrainingJob refuses is refused here as well.
        *(
            f"{one_or_several}.{member}"
            for one_or_several in (tuning_check.ONE, tuning_check.SEVERAL)
            for member in (*DEFINED, *tuning_definitions.TAKEN_OVER)
        ),
        "WarmStartConfig",
        "Autotune",
        "Tags",
    ),
)
def create_hyper_parameter_tuning_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name, now = request["HyperParameterTuningJobName"], plane.clock.now()
    request = autotune.settled(plane, request)
    tuning_check.check(request)
    _check_children(plane, request)
    seed = request[CONFIG].get("RandomSeed")
    row = {
        **{member: value for member, value in request.items() if member != "Tags"},
        "HyperParameterTuningJobArn": arn(plane.config, KIND, name),
        "HyperParameterTuningJobStatus": "InProgress",
        "CreationTime": now,
        "LastModifiedTime": now,
        "Seed": secrets.randbelow(2**31) if seed is None else seed,
        "Trials": [],
        **warm_start.inherited(plane, request),
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


@operation("DeleteHyperParameterTuningJob")
def delete_hyper_parameter_tuning_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    """The entry alone: its training jobs and their artifacts stay, as at AWS."""
    row = _existing(plane, request["HyperParameterTuningJobName"])
    status = row["HyperParameterTuningJobStatus"]
    if status in tuning_rows.RUNNING:
        raise validation(
            f"The request was rejected because the hyperparameter tuning job is in status {status}."
            " Stop it, and wait until it has ended."
        )
    plane.store.delete(KIND, row["HyperParameterTuningJobName"])
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


def _check_children(plane: Plane, request: dict[str, Any]) -> None:
    """Its training jobs must be such as CreateTrainingJob takes, without a number tried yet."""
    name = tuning.child_name(request["HyperParameterTuningJobName"], 1, "0" * 8)
    for each in tuning_definitions.read(request):
        _, child = check("CreateTrainingJob", tuning_definitions.child_request(each, name, {}))
        tuning_check.check_child(plane, child, each.objective["MetricName"])


def _existing(plane: Plane, name: str) -> dict[str, Any]:
    row = plane.store.get(KIND, name)
    if row is None:
        raise resource_not_found(
            f"Amazon SageMaker can't find a tuning job with the name {name!r}. Check the name."
        )
    return row
