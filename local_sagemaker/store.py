"""The state: one SQLite file, one row per resource, and the only SQL there is.

A resource is a plain dict in AWS's member names, kept as JSON. One connection behind one lock, WAL
mode: what was answered to a caller survives `kill -9`. Which statuses may follow each other is
lifecycle.py's; how a List operation pages is in paging.py. The tables are in store_schema.py, what
is kept apart from a resource because it grows in store_parts.py.
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

from local_sagemaker import paging, store_parts, store_points, store_schema

Row = dict[str, Any]
Point = store_points.Point
Chapter = tuple[float, str, str]  # when, status, reason
# What others are to be told of a write: (kind, row before, row after) -> notes. It is asked within
# the transaction and its notes are kept in that, so that none is lost and none told of what was
# not done. The rows are not to be changed.
Watch = Callable[[str, Row | None, Row | None], Iterable[Row]]


class Duplicate(Exception):  # noqa: N818 - it says what is the case
    """A resource of this kind with this name (or ARN) exists already."""


class Missing(Exception):  # noqa: N818 - it says what is the case
    """There is no such resource to edit."""


@dataclass(frozen=True)
class Kind:
    """Which members of a kind of resource hold its name, its ARN, its status, and what of it is
    kept in rows of their own ({key: part}).
    """

    name: str
    arn: str
    status: str | None = None
    parts: str | None = None


KINDS: dict[str, Kind] = {
    "pipeline": Kind("PipelineName", "PipelineArn", "PipelineStatus"),
    "pipeline-execution": Kind(
        "PipelineExecutionArn", "PipelineExecutionArn", "PipelineExecutionStatus", "Steps"
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
    "experiment": Kind("ExperimentName", "ExperimentArn"),
    "experiment-trial": Kind("TrialName", "TrialArn"),
    "experiment-trial-component": Kind("TrialComponentName", "TrialComponentArn"),
    "inference-component": Kind(
        "InferenceComponentName", "InferenceComponentArn", "InferenceComponentStatus"
    ),
    "scalable-target": Kind("ResourceId", "ScalableTargetARN"),
    "scaling-policy": Kind("PolicyName", "PolicyARN"),
    "scheduled-action": Kind("ScheduledActionName", "ScheduledActionARN"),
    "scaling-activity": Kind("ActivityId", "ActivityArn", "StatusCode"),  # no ARN
    "artifact": Kind("ArtifactArn", "ArtifactArn"),
    "action": Kind("ActionName", "ActionArn"),
    "context": Kind("ContextName", "ContextArn"),
    "lineage-group": Kind("LineageGroupName", "LineageGroupArn"),
    # Of our own: what an asynchronous endpoint has still to answer.
    "async-invocation": Kind("InvocationName", "InvocationArn"),
    # Of our own, behind some types of steps: AWS has no such resources, and no ARNs.
    "lambda-invocation": Kind("InvocationName", "InvocationArn", "Status"),
    "pipeline-check": Kind("CheckJobName", "CheckArn"),
    "pipeline-cleanup": Kind("CleanupName", "CleanupArn", "Status"),
    "pipeline-lineage": Kind("LineageName", "LineageArn", "Status"),
    "pipeline-callback": Kind("CallbackToken", "CallbackArn", "Status"),
}


class Store:
    """All resources; every method may be called from any thread and is one transaction, or part of
    the caller's (`together`). Raises store_schema.OtherVersion.
    """

    def __init__(self, path: Path) -> None:
        self.watch: Watch | None = None
        self._lock = threading.RLock()
        self._together = threading.local()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            store_schema.prepare(self._db, path)
        except BaseException:
            self._db.close()
            raise

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
        head, parts = _apart(kind, row)
        try:
            with self._transaction() as db:
                db.execute(
                    "INSERT INTO resources (kind, name, arn, body) VALUES (?, ?, ?, ?)",
                    (kind, name, arn, _dump(head)),
                )
                store_parts.replace(db, kind, name, {}, parts)
                _write_tags(db, arn, tags)
                _write_story(db, kind, name, _birth(kind, row))
                self._note(db, kind, None, row)
        except sqlite3.IntegrityError as cause:
            raise Duplicate(f"{kind} {name!r} exists already") from cause

    def get(self, kind: str, name: str) -> Row | None:
        head = self.head(kind, name)
        return self._whole(kind, name, head) if head is not None else None

    def head(self, kind: str, name: str) -> Row | None:
        """The resource without its parts."""
        found = self._read("SELECT body FROM resources WHERE kind = ? AND name = ?", (kind, name))
        return json.loads(found[0][0]) if found else None

    def find_arn(self, arn: str) -> tuple[str, str, Row] | None:
        """(kind, name, row) of the resource with this ARN, whatever its case."""
        found = self._read("SELECT kind, name, body FROM resources WHERE arn = ?", (arn,))
        if not found:
            return None
        kind, name, body = found[0]
        return kind, name, self._whole(kind, name, json.loads(body))

    def edit(
        self,
        kind: str,
        name: str,
        fn: Callable[[Row], Row],
        *,
        story: Chapter | None = None,
    ) -> Row:
        """Replace the row by fn(row), which leaves its argument as it is, and add to its story, in
        one transaction. Raises Missing.
        """
        with self._transaction() as db:
            before = self.get(kind, name)
            if before is None:
                raise Missing(f"there is no {kind} {name!r}")
            _, parts_before = _apart(kind, before)
            row = fn(before)
            head, parts = _apart(kind, row)
            db.execute(
                "UPDATE resources SET body = ?, arn = ? WHERE kind = ? AND name = ?",
                (_dump(head), _arn_of(kind, row), kind, name),
            )
            store_parts.replace(db, kind, name, parts_before, parts)
            _write_story(db, kind, name, story)
            self._note(db, kind, before, row)
        return row

    def edit_part(
        self, kind: str, name: str, key: str, fn: Callable[[Row], Row]
    ) -> tuple[Row, Row]:
        """Replace one part by fn(part), a new one by fn({}); (the resource without its parts, the
        part). Raises Missing.
        """
        with self._transaction() as db:
            head = self.head(kind, name)
            if head is None:
                raise Missing(f"there is no {kind} {name!r}")
            before = store_parts.one(self._read, kind, name, key)
            part = fn(before)
            store_parts.write(db, kind, name, key, part)
            member = _parts_member(kind)
            changed = [{**head, member: {key: each}} for each in (before, part)]
            self._note(db, kind, *changed)
        return head, part

    def delete(self, kind: str, name: str) -> None:
        """Remove a resource with its tags and its story; nothing happens when it is not there."""
        with self._transaction() as db:
            if self.watch is not None:
                self._note(db, kind, self.get(kind, name), None)
            db.execute(
                "DELETE FROM tags WHERE arn ="
                " (SELECT arn FROM resources WHERE kind = ? AND name = ?)",
                (kind, name),
            )
            db.execute("DELETE FROM resources WHERE kind = ? AND name = ?", (kind, name))
            db.execute("DELETE FROM stories WHERE kind = ? AND name = ?", (kind, name))
            store_parts.delete(db, kind, name)

    def delete_where(self, kind: str, where: Callable[[Row], bool]) -> None:
        """Remove the resources of a kind that match; for kinds without tags, stories, parts."""
        gone = [(seq,) for seq, row in self.numbered(kind) if where(row)]
        with self._transaction() as db:
            db.executemany("DELETE FROM resources WHERE seq = ?", gone)

    def rows(self, kind: str, where: Callable[[Row], bool] | None = None) -> list[Row]:
        """Every resource of a kind, in the order of creation."""
        return [row for _, row in self.numbered(kind) if where is None or where(row)]

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
        rows = [item for item in self.numbered(kind) if where is None or where(item[1])]
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

    def add_points(self, component: str, points: Iterable[Point]) -> None:
        """Add values of metrics to a trial component."""
        with self._transaction() as db:
            store_points.add(db, component, points)

    def points(self, component: str | None = None) -> dict[str, list[Point]]:
        """The points of one component, or of all, oldest first, by its name in lower case."""
        return store_points.of(self._read, component)

    def remove_points(self, component: str) -> None:
        with self._transaction() as db:
            store_points.remove(db, component)

    def outbox(self, most: int) -> list[tuple[int, Row]]:
        """The oldest notes that were not removed yet, each with its number."""
        found = self._read("SELECT seq, note FROM outbox ORDER BY seq LIMIT ?", (most,))
        return [(seq, json.loads(note)) for seq, note in found]

    def outbox_size(self) -> int:
        return int(self._read("SELECT COUNT(*) FROM outbox", ())[0][0])

    def remove_notes(self, up_to: int) -> None:
        """They were told, this one and all before it."""
        with self._transaction() as db:
            db.execute("DELETE FROM outbox WHERE seq <= ?", (up_to,))

    def numbered(self, kind: str) -> list[tuple[int, Row]]:
        """Every resource of a kind with its number, which no other resource of any kind has."""
        found = self._read(
            "SELECT seq, name, body FROM resources WHERE kind = ? ORDER BY seq", (kind,)
        )
        member = _parts_member(kind)
        if member is None:
            return [(seq, json.loads(body)) for seq, _, body in found]
        parts = store_parts.of_all(self._read, kind)
        return [(seq, {**json.loads(body), member: parts[name]}) for seq, name, body in found]

    def _note(
        self, db: sqlite3.Connection, kind: str, before: Row | None, after: Row | None
    ) -> None:
        if self.watch is None or before is after:
            return
        notes = [(_dump(note),) for note in self.watch(kind, before, after)]
        if notes:
            db.executemany("INSERT INTO outbox (note) VALUES (?)", notes)

    def _whole(self, kind: str, name: str, head: Row) -> Row:
        member = _parts_member(kind)
        return head if member is None else {**head, member: store_parts.of(self._read, kind, name)}


def _parts_member(kind: str) -> str | None:
    members = KINDS.get(kind)
    return members.parts if members else None


def _apart(kind: str, row: Row) -> tuple[Row, dict[str, Row]]:
    """A resource cut into what its own row holds, and its parts."""
    member = _parts_member(kind)
    if member is None:
        return row, {}
    return {key: value for key, value in row.items() if key != member}, dict(row[member])


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
