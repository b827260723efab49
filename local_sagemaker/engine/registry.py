"""The model registry's rules: finding groups and versions by name or ARN, numbering versions,
approval.

A version is stored under "<group>/<number>"; its number comes from a counter in the group's row, so
a number is never given twice, not even after its version was deleted.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker.arns import is_arn
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Missing, Row

GROUP = "model-package-group"
VERSION = "model-package"
LAST_VERSION = "LastVersion"  # a member of ours in a group's row; no Describe shape has it


def group(plane: Plane, name_or_arn: str) -> Row:
    """The group's row; ValidationException when there is none."""
    row = _find(plane, GROUP, name_or_arn)
    if row is None:
        raise validation(f"Model Package Group {name_or_arn} does not exist.")
    return row


def version(plane: Plane, name_or_arn: str) -> Row:
    """The model package's row, by ARN or by the name of an unversioned one."""
    row = _find(plane, VERSION, name_or_arn)
    if row is None:
        raise validation(f"ModelPackage {name_or_arn} does not exist.")
    return row


def versions(plane: Plane, group_name: str) -> list[Row]:
    """Every version of a group, oldest first."""
    return plane.store.rows(VERSION, lambda row: row.get("ModelPackageGroupName") == group_name)


def next_number(plane: Plane, group_name: str) -> int:
    """The number of the group's next version, taken once and for all."""

    def count(row: Row) -> Row:
        return {**row, LAST_VERSION: row[LAST_VERSION] + 1}

    try:
        return int(plane.store.edit(GROUP, group_name, count)[LAST_VERSION])
    except Missing as cause:
        raise validation(f"Model Package Group {group_name} does not exist.") from cause


def key(row: Row) -> str:
    """The name a model package is stored under."""
    if "ModelPackageVersion" in row:
        return f"{row['ModelPackageGroupName']}/{row['ModelPackageVersion']}"
    return str(row["ModelPackageName"])


def updated(row: Row, request: dict[str, Any], now: float) -> Row:
    """The row after UpdateModelPackage: metadata merged and removed, everything else replaced."""
    replaced: Row = {
        member: request[member]
        for member in (
            "ModelApprovalStatus",
            "ApprovalDescription",
            "ModelPackageRegistrationType",
            "InferenceSpecification",
            "SourceUri",
            "ModelCard",
            "ModelLifeCycle",
        )
        if member in request
    }
    metadata = row.get("CustomerMetadataProperties", {}) | request.get(
        "CustomerMetadataProperties", {}
    )
    for name in request.get("CustomerMetadataPropertiesToRemove", ()):
        metadata.pop(name, None)
    added = request.get("AdditionalInferenceSpecificationsToAdd", [])
    more = [*row.get("AdditionalInferenceSpecifications", []), *added]
    return {
        **row,
        **replaced,
        **({"CustomerMetadataProperties": metadata} if metadata else {}),
        **({"AdditionalInferenceSpecifications": more} if more else {}),
        "LastModifiedTime": now,
    }


def _find(plane: Plane, kind: str, name_or_arn: str) -> Row | None:
    if not is_arn(name_or_arn):
        return plane.store.get(kind, name_or_arn)
    found = plane.store.find_arn(name_or_arn)
    return found[2] if found is not None and found[0] == kind else None
