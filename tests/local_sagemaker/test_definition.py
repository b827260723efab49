"""Definitions: what is accepted, and what each mistake is told."""

import contextlib
import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_sagemaker.engine import lint
from local_sagemaker.engine.definition import DefinitionError

# Public sample definitions lie beside the checkout on the machines that build this project.
SAMPLES = Path("/work/shared/data/pipeline-definitions")


def train(name: str = "Train", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Training", "Arguments": {}, **more}


def parse(*steps: Any, **top: Any) -> Any:
    return lint.parse(json.dumps({"Version": "2020-12-01", "Steps": list(steps), **top}))


def refused(*steps: Any, **top: Any) -> str:
    with pytest.raises(DefinitionError) as error:
        parse(*steps, **top)
    return str(error.value)


def using(value: Any, name: str = "User") -> dict[str, Any]:
    return train(name, Arguments={"HyperParameters": {"x": value}})


def test_nulls_stand_for_absent_keys() -> None:
    nulls = dict.fromkeys(("DependsOn", "CacheConfig", "RetryPolicies", "DisplayName", "Odd"))
    top = {"Metadata": None, "Parameters": None, "MlflowConfig": None}
    found = parse(train(**nulls), PipelineExperimentConfig=None, **top)
    assert list(found.steps) == ["Train"]


def test_a_step_is_read_whole() -> None:
    processing = {
        "Name": "Eval",
        "Type": "Processing",
        "Arguments": {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "out"}]}},
        "DependsOn": ["Train", {"Step": "Other", "Trigger": "Completed"}],
        "DisplayName": "Evaluate",
        "Description": "d",
        "CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"},
        "RetryPolicies": [{"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": 1}],
        "PropertyFiles": [
            {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}
        ],
    }
    step = parse(train(), train("Other"), processing).steps["Eval"]
    assert step.depends_on == ("Train", "Other")
    assert (step.display_name, step.description) == ("Evaluate", "d")
    assert step.expire_after == "P1D"
    assert step.retries[0].max_attempts == 1
    assert step.property_files["Report"].file_path == "report.json"


def test_a_disabled_cache_needs_no_expiry() -> None:
    assert parse(train(CacheConfig={"Enabled": False})).steps["Train"].expire_after is None


def test_a_condition_in_a_condition_is_accepted() -> None:
    test = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}

    def condition(name: str, *inner: Any) -> dict[str, Any]:
        arguments = {"Conditions": [test], "IfSteps": list(inner), "ElseSteps": []}
        return {"Name": name, "Type": "Condition", "Arguments": arguments}

    steps = parse(condition("A", condition("B", train()))).steps
    assert [(s.name, s.parent, s.branch) for s in steps.values()] == [
        ("A", None, None),
        ("B", "A", "True"),
        ("Train", "B", "True"),
    ]


def test_bad_json_is_located() -> None:
    with pytest.raises(DefinitionError, match=r"line 2, column 3 \(character 4\)"):
        lint.parse("{\n  oops")


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null"])
def test_a_document_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match="must be a JSON object"):
        lint.parse(text)


def test_endless_nesting_is_refused() -> None:
    with pytest.raises(DefinitionError, match="nested too deeply"):
        lint.parse("[" * 200_000)


@pytest.mark.parametrize(
    ("top", "says"),
    [
        ({"Version": "2021-01-01"}, "Version '2021-01-01' is not supported"),
        ({"MlflowConfig": {"a": 1}}, "MlflowConfig is not supported"),
        ({"Parameters": [{"Name": "P", "Type": "List"}]}, "parameter 'P' has Type 'List'"),
        ({"Parameters": [{"Name": "P", "Type": "String"}] * 2}, "'P' is declared twice"),
        ({"Parameters": {}, "Steps": []}, "Steps must be a list of steps"),
        ({"PipelineExperimentConfig": {"ExperimentName": {"Get": "Steps.Train.x"}}}, "a step"),
        ({"PipelineExperimentConfig": {"ExperimentName": {"Get": "Parameters.Q"}}}, "'Q'"),
    ],
)
def test_mistakes_at_the_top_are_named(top: dict[str, Any], says: str) -> None:
    assert says in refused(train(), **top)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"Name": "a b", "Type": "Training", "Arguments": {}}, "has the name 'a b'"),
        ({"Type": "Training"}, "Steps[0] has the name None"),
        ("x", "Steps[0] has the name None"),
        ({"Name": "T", "Type": "AutoML"}, "step 'T' has the type 'AutoML', which is not supported"),
        ({"Name": "T", "Type": "EMR"}, "supported is Callback, ClarifyCheck, Cleanup, Condition"),
        ({"Name": "T", "Type": "Training"}, "step 'T' has no Arguments"),
        (train(Foo=1), "Foo is not supported on a step of type Training"),
        (train(PropertyFiles=[{}]), "PropertyFiles is not supported on a step of type Training"),
        (train(CacheConfig={"Enabled": True}), "ExpireAfter None is not an ISO 8601 duration"),
        (train(CacheConfig={"Enabled": "yes"}), "CacheConfig takes"),
        (train(RetryPolicies=[{"ExceptionType": ["x"]}]), "step 'Train': ExceptionType"),
        (train(DependsOn=[3]), "DependsOn takes step names"),
        (
            train(DependsOn=[{"Step": "A", "Trigger": "Broken"}]),
            "Trigger 'Broken' is not one of Completed, Failed, Stopped, Any",
        ),
        (
            train(DependsOn=["A", {"Step": "A", "Trigger": "Any"}]),
            "DependsOn 'A' has two triggers, Completed and Any",
        ),
        ({"Name": "F", "Type": "Fail", "Arguments": {}}, "must hold an ErrorMessage"),
        ({"Name": "C", "Type": "Condition", "Arguments": {}}, "step 'C': Conditions must be"),
        (
            {"Name": "M", "Type": "Model", "Arguments": {}, "CacheConfig": {"Enabled": False}},
            "CacheConfig is not supported on a step of type Model",
        ),
    ],
)
def test_mistakes_in_a_step_are_named(step: Any, says: str) -> None:
    assert says in refused(step)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"Get": "Steps.Trian.x"}, "names an unknown step; did you mean 'Train'?"),
        ({"Get": "Parameters.P"}, "parameter 'P' is not declared in Parameters"),
        ({"Get": "Execution.Id"}, "Execution.Id is unknown"),
        ({"Get": "Execution.ProcessingJobName"}, "exists only inside a Processing step"),
        ({"Get": "Train.x"}, "must begin with Parameters, Execution, Steps"),
        ({"Get": "Steps.Train.x["}, "cannot be read at character"),
        (
            {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Train.PropertyFiles.R"}, "Path": "a"}},
            "step 'Train' declares no property file 'R'",
        ),
    ],
)
def test_references_that_mean_nothing_are_refused(value: Any, says: str) -> None:
    message = refused(train(), using(value))
    assert "step 'User'" in message
    assert says in message


def test_all_unknown_references_are_told_at_once() -> None:
    message = refused(using({"Get": "Steps.A.x"}), using({"Get": "Parameters.B"}, "Second"))
    assert "'Steps.A.x'" in message
    assert "parameter 'B'" in message


def test_duplicate_names_are_refused_even_across_branches() -> None:
    assert "step name 'Train' is used twice" in refused(train(), train())


def test_an_unknown_step_in_depends_on_gets_a_hint() -> None:
    assert "did you mean 'Train'?" in refused(train(), train("B", DependsOn=["train"]))


def test_a_cycle_is_named() -> None:
    message = refused(train("A", DependsOn=["B"]), train("B", DependsOn=["C"]), using_cycle())
    assert "A -> B -> C -> A" in message


def using_cycle() -> dict[str, Any]:
    return using({"Get": "Steps.A.ModelArtifacts"}, "C")


def test_a_step_that_waits_for_itself_is_a_cycle() -> None:
    assert "A -> A" in refused(train("A", DependsOn=["A"]))


def test_a_property_file_needs_an_output_of_its_step() -> None:
    file = {"PropertyFileName": "R", "OutputName": "evaluation", "FilePath": "r.json"}
    outputs = {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "evaluations"}]}}
    step = {"Name": "E", "Type": "Processing", "Arguments": outputs, "PropertyFiles": [file]}
    assert "did you mean 'evaluations'?" in refused(step)


def test_fail_steps_expose_nothing_and_conditions_only_their_outcome() -> None:
    fail = {"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}
    assert "exposes nothing" in refused(fail, using({"Get": "Steps.F.ErrorMessage"}))


WHOLE = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "P", "Type": "Float", "DefaultValue": 1.5, "EnumValues": [1.5, 2]}],
    "PipelineExperimentConfig": {"ExperimentName": {"Get": "Execution.PipelineName"}},
    "Steps": [
        {
            "Name": "Eval",
            "Type": "Processing",
            "Arguments": {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "out"}]}},
            "CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"},
            "RetryPolicies": [{"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": 1}],
            "PropertyFiles": [{"PropertyFileName": "R", "OutputName": "out", "FilePath": "r"}],
        },
        {
            "Name": "Gate",
            "Type": "Condition",
            "DependsOn": ["Eval"],
            "Arguments": {
                "Conditions": [
                    {
                        "Type": "Or",
                        "Conditions": [
                            {"Type": "In", "QueryValue": {"Get": "Parameters.P"}, "Values": [1]},
                            {
                                "Type": "Not",
                                "Condition": {
                                    "Type": "Equals",
                                    "LeftValue": {
                                        "Std:JsonGet": {
                                            "PropertyFile": {"Get": "Steps.Eval.PropertyFiles.R"},
                                            "Path": "a.b[0]",
                                        }
                                    },
                                    "RightValue": 2,
                                },
                            },
                        ],
                    }
                ],
                "IfSteps": [train(DependsOn=[{"Step": "Eval"}])],
                "ElseSteps": [],
            },
        },
    ],
}
JUNK = st.sampled_from([None, True, 0, -1.5, "", "x", [], {}, [[]], {"Get": 1}, {"Std:Join": 2}])


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    inner = [value[key] for key in keys if isinstance(value[key], dict | list)]
    return found + [place for each in inner for place in places(each)]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_mutilated_definition_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    document = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(places(document)))
        container[key] = copy.deepcopy(data.draw(JUNK))
    with contextlib.suppress(DefinitionError):
        lint.parse(json.dumps(document))


def test_the_whole_definition_is_accepted_unmutilated() -> None:
    assert list(lint.parse(json.dumps(WHOLE)).steps) == ["Eval", "Gate", "Train"]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample definitions are not on this machine")
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*-*.json")), ids=lambda path: path.stem)
def test_real_definitions_are_read(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r'"Name": "([^"]+)"', text))
    steps = lint.parse(text).steps
    assert steps
    assert set(steps) <= named
