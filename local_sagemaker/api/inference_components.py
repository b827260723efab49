"""Inference components: create, describe, list, update, change the copy count, delete.

What then really happens is engine/components.py's: every call here checks, writes the status, and
answers.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.arns import arn
from local_sagemaker.engine import components
from local_sagemaker.engine.components import KIND, NEXT_PLAN, NEXT_SPECIFICATION, PLAN
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.lifecycle import IllegalTransition
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

SORT_KEYS = {
    "CreationTime": "CreationTime",
    "Name": "InferenceComponentName",
    "Status": "InferenceComponentStatus",
}
BUSY = frozenset({"Creating", "Updating", "Deleting"})
SPECIFICATION = (
    "Specification.ModelName",
    "Specification.Container.Image",
    "Specification.Container.ArtifactUrl",
    "Specification.Container.Environment",
    "Specification.StartupParameters.ContainerStartupHealthCheckTimeoutInSeconds",
)
# One machine has no instances to place copies on, and no second zone.
KEPT = (
    "Specification.ComputeResourceRequirements",
    "Specification.DataCacheConfig",
    "Specification.SchedulingConfig",
    "Specification.StartupParameters.ModelDataDownloadTimeoutInSeconds",
)


@operation(
    "CreateInferenceComponent",
    (
        "InferenceComponentName",
        "EndpointName",
        "VariantName",
        *SPECIFICATION,
        "RuntimeConfig",
        "Tags",
    ),
    kept=KEPT,
)
def create_inference_component(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = request["InferenceComponentName"]
    specification = _specification(request)
    copies = request.get("RuntimeConfig", {}).get("CopyCount", 0)
    if copies < 1:
        raise validation(
            "Inference components copy count must be an integer larger than 0; scale to 0 with "
            "UpdateInferenceComponentRuntimeConfig."
        )
    with components.ATTACHING:
        endpoint = _endpoint(plane, request["EndpointName"])
        variant = _variant(endpoint, request.get("VariantName"))
        planned = components.plan(plane, variant, specification, copies)
        now = plane.clock.now()
        row = {
            "InferenceComponentName": name,
            "InferenceComponentArn": arn(plane.config, KIND, name),
            "EndpointName": endpoint["EndpointName"],
            "EndpointArn": endpoint["EndpointArn"],
            "VariantName": variant,
            "Specification": components.summary(specification, planned),
            "RuntimeConfig": {"DesiredCopyCount": copies},
            "InferenceComponentStatus": "Creating",
            "CreationTime": now,
            "LastModifiedTime": now,
            PLAN: planned,
        }
        try:
            plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
        except Duplicate as cause:
            what = row["InferenceComponentArn"]
            said = f'Cannot create already existing inference component "{what}".'
            raise validation(said) from cause
    lifecycle.announce(plane, KIND, name)
    components.start_component(plane, name)
    return row


@operation("DescribeInferenceComponent")
def describe_inference_component(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = components.existing(plane, request["InferenceComponentName"])
    return components.described(plane, row)


@operation("ListInferenceComponents")
def list_inference_components(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    def matches(row: Row) -> bool:
        return all(
            row[member] == request.get(f"{member}Equals", row[member])
            for member in ("EndpointName", "VariantName")
        )

    rows, token = plane.store.page(
        KIND, request, sort_keys=SORT_KEYS, where=matches, default_order="Descending"
    )
    return {"InferenceComponents": rows, "NextToken": token}


@operation(
    "UpdateInferenceComponent",
    ("InferenceComponentName", *SPECIFICATION, "RuntimeConfig"),
    kept=KEPT,
)
def update_inference_component(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    if "Specification" not in request and "RuntimeConfig" not in request:
        raise validation("UpdateInferenceComponent needs Specification or RuntimeConfig.")
    row = _changeable(plane, request["InferenceComponentName"])
    copies = request.get("RuntimeConfig", {}).get("CopyCount", row[PLAN]["Count"])
    if "Specification" not in request:
        return _scale(plane, row, copies)
    specification = _specification(request)
    planned = components.plan(plane, row["VariantName"], specification, copies)
    summary = components.summary(specification, planned)
    return _replace(plane, row, planned, summary)


@operation("UpdateInferenceComponentRuntimeConfig")
def update_inference_component_runtime_config(
    plane: Plane, request: dict[str, Any]
) -> dict[str, Any]:
    row = _changeable(plane, request["InferenceComponentName"])
    return _scale(plane, row, request["DesiredRuntimeConfig"]["CopyCount"])


@operation("DeleteInferenceComponent")
def delete_inference_component(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = _changeable(plane, request["InferenceComponentName"])
    _transition(plane, row, "Deleting")
    components.stop_component(plane, row["InferenceComponentName"])
    return {}


def _specification(request: dict[str, Any]) -> Row:
    """The Specification of a request; refuses what the model cannot say."""
    specification = request.get("Specification")
    if specification is None:
        raise validation("An inference component needs Specification.")
    needed = specification.get("ComputeResourceRequirements")
    if needed is None:
        raise validation("Specification needs ComputeResourceRequirements.")
    least = needed["MinMemoryRequiredInMb"]
    if needed.get("MaxMemoryRequiredInMb", least) < least:
        raise validation(
            f"MaxMemoryRequiredInMb must be {least} (MinMemoryRequiredInMb) or more; it is "
            f"{needed['MaxMemoryRequiredInMb']}"
        )
    return dict(specification)


def _endpoint(plane: Plane, name: str) -> Row:
    """The endpoint that a component may be put on."""
    row = plane.store.get("endpoint", name)
    if row is None:
        raise validation(f'Could not find endpoint "{arn(plane.config, "endpoint", name)}".')
    if row["EndpointStatus"] != "InService":
        raise validation(
            f'Cannot create an inference component on endpoint "{row["EndpointArn"]}" in status '
            f"{row['EndpointStatus']}; wait for InService."
        )
    if any(each["Containers"] for each in row[PLAN]):
        raise validation(
            "Inference Components are not supported in this Endpoint. Please make sure this "
            "endpoint can deploy inference components."
        )
    return row


def _variant(endpoint: Row, name: str | None) -> str:
    names = [str(each["VariantName"]) for each in endpoint[PLAN]]
    if name is None and len(names) == 1:
        return names[0]
    if name is None or name not in names:
        raise validation(
            f'VariantName {name!r} is not of endpoint "{endpoint["EndpointArn"]}"; it has: '
            f"{', '.join(names)}."
        )
    return name


def _changeable(plane: Plane, name: str) -> Row:
    row = components.existing(plane, name)
    if row["InferenceComponentStatus"] in BUSY:
        raise _busy(row)
    return row


def _busy(row: Row) -> ApiError:
    return validation(
        f'Cannot update in-progress inference component "{row["InferenceComponentArn"]}".'
    )


def _scale(plane: Plane, row: Row, copies: int) -> Row:
    planned = {**row[PLAN], "Count": copies}
    if row["InferenceComponentStatus"] == "Failed":  # there are no copies to add to
        return _replace(plane, row, planned, None)
    _start_update(plane, row, planned, None)
    components.resize_component(plane, row["InferenceComponentName"])
    return row


def _replace(plane: Plane, row: Row, planned: Row, summary: Row | None) -> Row:
    _start_update(plane, row, planned, summary)
    components.update_component(plane, row["InferenceComponentName"])
    return row


def _start_update(plane: Plane, row: Row, planned: Row, summary: Row | None) -> None:
    members = {
        NEXT_PLAN: planned,
        NEXT_SPECIFICATION: summary,
        "RuntimeConfig": {"DesiredCopyCount": planned["Count"]},
        "FailureReason": None,
    }
    _transition(plane, row, "Updating", **members)


def _transition(plane: Plane, row: Row, status: str, **members: Any) -> None:
    try:
        lifecycle.transition(plane, KIND, row["InferenceComponentName"], status, **members)
    except IllegalTransition as cause:  # somebody else was quicker
        raise _busy(row) from cause
