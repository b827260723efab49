"""Is a value what its shape in the service model asks for? Every fault, in the words AWS uses for
it.

`check` walks value and shape together. A wrong type ends the walk (SerializationException, as at
AWS); everything else is collected, so that one answer names all faults.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import functools
import re
from collections.abc import Callable
from typing import Any

from local_sagemaker.errors import ApiError, validation

Faults = list[str]

# JSON type of a value, as AWS's serializer names it.
WIRE_NAMES = {
    bool: "BOOLEAN_VALUE",
    int: "NUMBER_VALUE",
    float: "NUMBER_VALUE",
    str: "STRING_VALUE",
    list: "START_ARRAY",
    dict: "START_OBJECT",
}
LARGEST_SHOWN = 1024  # characters of a refused value that an error repeats


def check(shape: Any, value: Any, path: str, faults: Faults) -> Any:
    """The value as the server keeps it (no nulls, times as seconds); faults are appended."""
    return CHECKS[shape.type_name](shape, value, path, faults)


@functools.cache
def compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern of the model (Java's language); None when Python cannot read it. Java's \\d and \\w
    are ASCII.
    """
    try:
        return re.compile(pattern, re.ASCII)
    except re.error:
        return None


def _structure(shape: Any, value: Any, path: str, faults: Faults) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type(value, path, "a structure")
    kept = {}
    for name, each in value.items():
        if name not in shape.members:
            raise _unknown_member(shape, name, path)
        if each is not None:
            kept[name] = check(shape.members[name], each, _below(path, name), faults)
    faults.extend(
        f"Value null at '{_below(path, name)}' failed to satisfy constraint: "
        "Member must not be null"
        for name in shape.required_members
        if name not in kept
    )
    return kept


def _list(shape: Any, value: Any, path: str, faults: Faults) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong_type(value, path, "a list")
    _check_length(shape, value, path, faults)
    return [check(shape.member, v, f"{path}.{n}.member", faults) for n, v in enumerate(value, 1)]


def _map(shape: Any, value: Any, path: str, faults: Faults) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type(value, path, "a map")
    _check_length(shape, value, path, faults)
    kept = {}
    for name, each in value.items():
        inner: Faults = []
        check(shape.key, name, path, inner)
        faults.extend(_of_map(value, path, "keys", inner))
        inner = []
        kept[name] = check(shape.value, each, f"{path}.{name}.member", inner)
        faults.extend(_of_map(value, path, "value", inner))
    return kept


def _of_map(value: Any, path: str, part: str, inner: Faults) -> Faults:
    """AWS reports the whole map, and the broken rule of its key or value in brackets."""
    rules = [fault.partition("failed to satisfy constraint: ")[2] for fault in inner]
    return [_fault(value, path, f"Map {part} must satisfy constraint: [{rule}]") for rule in rules]


def _string(shape: Any, value: Any, path: str, faults: Faults) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, path, "a String")
    if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
        allowed = ", ".join(shape.metadata["enum"])
        faults.append(_fault(value, path, f"Member must satisfy enum value set: [{allowed}]"))
    fits = _check_length(shape, value, path, faults)
    pattern = shape.metadata.get("pattern")
    # A text of any length must not meet a pattern that was meant for 63 letters.
    matcher = compiled(pattern) if pattern and fits else None
    if matcher is not None and not matcher.fullmatch(value):
        rule = f"Member must satisfy regular expression pattern: {pattern}"
        faults.append(_fault(value, path, rule))
    return value


def _integer(shape: Any, value: Any, path: str, faults: Faults) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise _wrong_type(value, path, "an Integer")
    _check_range(shape, value, path, faults)
    return int(value)


def _float(shape: Any, value: Any, path: str, faults: Faults) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong_type(value, path, "a Double")
    _check_range(shape, value, path, faults)
    return value


def _boolean(shape: Any, value: Any, path: str, faults: Faults) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(value, path, "a Boolean")
    return value


def _timestamp(shape: Any, value: Any, path: str, faults: Faults) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        return datetime.datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError) as cause:
        raise _wrong_type(value, path, "a Timestamp (seconds since 1970)") from cause


def _blob(shape: Any, value: Any, path: str, faults: Faults) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as cause:
        raise _wrong_type(value, path, "a Blob (base64)") from cause
    return str(value)


CHECKS: dict[str, Callable[[Any, Any, str, Faults], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "blob": _blob,
}


def _check_length(shape: Any, value: Any, path: str, faults: Faults) -> bool:
    """Is it no longer than it may be?"""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and len(value) < low:
        faults.append(
            _fault(value, path, f"Member must have length greater than or equal to {low}")
        )
    if high is not None and len(value) > high:
        faults.append(_fault(value, path, f"Member must have length less than or equal to {high}"))
    return high is None or len(value) <= high


def _check_range(shape: Any, value: float, path: str, faults: Faults) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        faults.append(_fault(value, path, f"Member must have value greater than or equal to {low}"))
    if high is not None and value > high:
        faults.append(_fault(value, path, f"Member must have value less than or equal to {high}"))


def _fault(value: Any, path: str, rule: str) -> str:
    shown = str(value)
    if len(shown) > LARGEST_SHOWN:
        shown = f"{shown[:LARGEST_SHOWN]}..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {rule}"


def _below(path: str, name: str) -> str:
    first = name[0].lower() + name[1:]
    return f"{path}.{first}" if path else first


def _wrong_type(value: Any, path: str, wanted: str) -> ApiError:
    given = "NULL" if value is None else WIRE_NAMES.get(type(value), type(value).__name__)
    return ApiError(
        "SerializationException",
        f"{given} can not be converted to {wanted} at '{path or 'the request'}'",
    )


def _unknown_member(shape: Any, name: str, path: str) -> ApiError:
    where = f" at '{path}'" if path else ""
    return validation(
        f"unknown member {name!r}{where}; {shape.name} has: {', '.join(sorted(shape.members))}"
    )
