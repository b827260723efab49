"""Search and its suggestions. The language is engine/filters.py's, the properties are
engine/properties.py's, and what can be found stands in engine/searchable.py.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker import paging, wire
from local_sagemaker.engine import filters, properties, searchable
from local_sagemaker.engine.searchable import RESOURCES, Records, Searchable
from local_sagemaker.errors import validation
from local_sagemaker.operations import Body, operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

PAGE = 10
SORTED_BY = "SortedBy"
TAGS = "Tags."


@operation(
    "Search",
    (
        "SearchExpression",
        "SortBy",
        "SortOrder",
        "NextToken",
        "MaxResults",
        "VisibilityConditions",
    ),
    only={"Resource": tuple(RESOURCES), "CrossAccountFilterOption": ("SameAccount",)},
)
def search(plane: Plane, request: Body) -> Body:
    resource = RESOURCES[request["Resource"]]
    shape = wire.record_shape(resource.member)
    conditions = [_visible(each) for each in request.get("VisibilityConditions", ())]
    tests = [filters.compiled(shape, {"SubExpressions": [each]}) for each in conditions]
    if "SearchExpression" in request:
        tests.append(filters.compiled(shape, request["SearchExpression"]))
    records = resource.records(plane)
    tagged = "tags" in str(request).lower()
    if tagged:
        records = [(n, searchable.with_tags(plane, resource, row)) for n, row in records]
    found = [(n, row) for n, row in records if all(test(row) for test in tests)]
    page, token = _page(request, shape, found)
    if not tagged:
        page = [searchable.with_tags(plane, resource, row) for row in page]
    return {
        "Results": [{resource.member: row} for row in page],
        "NextToken": token,
        "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
    }


@operation(
    "GetSearchSuggestions",
    ("SuggestionQuery",),
    only={"Resource": tuple(RESOURCES)},
)
def get_search_suggestions(plane: Plane, request: Body) -> Body:
    """Every property whose name begins with the hint."""
    resource = RESOURCES[request["Resource"]]
    query = request.get("SuggestionQuery", {}).get("PropertyNameQuery", {})
    hint = query.get("PropertyNameHint", "").lower()
    names = properties.names(wire.record_shape(resource.member), _tagged(plane, resource))
    suggestions = [{"PropertyName": name} for name in names if name.lower().startswith(hint)]
    return {"PropertyNameSuggestions": suggestions}


def _tagged(plane: Plane, resource: Searchable) -> list[Row]:
    return [searchable.with_tags(plane, resource, row) for _, row in resource.records(plane)]


def _visible(condition: Row) -> Row:
    """Without the tag, or with this value of it, as a SearchExpression."""
    key, value = condition.get("Key", ""), condition.get("Value")
    if not key.startswith(TAGS) or not value:
        raise validation(
            f"VisibilityConditions: Key {key!r} must be Tags.<key>, and Value the value of that tag"
        )
    return {
        "Operator": "Or",
        "Filters": [{"Name": key, "Operator": "NotExists"}, {"Name": key, "Value": value}],
    }


def _page(request: Body, shape: Any, found: Records) -> tuple[list[Row], str | None]:
    default = "LastModifiedTime" if "LastModifiedTime" in shape.members else "CreationTime"
    name = request.get("SortBy", default)
    by = filters.known(shape, name)
    if by.kind == properties.STRUCTURE:
        raise validation(f"SortBy {name!r} is no single value; name a property inside it")
    values = searchable.sort_values([by.values(row) for _, row in found])
    rows = [
        (number, {SORTED_BY: value, "Record": row})
        for (number, row), value in zip(found, values, strict=True)
    ]
    spec = paging.Spec("Name", None, {name: SORTED_BY}, "Descending", PAGE)
    page, token = paging.page(rows, request, spec)
    return [each["Record"] for each in page], token
