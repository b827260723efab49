"""Associations, the edges of lineage: add, delete, list."""

from __future__ import annotations

from typing import Any

from local_sagemaker.engine import lineage, lineage_recorder
from local_sagemaker.engine.lineage import ASSOCIATION as KIND
from local_sagemaker.errors import resource_not_found, validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

SORT_KEYS = {
    name: name
    for name in ("CreationTime", "SourceArn", "DestinationArn", "SourceType", "DestinationType")
}


@operation("AddAssociation")
def add_association(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    try:
        return lineage.join(plane, request)
    except Duplicate as cause:
        raise validation(
            f"Association between {request['SourceArn']} and {request['DestinationArn']} already "
            "exists; delete it with DeleteAssociation to give it another type"
        ) from cause


@operation("DeleteAssociation")
def delete_association(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    lineage_recorder.catch_up(plane)
    key = lineage.key(request["SourceArn"], request["DestinationArn"])
    with lineage.exclusive(plane) as graph:
        row = plane.store.get(KIND, key)
        if row is None:
            raise resource_not_found(
                f"There is no association from '{request['SourceArn']}' to "
                f"'{request['DestinationArn']}'."
            )
        plane.store.delete(KIND, key)
        graph.remove(row["SourceArn"], row["DestinationArn"])
    return row


@operation("ListAssociations")
def list_associations(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    """A type is an entity's own or what it is: the SDK asks for "ModelDeployment" and "Action"."""
    lineage_recorder.catch_up(plane)

    def matches(row: Row) -> bool:
        if request.get("AssociationType") not in (None, row.get("AssociationType")):
            return False
        return all(_is_end(row, end, request) for end in ("Source", "Destination"))

    rows, token = plane.store.page(
        KIND, request, sort_keys=SORT_KEYS, where=matches, default_order="Descending"
    )
    return {"AssociationSummaries": [_named(plane, row) for row in rows], "NextToken": token}


def _is_end(row: Row, end: str, request: Row) -> bool:
    arn, kind = request.get(f"{end}Arn"), request.get(f"{end}Type")
    types = (None, row[f"{end}Type"], lineage.lineage_type(row[f"{end}Arn"]))
    return (arn is None or arn.lower() == row[f"{end}Arn"].lower()) and kind in types


def _named(plane: Plane, row: Row) -> Row:
    """The row with the names that its ends have now."""
    ends = {end: lineage.vertex(plane, row[f"{end}Arn"]) for end in ("Source", "Destination")}
    return {**row, **{f"{end}Name": found.name for end, found in ends.items() if found}}
