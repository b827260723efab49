"""The members of a resource that grow: rows of their own, so that a change costs what it changes.

Part of store.py, and used by nothing else. A pipeline execution has one part a step; whoever reads
the resource finds them together, in the order in which they came.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]
Read = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]


def of(read: Read, kind: str, name: str) -> dict[str, Row]:
    """key -> part, of one resource."""
    found = read(
        "SELECT key, body FROM parts WHERE kind = ? AND name = ? ORDER BY seq", (kind, name)
    )
    return {key: json.loads(body) for key, body in found}


def one(read: Read, kind: str, name: str, key: str) -> Row:
    """One part; empty when it is not there."""
    found = read(
        "SELECT body FROM parts WHERE kind = ? AND name = ? AND key = ?", (kind, name, key)
    )
    return json.loads(found[0][0]) if found else {}


def of_all(read: Read, kind: str) -> Mapping[str, dict[str, Row]]:
    """name -> its parts, of every resource of a kind."""
    parts: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for name, key, body in read(
        "SELECT name, key, body FROM parts WHERE kind = ? ORDER BY seq", (kind,)
    ):
        parts[name][key] = json.loads(body)
    return parts


def write(db: sqlite3.Connection, kind: str, name: str, key: str, part: Row) -> None:
    """Add a part, or put it in the place of the one with this key."""
    db.execute(
        "INSERT INTO parts (kind, name, key, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (kind, name, key) DO UPDATE SET body = excluded.body",
        (kind, name, key, json.dumps(part, separators=(",", ":"))),
    )


def replace(
    db: sqlite3.Connection, kind: str, name: str, before: dict[str, Row], after: dict[str, Row]
) -> None:
    """Write what is new or different, remove what is gone."""
    for key in before.keys() - after.keys():
        db.execute("DELETE FROM parts WHERE kind = ? AND name = ? AND key = ?", (kind, name, key))
    for key, part in after.items():
        if before.get(key) != part:
            write(db, kind, name, key, part)


def delete(db: sqlite3.Connection, kind: str, name: str) -> None:
    db.execute("DELETE FROM parts WHERE kind = ? AND name = ?", (kind, name))
