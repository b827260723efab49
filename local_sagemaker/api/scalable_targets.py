"""Scalable targets (Application Auto Scaling): register, describe, deregister.

What a target's range then does is engine/scaling.py's: every call here checks, stores, answers.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker import wire
from local_sagemaker.engine import components, scalable, scaling, scaling_activities
from local_sagemaker.engine.scalable import ONLY, TARGET
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

BOUNDS = ("MinCapacity", "MaxCapacity")
NO_COOLDOWN = {"out_until": 0.0, "out_base": 0, "in_until": 0.0}


@operation(
    "RegisterScalableTarget",
    ("ResourceId", *BOUNDS, "SuspendedState"),
    kept=("RoleARN",),
    only=ONLY,
    service=wire.AUTOSCALING,
)
def register_scalable_target(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    it = scalable.resource(request)
    resource = scalable.behind(plane, it)
    if resource is None:
        raise validation(
            "Inference component, or endpoint variant with instances, doesn't exist: "
            f"{request['ResourceId']}"
        )
    before = plane.store.get(TARGET, scalable.key(request))
    row = _changed(plane, before, request, resource)
    _check_range(plane, row, it, resource)
    try:
        with plane.store.together():
            if before is None:
                plane.store.insert(TARGET, scalable.key(row), row)
            else:
                changed = {each: row[each] for each in (*BOUNDS, "RoleARN", "SuspendedState")}
                plane.store.edit(TARGET, scalable.key(row), lambda old: {**old, **changed})
            scaling_activities.fit(plane, row)
    except Duplicate as cause:
        raise scalable.pending() from cause
    scaling.wake(plane)
    return row


@operation(
    "DescribeScalableTargets",
    service=wire.AUTOSCALING,
    only=ONLY,
    supports=(
        "ResourceIds",
        "MaxResults",
        "NextToken",
    ),
)
def describe_scalable_targets(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = scalable.page(plane, TARGET, request, "ResourceId", "ResourceIds")
    return {"ScalableTargets": rows, "NextToken": token}


@operation("DeregisterScalableTarget", ("ResourceId",), only=ONLY, service=wire.AUTOSCALING)
def deregister_scalable_target(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    scaling.deregister(plane, scalable.registered(plane, request))
    return {}


def _changed(plane: Plane, before: Row | None, request: Row, resource: Row) -> Row:
    """The target as the request makes it: what it does not say stays as it was."""
    fresh = {each: request[each] for each in scalable.NAMED}
    if before is None or before[scalable.MADE] != scalable.made(resource):
        missing = [each for each in BOUNDS if each not in request]
        if missing:
            raise validation(f"{' and '.join(missing)} must be given to register a scalable target")
        now = plane.clock.now()
        before = {
            **fresh,
            "ScalableTargetARN": scalable.arn(plane, TARGET, f"/{scalable.new_id()}"),
            "RoleARN": scalable.ROLE.format(account=plane.config.account),
            "CreationTime": now,
            scalable.MADE: scalable.made(resource),
            scalable.EVALUATED: now,
            scalable.COOLDOWN: NO_COOLDOWN,
        }
    given = {each: request[each] for each in (*BOUNDS, "RoleARN") if each in request}
    off = dict.fromkeys(
        ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"),
        False,
    )
    suspended = {**off, **before.get("SuspendedState", {}), **request.get("SuspendedState", {})}
    return {**before, **given, "SuspendedState": suspended}


def _check_range(plane: Plane, row: Row, it: scalable.Resource, resource: Row) -> None:
    least, most = row["MinCapacity"], row["MaxCapacity"]
    if least < 0 or most < 0:
        raise validation("MinCapacity and MaxCapacity must be 0 or more")
    if least > most:
        raise validation(
            f"Maximum capacity cannot be less than minimum capacity: {most} is below {least}"
        )
    if least > 0 or it.kind == components.KIND:
        return
    config = plane.store.get("endpoint-config", resource["EndpointConfigName"]) or {}
    if "AsyncInferenceConfig" not in config:
        raise validation(
            f"MinCapacity is 0: a variant of a real-time endpoint keeps at least 1 instance "
            f"({row['ResourceId']}); inference components and asynchronous endpoints go to 0"
        )
