"""Trial components: create, describe, update, list, delete, and their association with trials.
Those of jobs are there by themselves: engine/trial_components.py.
"""

from __future__ import annotations

from local_sagemaker import paging
from local_sagemaker.arns import arn
from local_sagemaker.engine import experiments, trial_components
from local_sagemaker.engine.job_components import TRIALS
from local_sagemaker.engine.trial_components import KIND, MAPS
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.operations import Body, operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

_ASSOCIATION = ("TrialComponentName", "TrialName")
_FILTERS = ("ExperimentName", "TrialName", "SourceArn")
_PAGES = paging.Spec(
    "TrialComponentName",
    None,
    {"CreationTime": "CreationTime", "Name": "TrialComponentName"},
    "Descending",
    10,
)


@operation(
    "CreateTrialComponent",
    (
        "TrialComponentName",
        "DisplayName",
        "Status",
        "StartTime",
        "EndTime",
        "MetadataProperties",
        "Tags",
        *MAPS,
    ),
)
def create_trial_component(plane: Plane, request: Body) -> Body:
    name, now = request["TrialComponentName"], plane.clock.now()
    trial_components.check(request)
    row = {
        "DisplayName": name,
        **{member: value for member, value in request.items() if member != "Tags"},
        "TrialComponentArn": arn(plane.config, KIND, name),
        "CreationTime": now,
        "CreatedBy": {},
        "LastModifiedTime": now,
        "LastModifiedBy": {},
        TRIALS: [],
    }
    with experiments.CHANGING:
        if trial_components.get(plane, name) is not None:
            raise _not_unique(name)
        try:
            plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
        except Duplicate as cause:  # of a job, and deleted
            raise _not_unique(name) from cause
    return row


@operation("DescribeTrialComponent", ("TrialComponentName",))
def describe_trial_component(plane: Plane, request: Body) -> Body:
    return trial_components.find(plane, request["TrialComponentName"])


@operation(
    "UpdateTrialComponent",
    (
        "TrialComponentName",
        "DisplayName",
        "Status",
        "StartTime",
        "EndTime",
        *MAPS,
        *(f"{member}ToRemove" for member in MAPS),
    ),
)
def update_trial_component(plane: Plane, request: Body) -> Body:
    trial_components.check(request)
    changes = {member: value for member, value in request.items() if "ToRemove" not in member}
    name = changes.pop("TrialComponentName")
    for member in MAPS:
        removed = request.get(f"{member}ToRemove", ())
        both = sorted(set(removed) & set(changes.get(member, {})))
        if both:
            raise validation(f"'{both[0]}' is in {member} and in {member}ToRemove; name it once")
        if removed:
            changes[member] = {**changes.get(member, {}), **dict.fromkeys(removed)}
    return trial_components.change(plane, name, changes)


@operation(
    "ListTrialComponents",
    (*_FILTERS, "CreatedAfter", "CreatedBefore", "SortBy", "SortOrder", "NextToken", "MaxResults"),
)
def list_trial_components(plane: Plane, request: Body) -> Body:
    given = [name for name in _FILTERS if name in request]
    if len(given) > 1:
        raise validation(f"{' and '.join(given)} exclude each other; filter by one of them")
    rows = trial_components.everything(plane)
    if "ExperimentName" in request:
        owner = experiments.experiment(plane, request["ExperimentName"])["ExperimentName"]
        trials = {row["TrialName"].lower() for row in experiments.trials_of(plane, owner)}
        rows = [each for each in rows if trials & {name.lower() for name in each[1][TRIALS]}]
    elif "TrialName" in request:
        trial = experiments.trial(plane, request["TrialName"])["TrialName"]
        rows = [each for each in rows if trial_components.is_part(each[1], trial)]
    elif "SourceArn" in request:
        wanted = request["SourceArn"].lower()
        rows = [each for each in rows if _source(each[1]).lower() == wanted]
    page, token = paging.page(rows, request, _PAGES)
    summaries = [{**row, "TrialComponentSource": row.get("Source")} for row in page]
    return {"TrialComponentSummaries": summaries, "NextToken": token}


@operation("DeleteTrialComponent", ("TrialComponentName",))
def delete_trial_component(plane: Plane, request: Body) -> Body:
    return trial_components.delete(plane, request["TrialComponentName"])


@operation("AssociateTrialComponent", _ASSOCIATION)
def associate_trial_component(plane: Plane, request: Body) -> Body:
    return trial_components.associate(plane, request["TrialComponentName"], request["TrialName"])


@operation("DisassociateTrialComponent", _ASSOCIATION)
def disassociate_trial_component(plane: Plane, request: Body) -> Body:
    return trial_components.disassociate(plane, request["TrialComponentName"], request["TrialName"])


def _source(row: Row) -> str:
    return str(row.get("Source", {}).get("SourceArn", ""))


def _not_unique(name: str) -> ApiError:
    return validation(
        "Trial component names must be unique within an AWS account and region. Trial component "
        f"with name ({name}) already exists."
    )
