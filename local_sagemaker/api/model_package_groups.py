"""Model package groups of the registry: create, describe, list, delete. Versions are in
model_packages.py.
"""

from __future__ import annotations

import json
from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.arns import arn
from local_sagemaker.engine import registry
from local_sagemaker.errors import conflict, validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

KIND = "model-package-group"
POLICY = "ResourcePolicy"  # a member of ours in a group's row; no Describe shape has it
SORT_KEYS = {"CreationTime": "CreationTime", "Name": "ModelPackageGroupName"}


@operation(
    "CreateModelPackageGroup",
    ("ModelPackageGroupName", "ModelPackageGroupDescription", "Tags"),
)
def create_model_package_group(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = request["ModelPackageGroupName"]
    row = {
        **{member: value for member, value in request.items() if member != "Tags"},
        "ModelPackageGroupArn": arn(plane.config, KIND, name),
        "ModelPackageGroupStatus": "Completed",
        "CreationTime": plane.clock.now(),
        "CreatedBy": {},
        registry.LAST_VERSION: 0,
    }
    try:
        plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        raise validation(
            f"Model Package Group already exists: {row['ModelPackageGroupArn']}"
        ) from (cause)
    lifecycle.announce(plane, KIND, name)
    return row


@operation("DescribeModelPackageGroup")
def describe_model_package_group(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return registry.group(plane, request["ModelPackageGroupName"])


@operation(
    "ListModelPackageGroups",
    (
        "CreationTimeAfter",
        "CreationTimeBefore",
        "MaxResults",
        "NameContains",
        "NextToken",
        "SortBy",
        "SortOrder",
    ),
    only={"CrossAccountFilterOption": ("SameAccount",)},
)
def list_model_package_groups(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS)
    return {"ModelPackageGroupSummaryList": rows, "NextToken": token}


@operation("DeleteModelPackageGroup")
def delete_model_package_group(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    group = registry.group(plane, request["ModelPackageGroupName"])
    name = group["ModelPackageGroupName"]
    versions = registry.versions(plane, name)
    if versions:
        raise conflict(
            f"Model Package Group {group['ModelPackageGroupArn']} still has {len(versions)} model "
            "package(s); delete them first"
        )
    plane.store.delete(KIND, name)
    return {}


@operation("PutModelPackageGroupPolicy", ("ModelPackageGroupName",), kept=("ResourcePolicy",))
def put_model_package_group_policy(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    """Kept and shown, not enforced: everybody here is the account's owner."""
    group = registry.group(plane, request["ModelPackageGroupName"])
    policy = request["ResourcePolicy"]
    if not _is_policy(policy):
        raise validation(f"ResourcePolicy is no JSON policy with a Statement: {policy[:80]!r}")
    return _with_policy(plane, group, policy)


@operation("GetModelPackageGroupPolicy")
def get_model_package_group_policy(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    group = registry.group(plane, request["ModelPackageGroupName"])
    if POLICY not in group:
        raise validation(f"Model Package Group {group['ModelPackageGroupArn']} has no policy.")
    return {"ResourcePolicy": group[POLICY]}


@operation("DeleteModelPackageGroupPolicy")
def delete_model_package_group_policy(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    group = registry.group(plane, request["ModelPackageGroupName"])
    _with_policy(plane, group, None)
    return {}


def _with_policy(plane: Plane, group: Row, policy: str | None) -> Row:
    def change(row: Row) -> Row:
        kept = {key: value for key, value in row.items() if key != POLICY}
        return kept if policy is None else {**kept, POLICY: policy}

    return plane.store.edit(KIND, group["ModelPackageGroupName"], change)


def _is_policy(text: str) -> bool:
    try:
        document = json.loads(text)
    except ValueError:
        return False
    return isinstance(document, dict) and "Statement" in document
