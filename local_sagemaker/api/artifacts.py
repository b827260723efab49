"""Artifacts of lineage: create, describe, update, list, delete. One artifact a Source."""

from __future__ import annotations

from typing import Any

from local_sagemaker.engine import lineage, lineage_recorder
from local_sagemaker.engine.lineage import ARTIFACT as KIND
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

SORT_KEYS = {"CreationTime": "CreationTime"}


@operation("CreateArtifact")
def create_artifact(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.create(plane, KIND, request)


@operation("DescribeArtifact")
def describe_artifact(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.find(plane, KIND, request["ArtifactArn"])


@operation("UpdateArtifact")
def update_artifact(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    return lineage.update(plane, KIND, request["ArtifactArn"], request)


@operation("ListArtifacts")
def list_artifacts(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    uri, kind = request.get("SourceUri"), request.get("ArtifactType")

    def matches(row: Row) -> bool:
        return uri in (None, row["Source"]["SourceUri"]) and kind in (None, row["ArtifactType"])

    rows, token = plane.store.page(
        KIND, request, sort_keys=SORT_KEYS, where=matches, default_order="Descending"
    )
    return {"ArtifactSummaries": rows, "NextToken": token}


@operation("DeleteArtifact")
def delete_artifact(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    if ("ArtifactArn" in request) == ("Source" in request):
        raise validation("DeleteArtifact needs ArtifactArn or Source, one of them")
    lineage_recorder.catch_up(plane)
    source = request.get("Source")
    its_arn = lineage.artifact_arn(plane.config, source) if source else request["ArtifactArn"]
    return lineage.delete(plane, KIND, its_arn)
