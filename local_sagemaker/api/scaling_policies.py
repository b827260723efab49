"""Scaling policies (Application Auto Scaling): put, describe, delete.

When a policy acts is engine/scaling.py's: every call here checks, stores, answers.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from local_sagemaker import wire
from local_sagemaker.engine import scalable, scaling, scaling_alarms
from local_sagemaker.engine.scalable import ONLY, POLICY
from local_sagemaker.engine.scaling_metrics import PREDEFINED
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

TRACKING, STEP = "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration"
CONFIGURATION = {"TargetTrackingScaling": TRACKING, "StepScaling": STEP}
CUSTOM = f"{TRACKING}.CustomizedMetricSpecification"
TYPE = f"{TRACKING}.PredefinedMetricSpecification.PredefinedMetricType"


@operation(
    "PutScalingPolicy",
    (
        "PolicyName",
        "ResourceId",
        f"{TRACKING}.TargetValue",
        f"{TRACKING}.ScaleInCooldown",
        f"{TRACKING}.ScaleOutCooldown",
        f"{TRACKING}.DisableScaleIn",
        *(
            f"{CUSTOM}.{each}"
            for each in ("MetricName", "Namespace", "Dimensions", "Statistic", "Unit")
        ),
        STEP,
    ),
    only={**ONLY, "PolicyType": tuple(CONFIGURATION), TYPE: tuple(PREDEFINED)},
    service=wire.AUTOSCALING,
)
def put_scaling_policy(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    target = scalable.registered(plane, request)
    name = scalable.below(request, request["PolicyName"])
    before = plane.store.get(POLICY, name)
    kind = _type(before, request)
    member = CONFIGURATION[kind]
    (_check_tracking if kind == "TargetTrackingScaling" else _check_steps)(request, request[member])
    if before is None:
        row = _new(plane, target, request, kind)
        try:
            plane.store.insert(POLICY, name, {**row, member: request[member]})
        except Duplicate as cause:
            raise scalable.pending() from cause
    else:
        row = plane.store.edit(POLICY, name, lambda old: {**old, member: request[member]})
    scaling.wake(plane)
    return row


@operation(
    "DescribeScalingPolicies",
    ("PolicyNames", "ResourceId", "MaxResults", "NextToken"),
    only=ONLY,
    service=wire.AUTOSCALING,
)
def describe_scaling_policies(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = scalable.page(plane, POLICY, request, "PolicyName", "PolicyNames")
    return {"ScalingPolicies": rows, "NextToken": token}


@operation("DeleteScalingPolicy", ("PolicyName", "ResourceId"), only=ONLY, service=wire.AUTOSCALING)
def delete_scaling_policy(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = scalable.below(request, request["PolicyName"])
    row = plane.store.get(POLICY, name)
    if row is None:
        raise scalable.missing("scaling policy found", request, policy_name=request["PolicyName"])
    scaling_alarms.remove(plane, row)
    plane.store.delete(POLICY, name)
    return {}


def _type(before: Row | None, request: Row) -> str:
    """The policy's type; refuses a configuration of another."""
    kind = request.get("PolicyType", before["PolicyType"] if before else None)
    if kind is None:
        raise validation("PolicyType must be given for a new scaling policy")
    if before is not None and kind != before["PolicyType"]:
        raise validation(
            f"PolicyType of {request['PolicyName']} is {before['PolicyType']} and cannot be "
            "changed; delete the policy first"
        )
    given = [member for member in CONFIGURATION.values() if member in request]
    if given != [CONFIGURATION[kind]]:
        raise validation(f"a policy of type {kind} needs {CONFIGURATION[kind]}, and no other")
    return str(kind)


def _new(plane: Plane, target: Row, request: Row, kind: str) -> Row:
    name = request["PolicyName"]
    path = f":{scalable.new_id()}:resource/sagemaker/{request['ResourceId']}:policyName/{name}"
    alarms = (
        scaling_alarms.named(plane, target, scalable.new_id(), scalable.new_id())
        if kind == "TargetTrackingScaling"
        else []
    )
    return {
        **{each: target[each] for each in scalable.NAMED},
        "PolicyName": name,
        "PolicyARN": scalable.arn(plane, "scalingPolicy", path),
        "PolicyType": kind,
        "Alarms": alarms,
        "CreationTime": plane.clock.now(),
    }


def _check_tracking(request: Row, config: Row) -> None:
    if not config["TargetValue"] > 0:
        raise validation(f"TargetValue must be above 0; it is {config['TargetValue']}")
    for each in ("ScaleInCooldown", "ScaleOutCooldown"):
        _check_cooldown(each, config)
    custom = config.get("CustomizedMetricSpecification", {})
    predefined = config.get("PredefinedMetricSpecification")
    if bool(custom) == (predefined is not None):
        raise validation(
            "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must "
            "be given"
        )
    if predefined is not None:
        _check_dimension(request, predefined["PredefinedMetricType"])
    elif missing := [m for m in ("MetricName", "Namespace", "Statistic") if m not in custom]:
        raise validation(f"CustomizedMetricSpecification needs {', '.join(missing)}")


def _check_dimension(request: Row, name: str) -> None:
    dimension = request["ScalableDimension"]
    if PREDEFINED[name].dimension != dimension:
        allowed = [each for each, metric in PREDEFINED.items() if metric.dimension == dimension]
        raise validation(
            f"PredefinedMetricType {name} is not of {dimension}; it may be: {', '.join(allowed)}"
        )


def _check_cooldown(member: str, config: Row) -> None:
    if config.get(member, 0) < 0:
        raise validation(f"{member} must be 0 or more; it is {config[member]}")


def _check_steps(_: Row, config: Row) -> None:
    for needed in ("AdjustmentType", "StepAdjustments"):
        if not config.get(needed):
            raise validation(f"{STEP} needs {needed}")
    _check_cooldown("Cooldown", config)
    if "MinAdjustmentMagnitude" in config and config["AdjustmentType"] != "PercentChangeInCapacity":
        raise validation("MinAdjustmentMagnitude is for PercentChangeInCapacity alone")
    steps = sorted(scaling_alarms.steps(config), key=lambda each: each.lower)
    for each in steps:
        if not each.lower < each.upper:
            raise validation(f"a step's lower bound {each.lower} must be below {each.upper}")
        if (each.lower, each.upper) == (-math.inf, math.inf):
            raise validation("a step needs MetricIntervalLowerBound or MetricIntervalUpperBound")
    for one, other in itertools.pairwise(steps):
        if one.upper != other.lower:
            raise validation(
                "StepAdjustments must not overlap and must leave no gap: one ends at "
                f"{one.upper}, the next begins at {other.lower}"
            )
