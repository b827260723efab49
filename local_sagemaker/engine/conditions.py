"""The conditions of a Condition step: what each type compares, and whether the list holds.

Lives here: one table from condition type to its rule, the check of how a condition is written, and
its outcome once its operands are resolved. Pure; which branch then runs is graph.py's business.
"""

import operator
from collections.abc import Callable, Iterator
from typing import Any

Resolve = Callable[[Any], Any]

# type -> (the rule, whether the operands must have an order)
COMPARISONS: dict[str, tuple[Callable[[Any, Any], bool], bool]] = {
    "Equals": (operator.eq, False),
    "NotEquals": (operator.ne, False),
    "GreaterThan": (operator.gt, True),
    "GreaterThanOrEqualTo": (operator.ge, True),
    "LessThan": (operator.lt, True),
    "LessThanOrEqualTo": (operator.le, True),
}
MEMBERSHIPS = ("In", "NotIn")
TYPES = (*COMPARISONS, *MEMBERSHIPS, "Not", "Or")


class ConditionError(ValueError):
    """A condition that is written wrongly, or that compares what cannot be compared."""


def check(conditions: Any) -> None:
    """Raises ConditionError unless this is a non-empty list of well-formed conditions."""
    if not isinstance(conditions, list) or not conditions:
        raise ConditionError("Conditions must be a list with at least one condition")
    for condition in conditions:
        _check_one(condition)


def operands(conditions: list[Any]) -> Iterator[Any]:
    """Every operand, at any depth, still unresolved."""
    for condition in conditions:
        match condition["Type"]:
            case "Not":
                yield from operands([condition["Condition"]])
            case "Or":
                yield from operands(condition["Conditions"])
            case "In" | "NotIn":
                yield from _membership(condition)
            case _:
                yield from (condition["LeftValue"], condition["RightValue"])


def hold(conditions: list[Any], resolve: Resolve) -> bool:
    """Whether every condition holds (a list is ANDed). Raises ConditionError on a type mismatch."""
    # A list, not a generator: a mismatch in a later condition must not depend on an earlier one.
    outcomes = [_holds(condition, resolve) for condition in conditions]
    return all(outcomes)


def _holds(condition: dict[str, Any], resolve: Resolve) -> bool:
    kind = condition["Type"]
    if kind == "Not":
        return not _holds(condition["Condition"], resolve)
    if kind == "Or":
        outcomes = [_holds(each, resolve) for each in condition["Conditions"]]
        return any(outcomes)
    if kind in MEMBERSHIPS:
        wanted, values = (resolve(part) for part in _membership(condition))
        return _is_in(kind, wanted, values) is (kind == "In")
    rule, ordered = COMPARISONS[kind]
    left, right = resolve(condition["LeftValue"]), resolve(condition["RightValue"])
    _check_comparable(kind, left, right, ordered)
    return bool(rule(left, right))


def _is_in(kind: str, wanted: Any, values: Any) -> bool:
    if not isinstance(values, list):
        raise ConditionError(f"{kind}: the values must be a list, not {values!r}")
    for value in values:
        _check_comparable(kind, wanted, value, ordered=False)
    return bool(wanted in values)


def _check_comparable(kind: str, left: Any, right: Any, ordered: bool) -> None:
    left_type, right_type = _type_name(left), _type_name(right)
    if left_type != right_type:
        raise ConditionError(
            f"{kind} cannot compare {left!r} ({left_type}) with {right!r} ({right_type}); "
            "make both the same type, for example by declaring the parameter as Float"
        )
    if ordered and left_type not in ("number", "text"):
        raise ConditionError(f"{kind} needs numbers or texts, not {left!r} ({left_type})")


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object"


def _membership(condition: dict[str, Any]) -> tuple[Any, Any]:
    # The SDK writes QueryValue/Values, the published schema Value/In.
    if "QueryValue" in condition:
        return condition["QueryValue"], condition["Values"]
    return condition["Value"], condition["In"]


def _check_one(condition: Any) -> None:
    if not isinstance(condition, dict) or condition.get("Type") not in TYPES:
        kind = condition.get("Type") if isinstance(condition, dict) else condition
        raise ConditionError(f"condition type {kind!r} is unknown; there is {', '.join(TYPES)}")
    kind = condition["Type"]
    missing = _missing(kind, condition)
    if missing:
        raise ConditionError(f"a condition of type {kind} needs {missing}")
    if kind == "Not":
        _check_one(condition["Condition"])
    elif kind == "Or":
        check(condition["Conditions"])
    elif kind in MEMBERSHIPS and not isinstance(_membership(condition)[1], list | dict):
        raise ConditionError(f"a condition of type {kind} takes a list of values")


def _missing(kind: str, condition: dict[str, Any]) -> str | None:
    forms: dict[str, list[set[str]]] = {
        "Not": [{"Condition"}],
        "Or": [{"Conditions"}],
        "In": [{"QueryValue", "Values"}, {"Value", "In"}],
        "NotIn": [{"QueryValue", "Values"}, {"Value", "In"}],
    }
    allowed = forms.get(kind, [{"LeftValue", "RightValue"}])
    if any(form <= condition.keys() for form in allowed):
        return None
    return " or ".join(" and ".join(sorted(form)) for form in allowed)
