"""Scaling activities: what was decided, on its way to being true.

    Pending -> asked of SageMaker -> InProgress -> Successful | Failed
       |  SageMaker is busy with the resource: asked again when that has settled
       |  a newer decision: Overridden

The row is written before SageMaker is asked, so that a server that was killed goes on here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.engine import scalable
from local_sagemaker.engine.scaling_rules import Decision, State, after
from local_sagemaker.errors import ApiError
from local_sagemaker.plane import Plane
from local_sagemaker.store import Missing, Row

KIND = "scaling-activity"
OPEN = ("Pending", "InProgress")
# Members of ours in an activity's row: the capacity it wants, the policy's decision behind it, and
# the capacity that had been before.
WANTED, DECISION, BEFORE = "LocalWanted", "LocalDecision", "LocalBefore"
KEPT_SECONDS = 42 * 86_400.0  # AWS shows six weeks


def fit(plane: Plane, target: Row) -> None:
    """Move the capacity of a target into its range, when it is outside."""
    it = scalable.resource(target)
    row = scalable.behind(plane, it)
    if row is None:
        return
    now = scalable.capacity(row, it) or 0
    least, most = target["MinCapacity"], target["MaxCapacity"]
    if now < least:
        propose(plane, target, least, f"minimum capacity was set to {least}")
    elif now > most:
        propose(plane, target, most, f"maximum capacity was set to {most}")


def propose(
    plane: Plane,
    target: Row,
    wanted: int,
    cause: str,
    decision: Decision | None = None,
    before: int = 0,
) -> None:
    """Write down that a target is to have this capacity; an older wish that still waits is over."""
    for each in open_ones(plane, target):
        if each["StatusCode"] == "Pending":
            if each[WANTED] == wanted:
                return
            end(plane, each, "Overridden", f"A newer activity wants {wanted}.")
    count = scalable.DIMENSIONS[target["ScalableDimension"]].count
    kept = {WANTED: wanted, DECISION: asdict(decision) if decision else None, BEFORE: before}
    record(plane, target, f"Setting {count} to {wanted}.", cause, "Pending", **kept)


def record(
    plane: Plane, target: Row, description: str, cause: str, status: str, **members: Any
) -> None:
    now, name = plane.clock.now(), scalable.new_id()
    row = {
        **{each: target[each] for each in scalable.NAMED},
        "ActivityId": name,
        "Description": description,
        "Cause": cause,
        "StatusCode": status,
        "StartTime": now,
        "CreationTime": now,
        **members,
    }
    plane.store.insert(KIND, name, row)


def open_ones(plane: Plane, target: Row) -> list[Row]:
    return plane.store.rows(
        KIND,
        lambda row: row["StatusCode"] in OPEN and scalable.key(row) == scalable.key(target),
    )


def go_on(plane: Plane) -> None:
    """Bring every open activity as far as SageMaker lets it."""
    for each in plane.store.rows(KIND, lambda row: row["StatusCode"] in OPEN):
        target = plane.store.get(scalable.TARGET, scalable.key(each))
        it = scalable.resource(each)
        row = scalable.behind(plane, it)
        if target is None or row is None:
            end(plane, each, "Failed", "The scalable target is gone.")
        elif scalable.is_broken(row, it):
            end(plane, each, "Failed", _failed(each, str(row.get("FailureReason") or "it failed")))
        elif scalable.is_steady(row, it):
            _settled(plane, target, each, row)


def end(plane: Plane, activity: Row, status: str, message: str) -> None:
    members = {"StatusMessage": message, "EndTime": plane.clock.now()}
    lifecycle.transition(plane, KIND, activity["ActivityId"], status, **members)


def forget_old(plane: Plane) -> None:
    oldest = plane.clock.now() - KEPT_SECONDS
    for each in plane.store.rows(KIND, lambda row: row["CreationTime"] < oldest):
        plane.store.delete(KIND, each["ActivityId"])


def state_of(target: Row, capacity: int) -> State:
    suspended = target.get("SuspendedState", {})
    return State(
        capacity=capacity,
        least=target["MinCapacity"],
        most=target["MaxCapacity"],
        **target[scalable.COOLDOWN],
        out_suspended=suspended.get("DynamicScalingOutSuspended", False),
        in_suspended=suspended.get("DynamicScalingInSuspended", False),
    )


def _settled(plane: Plane, target: Row, activity: Row, row: Row) -> None:
    """The resource is InService: the activity came true, failed, or can be asked for now."""
    it, wanted = scalable.resource(target), activity[WANTED]
    count = scalable.DIMENSIONS[target["ScalableDimension"]].count
    done = f"Successfully set {count} to {wanted}."
    if scalable.capacity(row, it) == wanted:
        _cool_down(plane, target, activity)
        end(plane, activity, "Successful", f"{done} Change successfully fulfilled by sagemaker.")
    elif activity["StatusCode"] == "InProgress":
        reason = str(row.get("FailureReason") or "another change came between")
        end(plane, activity, "Failed", _failed(activity, reason))
    else:
        _ask(plane, activity, lambda: scalable.change(plane, it, wanted), done)


def _ask(plane: Plane, activity: Row, change: Callable[[], None], done: str) -> None:
    try:
        change()
    except ApiError as error:
        row = scalable.behind(plane, scalable.resource(activity))
        if row is None or scalable.is_steady(row, scalable.resource(activity)):
            end(plane, activity, "Failed", _failed(activity, error.message))
        return  # else somebody else changes it just now: once more when that has settled
    said = f"{done} Waiting for change to be fulfilled by sagemaker."
    lifecycle.transition(plane, KIND, activity["ActivityId"], "InProgress", StatusMessage=said)


def _cool_down(plane: Plane, target: Row, activity: Row) -> None:
    if activity[DECISION] is None:
        return
    decision = Decision(**activity[DECISION])
    state = after(state_of(target, activity[BEFORE]), decision, plane.clock.now())
    kept = {"out_until": state.out_until, "out_base": state.out_base, "in_until": state.in_until}
    edit(plane, scalable.TARGET, scalable.key(target), **{scalable.COOLDOWN: kept})


def edit(plane: Plane, kind: str, name: str, **members: Any) -> None:
    """Set members of a row that somebody may have removed meanwhile."""
    try:
        plane.store.edit(kind, name, lambda row: {**row, **members})
    except Missing:
        return


def _failed(activity: Row, reason: str) -> str:
    wanted = activity[WANTED]
    count = scalable.DIMENSIONS[activity["ScalableDimension"]].count
    return f"Failed to set {count} to {wanted}. Reason: {reason}"
