"""Endpoint configs: create, describe, list, delete. Immutable. Which of their parts go together
is engine/endpoint_rules.py's.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker.arns import arn
from local_sagemaker.engine import capture, endpoint_rules, variants
from local_sagemaker.engine.crew import LEAST_OUTSTANDING
from local_sagemaker.engine.variants import CAPTURE, MEMBERS, PRODUCTION, SHADOWS
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

KIND = "endpoint-config"
STRATEGIES = ("RANDOM", LEAST_OUTSTANDING)
SORT_KEYS = {"CreationTime": "CreationTime", "Name": "EndpointConfigName"}
# Of a shadow variant, as of a production variant.
SHADOW_SUPPORTED = (
    "ShadowProductionVariants.VariantName",
    "ShadowProductionVariants.ModelName",
    "ShadowProductionVariants.InitialInstanceCount",
    "ShadowProductionVariants.InitialVariantWeight",
    "ShadowProductionVariants.ContainerStartupHealthCheckTimeoutInSeconds",
)
SHADOW_KEPT = (
    "ShadowProductionVariants.InstanceType",
    "ShadowProductionVariants.VolumeSizeInGB",
    "ShadowProductionVariants.ModelDataDownloadTimeoutInSeconds",
    "ShadowProductionVariants.EnableSSMAccess",
    "ShadowProductionVariants.InferenceAmiVersion",
)


@operation(
    "CreateEndpointConfig",
    (
        "EndpointConfigName",
        "ProductionVariants.VariantName",
        "ProductionVariants.ModelName",
        "ProductionVariants.InitialInstanceCount",
        "ProductionVariants.InitialVariantWeight",
        "ProductionVariants.ContainerStartupHealthCheckTimeoutInSeconds",
        *SHADOW_SUPPORTED,
        "DataCaptureConfig.EnableCapture",
        "DataCaptureConfig.InitialSamplingPercentage",
        "DataCaptureConfig.DestinationS3Uri",
        "DataCaptureConfig.CaptureOptions",
        "DataCaptureConfig.CaptureContentTypeHeader",
        "ProductionVariants.ServerlessConfig.MaxConcurrency",
        "ProductionVariants.ServerlessConfig.ProvisionedConcurrency",
        "AsyncInferenceConfig.ClientConfig",
        "AsyncInferenceConfig.OutputConfig.S3OutputPath",
        "AsyncInferenceConfig.OutputConfig.S3FailurePath",
        "AsyncInferenceConfig.OutputConfig.NotificationConfig",
        "Tags",
    ),
    kept=(
        "AsyncInferenceConfig.OutputConfig.KmsKeyId",
        "KmsKeyId",
        "ExecutionRoleArn",
        "VpcConfig",
        "EnableNetworkIsolation",
        "ProductionVariants.InstanceType",
        # A model server gets what memory the machine has.
        "ProductionVariants.ServerlessConfig.MemorySizeInMB",
        "ProductionVariants.VolumeSizeInGB",
        "ProductionVariants.ModelDataDownloadTimeoutInSeconds",
        "ProductionVariants.EnableSSMAccess",
        # Here are no instances to scale for the copies of inference components.
        "ProductionVariants.ManagedInstanceScaling",
        "ProductionVariants.InferenceAmiVersion",
        "DataCaptureConfig.KmsKeyId",
        *SHADOW_KEPT,
    ),
    only={
        "ProductionVariants.RoutingConfig.RoutingStrategy": STRATEGIES,
        "ShadowProductionVariants.RoutingConfig.RoutingStrategy": STRATEGIES,
    },
)
def create_endpoint_config(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = request["EndpointConfigName"]
    _check(plane, request)
    row = {
        **{member: value for member, value in request.items() if member != "Tags"},
        "EndpointConfigArn": arn(plane.config, KIND, name),
        "CreationTime": plane.clock.now(),
    }
    try:
        plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        what = row["EndpointConfigArn"]
        raise validation(
            f'Cannot create already existing endpoint configuration "{what}".'
        ) from cause
    return row


@operation("DescribeEndpointConfig")
def describe_endpoint_config(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return variants.config_row(plane, request["EndpointConfigName"])


@operation("ListEndpointConfigs")
def list_endpoint_configs(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS, default_order="Descending")
    return {"EndpointConfigs": rows, "NextToken": token}


@operation("DeleteEndpointConfig")
def delete_endpoint_config(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = variants.config_row(plane, request["EndpointConfigName"])
    plane.store.delete(KIND, row["EndpointConfigName"])
    return {}


def _check(plane: Plane, request: dict[str, Any]) -> None:
    given = [each for member in MEMBERS for each in request.get(member, ())]
    names = [each["VariantName"] for each in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise validation(f"VariantName must be unique in ProductionVariants; twice: {twice[0]}")
    for each in given:
        if "ModelName" in each:
            variants.model_row(plane, each["ModelName"])
    endpoint_rules.check(plane, request)
    _check_for_components(request)
    _check_shadow(request)
    _check_capture(request)


def _check_for_components(request: dict[str, Any]) -> None:
    """Variants without a model are there for inference components; AWS asks more of them."""
    variants_given = request["ProductionVariants"]
    without = [each["VariantName"] for each in variants_given if "ModelName" not in each]
    if without and len(without) < len(variants_given):
        raise validation(
            f"Production variant {without[0]} has no ModelName and others have; inference "
            "components need variants that have none, all of them"
        )
    if without and "ExecutionRoleArn" not in request:
        raise validation(
            f"ExecutionRoleArn is required: production variant {without[0]} has no ModelName, so "
            "inference components will be deployed to it"
        )
    for each in variants_given:
        _check_scaling(each)


def _check_shadow(request: dict[str, Any]) -> None:
    """AWS: one production variant, one shadow variant."""
    shadows = request.get(SHADOWS)
    if not shadows:
        return
    found = len(request[PRODUCTION]), len(shadows)
    if found != (1, 1):
        raise validation(
            "ShadowProductionVariants needs exactly one variant in ProductionVariants and one in "
            f"ShadowProductionVariants; there are {found[0]} and {found[1]}"
        )
    for each in (*request[PRODUCTION], *shadows):
        if "ModelName" not in each:
            raise validation(
                f"Variant {each['VariantName']} needs ModelName: inference components cannot be "
                "used with ShadowProductionVariants"
            )


def _check_capture(request: dict[str, Any]) -> None:
    config = request.get(CAPTURE)
    if config is None:
        return
    place = config["DestinationS3Uri"]
    if not place.startswith("s3://"):  # AWS's pattern takes https as well
        raise validation(
            f"DataCaptureConfig.DestinationS3Uri is {place!r}; it must be s3://bucket or "
            "s3://bucket/prefix"
        )
    without = [each for each in request["ProductionVariants"] if "ServerlessConfig" in each]
    if without and capture.is_on(config):
        raise validation(
            f"Data capture is not supported for serverless variants; variant "
            f"{without[0]['VariantName']} has a ServerlessConfig. Leave DataCaptureConfig out."
        )


def _check_scaling(variant: dict[str, Any]) -> None:
    scaling = variant.get("ManagedInstanceScaling")
    if scaling is None:
        return
    if "ModelName" in variant:
        raise validation(
            "ManagedInstanceScaling is only supported for inference component endpoints."
        )
    count = variant["InitialInstanceCount"]
    low, high = scaling.get("MinInstanceCount", 0), scaling.get("MaxInstanceCount", count)
    if not low <= count <= high:
        raise validation(
            f"InitialInstanceCount {count} of variant {variant['VariantName']} must be from "
            f"MinInstanceCount ({low}) to MaxInstanceCount ({high}) of ManagedInstanceScaling"
        )
