"""Conditions: what each type means, and which comparisons are refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import conditions
from local_sagemaker.engine.conditions import ConditionError


def binary(kind: str, left: Any, right: Any) -> dict[str, Any]:
    return {"Type": kind, "LeftValue": left, "RightValue": right}


def hold(*listed: dict[str, Any]) -> bool:
    conditions.check(list(listed))
    return conditions.hold(list(listed), lambda value: value)


@given(st.integers(-5, 5) | st.floats(-5, 5), st.integers(-5, 5))
def test_numbers_compare_as_numbers(left: float, right: int) -> None:
    assert hold(binary("Equals", left, right)) is (left == right)
    assert hold(binary("NotEquals", left, right)) is (left != right)
    assert hold(binary("GreaterThan", left, right)) is (left > right)
    assert hold(binary("GreaterThanOrEqualTo", left, right)) is (left >= right)
    assert hold(binary("LessThan", left, right)) is (left < right)
    assert hold(binary("LessThanOrEqualTo", left, right)) is (left <= right)


def test_texts_and_booleans_compare_with_their_own_kind() -> None:
    assert hold(binary("Equals", "Approved", "Approved"))
    assert hold(binary("LessThan", "a", "b"))
    assert hold(binary("Equals", True, True))


@pytest.mark.parametrize(
    "form", [{"QueryValue": "a", "Values": ["a", "b"]}, {"Value": "a", "In": ["a", "b"]}]
)
def test_in_is_understood_in_both_forms(form: dict[str, Any]) -> None:
    assert hold({"Type": "In", **form})
    assert not hold({"Type": "NotIn", **form})


def test_not_or_and_the_list_combine() -> None:
    yes, no = binary("Equals", 1, 1), binary("Equals", 1, 2)
    assert hold({"Type": "Not", "Condition": no})
    assert hold({"Type": "Or", "Conditions": [no, yes]})
    assert not hold({"Type": "Or", "Conditions": [no, no]})
    assert hold(yes, yes)
    assert not hold(yes, no)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (binary("Equals", "0.8", 0.8), "'0.8' (text) with 0.8 (number)"),
        (binary("GreaterThan", True, 1), "True (boolean) with 1 (number)"),
        (binary("GreaterThan", True, False), "needs numbers or texts"),
        (binary("LessThan", None, None), "needs numbers or texts"),
        (binary("Equals", None, 1), "None (null) with 1 (number)"),
        ({"Type": "In", "QueryValue": 1, "Values": ["1"]}, "1 (number) with '1' (text)"),
    ],
)
def test_incomparable_values_are_refused(condition: dict[str, Any], says: str) -> None:
    with pytest.raises(ConditionError) as error:
        hold(condition)
    assert says in str(error.value)


def test_a_mismatch_is_found_behind_a_condition_that_fails() -> None:
    with pytest.raises(ConditionError):
        hold(binary("Equals", 1, 2), binary("Equals", 1, "1"))


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ([], "at least one condition"),
        (None, "at least one condition"),
        ([{"Type": "Like"}], "'Like' is unknown; there is Equals"),
        (["x"], "'x' is unknown"),
        ([{"Type": "Equals", "LeftValue": 1}], "LeftValue and RightValue"),
        ([{"Type": "In", "QueryValue": 1}], "QueryValue and Values or In and Value"),
        ([{"Type": "In", "QueryValue": 1, "Values": 2}], "takes a list"),
        ([{"Type": "Not"}], "needs Condition"),
        ([{"Type": "Or", "Conditions": []}], "at least one condition"),
        ([{"Type": "Not", "Condition": {"Type": "x"}}], "'x' is unknown"),
    ],
)
def test_a_badly_written_condition_is_refused(listed: Any, says: str) -> None:
    with pytest.raises(ConditionError) as error:
        conditions.check(listed)
    assert says in str(error.value)


def test_operands_are_found_at_any_depth() -> None:
    listed = [
        {"Type": "Not", "Condition": {"Type": "Or", "Conditions": [binary("Equals", 1, 2)]}},
        {"Type": "In", "QueryValue": 3, "Values": [4]},
    ]
    assert list(conditions.operands(listed)) == [1, 2, 3, [4]]
