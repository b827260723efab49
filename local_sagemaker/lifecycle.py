"""Which status may follow which, and the one function that changes a status.

`transition` checks the table, edits the row, appends to its story, commits, and then tells the bus.
Nothing else writes a status member after a resource was inserted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local_sagemaker.events import Change
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row


class IllegalTransition(Exception):  # noqa: N818 - it says what is the case
    """A status was about to follow one it may not follow; the message tells the story so far."""


@dataclass(frozen=True)
class StatusTable:
    """The member that holds a kind's status, and the pairs (from, to) that are allowed."""

    member: str
    allowed: frozenset[tuple[str, str]]


def _table(member: str, **allowed: str) -> StatusTable:
    pairs = {(before, after) for before, row in allowed.items() for after in row.split()}
    return StatusTable(member, frozenset(pairs))


_JOB = {"InProgress": "Completed Failed Stopping Stopped", "Stopping": "Stopped Completed Failed"}

TABLES: dict[str, StatusTable] = {
    "processing-job": _table("ProcessingJobStatus", **_JOB),
    "training-job": _table("TrainingJobStatus", **_JOB),
    "transform-job": _table("TransformJobStatus", **_JOB),
    "hyper-parameter-tuning-job": _table("HyperParameterTuningJobStatus", **_JOB),
    "lambda-invocation": _table("Status", InProgress="Succeeded Failed"),
    "pipeline-callback": _table("Status", Waiting="Succeeded Failed"),
    "pipeline": _table("PipelineStatus", Active="Deleting"),
    "pipeline-execution": _table(
        "PipelineExecutionStatus",
        Executing="Stopping Stopped Failed Succeeded CompletedWithFailures",
        Stopping="Stopped Failed Succeeded",
        Failed="Executing",
        Stopped="Executing",
    ),
    "endpoint": _table(
        "EndpointStatus",
        Creating="InService Failed Deleting",
        InService="Updating SystemUpdating RollingBack OutOfService Deleting Failed",
        Updating="InService Failed RollingBack UpdateRollbackFailed Deleting",
        SystemUpdating="InService Failed Deleting",
        RollingBack="InService Failed UpdateRollbackFailed Deleting",
        UpdateRollbackFailed="Deleting Updating InService Failed",
        OutOfService="InService Updating Deleting Failed",
        Failed="Deleting",
    ),
    "inference-component": _table(
        "InferenceComponentStatus",
        Creating="InService Failed Deleting",
        InService="Updating Deleting Failed",
        Updating="InService Failed Deleting",
        Failed="Updating Deleting",
    ),
    "scaling-activity": _table(
        "StatusCode",
        Pending="InProgress Successful Failed Overridden",
        InProgress="Successful Failed",
    ),
    "model-package": _table(
        "ModelPackageStatus",
        Pending="InProgress Completed Failed Deleting",
        InProgress="Completed Failed Deleting",
        Completed="Deleting",
        Failed="Deleting",
    ),
    "model-package-group": _table(
        "ModelPackageGroupStatus", Completed="Deleting", Failed="Deleting", Deleting="DeleteFailed"
    ),
}


def transition(plane: Plane, kind: str, name: str, to_status: str, **members: Any) -> Row:
    """Move a resource to a status, setting `members` with it; raises IllegalTransition or
    store.Missing.
    """
    table = TABLES[kind]
    now = plane.clock.now()
    before: list[str] = []

    def move(row: Row) -> Row:
        before.append(row[table.member])
        _check(plane, kind, name, before[0], to_status)
        return {**row, **members, table.member: to_status, "LastModifiedTime": now}

    reason = str(members.get("FailureReason") or "")
    row = plane.store.edit(kind, name, move, story=(now, to_status, reason))
    plane.bus.publish(Change(kind, name, before[0], to_status, row))
    return row


def announce(plane: Plane, kind: str, name: str) -> None:
    """Tell the bus of a resource that was just inserted, in its first status."""
    row = plane.store.get(kind, name)
    if row is not None:
        plane.bus.publish(Change(kind, name, None, row[TABLES[kind].member], row))


def _check(plane: Plane, kind: str, name: str, before: str, after: str) -> None:
    if (before, after) in TABLES[kind].allowed:
        return
    story = " -> ".join(status for _, status, _ in plane.store.story(kind, name)) or before
    raise IllegalTransition(f"{kind} {name!r} cannot go from {before} to {after}; so far: {story}")
