"""The search language: a SearchExpression, checked and made into one test of a record.

NotEquals and NotExists are the contrary of Equals and Exists, so that a record without the property
is NotEquals to anything; every other operator holds when one value of the property fulfils it.
Facts: the API reference of Filter, NestedFilters and SearchExpression.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from local_sagemaker.engine import properties
from local_sagemaker.engine.properties import (
    BOOLEAN,
    LOOSE,
    NUMBER,
    STRUCTURE,
    TEXT,
    TIME,
    Property,
    number,
)
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.store import Row

Test = Callable[[Any], bool]
MOST_CONDITIONS = 50
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
WITHOUT_VALUE = ("Exists", "NotExists")
CONTRARY = {"NotEquals": "Equals", "NotExists": "Exists"}
# Operator -> the kinds of properties that it takes.
KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(ORDER, (NUMBER, TIME, LOOSE)),
    "Equals": (TEXT, NUMBER, TIME, BOOLEAN, LOOSE),
    "Contains": (TEXT, LOOSE),
    "In": (TEXT, LOOSE),
    "Exists": (TEXT, NUMBER, TIME, BOOLEAN, LOOSE, STRUCTURE),
}
# Properties that may be asked for with Contains more than once.
OFTEN = re.compile(
    r"(DisplayName|(Experiment|Trial|TrialComponent)Name|Tags|InputArtifacts|OutputArtifacts)(\..*)?",
    re.IGNORECASE,
)


def compiled(shape: Any, expression: Row) -> Test:
    """The test of records of this shape. Raises ApiError."""
    conditions = list(_conditions(expression))
    if len(conditions) > MOST_CONDITIONS:
        raise validation(
            f"SearchExpression has {len(conditions)} conditions; the most is {MOST_CONDITIONS}"
        )
    seldom = [each for each in conditions if each.get("Operator") == "Contains"]
    if sum(not OFTEN.fullmatch(each["Name"]) for each in seldom) > 1:
        raise validation("'CONTAINS' operator usage limit of 1 exceeded.")
    return _expression(shape, expression)


def _conditions(expression: Row) -> Iterator[Row]:
    yield from expression.get("Filters", ())
    for nested in expression.get("NestedFilters", ()):
        yield from nested["Filters"]
    for each in expression.get("SubExpressions", ()):
        yield from _conditions(each)


def _expression(shape: Any, expression: Row) -> Test:
    tests = [
        *(_filter(shape, each, each["Name"]) for each in expression.get("Filters", ())),
        *(_nested(shape, each) for each in expression.get("NestedFilters", ())),
        *(_expression(shape, each) for each in expression.get("SubExpressions", ())),
    ]
    if not tests:
        raise validation("SearchExpression needs a filter, a nested filter or a subexpression")
    together = any if expression.get("Operator") == "Or" else all
    return lambda record: together(test(record) for test in tests)


def _nested(shape: Any, nested: Row) -> Test:
    """One element of a list fulfils all of the filters."""
    place = nested["NestedPropertyName"]
    found = known(shape, place)
    if found.kind != STRUCTURE:
        raise validation(f"NestedPropertyName {place!r} is {found.kind}; name a list of structures")
    prefix = f"{place.lower()}."
    for each in nested["Filters"]:
        if not each["Name"].lower().startswith(prefix):
            raise validation(
                f"the name of a nested filter, {each['Name']!r}, must begin with '{place}.'"
            )
    tests = [_filter(found.shape, each, each["Name"][len(prefix) :]) for each in nested["Filters"]]
    return lambda record: any(all(test(v) for test in tests) for v in found.values(record))


def _filter(shape: Any, condition: Row, name: str) -> Test:
    found = known(shape, name)
    asked: str = condition.get("Operator", "Equals")
    if (asked in WITHOUT_VALUE) == ("Value" in condition):
        rule = "takes no Value" if asked in WITHOUT_VALUE else "needs a Value"
        raise validation(f"Filter {condition['Name']!r}: operator {asked} {rule}")
    positive = CONTRARY.get(asked, asked)
    if found.kind not in KINDS[positive]:
        raise validation(
            f"Filter {condition['Name']!r}: operator {asked} is not supported for a property that "
            f"is {found.kind}"
        )
    one = _of_value(found.kind, positive, condition)
    wanted = asked == positive
    return lambda record: any(map(one, found.values(record))) == wanted


def known(shape: Any, name: str) -> Property:
    """The property with this name. Raises ApiError."""
    found = properties.resolve(shape, name)
    if found is None:
        raise validation(
            f"Unknown property name: {name}; GetSearchSuggestions names those there are"
        )
    return found


def _of_value(kind: str, asked: str, condition: Row) -> Test:
    """The test of one value of the property."""
    if asked == "Exists":
        return lambda _: True
    text = condition["Value"]
    if asked == "Contains":
        return lambda value: text in _as_text(value)
    if asked == "In":
        choices = [each.strip() for each in text.split(",")]
        return lambda value: _as_text(value) in choices
    compare: Callable[[Any, Any], bool] = ORDER.get(asked, operator.eq)
    if kind == LOOSE:
        return _loose(compare, condition)
    wanted = READ[kind](condition)
    return lambda value: compare(value, wanted)


def _loose(compare: Callable[[Any, Any], bool], condition: Row) -> Test:
    """Numbers are compared as numbers, and as integers when the filter's Value is one."""
    text = condition["Value"]
    wanted = number(text)
    if wanted is None and compare is operator.eq:
        return lambda value: _as_text(value) == text
    if wanted is None:
        raise _wrong(condition, "a number")
    whole = re.fullmatch(r"[+-]?\d+", text) is not None

    def test(value: Any) -> bool:
        found = number(value)
        if found is None:
            return False
        return bool(compare(int(found) if whole else found, wanted))

    return test


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _read_number(condition: Row) -> float:
    found = number(condition["Value"])
    if found is None:
        raise _wrong(condition, "a number")
    return found


def _read_time(condition: Row) -> float:
    try:
        moment = datetime.fromisoformat(condition["Value"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as cause:
        raise _wrong(condition, "a time such as 2024-01-31T12:00:00") from cause


def _read_boolean(condition: Row) -> bool:
    if condition["Value"].lower() not in ("true", "false"):
        raise _wrong(condition, "true or false")
    return bool(condition["Value"].lower() == "true")


READ: dict[str, Callable[[Row], Any]] = {
    TEXT: lambda condition: condition["Value"],
    NUMBER: _read_number,
    TIME: _read_time,
    BOOLEAN: _read_boolean,
}


def _wrong(condition: Row, wanted: str) -> ApiError:
    return validation(
        f"Filter {condition['Name']!r}: Value {condition['Value']!r} must be {wanted}"
    )
