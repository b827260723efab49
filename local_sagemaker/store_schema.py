"""The tables of the state, their version, and how the state of an older version becomes this one's.

Part of store.py, and used by nothing else. A new version is a row in MIGRATIONS; a state without a
version was written before there were any, and counts as 1.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

TABLES = """
CREATE TABLE IF NOT EXISTS resources (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
    arn TEXT COLLATE NOCASE, body TEXT NOT NULL, UNIQUE (kind, name));
CREATE UNIQUE INDEX IF NOT EXISTS resources_arn ON resources (arn) WHERE arn IS NOT NULL;
CREATE TABLE IF NOT EXISTS parts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
    key TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, name, key));
CREATE TABLE IF NOT EXISTS tags (
    arn TEXT COLLATE NOCASE, key TEXT, value TEXT, PRIMARY KEY (arn, key));
CREATE TABLE IF NOT EXISTS stories (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, name TEXT COLLATE NOCASE,
    time REAL, status TEXT, reason TEXT);
CREATE INDEX IF NOT EXISTS stories_of ON stories (kind, name);
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS points (
    component TEXT NOT NULL COLLATE NOCASE, metric TEXT NOT NULL, step INTEGER, time REAL NOT NULL,
    value REAL NOT NULL);
CREATE INDEX IF NOT EXISTS points_of ON points (component, metric);
"""


class OtherVersion(Exception):  # noqa: N818 - it says what is the case
    """The state was written by a local SageMaker that this one does not know."""


def _steps_apart(db: sqlite3.Connection) -> None:
    """1 -> 2: each step of a pipeline execution is a row of its own."""
    kind = "pipeline-execution"
    found = db.execute("SELECT seq, name, body FROM resources WHERE kind = ?", (kind,)).fetchall()
    for seq, name, body in found:
        row = json.loads(body)
        steps = row.pop("Steps", {})
        db.execute("UPDATE resources SET body = ? WHERE seq = ?", (json.dumps(row), seq))
        db.executemany(
            "INSERT INTO parts (kind, name, key, body) VALUES (?, ?, ?, ?)",
            [(kind, name, key, json.dumps(step)) for key, step in steps.items()],
        )


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _steps_apart}  # from -> next
VERSION = max(MIGRATIONS) + 1


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring them up to date; all or nothing. Raises OtherVersion."""
    version = _version(db)
    if version > VERSION:
        raise OtherVersion(
            f"{path} was written by a newer local SageMaker (its state is version {version}, this "
            f"one knows {VERSION}): start that one, or forget everything with "
            "`python -m local_sagemaker reset`"
        )
    if version == VERSION:
        db.executescript(TABLES)
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in TABLES.split(";"):
            db.execute(statement)
        for before in range(_version(db), VERSION):
            MIGRATIONS[before](db)
        db.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    known: int = db.execute("PRAGMA user_version").fetchone()[0]
    return known or 1
