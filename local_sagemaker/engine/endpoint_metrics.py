"""The metrics of an invocation: AWS's names and units, for whoever decides here (measures.py) and
for CloudWatch (publishing.py).

Invocation4XXErrors and 5XXErrors count what the model answered; no answer in time, a model server
that is gone, and a variant without a healthy instance are errors of the server. Source: developer
guide, "Amazon SageMaker AI metrics in Amazon CloudWatch".
"""

from __future__ import annotations

from local_sagemaker.engine import measures, publishing
from local_sagemaker.engine.invocations import Invocation
from local_sagemaker.plane import Plane

NAMESPACE = "AWS/SageMaker"
MICROSECONDS = 1e6
# AWS publishes what it says of a queue by the endpoint alone, without a variant.
NO_VARIANT = ""


def witness(plane: Plane, seen: Invocation) -> None:
    """Into the minute's measures, and on the way to CloudWatch."""
    values = of_invocation(seen)
    endpoint, variant = seen.endpoint, seen.variant.name
    measures.of(plane).add(endpoint, variant, seen.time, values)
    dimensions = variant_dimensions(endpoint, variant, seen.config_name)
    publishing.of(plane).add(NAMESPACE, dimensions, seen.time, values)
    if seen.component is not None:  # its `instances` are copies
        copies = {"InvocationsPerCopy": values["InvocationsPerInstance"]}
        measures.of(plane).add(endpoint, seen.component, seen.time, copies)
        own = ((("InferenceComponentName", seen.component),),)
        publishing.of(plane).add(NAMESPACE, own, seen.time, copies)


def of_queue(
    plane: Plane, endpoint: str, variant: str | None, now: float, values: dict[str, float]
) -> None:
    """What an asynchronous endpoint's queue measured: of a variant, or of the whole endpoint."""
    measures.of(plane).add(endpoint, variant or NO_VARIANT, now, values)
    named = (("VariantName", variant),) if variant else ()
    dimensions = (("EndpointName", endpoint), *named)
    publishing.of(plane).add(NAMESPACE, (dimensions,), now, values)


def of_invocation(seen: Invocation) -> dict[str, float]:
    """What one request measured, by metric."""
    status = seen.status
    values = {
        "Invocations": 1.0,
        "InvocationsPerInstance": 1.0 / max(1, seen.instances),
        "Invocation4XXErrors": 1.0 if 400 <= status < 500 else 0.0,
        "Invocation5XXErrors": 1.0 if status >= 500 or status == 0 else 0.0,
        "OverheadLatency": float(round(seen.overhead_seconds * MICROSECONDS)),
    }
    if seen.model_seconds is not None:
        values["InvocationModelErrors"] = 0.0 if seen.error is None else 1.0
        values["ModelLatency"] = float(round(seen.model_seconds * MICROSECONDS))
    return values


def variant_dimensions(
    endpoint: str, variant: str, config_name: str
) -> tuple[publishing.Dimensions, ...]:
    """The sets under which AWS shows a variant's metrics: of whatever fleet, and of one config."""
    both = (("EndpointName", endpoint), ("VariantName", variant))
    return both, (*both, ("EndpointConfigName", config_name))
