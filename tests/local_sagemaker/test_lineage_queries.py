"""QueryLineage: directions, depth, filters, edges and pages, on graphs that a user made."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.local_sagemaker.test_lineage_entities import artifact, create, refused

Pair = tuple[int, int]
_UNIQUE = itertools.count()


def build(sagemaker: Any, size: int, pairs: set[Pair]) -> list[str]:
    """A graph of artifacts; the ARNs by number."""
    graph = next(_UNIQUE)
    arns = [artifact(sagemaker, f"s3://graph-{graph}/{number}") for number in range(size)]
    for source, destination in sorted(pairs):
        sagemaker.add_association(SourceArn=arns[source], DestinationArn=arns[destination])
    return arns


def query(sagemaker: Any, start: str, direction: str = "Both", **more: Any) -> list[str]:
    """The ARNs of all pages, in their order."""
    found: list[str] = []
    while True:
        answer = sagemaker.query_lineage(StartArns=[start], Direction=direction, **more)
        found += [vertex["Arn"] for vertex in answer["Vertices"]]
        if "NextToken" not in answer:
            return found
        more["NextToken"] = answer["NextToken"]


def reached(pairs: set[Pair], start: int, depth: int = 10) -> set[int]:
    """By the book: what can be reached onward from the start in so many associations."""
    found = {start}
    for _ in range(depth):
        found |= {destination for source, destination in pairs if source in found}
    return found - {start}


@st.composite
def dags(draw: Any) -> tuple[int, set[Pair]]:
    size = draw(st.integers(2, 9))
    pairs = [(a, b) for a in range(size) for b in range(a + 1, size)]
    return size, draw(st.sets(st.sampled_from(pairs), max_size=16))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(dags(), st.integers(1, 4), st.integers(1, 3))
def test_on_any_dag_queries_are_what_the_book_says(
    sagemaker: Any, dag: tuple[int, set[Pair]], depth: int, size: int
) -> None:
    count, pairs = dag
    arns = build(sagemaker, count, pairs)
    down = {a: query(sagemaker, a, "Descendants", MaxResults=size) for a in arns}
    up = {a: query(sagemaker, a, "Ascendants", MaxResults=size) for a in arns}
    for number, arn in enumerate(arns):
        assert sorted(down[arn]) == sorted(arns[other] for other in reached(pairs, number))
        assert sorted(up[arn]) == sorted(other for other in arns if arn in down[other])
        near = query(sagemaker, arn, "Descendants", MaxDepth=depth)
        assert set(near) == {arns[other] for other in reached(pairs, number, depth)}
        both = pairs | {(b, a) for a, b in pairs}
        assert set(query(sagemaker, arn)) == {arns[other] for other in reached(both, number)}


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(dags(), st.integers(1, 3))
def test_pages_together_have_every_vertex_and_every_edge_once(
    sagemaker: Any, dag: tuple[int, set[Pair]], size: int
) -> None:
    count, pairs = dag
    arns = build(sagemaker, count, pairs)
    vertices, edges, more = [], [], {}
    while True:
        answer = sagemaker.query_lineage(
            StartArns=[arns[0]], IncludeEdges=True, Direction="Descendants", MaxResults=size, **more
        )
        vertices += [each["Arn"] for each in answer["Vertices"]]
        edges += [(each["SourceArn"], each["DestinationArn"]) for each in answer["Edges"]]
        if "NextToken" not in answer:
            break
        more = {"NextToken": answer["NextToken"]}
    inside = reached(pairs, 0) | {0}
    assert sorted(vertices) == sorted(arns[number] for number in inside)
    assert sorted(edges) == sorted((arns[a], arns[b]) for a, b in pairs if a in inside)


def test_a_cycle_is_walked_once(sagemaker: Any) -> None:
    arns = build(sagemaker, 3, {(0, 1), (1, 2), (2, 0)})
    assert query(sagemaker, arns[0], "Descendants") == [arns[1], arns[2]]


def test_filters_choose_vertices_and_the_way_to_them_comes_with_the_edges(sagemaker: Any) -> None:
    data = artifact(sagemaker, "s3://b/data", ArtifactType="DataSet", Properties={"k": "v"})
    aside = artifact(sagemaker, "s3://b/aside", ArtifactType="Model")
    action = create(sagemaker, "action", ActionType="ModelDeployment")
    context = create(sagemaker, "context", ContextType="Endpoint")
    for source, destination in ((data, action), (action, context), (data, aside)):
        sagemaker.add_association(
            SourceArn=source, DestinationArn=destination, AssociationType="ContributedTo"
        )
    down = {"StartArns": [data], "Direction": "Descendants"}
    ends = {"Types": ["Endpoint"], "LineageTypes": ["Context", "Action"]}

    answer = sagemaker.query_lineage(**down, Filters=ends)
    assert answer["Vertices"] == [{"Arn": context, "Type": "Endpoint", "LineageType": "Context"}]
    assert answer["Edges"] == []

    answer = sagemaker.query_lineage(**down, Filters=ends, IncludeEdges=True)
    assert [each["Arn"] for each in answer["Vertices"]] == [data, action, context]
    assert {(each["SourceArn"], each["AssociationType"]) for each in answer["Edges"]} == {
        (data, "ContributedTo"),
        (action, "ContributedTo"),
    }

    def ascending(**filters: Any) -> list[str]:
        return query(sagemaker, context, "Ascendants", Filters=filters)

    assert ascending(Types=["DataSet", "Model"]) == [data]
    assert ascending(LineageTypes=["TrialComponent"]) == []
    assert ascending(Properties={"k": "v", "other": "x"}) == [data]
    assert ascending(Properties={"k": "x"}) == []
    assert ascending(CreatedAfter=4e9) == ascending(ModifiedBefore=1.0) == []
    assert ascending(CreatedBefore=4e9, ModifiedAfter=1.0) == [action, data]


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        ({"StartArns": []}, "ValidationException", "needs StartArns"),
        ({"MaxDepth": 0}, "ValidationException", "MaxDepth must be 1 or more, not 0"),
        ({"MaxResults": 0}, "ValidationException", "MaxResults must be 1 or more, not 0"),
        ({"MaxDepth": 11}, "ValidationException", "10"),
        ({"NextToken": "x"}, "ValidationException", "NextToken"),
        (
            {"StartArns": ["arn:aws:sagemaker:us-east-1:000000000000:action/nobody"]},
            "ResourceNotFound",
            "does not exist",
        ),
    ],
)
def test_a_bad_question_is_refused(
    sagemaker: Any, request_: dict[str, Any], code: str, says: str
) -> None:
    arn = create(sagemaker, "artifact")
    with refused(code, says):
        sagemaker.query_lineage(**{"StartArns": [arn], **request_})
