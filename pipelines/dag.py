"""A pipeline definition as a picture: which step waits for which, left to right, as one SVG.

It reads the definition JSON, so it draws any pipeline, not only ours. Edges come from DependsOn,
from `Get` references, and from a Condition to the steps of its branches (dashed, labelled).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from html import escape
from typing import Any, NamedTuple

REFERENCE = re.compile(r'"Steps\.([A-Za-z0-9_-]+)')
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 150, 40, 50, 16, 12
COLOURS = {
    "Processing": "#3b7dd8",
    "Training": "#c98a2b",
    "Condition": "#7a5cc0",
    "Fail": "#c0392b",
}
OTHER_COLOUR = "#2e8b57"


class Edge(NamedTuple):
    """`after` waits for `before`; branch is "yes", "no" or ""."""

    before: str
    after: str
    branch: str = ""


def edges(definition: str) -> tuple[dict[str, str], list[Edge]]:
    """Every step's type by its name, and what waits for what."""
    steps = list(_steps(json.loads(definition)["Steps"]))
    types = {step["Name"]: step["Type"] for step, _, _ in steps}
    found: dict[Edge, None] = {}
    for step, parent, branch in steps:
        if parent:
            found[Edge(parent, step["Name"], branch)] = None
        for before in _waits_for(step):
            if before in types and before != step["Name"]:
                found[Edge(before, step["Name"])] = None
    return types, list(found)


def svg(definition: str) -> str:
    """The picture; equal definitions give equal text."""
    types, arrows = edges(definition)
    places = _places(types, arrows)
    width = max(x for x, _ in places.values()) + BOX_WIDTH + MARGIN
    height = max(y for _, y in places.values()) + BOX_HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" style="max-width: 100%; height: auto"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        *(_arrow(places, arrow) for arrow in arrows if not _implied(arrow, arrows)),
        *(_box(name, kind, places[name]) for name, kind in types.items()),
        "</svg>",
    ]
    return "\n".join(parts)


def _steps(
    steps: list[dict[str, Any]], parent: str = "", branch: str = ""
) -> Iterator[tuple[dict[str, Any], str, str]]:
    for step in steps:
        yield step, parent, branch
        if step["Type"] == "Condition":
            yield from _steps(step["Arguments"]["IfSteps"], step["Name"], "yes")
            yield from _steps(step["Arguments"]["ElseSteps"], step["Name"], "no")


def _waits_for(step: dict[str, Any]) -> Iterator[str]:
    for name in step.get("DependsOn") or ():
        yield name if isinstance(name, str) else name["Step"]
    own = step["Arguments"]
    if step["Type"] == "Condition":
        own = own["Conditions"]
    yield from REFERENCE.findall(json.dumps(own))


def _implied(arrow: Edge, arrows: list[Edge]) -> bool:
    """Does a longer way say the same already? Then the straight arrow is left out."""
    if arrow.branch:
        # Inside a branch, only its first steps hang on the condition itself.
        return any(
            other.after == arrow.after
            and other.before != arrow.before
            and Edge(arrow.before, other.before, arrow.branch) in arrows
            for other in arrows
        )
    following = {edge.after for edge in arrows if edge.before == arrow.before} - {arrow.after}
    seen: set[str] = set()
    while following:
        name = following.pop()
        if name == arrow.after:
            return True
        seen.add(name)
        following |= {edge.after for edge in arrows if edge.before == name} - seen
    return False


def _places(types: dict[str, str], arrows: list[Edge]) -> dict[str, tuple[int, int]]:
    """Left upper corner of every box: a column per longest way from a start, rows in order."""
    waits: dict[str, set[str]] = {name: set() for name in types}
    for arrow in arrows:
        waits[arrow.after].add(arrow.before)
    column: dict[str, int] = {}
    for name in TopologicalSorter(waits).static_order():
        column[name] = max((column[before] + 1 for before in waits[name]), default=0)
    rows: dict[int, int] = {}
    places = {}
    for name in types:
        row = rows.get(column[name], 0)
        rows[column[name]] = row + 1
        x = MARGIN + column[name] * (BOX_WIDTH + GAP_X)
        places[name] = (x, MARGIN + row * (BOX_HEIGHT + GAP_Y))
    return places


def _arrow(places: dict[str, tuple[int, int]], arrow: Edge) -> str:
    x1, y1 = places[arrow.before][0] + BOX_WIDTH, places[arrow.before][1] + BOX_HEIGHT // 2
    x2, y2 = places[arrow.after][0], places[arrow.after][1] + BOX_HEIGHT // 2
    middle = (x1 + x2) // 2
    dashes = ' stroke-dasharray="4 3"' if arrow.branch else ""
    line = (
        f'<path d="M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}" fill="none"'
        f' stroke="#8a93a0"{dashes}/>'
    )
    label = (
        f'<text x="{x2 - 4}" y="{y2 - 5}" text-anchor="end" fill="#6b7380">{arrow.branch}</text>'
    )
    return line + (label if arrow.branch else "")


def _box(name: str, kind: str, place: tuple[int, int]) -> str:
    x, y = place
    colour = COLOURS.get(kind, OTHER_COLOUR)
    return (
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="{colour}"/>'
        f'<text x="{x + BOX_WIDTH // 2}" y="{y + 17}" text-anchor="middle" fill="#fff"'
        f' font-weight="600">{escape(name)}</text>'
        f'<text x="{x + BOX_WIDTH // 2}" y="{y + 32}" text-anchor="middle" fill="#fff"'
        f' opacity="0.8" font-size="10">{escape(kind)}</text>'
    )
