"""Scalable targets and policies of endpoints that AWS refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.rules.rule import Parameters, Plan, rule

TARGET = "register_scalable_target"
RESOURCES = {
    "sagemaker:variant:DesiredInstanceCount": "endpoint/<endpoint>/variant/<variant>",
    "sagemaker:variant:DesiredProvisionedConcurrency": "endpoint/<endpoint>/variant/<variant>",
    "sagemaker:inference-component:DesiredCopyCount": "inference-component/<name>",
}
METRICS = {
    "sagemaker:variant:DesiredInstanceCount": (
        "SageMakerVariantInvocationsPerInstance",
        "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    ),
    "sagemaker:variant:DesiredProvisionedConcurrency": (
        "SageMakerVariantProvisionedConcurrencyUtilization",
    ),
    "sagemaker:inference-component:DesiredCopyCount": (
        "SageMakerInferenceComponentInvocationsPerCopy",
        "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
    ),
}


def _is_sagemaker(request: Parameters) -> bool:
    return bool(request.get("ServiceNamespace") == "sagemaker")


@rule(TARGET, "put_scaling_policy", "put_scheduled_action")
def the_resource_of_its_dimension(request: Parameters, _: Plan) -> Iterator[str]:
    wanted = RESOURCES.get(request.get("ScalableDimension", ""))
    pattern = re.sub("<[a-z]+>", "[^/]+", wanted or "")
    if _is_sagemaker(request) and wanted and not re.fullmatch(pattern, request["ResourceId"]):
        yield f"ResourceId is {request['ResourceId']!r}; of this dimension it is {wanted}"


@rule(TARGET)
def least_is_not_above_most(request: Parameters, _: Plan) -> Iterator[str]:
    least, most = request.get("MinCapacity", 0), request.get("MaxCapacity")
    if most is not None and least > most:
        yield f"MinCapacity is {least}, above MaxCapacity, which is {most}"


@rule(TARGET)
def a_variant_keeps_an_instance(request: Parameters, plan: Plan) -> Iterator[str]:
    """Only inference components, and variants of asynchronous endpoints, go down to zero."""
    if (
        request.get("ScalableDimension") != "sagemaker:variant:DesiredInstanceCount"
        or request.get("MinCapacity") != 0
    ):
        return
    name = request["ResourceId"].split("/")[1] if "/" in request["ResourceId"] else ""
    endpoint = plan.find("create_endpoint", EndpointName=name) or {}
    config = plan.find(
        "create_endpoint_config", EndpointConfigName=endpoint.get("EndpointConfigName", "")
    )
    if config is not None and "AsyncInferenceConfig" not in config:
        yield (
            "MinCapacity is 0: a variant of a real-time endpoint keeps at least 1 instance; for "
            "zero use inference components, an asynchronous endpoint, or a serverless one"
        )


@rule("put_scaling_policy")
def a_metric_of_its_dimension(request: Parameters, _: Plan) -> Iterator[str]:
    tracking = request.get("TargetTrackingScalingPolicyConfiguration", {})
    named = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    allowed = METRICS.get(request.get("ScalableDimension", ""))
    if named and allowed and named not in allowed:
        yield f"PredefinedMetricType is {named}; of this dimension: {', '.join(allowed)}"
