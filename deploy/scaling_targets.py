"""What of an endpoint is scaled: its scalable targets with their policies and scheduled actions;
how they are taken away and brought back. An update of the endpoint around that is rescaling.py's;
whoever only wants scaling to keep still uses `suspended`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from deploy.requests import Requests

SERVICE = "application-autoscaling"
NAMESPACE = "sagemaker"
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
# What a request of each kind takes of what Describe answered.
TARGET = ("MinCapacity", "MaxCapacity", "SuspendedState")
POLICY = (
    "PolicyName",
    "PolicyType",
    "TargetTrackingScalingPolicyConfiguration",
    "StepScalingPolicyConfiguration",
    "PredictiveScalingPolicyConfiguration",
)
ACTION = (
    "ScheduledActionName",
    "Schedule",
    "Timezone",
    "StartTime",
    "EndTime",
    "ScalableTargetAction",
)
TIMES = ("StartTime", "EndTime")
SUSPENDED = dict.fromkeys(
    ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), True
)


@dataclass(frozen=True)
class Scaled:
    """One scalable target, with all that is lost when it is deregistered."""

    target: dict[str, Any]
    policies: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def named(self) -> dict[str, str]:
        members = ("ServiceNamespace", "ResourceId", "ScalableDimension")
        return {each: self.target[each] for each in members}

    @property
    def variant(self) -> str:
        return str(self.target["ResourceId"]).rpartition("/")[2]


def named(endpoint: str, variant: str) -> dict[str, str]:
    """The members by which Application Auto Scaling knows a variant."""
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": f"endpoint/{endpoint}/variant/{variant}",
        "ScalableDimension": INSTANCES,
    }


def of_endpoint(client: Any, endpoint: str, variants: list[str] | None = None) -> list[Scaled]:
    """The scalable targets of an endpoint's variants, of every dimension; or of these alone."""
    prefix = f"endpoint/{endpoint}/variant/"
    only = {"ResourceIds": [f"{prefix}{each}" for each in variants]} if variants else {}
    targets = [
        each
        for each in _all(client, "describe_scalable_targets", "ScalableTargets", **only)
        if each["ResourceId"].startswith(prefix)
    ]
    return [_scaled(client, each) for each in targets]


def variants_of(client: Any, endpoint: str) -> list[str]:
    """The variants of an endpoint that have instances; a serverless one has none to count."""
    found = client.describe_endpoint(EndpointName=endpoint).get("ProductionVariants", [])
    return [each["VariantName"] for each in found if "CurrentServerlessConfig" not in each]


def remove(requests: Requests, client: Any, scaled: list[Scaled]) -> None:
    for each in scaled:
        try:
            requests.send(client, "deregister_scalable_target", **each.named)
        except ClientError as error:  # somebody was quicker: it is what was wanted
            if error.response["Error"]["Code"] != "ObjectNotFoundException":
                raise


def restore(requests: Requests, client: Any, scaled: list[Scaled], now: list[Scaled]) -> None:
    """Register again, with the policies and the actions; what is there `now` stays as it is."""
    there = {tuple(each.named.values()): each for each in now}
    for each in scaled:
        found = there.get(tuple(each.named.values()), Scaled({}))
        if not found.target:
            send = {**each.named, **_members(each.target, TARGET)}
            requests.send(client, "register_scalable_target", **send)
        for policy in _missing("PolicyName", each.policies, found.policies):
            send = {**each.named, **_members(policy, POLICY)}
            requests.send(client, "put_scaling_policy", **send)
        for action in _missing("ScheduledActionName", each.actions, found.actions):
            send = {**each.named, **_members(action, ACTION)}
            requests.send(client, "put_scheduled_action", **send)


def plain(scaled: Scaled) -> dict[str, Any]:
    """All that brings a target back, as JSON has it: times are texts."""
    return {
        "target": {**scaled.named, **_members(scaled.target, TARGET)},
        "policies": [_members(each, POLICY) for each in scaled.policies],
        "actions": [
            {k: v.isoformat() if k in TIMES else v for k, v in _members(each, ACTION).items()}
            for each in scaled.actions
        ],
    }


def unplain(found: dict[str, Any]) -> Scaled:
    """What `plain` has made; actions that have ended since are left out: AWS refuses them."""
    actions = [
        {k: datetime.fromisoformat(v) if k in TIMES else v for k, v in each.items()}
        for each in found["actions"]
    ]
    now = datetime.now(UTC)
    lasting = [each for each in actions if each.get("EndTime", now) >= now]
    return Scaled(found["target"], found["policies"], lasting)


@contextmanager
def suspended(requests: Requests, scaling: Any, endpoint: str) -> Iterator[list[Scaled]]:
    """Scaling keeps still in here, and then goes on as it was; everything stays registered."""
    scaled = of_endpoint(scaling, endpoint)
    try:
        for each in scaled:
            still = {**each.named, "SuspendedState": SUSPENDED}
            requests.send(scaling, "register_scalable_target", **still)
        yield scaled
    finally:
        for each in scaled:
            before = each.target.get("SuspendedState", dict.fromkeys(SUSPENDED, False))
            as_it_was = {**each.named, "SuspendedState": before}
            requests.send(scaling, "register_scalable_target", **as_it_was)


def activities(client: Any, endpoint: str, most: int) -> list[dict[str, Any]]:
    """The newest scaling activities of an endpoint's variants."""
    found = _all(client, "describe_scaling_activities", "ScalingActivities")
    prefix = f"endpoint/{endpoint}/variant/"
    mine = [each for each in found if each["ResourceId"].startswith(prefix)]
    return sorted(mine, key=lambda each: each["StartTime"], reverse=True)[:most]


def _scaled(client: Any, target: dict[str, Any]) -> Scaled:
    only = {
        "ResourceId": target["ResourceId"],
        "ScalableDimension": target["ScalableDimension"],
    }
    return Scaled(
        target,
        _all(client, "describe_scaling_policies", "ScalingPolicies", **only),
        _all(client, "describe_scheduled_actions", "ScheduledActions", **only),
    )


def _all(client: Any, operation: str, member: str, **only: Any) -> list[dict[str, Any]]:
    pages = client.get_paginator(operation).paginate(ServiceNamespace=NAMESPACE, **only)
    return [dict(each) for page in pages for each in page[member]]


def _members(found: dict[str, Any], members: tuple[str, ...]) -> dict[str, Any]:
    return {each: found[each] for each in members if each in found}


def _missing(
    name: str, wanted: list[dict[str, Any]], there: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    names = [each[name] for each in there]
    return [each for each in wanted if each[name] not in names]
