"""QueryLineage: what an entity descends from, and what descends from it.

AWS leaves open what is meant where nothing is said: here Direction is Both, IncludeEdges false,
MaxDepth 10 and a page 50 vertices. The start is among the vertices only with IncludeEdges, being on
the path. An edge comes on the page of whichever of its vertices comes last.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker import paging
from local_sagemaker.engine import lineage, lineage_graph, lineage_recorder
from local_sagemaker.engine.lineage_graph import Graph
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

MOST_DEPTH, MOST_RESULTS = 10, 50
PAGES = paging.Spec("Arn", None, {"Place": "Place"}, "Ascending", MOST_RESULTS)
# Member of Filters -> member of a row, is it an upper bound.
TIMES = {
    "CreatedBefore": ("CreationTime", True),
    "CreatedAfter": ("CreationTime", False),
    "ModifiedBefore": ("LastModifiedTime", True),
    "ModifiedAfter": ("LastModifiedTime", False),
}


@operation("QueryLineage")
def query_lineage(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    _check(request)
    lineage_recorder.catch_up(plane)
    start = lineage.existing(plane, request["StartArns"][0])
    direction = request.get("Direction", "Both")
    filters = request.get("Filters", {})
    with lineage.exclusive(plane) as graph:
        depth = request.get("MaxDepth", MOST_DEPTH)
        found = lineage_graph.depths(graph, start.arn, direction, depth)
        types = {**graph.types, start.arn: start.type}
        wanted = {arn for arn in found if _matches(plane, arn, types[arn], filters)}
        wanted.discard(start.arn)
        whole = bool(request.get("IncludeEdges"))
        if whole:
            way = lineage_graph.on_the_way(graph, found, direction, wanted)
            wanted = way | {start.arn}
        rows, token = _page(found, wanted, request)
        edges = _edges(graph, found, wanted, rows) if whole else []
    vertices = [
        {"Arn": arn, "Type": types[arn], "LineageType": lineage.lineage_type(arn)}
        for arn in (row["Arn"] for row in rows)
    ]
    return {"Vertices": vertices, "Edges": edges, "NextToken": token}


def _check(request: Row) -> None:
    if not request.get("StartArns"):
        raise validation("QueryLineage needs StartArns: the ARN of the entity to start from")
    for member in ("MaxDepth", "MaxResults"):
        if request.get(member, 1) < 1:
            raise validation(f"{member} must be 1 or more, not {request[member]}")


def _matches(plane: Plane, arn: str, kind: str, filters: Row) -> bool:
    if kind not in filters.get("Types", (kind,)):
        return False
    if lineage.lineage_type(arn) not in filters.get("LineageTypes", lineage.LINEAGE_TYPES.values()):
        return False
    asked = [name for name in TIMES if name in filters]
    if not asked and not filters.get("Properties"):
        return True
    row = lineage.described(plane, arn)
    if not all(_in_time(row, filters[name], *TIMES[name]) for name in asked):
        return False
    pairs = filters.get("Properties", {}).items()
    return not pairs or any(row.get("Properties", {}).get(key) == value for key, value in pairs)


def _in_time(row: Row, limit: float, member: str, upper: bool) -> bool:
    value = row.get(member)
    return value is not None and bool(value <= limit if upper else value >= limit)


def _page(found: dict[str, int], wanted: set[str], request: Row) -> tuple[list[Row], str | None]:
    """Nearest first."""
    rows = [(0, {"Arn": arn, "Place": _place(found, arn)}) for arn in wanted]
    return paging.page(rows, request, PAGES)


def _place(found: dict[str, int], arn: str) -> str:
    return f"{found[arn]:02d} {arn}"


def _edges(graph: Graph, found: dict[str, int], wanted: set[str], rows: list[Row]) -> list[Row]:
    shown = {row["Arn"] for row in rows}
    return [
        {"SourceArn": source, "DestinationArn": destination, "AssociationType": kind}
        for source, destination, kind in sorted(lineage_graph.edges(graph, wanted), key=str)
        if max((_place(found, source), source), (_place(found, destination), destination))[1]
        in shown
    ]
