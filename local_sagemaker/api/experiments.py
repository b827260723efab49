"""Experiments: create, describe, update, list, delete. Their trials are in trials.py."""

from __future__ import annotations

from local_sagemaker.engine import experiments
from local_sagemaker.engine.experiments import EXPERIMENT
from local_sagemaker.errors import resource_not_found, validation
from local_sagemaker.operations import Body, operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Missing

SORT_KEYS = {"CreationTime": "CreationTime", "Name": "ExperimentName"}


@operation("CreateExperiment", ("ExperimentName", "DisplayName", "Description", "Tags"))
def create_experiment(plane: Plane, request: Body) -> Body:
    name = request["ExperimentName"]
    row = experiments.new(plane, EXPERIMENT, request)
    try:
        plane.store.insert(EXPERIMENT, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        raise validation(
            "Experiment names must be unique within an AWS account and region. Experiment with "
            f"name ({name}) already exists."
        ) from cause
    return row


@operation("DescribeExperiment", ("ExperimentName",))
def describe_experiment(plane: Plane, request: Body) -> Body:
    return experiments.experiment(plane, request["ExperimentName"])


@operation("UpdateExperiment", ("ExperimentName", "DisplayName", "Description"))
def update_experiment(plane: Plane, request: Body) -> Body:
    row = experiments.experiment(plane, request["ExperimentName"])
    changes = {key: value for key, value in request.items() if key != "ExperimentName"}
    changes["LastModifiedTime"] = plane.clock.now()
    try:
        return plane.store.edit(EXPERIMENT, row["ExperimentName"], lambda now: {**now, **changes})
    except Missing:  # deleted since we looked
        raise resource_not_found(f"Experiment '{row['ExperimentArn']}' not found.") from None


@operation(
    "ListExperiments",
    ("CreatedAfter", "CreatedBefore", "SortBy", "SortOrder", "NextToken", "MaxResults"),
)
def list_experiments(plane: Plane, request: Body) -> Body:
    rows, token = plane.store.page(
        EXPERIMENT, request, sort_keys=SORT_KEYS, default_order="Descending"
    )
    summaries = [{**row, "ExperimentSource": row.get("Source")} for row in rows]
    return {"ExperimentSummaries": summaries, "NextToken": token}


@operation("DeleteExperiment", ("ExperimentName",))
def delete_experiment(plane: Plane, request: Body) -> Body:
    with experiments.CHANGING:
        row = experiments.experiment(plane, request["ExperimentName"])
        if experiments.trials_of(plane, row["ExperimentName"]):
            raise validation(
                f"Experiment '{row['ExperimentArn']}' is linked to 1 or more trials and cannot be "
                "deleted."
            )
        plane.store.delete(EXPERIMENT, row["ExperimentName"])
    return row
