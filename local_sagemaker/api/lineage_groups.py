"""Lineage groups: an account has one, the default; nothing is shared with other accounts here."""

from __future__ import annotations

from typing import Any

from local_sagemaker.arns import arn, is_arn
from local_sagemaker.engine.lineage import GROUP as KIND
from local_sagemaker.errors import resource_not_found
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

SORT_KEYS = {"CreationTime": "CreationTime", "Name": "LineageGroupName"}


@operation("DescribeLineageGroup")
def describe_lineage_group(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return _group(plane, request["LineageGroupName"])


@operation("ListLineageGroups")
def list_lineage_groups(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS, default_order="Descending")
    return {"LineageGroupSummaries": rows, "NextToken": token}


@operation("GetLineageGroupPolicy")
def get_lineage_group_policy(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    """Only AWS RAM attaches a policy, and there is none here."""
    group = _group(plane, request["LineageGroupName"])
    raise resource_not_found(f"{group['LineageGroupArn']} has no resource policy.")


def _group(plane: Plane, name_or_arn: str) -> Row:
    name = name_or_arn.rpartition("/")[2] if is_arn(name_or_arn) else name_or_arn
    row = plane.store.get(KIND, name)
    if row is None or name_or_arn not in (name, arn(plane.config, KIND, name)):
        raise resource_not_found(f"Lineage group '{name_or_arn}' does not exist.")
    return row
