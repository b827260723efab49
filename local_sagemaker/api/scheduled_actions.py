"""Scheduled actions (Application Auto Scaling): put, describe, delete.

When an action is due is engine/scaling.py's: every call here checks, stores, answers.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker import wire
from local_sagemaker.engine import scalable, scaling
from local_sagemaker.engine.scalable import ACTION, ONLY
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

CHANGEABLE = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")


@operation(
    "PutScheduledAction",
    ("ScheduledActionName", "ResourceId", *CHANGEABLE),
    only=ONLY,
    service=wire.AUTOSCALING,
)
def put_scheduled_action(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    target = scalable.registered(plane, request)
    name = scalable.below(request, request["ScheduledActionName"])
    before = plane.store.get(ACTION, name)
    given = {each: request[each] for each in CHANGEABLE if each in request}
    row = {**(before or _new(plane, target, request)), **given}
    due = _checked(plane, row)
    try:
        if before is None:
            plane.store.insert(ACTION, name, {**row, scaling.NEXT_DUE: due})
        else:
            plane.store.edit(ACTION, name, lambda old: {**old, **given, scaling.NEXT_DUE: due})
    except Duplicate as cause:
        raise scalable.pending() from cause
    scaling.wake(plane)
    return {}


@operation(
    "DescribeScheduledActions",
    ("ScheduledActionNames", "ResourceId", "MaxResults", "NextToken"),
    only=ONLY,
    service=wire.AUTOSCALING,
)
def describe_scheduled_actions(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    named = ("ScheduledActionName", "ScheduledActionNames")
    rows, token = scalable.page(plane, ACTION, request, *named)
    return {"ScheduledActions": rows, "NextToken": token}


@operation(
    "DeleteScheduledAction",
    ("ScheduledActionName", "ResourceId"),
    only=ONLY,
    service=wire.AUTOSCALING,
)
def delete_scheduled_action(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = scalable.below(request, request["ScheduledActionName"])
    if plane.store.get(ACTION, name) is None:
        wanted = request["ScheduledActionName"]
        raise scalable.missing("scheduled action found", request, scheduled_action_name=wanted)
    plane.store.delete(ACTION, name)
    return {}


def _new(plane: Plane, target: Row, request: Row) -> Row:
    name = request["ScheduledActionName"]
    resource = f"resource/sagemaker/{request['ResourceId']}"
    path = f":{scalable.new_id()}:{resource}:scheduledActionName/{name}"
    return {
        **{each: target[each] for each in scalable.NAMED},
        "ScheduledActionName": name,
        "ScheduledActionARN": scalable.arn(plane, "scheduledAction", path),
        "CreationTime": plane.clock.now(),
    }


def _checked(plane: Plane, row: Row) -> float | None:
    """When the action is due first; refuses what it cannot do, and what is never due."""
    for needed in ("Schedule", "ScalableTargetAction"):
        if not row.get(needed):
            raise validation(f"{needed} must be given for a new scheduled action")
    wanted = row["ScalableTargetAction"]
    least, most = wanted.get("MinCapacity", 0), wanted.get("MaxCapacity")
    if least < 0 or (most is not None and most < least):
        raise validation(
            f"Maximum capacity cannot be less than minimum capacity: {most} is below {least}"
        )
    try:
        due = scaling.next_due(row, plane.clock.now())
    except ValueError as cause:
        raise validation(str(cause)) from cause
    if due is None:
        raise validation(
            f"Schedule {row['Schedule']} is never due from now on, within StartTime and EndTime"
        )
    return due
