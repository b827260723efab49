"""Does a request fit the service's model? Types and required members, and what boto3 leaves to AWS:
lengths, patterns, enumerations and ranges.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any


def complaints(shape: Any, parameters: dict[str, Any]) -> list[str]:
    """Everything that is wrong with a request, by member; `shape` is botocore's input shape."""
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        return str(report.generate_report()).splitlines()
    return list(_wrong(shape, parameters, ""))


def _wrong(shape: Any, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, item in value.items():
            yield from _wrong(shape.members[name], item, f"{path}.{name}".lstrip("."))
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from _wrong(shape.key, name, path)
            yield from _wrong(shape.value, item, f"{path}[{name}]")
    elif shape.type_name == "list":
        if len(value) > shape.metadata.get("max", len(value)):
            yield f"{path} has {len(value)} items; at most {shape.metadata['max']} are allowed"
        for index, item in enumerate(value):
            yield from _wrong(shape.member, item, f"{path}[{index}]")
    elif shape.type_name == "string":
        yield from _wrong_text(shape.metadata, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        highest = shape.metadata.get("max", value)
        if value > highest:
            yield f"{path} is {value}; allowed: {shape.metadata.get('min', 0)} to {highest}"


def _wrong_text(facts: dict[str, Any], value: str, path: str) -> Iterator[str]:
    allowed = facts.get("enum")
    if allowed and value not in allowed:
        yield f"{path} is {value!r}; allowed: {', '.join(allowed)}"
    lowest, highest = facts.get("min", 0), facts.get("max", len(value))
    if not lowest <= len(value) <= highest:
        yield f"{path} is {value!r}: {len(value)} characters; allowed: {lowest} to {highest}"
    if not _fits(facts.get("pattern"), value):
        yield f"{path} is {value!r}; it must match {facts['pattern']}"


def _fits(pattern: str | None, value: str) -> bool:
    try:
        return pattern is None or re.fullmatch(pattern, value) is not None
    except re.error:  # the models' patterns are Java's, some of which Python cannot read
        return True
