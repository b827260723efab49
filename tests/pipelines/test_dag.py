"""Drawing a definition: which arrows, and what makes a picture readable."""

import json
from typing import Any
from xml.etree import ElementTree

from pipelines import dag


def definition(*steps: dict[str, Any]) -> str:
    return json.dumps({"Version": "2020-12-01", "Steps": list(steps)})


def step(name: str, kind: str = "Processing", **arguments: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments}


def condition(name: str, on: str, yes: list[Any], no: list[Any]) -> dict[str, Any]:
    test = {"Type": "Equals", "LeftValue": {"Get": f"Steps.{on}.Status"}, "RightValue": "x"}
    return step(name, "Condition", Conditions=[test], IfSteps=yes, ElseSteps=no)


def test_a_reference_and_a_dependency_are_arrows() -> None:
    text = definition(
        step("A"),
        step("B", Input={"Get": "Steps.A.Output"}),
        step("C") | {"DependsOn": ["B", {"Step": "A", "Trigger": "Any"}]},
    )
    _, arrows = dag.edges(text)
    assert set(arrows) == {dag.Edge("A", "B"), dag.Edge("B", "C"), dag.Edge("A", "C")}


def test_steps_of_a_branch_hang_on_their_condition() -> None:
    text = definition(step("A"), condition("Check", "A", [step("Yes")], [step("No", "Fail")]))
    types, arrows = dag.edges(text)
    assert types["No"] == "Fail"
    assert dag.Edge("Check", "Yes", "yes") in arrows
    assert dag.Edge("Check", "No", "no") in arrows
    assert dag.Edge("A", "Check") in arrows
    assert dag.Edge("A", "Yes") not in arrows


def test_an_arrow_that_a_longer_way_implies_is_not_drawn() -> None:
    text = definition(
        step("A"),
        step("B", Input={"Get": "Steps.A.X"}),
        step("C", Input=[{"Get": "Steps.A.X"}, {"Get": "Steps.B.X"}]),
    )
    assert dag.svg(text).count("<path") == 2


def test_every_step_stands_in_the_picture_once_and_right_of_what_it_waits_for() -> None:
    text = definition(
        step("Last", Input={"Get": "Steps.First.X"}),
        step("First"),
        condition("Check", "Last", [step("Next")], []),
    )
    picture = ElementTree.fromstring(dag.svg(text))  # noqa: S314 - our own text
    space = "{http://www.w3.org/2000/svg}"
    boxes = picture.findall(f"{space}rect")
    names = [each.text for each in picture.findall(f"{space}text") if each.get("font-weight")]
    columns = {name: float(box.get("x", "")) for name, box in zip(names, boxes, strict=True)}
    assert sorted(columns) == ["Check", "First", "Last", "Next"]
    assert columns["First"] < columns["Last"] < columns["Check"] < columns["Next"]


def test_equal_definitions_give_equal_pictures() -> None:
    text = definition(step("A"), step("B", Input={"Get": "Steps.A.X"}))
    assert dag.svg(text) == dag.svg(text)
