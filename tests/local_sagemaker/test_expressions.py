"""The expression language: references, Join, JsonGet, and what is said when one has no value."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine.expressions import (
    ExpressionError,
    Scope,
    evaluate,
    expression,
    references,
)

TRAIN = {
    "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
    "FinalMetricDataList": [{"MetricName": "validation:rmse", "Value": 0.25}],
    "HyperParameters": {"eta": "0.2"},
}
REPORT = {"metrics": {"auc": {"value": 0.9}}, "list": [1, 2], "passed": True}


def scope() -> Scope:
    def step(name: str) -> dict[str, Any]:
        assert name == "Train"
        return TRAIN

    return Scope(
        parameters={"Rows": 5, "Rate": 0.5, "On": True, "Bucket": "b"},
        execution={"PipelineExecutionId": "abc"},
        step=step,
        property_file=lambda step, file: f"s3://b/{step}/{file}.json",
        document=lambda uri: {"s3://b/Eval/Report.json": REPORT}[uri],
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Get": "Parameters.Rows"}, 5),
        ({"Get": "Parameters.On"}, True),
        ({"Get": "Execution.PipelineExecutionId"}, "abc"),
        ({"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}, "s3://b/model.tar.gz"),
        ({"Get": "Steps.Train.FinalMetricDataList['validation:rmse'].Value"}, 0.25),
        ({"Get": "Steps.Train.FinalMetricDataList[0].Value"}, 0.25),
        ({"Get": "Steps.Train.HyperParameters['eta']"}, "0.2"),
    ],
)
def test_get_keeps_the_type_of_what_it_finds(value: Any, expected: Any) -> None:
    found = evaluate(value, scope())
    assert found == expected
    assert type(found) is type(expected)


def test_join_is_always_text_and_nests() -> None:
    inner = {"Std:Join": {"On": "-", "Values": [{"Get": "Parameters.Rows"}, 1.5, True]}}
    value = {"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Parameters.Bucket"}, inner]}}
    assert evaluate(value, scope()) == "s3://b/5-1.5-true"


@pytest.mark.parametrize(
    "path", ["metrics.auc.value", "$.metrics.auc.value", "metrics['auc'].value"]
)
def test_json_get_reads_a_property_file(path: str) -> None:
    file = {"Get": "Steps.Eval.PropertyFiles.Report"}
    assert evaluate({"Std:JsonGet": {"PropertyFile": file, "Path": path}}, scope()) == 0.9


def test_json_get_reads_an_s3_uri_and_keeps_the_type() -> None:
    uri = {"Std:Join": {"On": "/", "Values": ["s3://b", "Eval", "Report.json"]}}
    assert evaluate({"Std:JsonGet": {"S3Uri": uri, "Path": "passed"}}, scope()) is True


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"Get": "Parameters.Row"}, "did you mean 'Rows'?"),
        ({"Get": "Steps.Train.ModelArtifact.X"}, "did you mean 'ModelArtifacts'?"),
        ({"Get": "Steps.Eval.PropertyFiles.Report"}, "read it with Std:JsonGet"),
        ({"Get": "Execution.TrainingJobName"}, "has no value here"),
        (
            {"Std:JsonGet": {"S3Uri": "s3://b/Eval/Report.json", "Path": "metrics.acu.value"}},
            "s3://b/Eval/Report.json: 'metrics.acu.value' leads nowhere",
        ),
        ({"Std:JsonGet": {"PropertyFile": "Report", "Path": "a"}}, "PropertyFile takes"),
    ],
)
def test_an_expression_without_a_value_says_why(value: Any, says: str) -> None:
    with pytest.raises(ExpressionError) as error:
        evaluate(value, scope())
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"Get": "Parameter.X"}, "must begin with Parameters, Execution, Steps"),
        ({"Get": "Parameters"}, "names nothing inside Parameters"),
        ({"Get": "Parameters.A.B"}, "goes too deep"),
        ({"Get": "Steps.Train"}, "must name a property of step 'Train'"),
        ({"Get": "Steps.Train.[x"}, "cannot be read at character"),
        ({"Get": 5}, "Get takes a text"),
        ({"Std:Split": {}}, "'Std:Split' is not supported; there is Std:Join, Std:JsonGet"),
        ({"Std:Join": {"Values": "x"}}, "Std:Join takes"),
        ({"Std:JsonGet": {"Path": "a"}}, "Std:JsonGet takes"),
        ({"Std:JsonGet": {"S3Uri": "s3://b", "Path": "a["}}, "Std:JsonGet: "),
    ],
)
def test_a_badly_written_expression_is_refused(value: Any, says: str) -> None:
    with pytest.raises(ExpressionError) as error:
        list(references([{"deep": value}]))
    assert says in str(error.value)


def test_references_are_found_everywhere() -> None:
    value = {
        "a": [{"Get": "Parameters.Rows"}],
        "b": {"Std:Join": {"On": "", "Values": [{"Get": "Steps.A.x"}, "y"]}},
        "c": {
            "Std:JsonGet": {"PropertyFile": {"Get": "Steps.E.PropertyFiles.F"}, "Path": "p"},
        },
    }
    found = list(references(value))
    assert [each.text for each in found] == [
        "Parameters.Rows",
        "Steps.A.x",
        "Steps.E.PropertyFiles.F",
    ]
    assert [each.property_file for each in found] == [None, None, "F"]


def test_nulls_count_as_not_written() -> None:
    assert evaluate({"a": None, "b": [None, {"c": None}]}, scope()) == {"b": [None, {}]}


PLAIN = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def has_expression(value: Any) -> bool:
    if isinstance(value, dict):
        return expression(value) is not None or any(map(has_expression, value.values()))
    return isinstance(value, list) and any(map(has_expression, value))


@given(PLAIN)
def test_plain_data_evaluates_to_itself_and_refers_to_nothing(value: Any) -> None:
    if not has_expression(value):
        assert evaluate(value, scope()) == value
        assert list(references(value)) == []


@given(PLAIN, st.integers(0, 3))
def test_an_expression_is_found_at_any_depth(value: Any, depth: int) -> None:
    wrapped: Any = {"Get": "Parameters.Rows"}
    for _ in range(depth):
        wrapped = {"in": [wrapped], "beside": "x"}
    assert [each.name for each in references(wrapped)] == ["Rows"]
    assert '"Get"' not in json.dumps(evaluate(wrapped, scope()))


@given(st.lists(st.text(), max_size=5), st.text(max_size=2))
def test_join_of_texts_is_pythons_join(values: list[str], on: str) -> None:
    assert evaluate({"Std:Join": {"On": on, "Values": values}}, scope()) == on.join(values)
