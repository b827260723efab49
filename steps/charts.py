"""Small SVG charts, written by hand: no plotting library, 2 KB each, coloured by the page's CSS.

Every function returns markup that is safe to place into HTML. Which charts a model gets is
`report.py`'s choice; the points come thinned from `curves.py`.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 320, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 40
MOST_TICKS = 8
ROUND_STEPS = (1, 2, 2.5, 5, 10)


class Axis(NamedTuple):
    """A label and the range shown."""

    label: str
    low: float = 0.0
    high: float = 1.0


def curve(points: Points, x: Axis, y: Axis, chance: Points = ()) -> str:
    """A line over a light area, beside a dashed line for what chance would do."""
    area = [(points[0][0], y.low), *points, (points[-1][0], y.low)]
    body = f'<path class="area" d="{_path(area, x, y)}Z"/>'
    return _frame(x, y, body + _dashed(chance, x, y) + _line(points, x, y))


def dots(points: Points, x: Axis, y: Axis, line: bool = False, radius: float = 2) -> str:
    """Points beside the diagonal on which prediction and truth agree."""
    low, high = max(x.low, y.low), min(x.high, y.high)
    marks = "".join(
        f'<circle cx="{_x(a, x):.1f}" cy="{_y(b, y):.1f}" r="{radius:g}"/>' for a, b in points
    )
    joined = _line(points, x, y) if line else ""
    diagonal = _dashed([(low, low), (high, high)], x, y)
    return _frame(x, y, f'{diagonal}{joined}<g class="dots">{marks}</g>')


def spanning(label: str, values: Sequence[float]) -> Axis:
    """An axis that holds all values with a little room; a unit wide when they are all equal."""
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 0.5
    return Axis(label, low - room, high + room)


def _frame(x: Axis, y: Axis, body: str) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    rows = [(_y(value, y), _tick(value)) for value in _ticks(y)]
    columns = [(_x(value, x), _tick(value)) for value in _ticks(x)]
    grid = [f"M{LEFT} {row:.1f}H{right}" for row, _ in rows]
    grid += [f"M{column:.1f} {TOP}V{bottom}" for column, _ in columns]
    parts = [f'<path class="grid" d="{"".join(grid)}"/>']
    parts += [
        f'<text x="{LEFT - 6}" y="{at + 3.5:.1f}" class="end">{text}</text>' for at, text in rows
    ]
    parts += [
        f'<text x="{at:.1f}" y="{bottom + 15}" class="mid">{text}</text>' for at, text in columns
    ]
    middle, centre = (TOP + bottom) / 2, (LEFT + right) / 2
    parts += [
        body,
        f'<text x="{centre}" y="{HEIGHT - 6}" class="mid name">{escape(x.label)}</text>',
        f'<text transform="translate(11 {middle}) rotate(-90)" class="mid name">'
        f"{escape(y.label)}</text>",
    ]
    label = escape(f"{y.label} against {x.label}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


def _line(points: Points, x: Axis, y: Axis) -> str:
    return f'<path class="line" d="{_path(points, x, y)}"/>'


def _dashed(points: Points, x: Axis, y: Axis) -> str:
    return f'<path class="chance" d="{_path(points, x, y)}"/>' if points else ""


def _path(points: Points, x: Axis, y: Axis) -> str:
    return "M" + "L".join(f"{_x(a, x):.1f} {_y(b, y):.1f}" for a, b in points)


def _x(value: float, axis: Axis) -> float:
    return LEFT + (value - axis.low) / (axis.high - axis.low) * (WIDTH - LEFT - RIGHT)


def _y(value: float, axis: Axis) -> float:
    return HEIGHT - BOTTOM - (value - axis.low) / (axis.high - axis.low) * (HEIGHT - TOP - BOTTOM)


def _ticks(axis: Axis) -> list[float]:
    """Round values inside the range, evenly spaced."""
    rough = (axis.high - axis.low) / (MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in ROUND_STEPS if size * power >= rough * 0.999)
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
