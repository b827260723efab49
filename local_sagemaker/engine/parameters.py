"""Pipeline parameters: their declaration in a definition, and their values in one execution.

Lives here: types, defaults, enums, and the coercion of the texts that StartPipelineExecution sends.
Pure; nothing here knows about steps or executions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine import paths


class ParameterError(ValueError):
    """A declaration or a value that does not fit; the message names the parameter."""


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    default: Any = None  # None: must be given at start
    enum: tuple[Any, ...] = ()


def declare(entry: Any) -> Parameter:
    """Read one entry of the definition's `Parameters`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("Name"), str) or not entry["Name"]:
        raise ParameterError(f"a parameter needs a Name and a Type, not {entry!r}")
    name, kind = entry["Name"], entry.get("Type")
    if not isinstance(kind, str) or kind not in _PARSE:
        raise ParameterError(
            f"parameter '{name}' has Type {kind!r}; allowed is {', '.join(_PARSE)}"
        )
    enum = entry.get("EnumValues") or ()
    if not isinstance(enum, list | tuple):
        raise ParameterError(f"parameter '{name}' has EnumValues {enum!r}, which must be a list")
    enum = tuple(enum)
    parameter = Parameter(name, kind, enum=enum)
    default = entry.get("DefaultValue")
    return parameter if default is None else Parameter(name, kind, value(parameter, default), enum)


def value(parameter: Parameter, given: Any) -> Any:
    """`given` (text or typed) as the parameter's type. Raises ParameterError."""
    try:
        parsed = _PARSE[parameter.type](given)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(
            f"parameter '{parameter.name}' is {parameter.type}, which cannot be {given!r}"
        ) from None
    if parameter.enum and parsed not in parameter.enum:
        allowed = ", ".join(map(str, parameter.enum))
        raise ParameterError(
            f"parameter '{parameter.name}' cannot be {given!r}; allowed is {allowed}"
        )
    return parsed


def resolve(declared: tuple[Parameter, ...], given: list[dict[str, str]]) -> dict[str, Any]:
    """The value of every declared parameter: what was given at start, else its default."""
    known = {parameter.name: parameter for parameter in declared}
    texts: dict[str, str] = {}
    for entry in given:
        name = entry["Name"]
        if name not in known:
            hint = paths.did_you_mean(name, known)
            raise ParameterError(f"parameter '{name}' is not declared by the pipeline; {hint}")
        if name in texts:
            raise ParameterError(f"parameter '{name}' is given twice")
        texts[name] = entry["Value"]
    missing = sorted(p.name for p in declared if p.default is None and p.name not in texts)
    if missing:
        raise ParameterError(f"parameter(s) without a default must be given: {', '.join(missing)}")
    return {
        name: value(parameter, texts[name]) if name in texts else parameter.default
        for name, parameter in known.items()
    }


def _text(given: Any) -> str:
    if isinstance(given, str):
        return given
    raise ValueError(given)


def _integer(given: Any) -> int:
    if isinstance(given, bool) or (isinstance(given, float) and not given.is_integer()):
        raise ValueError(given)
    return int(given)


def _float(given: Any) -> float:
    if isinstance(given, bool) or not math.isfinite(number := float(given)):
        raise ValueError(given)
    return number


def _boolean(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    # The SDK sends str(True), people type true.
    known = {"true": True, "false": False}
    if isinstance(given, str) and given.lower() in known:
        return known[given.lower()]
    raise ValueError(given)


_PARSE: dict[str, Callable[[Any], Any]] = {
    "String": _text,
    "Integer": _integer,
    "Float": _float,
    "Boolean": _boolean,
}
