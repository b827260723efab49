"""Trials of an experiment: create, describe, update, list, delete. What they consist of is in
trial_components.py.
"""

from __future__ import annotations

from local_sagemaker.engine import experiments, trial_components
from local_sagemaker.engine.experiments import TRIAL
from local_sagemaker.errors import resource_not_found, validation
from local_sagemaker.operations import Body, operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Missing, Row

SORT_KEYS = {"CreationTime": "CreationTime", "Name": "TrialName"}


@operation(
    "CreateTrial", ("TrialName", "DisplayName", "ExperimentName", "MetadataProperties", "Tags")
)
def create_trial(plane: Plane, request: Body) -> Body:
    name = request["TrialName"]
    with experiments.CHANGING:
        owner = experiments.experiment(plane, request["ExperimentName"])["ExperimentName"]
        row = experiments.new(plane, TRIAL, {**request, "ExperimentName": owner})
        try:
            plane.store.insert(TRIAL, name, row, tags=request.get("Tags", ()))
        except Duplicate as cause:
            raise validation(
                "Trial names must be unique within an AWS account and region. Trial with name "
                f"({name}) already exists."
            ) from cause
    return row


@operation("DescribeTrial", ("TrialName",))
def describe_trial(plane: Plane, request: Body) -> Body:
    return experiments.trial(plane, request["TrialName"])


@operation("UpdateTrial", ("TrialName", "DisplayName"))
def update_trial(plane: Plane, request: Body) -> Body:
    row = experiments.trial(plane, request["TrialName"])
    changes = {member: request[member] for member in ("DisplayName",) if member in request}
    changes["LastModifiedTime"] = plane.clock.now()
    try:
        return plane.store.edit(TRIAL, row["TrialName"], lambda now: {**now, **changes})
    except Missing:  # deleted since we looked
        raise resource_not_found(f"Trial '{row['TrialArn']}' not found.") from None


@operation(
    "ListTrials",
    (
        "ExperimentName",
        "TrialComponentName",
        "CreatedAfter",
        "CreatedBefore",
        "SortBy",
        "SortOrder",
        "NextToken",
        "MaxResults",
    ),
)
def list_trials(plane: Plane, request: Body) -> Body:
    tests = []
    if "ExperimentName" in request:
        owner = experiments.experiment(plane, request["ExperimentName"])
        tests.append(experiments.in_experiment(owner["ExperimentName"]))
    if "TrialComponentName" in request:
        component = trial_components.find(plane, request["TrialComponentName"])
        tests.append(lambda row: trial_components.is_part(component, row["TrialName"]))

    def wanted(row: Row) -> bool:
        return all(test(row) for test in tests)

    rows, token = plane.store.page(
        TRIAL, request, sort_keys=SORT_KEYS, where=wanted, default_order="Descending"
    )
    summaries = [{**row, "TrialSource": row.get("Source")} for row in rows]
    return {"TrialSummaries": summaries, "NextToken": token}


@operation("DeleteTrial", ("TrialName",))
def delete_trial(plane: Plane, request: Body) -> Body:
    with experiments.CHANGING:
        row = experiments.trial(plane, request["TrialName"])
        if trial_components.of_trial(plane, row["TrialName"]):
            raise validation(
                f"Trial '{row['TrialArn']}' is linked to 1 or more trial components and cannot be "
                "deleted."
            )
        plane.store.delete(TRIAL, row["TrialName"])
    return row
