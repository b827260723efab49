"""The graph of a pipeline: order, cycles, and what may run when branches are taken or not."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import graph, lint

Graph = dict[str, frozenset[str]]


@st.composite
def acyclic(draw: st.DrawFn) -> Graph:
    """Random graphs in which a step waits only for lower numbers, in a shuffled document order."""
    size = draw(st.integers(1, 12))
    edges = {
        f"s{n}": frozenset(draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else ())
        for n in range(size)
    }
    names = draw(st.permutations(list(edges)))
    return {name: frozenset(f"s{n}" for n in edges[name]) for name in names}


@given(acyclic())
def test_every_step_comes_after_those_it_waits_for(needs: Graph) -> None:
    ordered = graph.order(needs)
    assert sorted(ordered) == sorted(needs)
    place = {name: position for position, name in enumerate(ordered)}
    assert all(place[need] < place[name] for name in needs for need in needs[name])


@given(acyclic())
def test_an_acyclic_graph_has_no_cycle(needs: Graph) -> None:
    assert graph.find_cycle(needs) is None


@given(acyclic(), st.data())
def test_a_closed_path_is_found_and_named(needs: Graph, data: st.DataObject) -> None:
    start = data.draw(st.sampled_from(sorted(needs)))
    path = [start]
    while needs[path[-1]]:
        path.append(data.draw(st.sampled_from(sorted(needs[path[-1]]))))
    closed = {**needs, path[-1]: needs[path[-1]] | {start}}
    cycle = graph.find_cycle(closed)
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    assert all(after in closed[before] for before, after in itertools.pairwise(cycle))
    with pytest.raises(ValueError, match="cycle"):
        graph.order(closed)


def test_a_very_deep_graph_is_no_problem() -> None:
    needs = {f"s{n}": frozenset({f"s{n - 1}"} if n else ()) for n in range(3000)}
    assert graph.find_cycle(needs) is None


def step(name: str, *after: str, kind: str = "Fail", **more: Any) -> dict[str, Any]:
    arguments = {"ErrorMessage": "x"} if kind == "Fail" else {}
    return {"Name": name, "Type": kind, "Arguments": arguments, "DependsOn": list(after), **more}


def condition(
    name: str, *after: str, yes: tuple[Any, ...] = (), no: tuple[Any, ...] = (), left: Any = 1
) -> dict[str, Any]:
    test = {"Type": "Equals", "LeftValue": left, "RightValue": 1}
    arguments = {"Conditions": [test], "IfSteps": list(yes), "ElseSteps": list(no)}
    return {
        "Name": name,
        "Type": "Condition",
        "Arguments": arguments,
        "DependsOn": list(after),
    }


def ready(steps: list[dict[str, Any]], done: str = "", **outcomes: str) -> set[str]:
    definition = lint.parse(json.dumps({"Steps": steps}))
    needs = graph.dependencies(definition)
    statuses = dict.fromkeys([*done.split(), *outcomes], "Succeeded")
    return set(graph.ready(definition, needs, graph.order(needs), statuses, outcomes))


def test_steps_without_dependencies_are_ready_at_once() -> None:
    assert ready([step("A"), step("B"), step("C", "A")]) == {"A", "B"}


def test_a_step_is_ready_when_all_it_waits_for_succeeded() -> None:
    steps = [step("A"), step("B"), step("C", "A", "B")]
    assert ready(steps, "A") == {"B"}
    assert ready(steps, "A B") == {"C"}


def test_only_the_taken_branch_becomes_ready() -> None:
    steps = [condition("Gate", yes=(step("Yes"),), no=(step("No"),))]
    assert ready(steps) == {"Gate"}
    assert ready(steps, Gate="True") == {"Yes"}
    assert ready(steps, Gate="False") == {"No"}


def test_an_empty_branch_leaves_nothing_to_do() -> None:
    assert ready([condition("Gate", yes=(step("Yes"),))], Gate="False") == set()


def test_a_step_outside_shares_the_fate_of_the_one_it_waits_for_inside() -> None:
    steps = [condition("Gate", yes=(step("Yes"),)), step("After", "Yes"), step("Later", "After")]
    assert ready(steps, Gate="False") == set()
    assert ready(steps, "Yes", Gate="True") == {"After"}


def test_a_step_that_waits_for_the_condition_runs_whichever_branch_is_taken() -> None:
    steps = [condition("Gate", yes=(step("Yes"),)), step("After", "Gate")]
    assert ready(steps, Gate="False") == {"After"}


def test_a_nested_condition_in_an_untaken_branch_never_runs_with_all_it_holds() -> None:
    inner = condition("Inner", yes=(step("Deep"),), no=(step("Other"),))
    steps = [condition("Outer", yes=(inner,)), step("After", "Deep")]
    assert ready(steps, Outer="False") == set()
    assert ready(steps, Outer="True") == {"Inner"}
    assert ready(steps, Outer="True", Inner="True") == {"Deep"}


def test_nothing_waits_on_a_failed_step() -> None:
    definition = lint.parse(json.dumps({"Steps": [step("A"), step("B", "A")]}))
    needs = graph.dependencies(definition)
    assert graph.ready(definition, needs, graph.order(needs), {"A": "Failed"}, {}) == []


def test_references_imply_dependencies_but_branches_do_not_leak_into_the_condition() -> None:
    model = {
        "Name": "Model",
        "Type": "Model",
        "Arguments": {"PrimaryContainer": {"ModelDataUrl": {"Get": "Steps.Train.A.B"}}},
    }
    train = {"Name": "Train", "Type": "Training", "Arguments": {}}
    evaluate = {"Name": "Eval", "Type": "Training", "Arguments": {}}
    gate = condition("Gate", yes=(model,), left={"Get": "Steps.Eval.M"})
    definition = lint.parse(json.dumps({"Steps": [gate, train, evaluate]}))
    assert graph.dependencies(definition) == {
        "Gate": frozenset({"Eval"}),
        "Model": frozenset({"Train", "Gate"}),
        "Train": frozenset(),
        "Eval": frozenset(),
    }
