"""Lines over time as small SVG, written by hand: no plotting library; the page's CSS colours it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 30
MOST_POINTS = 600
ROUND_STEPS = (1, 2, 2.5, 5, 10)
ROW_TICKS, COLUMN_TICKS = 6, 6

Values = Sequence[float]


class Line(NamedTuple):
    """Values at the chart's times; `looks` is a CSS class."""

    label: str
    values: Values
    looks: str = "a"


class Level(NamedTuple):
    """A horizontal line that means something."""

    label: str
    value: float
    looks: str = "limit"


class _Scale(NamedTuple):
    """Seconds and values to pixels."""

    first: float
    last: float
    low: float
    high: float

    def x(self, time: float) -> float:
        return LEFT + (time - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def chart(
    title: str,
    times: Values,
    lines: Sequence[Line],
    levels: Sequence[Level] = (),
    band: tuple[Values, Values] | None = None,
    bounds: tuple[float, float] | None = None,
) -> str:
    """One chart; `band` is filled from its lower to its upper values; bounds cut off the rest."""
    if not len(times):
        return '<p class="note">Nothing yet.</p>'
    keep = _thinned(len(times))
    shown = [float(times[i]) for i in keep]
    scale = _scale(shown, lines, levels, band, bounds)
    body = ""
    if band is not None:
        there = [[(shown[n], float(side[i])) for n, i in enumerate(keep)] for side in band]
        body += f'<path class="band" d="{_path([*there[0], *reversed(there[1])], scale)}Z"/>'
    for line in lines:
        points = [(shown[n], float(line.values[i])) for n, i in enumerate(keep)]
        body += f'<path class="line {line.looks}" d="{_path(points, scale)}"/>'
    body += "".join(_level(each, scale) for each in levels)
    label = escape(title)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
    return f"{svg}{_grid(scale)}{body}</svg>{_legend(lines)}"


def _thinned(count: int) -> list[int]:
    """At most so many indices, evenly spread, with the first and the last."""
    if count <= MOST_POINTS:
        return list(range(count))
    step = (count - 1) / (MOST_POINTS - 1)
    return [round(index * step) for index in range(MOST_POINTS)]


def _scale(
    times: list[float],
    lines: Sequence[Line],
    levels: Sequence[Level],
    band: tuple[Values, Values] | None,
    bounds: tuple[float, float] | None,
) -> _Scale:
    values = [float(v) for line in lines for v in line.values] + [each.value for each in levels]
    values += [float(v) for side in band or () for v in side]
    low, high = bounds or (min(values), max(values))
    room = 0.04 * (high - low) or 0.5
    first, last = times[0], times[-1]
    return _Scale(first, last if last > first else first + 60, low - room, high + room)


def _path(points: Sequence[tuple[float, float]], scale: _Scale) -> str:
    return "M" + "L".join(f"{scale.x(a):.1f} {scale.y(b):.1f}" for a, b in points)


def _level(level: Level, scale: _Scale) -> str:
    at = scale.y(level.value)
    text = f'<text x="{WIDTH - RIGHT - 4}" y="{at - 4:.1f}" class="end {level.looks}">'
    path = f'<path class="{level.looks}" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>'
    return f"{path}{text}{escape(level.label)}</text>"


def _grid(scale: _Scale) -> str:
    rows = [(scale.y(value), f"{value:.6g}") for value in _ticks(scale.low, scale.high)]
    span = scale.last - scale.first
    wording = "%m-%d %H:%M" if span > 86400 else "%H:%M"
    columns = [
        (scale.x(scale.first + span * n / COLUMN_TICKS), scale.first + span * n / COLUMN_TICKS)
        for n in range(COLUMN_TICKS + 1)
    ]
    path = "".join(f"M{LEFT} {at:.1f}H{WIDTH - RIGHT}" for at, _ in rows)
    texts = [f'<text x="{LEFT - 6}" y="{at + 3.5:.1f}" class="end">{t}</text>' for at, t in rows]
    texts += [
        f'<text x="{at:.1f}" y="{HEIGHT - 10}" class="{_anchor(n)}">'
        f"{datetime.fromtimestamp(when, UTC):{wording}}</text>"
        for n, (at, when) in enumerate(columns)
    ]
    return f'<path class="grid" d="{path}"/>{"".join(texts)}'


def _anchor(index: int) -> str:
    return "end" if index == COLUMN_TICKS else "mid"


def _ticks(low: float, high: float) -> list[float]:
    """Round values inside the range, evenly spaced."""
    rough = (high - low) / (ROW_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in ROUND_STEPS if size * power >= rough * 0.999)
    return [
        round(index * step, 12)
        for index in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)
    ]


def _legend(lines: Sequence[Line]) -> str:
    keys = "".join(f'<span class="{each.looks}">{escape(each.label)}</span>' for each in lines)
    return f'<div class="legend">{keys}</div>'
