"""Actions of lineage: create, describe, update, list, delete.

An action is what was done: an approval, a deployment.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker.engine import lineage, lineage_recorder
from local_sagemaker.engine.lineage import ACTION as KIND
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

SORT_KEYS = {"CreationTime": "CreationTime", "Name": "ActionName"}


@operation("CreateAction")
def create_action(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.create(plane, KIND, request)


@operation("DescribeAction")
def describe_action(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.find(plane, KIND, request["ActionName"])


@operation("UpdateAction")
def update_action(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.update(plane, KIND, request["ActionName"], request)


@operation("ListActions")
def list_actions(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    uri, kind = request.get("SourceUri"), request.get("ActionType")

    def matches(row: Row) -> bool:
        return uri in (None, row["Source"]["SourceUri"]) and kind in (None, row["ActionType"])

    rows, token = plane.store.page(
        KIND, request, sort_keys=SORT_KEYS, where=matches, default_order="Descending"
    )
    return {"ActionSummaries": rows, "NextToken": token}


@operation("DeleteAction")
def delete_action(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.delete(plane, KIND, request["ActionName"])
