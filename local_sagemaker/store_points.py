"""The values of metrics that trial components were given: many, small, and only ever added.

Part of store.py, and used by nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

Point = tuple[str, int | None, float, float]  # metric, step, when, value
Read = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]

_ALL = "SELECT component, metric, step, time, value FROM points ORDER BY time, rowid"
_OF_ONE = (
    "SELECT component, metric, step, time, value FROM points WHERE component = ?"
    " ORDER BY time, rowid"
)


def add(db: sqlite3.Connection, component: str, points: Iterable[Point]) -> None:
    db.executemany(
        "INSERT INTO points (component, metric, step, time, value) VALUES (?, ?, ?, ?, ?)",
        [(component, *point) for point in points],
    )


def of(read: Read, component: str | None) -> dict[str, list[Point]]:
    """The points of one component, or of all, oldest first, by its name in lower case."""
    rows = read(_ALL, ()) if component is None else read(_OF_ONE, (component,))
    found: dict[str, list[Point]] = {}
    for name, metric, step, time, value in rows:
        found.setdefault(name.lower(), []).append((metric, step, time, value))
    return found


def remove(db: sqlite3.Connection, component: str) -> None:
    db.execute("DELETE FROM points WHERE component = ?", (component,))
