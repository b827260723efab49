"""Tuning jobs: one thread each, which starts training jobs until there is nothing left to try.

    trial proposed (search.py) -> written into the row -> CreateTrainingJob -> its end -> next trial

The thread sleeps until the bus tells of one of its training jobs. What it does follows from the
stored rows alone, so that a restarted server goes on from there; a training job that the last
server took down with it counts as failed, as any other.
"""

from __future__ import annotations

import logging
import secrets
import threading
import weakref
from typing import Any

from local_sagemaker.engine import (
    search,
    tuning_definitions,
    tuning_rows,
    tuning_stops,
    warm_start,
)
from local_sagemaker.engine.tuning_definitions import Definition
from local_sagemaker.engine.tuning_rows import CHILD, KIND
from local_sagemaker.errors import ApiError
from local_sagemaker.events import Change
from local_sagemaker.lifecycle import transition
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

log = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
NEVER_SECONDS = float("inf")
STOPPING_SECONDS = 0.1  # when the time is over, until its last jobs have stopped
LOOK_SECONDS = 0.5  # how often logs are read where trials may be stopped early: no bus tells
ALL_FAILED = (
    "All training jobs failed. Please take a look at the training jobs failures to get more "
    "details."
)
NO_OBJECTIVE = (
    "No objective metrics found after running {} training jobs. Please ensure that the custom "
    "algorithm is emitting the objective metric as defined by the regular expression provided."
)


class Running:
    """The tuning jobs that one plane drives now: their threads, and what wakes them."""

    def __init__(self) -> None:
        self.threads: dict[threading.Thread, threading.Event] = {}
        self.closing = False
        self.lock = threading.Lock()


_RUNNING: weakref.WeakKeyDictionary[Plane, Running] = weakref.WeakKeyDictionary()
_RUNNING_LOCK = threading.Lock()


def start(plane: Plane, name: str) -> None:
    """Drive a tuning job that has no end yet, in a thread of its own."""
    wake = threading.Event()
    thread = threading.Thread(target=_run, args=(plane, name, wake), name=f"tuning-{name}")
    thread.daemon = True
    running = _running(plane)
    with running.lock:
        if running.closing:
            return
        running.threads[thread] = wake
    thread.start()


def recover(plane: Plane) -> None:
    """Continue every tuning job that a former life of the server left unfinished."""
    for row in plane.store.rows(KIND):
        if row["HyperParameterTuningJobStatus"] in tuning_rows.RUNNING:
            start(plane, row["HyperParameterTuningJobName"])


def close(plane: Plane) -> None:
    """Before the store is closed: end the threads where they are; recover() goes on from there."""
    running = _running(plane)
    with running.lock:
        running.closing = True
        threads = dict(running.threads)
    for wake in threads.values():
        wake.set()
    for thread in threads:
        thread.join(CLOSE_SECONDS)


def _running(plane: Plane) -> Running:
    with _RUNNING_LOCK:
        return _RUNNING.setdefault(plane, Running())


def _run(plane: Plane, name: str, wake: threading.Event) -> None:
    running = _running(plane)

    def heard(change: Change) -> None:
        if change.kind in (KIND, CHILD) and change.name.lower().startswith(name.lower()):
            wake.set()

    unsubscribe = plane.bus.subscribe(heard)
    try:
        _drive(plane, name, wake, running)
    except Exception:  # the thread's edge: nobody above would tell
        log.exception("tuning job cannot go on name=%s", name)
        if not running.closing:
            _fail(plane, name, "InternalServerError: it could not go on; the server's log says why")
    finally:
        unsubscribe()
        with running.lock:
            running.threads.pop(threading.current_thread(), None)


def _drive(plane: Plane, name: str, wake: threading.Event, running: Running) -> None:
    while True:
        wake.clear()
        if running.closing:  # asked last: what was just cleared may have been this
            return
        row = plane.store.get(KIND, name)
        if row is None or _step(plane, row):
            return
        seconds = min(
            LOOK_SECONDS if tuning_stops.looks(row) else NEVER_SECONDS,
            tuning_stops.seconds_left(plane, row),
        )
        if seconds < NEVER_SECONDS:
            plane.clock.wait(wake, max(seconds, STOPPING_SECONDS))
        else:
            wake.wait()


def _step(plane: Plane, row: Row) -> bool:
    """Do what is to be done now; True when the tuning job has ended."""
    name = row["HyperParameterTuningJobName"]
    stopping = row["HyperParameterTuningJobStatus"] == "Stopping"
    if not stopping:
        _create_missing(plane, row)
    found = tuning_rows.summaries(plane, row)
    active = [each for each in found if tuning_rows.is_running(each)]
    if stopping:
        return _stop_all(plane, name, active)
    late = tuning_stops.seconds_left(plane, row) <= 0
    enough = late or _has_enough(row, found)
    if enough and not active:
        _complete(plane, row, found)
        return True
    for each in active if late else tuning_stops.hopeless(plane, row, found):
        _stop_child(plane, each)
    parallel = row["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"]
    if not enough and len(active) < parallel:
        return _launch(plane, row, found)  # its announcement wakes us for the next one
    return False


def _has_enough(row: Row, found: list[Row]) -> bool:
    wanted = tuning_definitions.jobs_wanted(row)
    return len(row["Trials"]) >= wanted or tuning_stops.is_satisfied(row, found)


def _launch(plane: Plane, row: Row, found: list[Row]) -> bool:
    """Start the next trial; True when it cannot start, which ends the tuning job."""
    name, number = row["HyperParameterTuningJobName"], len(row["Trials"]) + 1
    definition = tuning_definitions.deal(row)
    trial = {
        "TrainingJobName": child_name(name, number, secrets.token_hex(4)),
        "TunedHyperParameters": _proposal(row, definition, found),
        **({tuning_definitions.NAME: definition.name} if definition.name else {}),
    }
    row = plane.store.edit(KIND, name, lambda r: {**r, "Trials": [*r["Trials"], trial]})
    try:
        _create(plane, row, trial)
    except ApiError as refused:
        _fail(plane, name, f"ClientError: {refused.message}")
        return True
    return False


def _proposal(row: Row, definition: Definition, found: list[Row]) -> search.Parameters:
    """The next point of a definition's own search."""
    own = tuning_definitions.own(definition, found)
    question = search.Question(
        ranges=definition.ranges,
        seed=row["Seed"],
        number=len(tuning_definitions.own(definition, row["Trials"])) + 1,
        trials=warm_start.known(row, definition, [tuning_rows.trial(each) for each in own]),
        maximize=definition.is_maximized,
    )
    return search.propose(row["HyperParameterTuningJobConfig"]["Strategy"], question)


def child_name(name: str, number: int, tail: str) -> str:
    """`<tuning job>-001-1f2e3d4c`, as AWS names them."""
    return f"{name}-{number:03d}-{tail}"


def _create_missing(plane: Plane, row: Row) -> None:
    """A server that was killed between the two writes of _launch leaves a trial without its job."""
    for trial in row["Trials"]:
        if plane.store.get(CHILD, trial["TrainingJobName"]) is None:
            _create(plane, row, trial)


def _create(plane: Plane, row: Row, trial: Row) -> None:
    name, arn = trial["TrainingJobName"], row["HyperParameterTuningJobArn"]
    definition = tuning_definitions.of(row, trial)
    request = tuning_definitions.child_request(definition, name, trial["TunedHyperParameters"])
    tags = plane.store.tags(arn)
    plane.call("CreateTrainingJob", {**request, **({"Tags": tags} if tags else {})})
    plane.store.edit(CHILD, name, lambda child: {**child, "TuningJobArn": arn})


def _stop_all(plane: Plane, name: str, active: list[Row]) -> bool:
    for each in active:
        _stop_child(plane, each)
    if not active:
        _end(plane, name, "Stopped", "")
    return not active


def _fail(plane: Plane, name: str, reason: str) -> None:
    """The end of a tuning job that cannot go on: none of its training jobs outlives it."""
    row = plane.store.get(KIND, name)
    for each in tuning_rows.summaries(plane, row) if row else ():
        _stop_child(plane, each)
    _end(plane, name, "Failed", reason)


def _stop_child(plane: Plane, summary: Row) -> None:
    if summary["TrainingJobStatus"] != "InProgress":
        return
    try:
        plane.call("StopTrainingJob", {"TrainingJobName": summary["TrainingJobName"]})
    except ApiError as refused:  # it has ended by itself meanwhile
        log.info("training job was not stopped: %s", refused.message)


def _complete(plane: Plane, row: Row, found: list[Row]) -> None:
    name = row["HyperParameterTuningJobName"]
    if tuning_rows.best(row, found) is not None:
        _end(plane, name, "Completed", "")
    elif all(each["TrainingJobStatus"] == "Failed" for each in found):
        _end(plane, name, "Failed", ALL_FAILED)
    else:
        _end(plane, name, "Failed", NO_OBJECTIVE.format(len(found)))


def _end(plane: Plane, name: str, status: str, reason: str) -> None:
    members: dict[str, Any] = {"HyperParameterTuningEndTime": plane.clock.now()}
    if reason:
        members["FailureReason"] = reason[:1024]
    transition(plane, KIND, name, status, **members)
