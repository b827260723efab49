"""The alarms of scaling policies in the CloudWatch beside us.

Those of target tracking are ours: put there with the state that we see, and put again when somebody
removed or changed them. Those of step scaling are the user's: found by the policy's ARN among their
actions, read, and left alone. Scaling does not depend on CloudWatch answering; what it did not get
it gets a minute later.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from local_sagemaker.engine import scaling_metrics, scaling_rules, services
from local_sagemaker.engine.scalable import Resource
from local_sagemaker.errors import ApiError
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

log = logging.getLogger(__name__)
HIGH, LOW = "AlarmHigh", "AlarmLow"


def named(plane: Plane, request: Row, high_id: str, low_id: str) -> list[Row]:
    """Alarms of a target tracking policy, as PutScalingPolicy answers with them."""
    names = [
        f"TargetTracking-{request['ResourceId']}-{side}-{each}"
        for side, each in ((HIGH, high_id), (LOW, low_id))
    ]
    place = f"arn:aws:cloudwatch:{plane.config.region}:{plane.config.account}:alarm"
    return [{"AlarmName": name, "AlarmARN": f"{place}:{name}"} for name in names]


def name_of(policy: Row, side: str) -> str:
    """The full name of a target tracking policy's alarm."""
    return next(
        str(each["AlarmName"]) for each in policy["Alarms"] if f"-{side}-" in each["AlarmName"]
    )


def show(plane: Plane, it: Resource, policy: Row, states: dict[str, str]) -> None:
    """Bring the policy's alarms to these states ({HIGH: state, LOW: state})."""
    config = policy["TargetTrackingScalingPolicyConfiguration"]
    names = [each["AlarmName"] for each in policy["Alarms"]]
    try:
        with services.refusals(f"alarms of scaling policy {policy['PolicyName']}"):
            client = scaling_metrics.client(plane)
            there = {
                each["AlarmName"]: each
                for each in client.describe_alarms(AlarmNames=names)["MetricAlarms"]
            }
            for wanted in _definitions(it, policy, config):
                name = wanted["AlarmName"]
                side = HIGH if name == name_of(policy, HIGH) else LOW
                known = there.get(name, {})
                if known.get("Threshold") != wanted["Threshold"]:
                    client.put_metric_alarm(**wanted)
                if known.get("StateValue") != states[side]:
                    said = f"what the local SageMaker measured: {side} is {states[side]}"
                    client.set_alarm_state(
                        AlarmName=name, StateValue=states[side], StateReason=said
                    )
    except ApiError as error:
        log.warning("the alarms of a scaling policy are not in CloudWatch: %s", error)


def remove(plane: Plane, policy: Row) -> None:
    names = [each["AlarmName"] for each in policy.get("Alarms", ())]
    if not names:
        return
    try:
        with services.refusals(f"alarms of scaling policy {policy['PolicyName']}"):
            scaling_metrics.client(plane).delete_alarms(AlarmNames=names)
    except ApiError as error:
        log.warning("alarms stay in CloudWatch names=%s: %s", names, error)


def stepping(plane: Plane, policies: list[Row], until: float) -> list[scaling_rules.Stepping]:
    """The step scaling policies that an alarm of the user's asks to act now."""
    if not policies:
        return []
    try:
        with services.refusals("alarms of step scaling policies"):
            pages = (
                scaling_metrics.client(plane)
                .get_paginator("describe_alarms")
                .paginate(StateValue="ALARM")
            )
            alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
            return [
                _stepping(plane, policy, alarm, until)
                for policy in policies
                for alarm in alarms
                if alarm.get("ActionsEnabled", True)
                and policy["PolicyARN"] in alarm["AlarmActions"]
            ]
    except ApiError as error:
        log.warning("step scaling waits for CloudWatch: %s", error)
        return []


def _stepping(plane: Plane, policy: Row, alarm: Row, until: float) -> scaling_rules.Stepping:
    config = policy["StepScalingPolicyConfiguration"]
    return scaling_rules.Stepping(
        name=policy["PolicyName"],
        alarm=alarm["AlarmName"],
        difference=_difference(plane, config, alarm, until),
        adjustment_type=config["AdjustmentType"],
        steps=steps(config),
        least_change=config.get("MinAdjustmentMagnitude", 0),
        seconds=config.get("Cooldown", scaling_rules.COOLDOWN_SECONDS),
    )


def steps(config: Row) -> tuple[scaling_rules.Step, ...]:
    bounds = {"lower": "MetricIntervalLowerBound", "upper": "MetricIntervalUpperBound"}
    return tuple(
        scaling_rules.Step(
            each["ScalingAdjustment"],
            **{mine: float(each[theirs]) for mine, theirs in bounds.items() if theirs in each},
        )
        for each in config["StepAdjustments"]
    )


def _difference(plane: Plane, config: Row, alarm: Row, until: float) -> float:
    """How far the alarm's metric is from its threshold; 0 when nothing was measured, as when a
    state was set by hand.
    """
    seconds = alarm["Period"] * alarm["EvaluationPeriods"]
    statistic = config.get("MetricAggregationType", "Average")
    metric = {**alarm, "Statistic": alarm.get("Statistic", statistic)}
    metric.pop("Unit", None)
    values = scaling_metrics.cloudwatch(plane, metric, until - seconds, until).values()
    if not values:
        return 0.0
    together = {
        "Average": sum(values) / len(values),
        "Minimum": min(values),
        "Maximum": max(values),
    }
    return float(together[statistic] - alarm["Threshold"])


def _definitions(it: Resource, policy: Row, config: Row) -> Iterator[Row]:
    metric = scaling_metrics.described(it, config)
    target = config["TargetValue"]
    sides = (
        (HIGH, "GreaterThanThreshold", target, scaling_rules.OUT_MINUTES),
        (LOW, "LessThanThreshold", target * scaling_rules.IN_SHARE, scaling_rules.IN_MINUTES),
    )
    for side, comparison, threshold, minutes in sides:
        yield {
            **metric,
            "AlarmName": name_of(policy, side),
            "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy "
            f"{policy['PolicyARN']}.",
            "AlarmActions": [policy["PolicyARN"]],
            "ComparisonOperator": comparison,
            "Threshold": threshold,
            "EvaluationPeriods": minutes,
            "Period": scaling_metrics.MINUTE,
        }
