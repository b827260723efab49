"""Endpoint configs: create, describe, list, delete. Immutable. Which of their parts go together
is engine/endpoint_rules.py's.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker.arns import arn
from local_sagemaker.engine import endpoint_rules, variants
from local_sagemaker.engine.crew import LEAST_OUTSTANDING
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

KIND = "endpoint-config"
SORT_KEYS = {"CreationTime": "CreationTime", "Name": "EndpointConfigName"}


@operation(
    "CreateEndpointConfig",
    (
        "EndpointConfigName",
        "ProductionVariants.VariantName",
        "ProductionVariants.ModelName",
        "ProductionVariants.InitialInstanceCount",
        "ProductionVariants.InitialVariantWeight",
        "ProductionVariants.ContainerStartupHealthCheckTimeoutInSeconds",
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
        # Below it only matters while EnableCapture is true, which is refused.
        "DataCaptureConfig.InitialSamplingPercentage",
        "DataCaptureConfig.DestinationS3Uri",
        "DataCaptureConfig.KmsKeyId",
        "DataCaptureConfig.CaptureOptions",
        "DataCaptureConfig.CaptureContentTypeHeader",
    ),
    only={
        "DataCaptureConfig.EnableCapture": (False,),
        "ProductionVariants.RoutingConfig.RoutingStrategy": ("RANDOM", LEAST_OUTSTANDING),
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
    names = [each["VariantName"] for each in request["ProductionVariants"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise validation(f"VariantName must be unique in ProductionVariants; twice: {twice[0]}")
    for each in request["ProductionVariants"]:
        if "ModelName" in each:
            variants.model_row(plane, each["ModelName"])
    endpoint_rules.check(plane, request)
    _check_for_components(request)


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
