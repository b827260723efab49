"""Scalable targets, minutes of traffic, and waiting until the autoscaler has looked; for the tests
of autoscaling.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker.engine import measures, scalable
from local_sagemaker.engine import scaling as autoscaler

VARIANT = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
COMPONENT = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "inference-component/c",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}


def register(scaling: Any, least: int, most: int, **more: Any) -> Any:
    asked = {**VARIANT, "MinCapacity": least, "MaxCapacity": most, **more}
    return scaling.register_scalable_target(**asked)


def track(scaling: Any, target: float = 100, name: str = "p", **more: Any) -> Any:
    """A target tracking policy on invocations per instance."""
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    return scaling.put_scaling_policy(
        **VARIANT,
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": target,
            "PredefinedMetricSpecification": metric,
            **more,
        },
    )


def count(sagemaker: Any) -> int:
    """How many instances the endpoint's variant should have."""
    (variant,) = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
    return int(variant["DesiredInstanceCount"])


def activities(scaling: Any) -> list[Any]:
    """The newest first."""
    found = scaling.describe_scaling_activities(ServiceNamespace="sagemaker")
    return list(found["ScalingActivities"])


def settled(local: Any, scaling: Any) -> bool:
    return all(each["StatusCode"] not in ("Pending", "InProgress") for each in activities(scaling))


def minute(local: Any, clock: Any, scaling: Any, requests: float = 0) -> None:
    """A minute with so many requests to endpoint e, until the autoscaler is done with it."""
    each = count(local.client())
    if requests:
        values = {"InvocationsPerInstance": requests / each}
        measures.of(local.plane).add("e", "AllTraffic", clock.now(), values)
    clock.advance(60)
    wait_until_looked(local, clock)
    local.until_true(lambda: settled(local, scaling), timeout=60.0)


def wait_until_looked(local: Any, clock: Any) -> None:
    """The clock may have moved just before the autoscaler began to wait: it is woken besides."""
    over = clock.now() - 1 - (clock.now() - 1) % 60

    def looked() -> bool:
        rows = local.plane.store.rows(scalable.TARGET)
        return all(row[scalable.EVALUATED] >= over for row in rows)

    autoscaler.wake(local.plane)
    local.until_true(looked, timeout=60.0)
