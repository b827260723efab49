"""Models: create, describe, list, delete. Their containers come from images or model packages."""

from __future__ import annotations

from typing import Any

from local_sagemaker.arns import arn
from local_sagemaker.engine import model_containers, variants
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

KIND = "model"
SORT_KEYS = {"CreationTime": "CreationTime", "Name": "ModelName"}


@operation(
    "CreateModel",
    (
        "ModelName",
        "PrimaryContainer.Image",
        "PrimaryContainer.ModelDataUrl",
        "PrimaryContainer.Environment",
        "PrimaryContainer.ModelPackageName",
        "PrimaryContainer.Mode",
        "PrimaryContainer.MultiModelConfig",
        "Containers.ContainerHostname",
        "Containers.Image",
        "Containers.ModelDataUrl",
        "Containers.Environment",
        "Containers.ModelPackageName",
        "InferenceExecutionConfig",
        "Tags",
    ),
    kept=(
        "ExecutionRoleArn",
        "VpcConfig",
        "EnableNetworkIsolation",
        "PrimaryContainer.ContainerHostname",
        "PrimaryContainer.ImageConfig",
        "Containers.ImageConfig",
    ),
    # A pipeline of containers has no place for the model that a request names.
    only={"Containers.Mode": ("SingleModel",)},
)
def create_model(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = request["ModelName"]
    row = {
        **{member: value for member, value in request.items() if member != "Tags"},
        "ModelArn": arn(plane.config, KIND, name),
        "CreationTime": plane.clock.now(),
        model_containers.CONTAINERS: model_containers.of_model(plane, request),
    }
    try:
        plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        raise validation(f'Cannot create already existing model "{row["ModelArn"]}".') from cause
    return row


@operation("DescribeModel")
def describe_model(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return variants.model_row(plane, request["ModelName"])


@operation("ListModels")
def list_models(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS, default_order="Descending")
    return {"Models": rows, "NextToken": token}


@operation("DeleteModel")
def delete_model(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = variants.model_row(plane, request["ModelName"])
    plane.store.delete(KIND, row["ModelName"])
    return {}
