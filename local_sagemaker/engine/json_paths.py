"""The JSONPath subset of a batch transform's filters: `$`, `.name`, `.*`, `[*]`, `['a','b']`,
`[0,-1]`, `[1:]`.

A path that can mean one thing only gives that thing and fails where it is missing; one that can
mean several (`*`, a slice, several indices) gives a list, which may be empty. Several names at the
end of a path keep an object with those names. So it is in Jayway's JsonPath, the dialect that AWS
documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

NAME = r"(?:'[^']*'|\"[^\"]*\")"
INDEX = r"-?\d+"
STEP = re.compile(
    rf"""\.(?P<name>[^.\[\]*'"()?@,:\s]+)
      |  (?P<all>\.\*|\[\*\])
      |  \[\s*(?P<names>{NAME}(?:\s*,\s*{NAME})*)\s*\]
      |  \[\s*(?P<indices>{INDEX}(?:\s*,\s*{INDEX})*)\s*\]
      |  \[\s*(?P<start>{INDEX})?\s*:\s*(?P<stop>{INDEX})?\s*\]""",
    re.VERBOSE,
)
SUBSET = "$, .name, *, ['a','b'], [0,-1], [1:]"


class PathError(ValueError):
    """A path that is not in the subset, or that a value does not have; the message names it."""


Select = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Path:
    """A parsed path. `definite`: it gives one value, not a list of them."""

    text: str
    steps: tuple[Select, ...]
    definite: bool

    @property
    def is_whole(self) -> bool:
        return not self.steps

    def apply(self, value: Any) -> Any:
        """What the path selects. Raises PathError when a definite path leads nowhere."""
        found = [value]
        for step in self.steps:
            found = [each for one in found for each in step(one)]
        if not self.definite:
            return found
        if not found:
            raise PathError(f"path {self.text} is not in the record")
        return found[0]


def parse(text: str) -> Path:
    """Raises PathError, which names what is not in the subset."""
    if not text.startswith("$"):
        raise PathError(f"path {text!r} must begin with $; it may use: {SUBSET}")
    steps: list[Select] = []
    definite, position = True, 1
    while position < len(text):
        match = STEP.match(text, position)
        if match is None:
            raise PathError(f"path {text!r}: {text[position:]!r} is not supported: {SUBSET}")
        position = match.end()
        step, one = _step(match, last=position == len(text))
        steps.append(step)
        definite = definite and one
    return Path(text, tuple(steps), definite)


def _step(match: re.Match[str], last: bool) -> tuple[Select, bool]:
    """One step, and whether it gives at most one value."""
    if match["name"] is not None:
        return _member(match["name"]), True
    if match["all"] is not None:
        return _everything, False
    if match["names"] is not None:
        names = [each[1:-1] for each in re.findall(NAME, match["names"])]
        if len(names) == 1:
            return _member(names[0]), True
        return (_object(names), True) if last else (_members(names), False)
    if match["indices"] is not None:
        indices = [int(each) for each in match["indices"].split(",")]
        return _items(indices), len(indices) == 1
    bounds = [int(each) if each is not None else None for each in (match["start"], match["stop"])]
    return _slice(slice(*bounds)), False


def _member(name: str) -> Select:
    return _members([name])


def _members(names: Sequence[str]) -> Select:
    return lambda value: [value[n] for n in names if isinstance(value, dict) and n in value]


def _object(names: Sequence[str]) -> Select:
    def select(value: Any) -> list[Any]:
        return [{n: value[n] for n in names if n in value}] if isinstance(value, dict) else []

    return select


def _items(indices: Sequence[int]) -> Select:
    def select(value: Any) -> list[Any]:
        if not isinstance(value, list):
            return []
        return [value[i] for i in indices if -len(value) <= i < len(value)]

    return select


def _slice(bounds: slice) -> Select:
    return lambda value: value[bounds] if isinstance(value, list) else []


def _everything(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []
