"""Keeps lineage of what happens to jobs, model packages and endpoints, off the threads they run in.

The bus only leaves word here; a thread writes half a second later, and whoever reads or writes
lineage has everything written first (`catch_up`), so nobody sees less than has happened. What of a
resource was written, and a note that it was, are one transaction. A killed server left resources
without their note: they are found once, at the start. What a user has changed or deleted since
stays so. A recorded resource may be deleted; its lineage stays, as at AWS.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Any

from local_sagemaker.arns import arn
from local_sagemaker.engine import lineage, lineage_records
from local_sagemaker.engine.lineage import DEFAULT_GROUP, GROUP, JOBS
from local_sagemaker.engine.lineage_records import Record
from local_sagemaker.events import Change
from local_sagemaker.plane import Plane
from local_sagemaker.store import KINDS, Row

log = logging.getLogger(__name__)

NOTE = "lineage-note"  # kind of a row of ours: how far a resource's lineage is written
PAUSE_SECONDS = 0.5
PACKAGE, PACKAGE_GROUP, ENDPOINT = "model-package", "model-package-group", "endpoint"
# Statuses that pass by themselves.
MOVING = ("InProgress", "Stopping", "Creating", "Updating", "SystemUpdating", "RollingBack")
RECORDED = (*JOBS, PACKAGE_GROUP, PACKAGE, ENDPOINT)


class Recorder:
    """The changes that are not written yet, and the thread that writes them."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._waiting: dict[tuple[str, str, str], Row] = {}
        self._moving: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._unsubscribe = plane.bus.subscribe(self._hear)
        self._thread = threading.Thread(target=self._run, name="lineage", daemon=True)

    def start(self) -> None:
        """What the last server did not write comes first."""
        for kind in RECORDED:
            for row in self._plane.store.rows(kind):
                if not self._is_written(kind, row):
                    self._leave(kind, row[KINDS[kind].arn], "before", row)
        self._thread.start()

    def close(self) -> None:
        self._unsubscribe()
        self._closing.set()
        self._news.set()
        self._thread.join()

    def catch_up(self) -> None:
        """Write what is not written yet; when this returns, all that was published before is."""
        with lineage.exclusive(self._plane):
            self._look_at_what_moves()
            for kind, row in self._taken():
                try:
                    self._write(kind, row)
                except Exception:  # one resource's surprise must not leave the others out
                    name = row[KINDS[kind].name]
                    log.exception("lineage not written till the next start %s=%s", kind, name)

    def _hear(self, change: Change) -> None:
        if change.kind not in RECORDED:
            return
        with self._lock:
            if change.after_status in MOVING:
                self._moving.add((change.kind, change.name))
            else:
                self._moving.discard((change.kind, change.name))
        self._leave_change(change.kind, change.name, change.row)

    def _leave_change(self, kind: str, name: str, row: Row) -> None:
        state = _state(kind, row)
        if state is not None:
            self._leave(kind, name, "" if kind in JOBS else state, row)  # a job's last tells all

    def _look_at_what_moves(self) -> None:
        """What has settled is in the store a moment before it is published."""
        with self._lock:
            moving = list(self._moving)
        for kind, name in moving:
            row = self._plane.store.get(kind, name)
            if row is not None and row[str(KINDS[kind].status)] not in MOVING:
                self._leave_change(kind, name, row)

    def _leave(self, kind: str, name: str, state: str, row: Row) -> None:
        with self._lock:
            self._waiting[kind, name, state] = row
        self._news.set()

    def _taken(self) -> list[tuple[str, Row]]:
        with self._lock:
            taken = [(kind, row) for (kind, _, _), row in self._waiting.items()]
            self._waiting.clear()
        return taken

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._plane.clock.wait(self._closing, PAUSE_SECONDS)
            self._news.clear()
            if self._closing.is_set():  # asked last: the news just cleared may have been this
                return
            self.catch_up()

    def _is_written(self, kind: str, row: Row) -> bool:
        state = _state(kind, row)
        note = self._plane.store.get(NOTE, _note(kind, row))
        return state is None or (note is not None and note["State"] == state)

    def _write(self, kind: str, row: Row) -> None:
        """One resource, in one transaction."""
        if self._is_written(kind, row):
            return
        record = _record(self._plane, kind, row)
        note = {"State": _state(kind, row)}
        with lineage.exclusive(self._plane), self._plane.store.together():
            _store(self._plane, record)
            self._plane.store.delete(NOTE, _note(kind, row))
            self._plane.store.insert(NOTE, _note(kind, row), note)


def _note(kind: str, row: Row) -> str:
    """The note's name; a resource's own may be used again."""
    return f"{row[KINDS[kind].arn]} {row['CreationTime']}"


def _state(kind: str, row: Row) -> str | None:
    """What of a resource its lineage depends on; None while there is nothing to record."""
    if kind in JOBS:
        return str(row[str(KINDS[kind].status)])
    if kind == PACKAGE:
        return str(row.get("ModelApprovalStatus", ""))
    if kind == ENDPOINT:
        return str(row["EndpointConfigName"]) if row["EndpointStatus"] == "InService" else None
    return "created"


def _record(plane: Plane, kind: str, row: Row) -> Record:
    look = plane.store.get
    if kind in JOBS:
        return lineage_records.job(plane.config, kind, row, look)
    if kind == PACKAGE:
        return lineage_records.package(plane.config, row, look)
    if kind == ENDPOINT:
        return lineage_records.deployment(plane.config, row, look)
    return lineage_records.group(plane.config, row)


def _store(plane: Plane, record: Record) -> None:
    """What is there already stays as it is: AWS reuses entities."""
    for kind, request in record.entities:
        row = lineage.new(plane, kind, request)
        key = row[KINDS[kind].name]
        there = plane.store.get(kind, key)
        if there is None:
            plane.store.insert(kind, key, row)
        elif kind == lineage.CONTEXT and row["Properties"] and not there["Properties"]:
            # The first execution that registers a version is noted with a group made before it.
            plane.store.edit(kind, key, _with(Properties=row["Properties"]))
    for source, destination, type_ in record.associations:
        if plane.store.get(lineage.ASSOCIATION, lineage.key(source.arn, destination.arn)) is None:
            lineage.associate(plane, source, destination, type_)


def _with(**members: Any) -> Any:
    return lambda row: {**row, **members}


_RECORDERS: weakref.WeakKeyDictionary[Plane, Recorder] = weakref.WeakKeyDictionary()


def recover(plane: Plane) -> None:
    """Begin to record; what the last server did not come to is recorded now."""
    its_arn = arn(plane.config, GROUP, DEFAULT_GROUP)
    now = plane.clock.now()
    if plane.store.get(GROUP, DEFAULT_GROUP) is None:
        row = {"LineageGroupName": DEFAULT_GROUP, "LineageGroupArn": its_arn, "CreatedBy": {}}
        more = {"DisplayName": DEFAULT_GROUP, "CreationTime": now, "LastModifiedTime": now}
        plane.store.insert(GROUP, DEFAULT_GROUP, {**row, **more, "LastModifiedBy": {}})
    recorder = _RECORDERS[plane] = Recorder(plane)
    recorder.start()


def catch_up(plane: Plane) -> None:
    if plane in _RECORDERS:
        _RECORDERS[plane].catch_up()


def close(plane: Plane) -> None:
    recorder = _RECORDERS.pop(plane, None)
    if recorder is not None:
        recorder.close()
