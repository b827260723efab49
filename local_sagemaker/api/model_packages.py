"""Model packages, the versions in the registry: create, describe, list, update, delete."""

from __future__ import annotations

from typing import Any

from local_sagemaker import paging
from local_sagemaker.arns import arn
from local_sagemaker.engine import registry
from local_sagemaker.errors import ApiError, conflict, validation
from local_sagemaker.events import Change
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

KIND = "model-package"
LISTED_NAME = "ListedName"  # a version has no name of its own: that of its group, then its number
SORT_KEYS = {"CreationTime": "CreationTime", "Name": LISTED_NAME}
PAGES = paging.Spec(LISTED_NAME, "ModelPackageStatus", SORT_KEYS, "Ascending", 10)
MOST_METADATA = 50


@operation(
    "CreateModelPackage",
    (
        "ModelPackageName",
        "ModelPackageGroupName",
        "ModelPackageDescription",
        "ModelPackageRegistrationType",
        "InferenceSpecification",
        "AdditionalInferenceSpecifications",
        "SourceAlgorithmSpecification",
        "ModelApprovalStatus",
        "MetadataProperties",
        "ModelMetrics",
        "DriftCheckBaselines",
        "CustomerMetadataProperties",
        "ModelCard",
        "ModelLifeCycle",
        "SourceUri",
        "Domain",
        "Task",
        "SamplePayloadUrl",
        "ClientToken",
        "Tags",
    ),
    kept=("SkipModelValidation", "SecurityConfig"),
    only={"CertifyForMarketplace": (False,)},
)
def create_model_package(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    if ("ModelPackageGroupName" in request) == ("ModelPackageName" in request):
        raise validation(
            "give ModelPackageGroupName (a new version) or ModelPackageName, one of them"
        )
    row = {
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CreationTime": plane.clock.now(),
        "CreatedBy": {},
        **{k: v for k, v in request.items() if k not in ("Tags", "ClientToken")},
    }
    row |= _numbered(plane, request) if "ModelPackageGroupName" in request else {}
    row["ModelPackageArn"] = arn(plane.config, KIND, registry.key(row))
    try:
        plane.store.insert(KIND, registry.key(row), row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        raise conflict(f"Model Package already exists: {row['ModelPackageArn']}") from cause
    _announce(plane, None, row)
    return row


@operation("DescribeModelPackage", ("ModelPackageName",), only={"IncludedData": ("AllData",)})
def describe_model_package(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return registry.version(plane, request["ModelPackageName"])


@operation("BatchDescribeModelPackage")
def batch_describe_model_package(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    """What is there, and an error of its own for each ARN that is not."""
    found: dict[str, Row] = {}
    missing: dict[str, Row] = {}
    for each in request["ModelPackageArnList"]:
        try:
            found[each] = registry.version(plane, each)
        except ApiError as error:
            missing[each] = {"ErrorCode": error.code, "ErrorResponse": error.message}
    return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": missing}


@operation("ListModelPackages")
def list_model_packages(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    group = request.get("ModelPackageGroupName")
    group_name = registry.group(plane, group)["ModelPackageGroupName"] if group else None
    # With no group named, AWS lists unversioned packages unless ModelPackageType says more.
    wanted = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
    approval = request.get("ModelApprovalStatus")

    def matches(row: Row) -> bool:
        versioned = "ModelPackageVersion" in row
        return (
            (wanted == "Both" or versioned == (wanted == "Versioned"))
            and (group_name is None or row.get("ModelPackageGroupName") == group_name)
            and (approval is None or row.get("ModelApprovalStatus") == approval)
        )

    found = [
        (number, {**row, LISTED_NAME: registry.key(row)})
        for number, row in plane.store.numbered(KIND)
        if matches(row)
    ]
    rows, token = paging.page(found, request, PAGES)
    return {"ModelPackageSummaryList": rows, "NextToken": token}


@operation("UpdateModelPackage")
def update_model_package(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    before = registry.version(plane, request["ModelPackageArn"])
    now = plane.clock.now()

    def change(row: Row) -> Row:
        after = registry.updated(row, request, now)
        if len(after.get("CustomerMetadataProperties", {})) > MOST_METADATA:
            raise validation(f"CustomerMetadataProperties may have {MOST_METADATA} entries at most")
        return after

    after = plane.store.edit(KIND, registry.key(before), change)
    _announce(plane, before, after)
    return after


@operation("DeleteModelPackage")
def delete_model_package(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = registry.version(plane, request["ModelPackageName"])
    plane.store.delete(KIND, registry.key(row))
    return {}


def _numbered(plane: Plane, request: dict[str, Any]) -> Row:
    group = registry.group(plane, request["ModelPackageGroupName"])["ModelPackageGroupName"]
    return {
        "ModelPackageGroupName": group,
        "ModelPackageVersion": registry.next_number(plane, group),
        "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
        "ModelPackageRegistrationType": request.get("ModelPackageRegistrationType", "Registered"),
    }


def _announce(plane: Plane, before: Row | None, after: Row) -> None:
    """A new version and every approval are news; its other statuses do not change here."""
    old = before.get("ModelApprovalStatus") if before else None
    status = str(after.get("ModelApprovalStatus") or after["ModelPackageStatus"])
    plane.bus.publish(Change(KIND, registry.key(after), old, status, after))
