"""Contexts of lineage: create, describe, update, list, delete.

A context is what groups other entities: an endpoint, a model package group.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker.engine import lineage, lineage_recorder
from local_sagemaker.engine.lineage import CONTEXT as KIND
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

SORT_KEYS = {"CreationTime": "CreationTime", "Name": "ContextName"}


@operation("CreateContext")
def create_context(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.create(plane, KIND, request)


@operation("DescribeContext")
def describe_context(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.find(plane, KIND, request["ContextName"])


@operation("UpdateContext")
def update_context(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.update(plane, KIND, request["ContextName"], request)


@operation("ListContexts")
def list_contexts(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    uri, kind = request.get("SourceUri"), request.get("ContextType")

    def matches(row: Row) -> bool:
        return uri in (None, row["Source"]["SourceUri"]) and kind in (None, row["ContextType"])

    rows, token = plane.store.page(
        KIND, request, sort_keys=SORT_KEYS, where=matches, default_order="Descending"
    )
    return {"ContextSummaries": rows, "NextToken": token}


@operation("DeleteContext")
def delete_context(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.delete(plane, KIND, request["ContextName"])
