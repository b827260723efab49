"""The state: one SQLite file, one row per resource, and the only SQL there is.

A resource is a plain dict in AWS's member names, kept as JSON. One connection behind one lock, WAL
mode: what was answered to a caller survives `kill -9`. Which statuses may follow each other is
lifecycle.py's; how a List operation pages is in paging.py.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_sagemaker import paging

Row = dict[str, Any]
Chapter = tuple[float, str, str]  # when, status, reason


class Duplicate(Exception):  # noqa: N818 - it says what is the case
    """A resource of this kind with this name (or ARN) exists already."""


class Missing(Exception):  # noqa: N818 - it says what is the case
    """There is no such resource to edit."""


@dataclass(frozen=True)
class Kind:
    """Which members of a kind of resource hold its name, its ARN and its status."""

    name: str
    arn: str
    status: str | None = None


KINDS: dict[str, Kind] = {
    "pipeline": Kind("PipelineName", "PipelineArn", "PipelineStatus"),
    "pipeline-execution": Kind(
        "PipelineExecutionArn", "PipelineExecutionArn", "PipelineExecutionStatus"
    ),
    "processing-job": Kind("ProcessingJobName", "ProcessingJobArn", "ProcessingJobStatus"),
    "training-job": Kind("TrainingJobName", "TrainingJobArn", "TrainingJobStatus"),
    "transform-job": Kind("TransformJobName", "TransformJobArn", "TransformJobStatus"),
    "hyper-parameter-tuning-job": Kind(
        "HyperParameterTuningJobName",
        "HyperParameterTuningJobArn",
        "HyperParameterTuningJobStatus",
    ),
    "model": Kind("ModelName", "ModelArn"),
    "model-package-group": Kind(
        "ModelPackageGroupName", "ModelPackageGroupArn", "ModelPackageGroupStatus"
    ),
    "model-package": Kind("ModelPackageName", "ModelPackageArn", "ModelPackageStatus"),
    "endpoint-config": Kind("EndpointConfigName", "EndpointConfigArn"),
    "endpoint": Kind("EndpointName", "EndpointArn", "EndpointStatus"),
    "artifact": Kind("ArtifactArn", "ArtifactArn"),
    "action": Kind("ActionName", "ActionArn"),
    "context": Kind("ContextName", "ContextArn"),
    "lineage-group": Kind("LineageGroupName", "LineageGroupArn"),
    # Of our own, behind some types of steps: AWS has no such resources, and no ARNs.
    "lambda-invocation": Kind("InvocationName", "InvocationArn", "Status"),
    "pipeline-check": Kind("CheckJobName", "CheckArn"),
    "pipeline-cleanup": Kind("CleanupName", "CleanupArn", "Status"),
    "pipeline-lineage": Kind("LineageName", "LineageArn", "Status"),
    "pipeline-callback": Kind("CallbackToken", "CallbackArn", "Status"),
}

SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
    arn TEXT COLLATE NOCASE, body TEXT NOT NULL, UNIQUE (kind, name));
CREATE UNIQUE INDEX IF NOT EXISTS resources_arn ON resources (arn) WHERE arn IS NOT NULL;
CREATE TABLE IF NOT EXISTS tags (
    arn TEXT COLLATE NOCASE, key TEXT, value TEXT, PRIMARY KEY (arn, key));
CREATE TABLE IF NOT EXISTS stories (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, name TEXT COLLATE NOCASE,
    time REAL, status TEXT, reason TEXT);
CREATE INDEX IF NOT EXISTS stories_of ON stories (kind, name);
"""


class Store:
    """All resources; every method may be called from any thread and is one transaction, or part of
    the caller's (`together`).
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._together = threading.local()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What this thread writes in here is one transaction, which begins with the first write."""
        if getattr(self._together, "stack", None) is not None:
            yield  # part of the one around it
            return
        try:
            with contextlib.ExitStack() as self._together.stack:
                self._together.begun = False
                yield
        finally:
            self._together.stack = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        stack: contextlib.ExitStack | None = getattr(self._together, "stack", None)
        if stack is None:
            with self._begun() as db:
                yield db
            return
        if not self._together.begun:
            stack.enter_context(self._begun())
            self._together.begun = True
        yield self._db

    @contextlib.contextmanager
    def _begun(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _read(self, sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, tuple(values)).fetchall()

    def insert(self, kind: str, name: str, row: Row, *, tags: Iterable[Row] = ()) -> None:
        """Add a resource with its tags ({"Key", "Value"}). Raises Duplicate."""
        arn = _arn_of(kind, row)
        try:
            with self._transaction() as db:
                db.execute(
                    "INSERT INTO resources (kind, name, arn, body) VALUES (?, ?, ?, ?)",
                    (kind, name, arn, _dump(row)),
                )
                _write_tags(db, arn, tags)
                _write_story(db, kind, name, _birth(kind, row))
        except sqlite3.IntegrityError as cause:
            raise Duplicate(f"{kind} {name!r} exists already") from cause

    def get(self, kind: str, name: str) -> Row | None:
        found = self._read("SELECT body FROM resources WHERE kind = ? AND name = ?", (kind, name))
        return json.loads(found[0][0]) if found else None

    def find_arn(self, arn: str) -> tuple[str, str, Row] | None:
        """(kind, name, row) of the resource with this ARN, whatever its case."""
        found = self._read("SELECT kind, name, body FROM resources WHERE arn = ?", (arn,))
        return (found[0][0], found[0][1], json.loads(found[0][2])) if found else None

    def edit(
        self,
        kind: str,
        name: str,
        fn: Callable[[Row], Row],
        *,
        story: Chapter | None = None,
    ) -> Row:
        """Replace the row by fn(row) and add to its story, in one transaction. Raises Missing."""
        with self._transaction() as db:
            found = db.execute(
                "SELECT body FROM resources WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
            if found is None:
                raise Missing(f"there is no {kind} {name!r}")
            row = fn(json.loads(found[0]))
            db.execute(
                "UPDATE resources SET body = ?, arn = ? WHERE kind = ? AND name = ?",
                (_dump(row), _arn_of(kind, row), kind, name),
            )
            _write_story(db, kind, name, story)
        return row

    def delete(self, kind: str, name: str) -> None:
        """Remove a resource with its tags and its story; nothing happens when it is not there."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM tags WHERE arn ="
                " (SELECT arn FROM resources WHERE kind = ? AND name = ?)",
                (kind, name),
            )
            db.execute("DELETE FROM resources WHERE kind = ? AND name = ?", (kind, name))
            db.execute("DELETE FROM stories WHERE kind = ? AND name = ?", (kind, name))

    def delete_where(self, kind: str, where: Callable[[Row], bool]) -> None:
        """Remove the resources of a kind that match; for kinds without tags and stories."""
        gone = [(seq,) for seq, row in self._numbered(kind) if where(row)]
        with self._transaction() as db:
            db.executemany("DELETE FROM resources WHERE seq = ?", gone)

    def rows(self, kind: str, where: Callable[[Row], bool] | None = None) -> list[Row]:
        """Every resource of a kind, in the order of creation."""
        return [row for _, row in self._numbered(kind) if where is None or where(row)]

    def page(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        sort_keys: Mapping[str, str],
        where: Callable[[Row], bool] | None = None,
        default_order: str = "Ascending",
        page_size: int = 10,
    ) -> tuple[list[Row], str | None]:
        """One page of a List operation and the token of the next (see paging.py).

        `sort_keys` maps each SortBy value to the row's member it means; its first entry is the
        default.
        """
        members = KINDS.get(kind, Kind("Name", "Arn"))
        rows = [item for item in self._numbered(kind) if where is None or where(item[1])]
        spec = paging.Spec(members.name, members.status, sort_keys, default_order, page_size)
        return paging.page(rows, request, spec)

    def tags(self, arn: str) -> list[Row]:
        """[{"Key", "Value"}], by key."""
        found = self._read("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", (arn,))
        return [{"Key": key, "Value": value} for key, value in found]

    def set_tags(self, arn: str, tags: Iterable[Row]) -> None:
        """Add these tags, replacing the values of keys that are there."""
        with self._transaction() as db:
            _write_tags(db, arn, tags)

    def remove_tags(self, arn: str, keys: Iterable[str]) -> None:
        with self._transaction() as db:
            db.executemany(
                "DELETE FROM tags WHERE arn = ? AND key = ?", [(arn, key) for key in keys]
            )

    def story(self, kind: str, name: str) -> list[Chapter]:
        """Every transition of a resource: (time, status, reason), oldest first."""
        found = self._read(
            "SELECT time, status, reason FROM stories WHERE kind = ? AND name = ? ORDER BY seq",
            (kind, name),
        )
        return [(time, status, reason) for time, status, reason in found]

    def _numbered(self, kind: str) -> list[tuple[int, Row]]:
        found = self._read("SELECT seq, body FROM resources WHERE kind = ? ORDER BY seq", (kind,))
        return [(seq, json.loads(body)) for seq, body in found]


def _arn_of(kind: str, row: Row) -> str | None:
    members = KINDS.get(kind)
    return row.get(members.arn) if members else None


def _birth(kind: str, row: Row) -> Chapter | None:
    members = KINDS.get(kind)
    if members is None or members.status is None or members.status not in row:
        return None
    return (row.get("CreationTime", 0.0), row[members.status], "")


def _write_story(db: sqlite3.Connection, kind: str, name: str, story: Chapter | None) -> None:
    if story is not None:
        db.execute(
            "INSERT INTO stories (kind, name, time, status, reason) VALUES (?, ?, ?, ?, ?)",
            (kind, name, *story),
        )


def _dump(row: Row) -> str:
    return json.dumps(row, separators=(",", ":"))


def _write_tags(db: sqlite3.Connection, arn: str | None, tags: Iterable[Row]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO tags (arn, key, value) VALUES (?, ?, ?)",
        [(arn, tag["Key"], tag["Value"]) for tag in tags],
    )
