"""The properties that Search knows of a resource: a dotted name, resolved once against the model's
shape of the record, gives the values of that property in every record.

Names are compared without regard to case. A list stands for all its elements. What follows a map is
a key, dots and all: `HyperParameters.eta`, `Parameters.eta`, `InputArtifacts.train`; `Tags.<key>`
and `Metrics.<name>` name an element of their lists, a component's metric also one of its figures
(`Metrics.loss.Min`, Last when none is named).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from local_sagemaker.store import Row

TEXT, NUMBER, TIME, BOOLEAN = "text", "number", "time", "boolean"
LOOSE = "text or number"  # a hyperparameter is a text that may be a number
STRUCTURE = "structure"
FIGURES = {each.lower(): each for each in ("Min", "Max", "Last", "Avg", "Count", "StdDev")}
LEAVES = {
    "string": TEXT,
    "integer": NUMBER,
    "long": NUMBER,
    "float": NUMBER,
    "double": NUMBER,
    "timestamp": TIME,
    "boolean": BOOLEAN,
}
# Members of the records' lists that are named by one of their own members: it, and its value.
NAMED = {
    "Tags": ("Key", "Value"),
    "FinalMetricDataList": ("MetricName", "Value"),
    "Metrics": ("MetricName", "Last"),
}
# Of the values of a map that are structures, those that a key alone stands for.
MEANT = ("Value", "StringValue", "NumberValue")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Property:
    """What kind of values it has, the shape of one of them, and the values that a record has."""

    kind: str
    shape: Any
    values: Callable[[Any], list[Any]]


def resolve(shape: Any, name: str) -> Property | None:
    """The property with this name of records of a shape; None when there is none."""
    first, _, rest = name.partition(".")
    if rest and shape.type_name == "structure":
        member = _member(shape, first)
        if first.lower() == "metrics" and member is None:
            member = _member(shape, "FinalMetricDataList")
        if member in NAMED:
            return _element(shape.members[member], member, rest)
    return _walk(shape, name)


def names(shape: Any, records: Iterable[Row]) -> list[str]:
    """The names of the plain properties of a shape, and those that only the records tell."""
    found = {n for n, each in shape.members.items() if each.type_name in LEAVES}
    for record in records:
        for member in record.keys() & shape.members.keys():
            found |= set(_told(shape, member, record[member]))
    return sorted(found)


def number(value: Any) -> float | None:
    """The finite number that a value is, or that its text says; None when it is none."""
    if not _NUMBER.fullmatch(str(value)):
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def _told(shape: Any, member: str, value: Any) -> Iterator[str]:
    if member in NAMED:
        key = NAMED[member][0]
        shown = "Metrics" if member == "FinalMetricDataList" else member
        yield from (f"{shown}.{each[key]}" for each in value)
    elif shape.members[member].type_name == "map":
        yield from (f"{member}.{key}" for key in value)


def _walk(shape: Any, rest: str) -> Property | None:
    if shape.type_name == "list":
        inner = _walk(shape.member, rest)
        return inner and Property(inner.kind, inner.shape, _of_each(inner.values))
    if not rest:
        return Property(LEAVES.get(shape.type_name, STRUCTURE), shape, lambda value: [value])
    if shape.type_name == "map":
        return _of_map(shape, rest)
    first, _, deeper = rest.partition(".")
    member = _member(shape, first) if shape.type_name == "structure" else None
    inner = _walk(shape.members[member], deeper) if member is not None else None
    return inner and Property(inner.kind, inner.shape, _of_member(str(member), inner.values))


def _of_map(shape: Any, key: str) -> Property:
    if shape.value.type_name != "structure":
        return Property(LOOSE, shape.value, _of_member(key, lambda value: [value]))
    head, _, last = key.rpartition(".")
    named = _member(shape.value, last) if head else None
    key, meant = (head, (named,)) if named is not None else (key, MEANT)

    def values(entry: Any) -> list[Any]:
        return [entry[each] for each in meant if entry.get(each) is not None]

    return Property(LOOSE, shape.value, _of_member(key, values))


def _element(shape: Any, member: str, name: str) -> Property:
    """The element of a list that carries this name: its value, or one of its figures."""
    key, value = NAMED[member]
    head, _, last = name.rpartition(".")
    if member == "Metrics" and head and last.lower() in FIGURES:
        name, value = head, FIGURES[last.lower()]

    def values(record: Row) -> list[Any]:
        found = (each for each in record.get(member) or () if each[key].lower() == name.lower())
        return [each[value] for each in found if each.get(value) is not None]

    return Property(TEXT if member == "Tags" else NUMBER, shape.member, values)


def _member(shape: Any, name: str) -> str | None:
    return next((each for each in shape.members if each.lower() == name.lower()), None)


def _of_member(name: str, inner: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    def values(record: Any) -> list[Any]:
        value = record.get(name)
        return [] if value is None else inner(value)

    return values


def _of_each(inner: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    return lambda value: [found for each in value for found in inner(each)]
