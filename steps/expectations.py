"""The problem spec as expectations: plain data, in Great Expectations' names and arguments.

    table    enough rows; exactly the columns of the spec
    column   not missing beyond its null share; readable as its kind; in its range or its values
    id       unique

steps/validate.py runs them; nothing here imports Great Expectations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from steps.problem import LEAST_ROWS, Column, Problem


class Expectation(NamedTuple):
    """One expectation: its class in Great Expectations and its arguments."""

    type: str
    arguments: dict[str, Any]


def expectations(problem: Problem, unreadable: Collection[str]) -> list[Expectation]:
    """All of them, in the order of the file. Unreadable columns have no range to check."""
    names = [column.name for column in problem.columns]
    table = [
        Expectation("ExpectTableRowCountToBeBetween", {"min_value": LEAST_ROWS}),
        Expectation("ExpectTableColumnsToMatchSet", {"column_set": names, "exact_match": True}),
    ]
    for column in problem.columns:
        table.extend(_of_column(column, column.name not in unreadable))
    return table


def _of_column(column: Column, readable: bool) -> Iterator[Expectation]:
    where = {"column": column.name}
    if column.kind == "ignore":
        return
    yield Expectation("ExpectColumnValuesToNotBeNull", {**where, "mostly": 1 - column.null_share})
    if column.kind == "id":
        yield Expectation("ExpectColumnValuesToBeUnique", where)
    if column.kind in ("numeric", "boolean", "timestamp"):
        yield Expectation("ExpectColumnValuesToBeOfType", {**where, "type_": "float64"})
    if readable and (column.min is not None or column.max is not None):
        limits = {"min_value": column.min, "max_value": column.max}
        yield Expectation("ExpectColumnValuesToBeBetween", {**where, **limits})
    if column.values:
        yield Expectation(
            "ExpectColumnValuesToBeInSet", {**where, "value_set": list(column.values)}
        )


def detail(failed: Expectation, column: Column | None, result: dict[str, Any]) -> str:
    """In words: what is wrong, in how many cells, with samples; `result` as the engine gave it."""
    match failed.type:
        case "ExpectTableRowCountToBeBetween":
            return f"the file has {result['observed_value']} rows; at least {LEAST_ROWS} are needed"
        case "ExpectTableColumnsToMatchSet":
            return _columns_detail(result["details"]["mismatched"])
        case "ExpectColumnValuesToNotBeNull":
            share = failed.arguments["mostly"]
            return f"{_rows(result)} are missing; allowed share: {1 - share:g}"
        case "ExpectColumnValuesToBeUnique":
            return f"{_rows(result)} hold a value that stands more than once{_samples(result)}"
        case "ExpectColumnValuesToBeBetween":
            return f"{_rows(result)} are outside {_range(failed.arguments)}{_samples(result)}"
        case "ExpectColumnValuesToBeInSet":
            allowed = ", ".join(failed.arguments["value_set"])
            return f"{_rows(result)} hold none of {allowed}{_samples(result)}"
    return f"{_rows(result)} are not {column.kind if column else 'readable'}{_samples(result)}"


def _columns_detail(mismatched: dict[str, list[str]]) -> str:
    parts = []
    if missing := mismatched.get("missing"):
        parts.append(f"missing from the file: {', '.join(missing)}")
    if unknown := mismatched.get("unexpected"):
        parts.append(f"in the file but not in the spec: {', '.join(unknown)}")
    return "; ".join(parts)


def _rows(result: dict[str, Any]) -> str:
    return f"{result['unexpected_count']:,} of {result['element_count']:,} cells"


def _samples(result: dict[str, Any]) -> str:
    values = dict.fromkeys(str(value) for value in result.get("partial_unexpected_list", ()))
    return f", like {', '.join(repr(value) for value in list(values)[:5])}" if values else ""


def _range(arguments: dict[str, Any]) -> str:
    low, high = arguments["min_value"], arguments["max_value"]
    if low is None:
        return f"the range up to {high:g}"
    if high is None:
        return f"the range from {low:g}"
    return f"{low:g} to {high:g}"
