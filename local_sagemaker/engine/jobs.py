"""Running jobs: a pool of slots, and the one road every job takes from InProgress to its end.

inputs from S3 -> workspace -> process tree -> outputs to S3 -> Completed | Failed | Stopped

What a processing and a training job do differently stands in processing.py and training.py; a
transform job drives itself (transform.py). A job that was running when the server died is Failed at
the next start: recover().
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local_sagemaker import config, images, lifecycle, overlays
from local_sagemaker.engine import (
    hosts,
    inputs,
    piping,
    processing,
    shipping,
    training,
    transform,
    workspace,
)
from local_sagemaker.engine.hosts import Host
from local_sagemaker.engine.job_type import (
    COMPLETED,
    FAILED,
    STOPPED,
    TIMED_OUT,
    DrivenJob,
    JobFailure,
    JobKind,
    JobType,
    Outcome,
)
from local_sagemaker.engine.syncing import Sync
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.plane import Plane
from local_sagemaker.processes import Process, ProcessSpec, ProcessStartError
from local_sagemaker.storage import StorageError
from local_sagemaker.store import KINDS, Row

log = logging.getLogger(__name__)

JOBS: tuple[JobType | DrivenJob, ...] = (processing.JOB, training.JOB, transform.JOB)
JOB_TYPES = {job.kind: job for job in JOBS}
SEVERAL_HOSTS = (
    "several instances run on this machine: each has its own /opt/ml, all are 127.0.0.1, and the "
    "names algo-1 ... do not resolve",
    "several instances run on this machine, each with its own /opt/ml: with EnableNetworkIsolation "
    "they cannot reach each other either, as they could at AWS",
)  # without and with EnableNetworkIsolation
INTERRUPTED = "InternalServerError: the local SageMaker was stopped while this job ran"


@dataclass(eq=False)
class Running:
    """A job that waits for a slot or has one."""

    stop: threading.Event = field(default_factory=threading.Event)
    processes: list[Process] = field(default_factory=list)
    cluster: list[Host] = field(default_factory=list)
    future: Future[None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    broken: bool = False  # one of its hosts cannot go on: what starts now is ended


class Pool:
    """The slots of one plane, and what runs in them."""

    def __init__(self, slots: int) -> None:
        self.executor = ThreadPoolExecutor(slots, thread_name_prefix="job")
        self.running: dict[tuple[str, str], Running] = {}
        self.closing = False


_POOLS: weakref.WeakKeyDictionary[Plane, Pool] = weakref.WeakKeyDictionary()
_POOLS_LOCK = threading.Lock()


def start_processing_job(plane: Plane, name: str) -> None:
    _submit(plane, "processing-job", name)


def start_training_job(plane: Plane, name: str) -> None:
    _submit(plane, "training-job", name)


def start_transform_job(plane: Plane, name: str) -> None:
    _submit(plane, "transform-job", name)


def stop(plane: Plane, kind: str, name: str) -> None:
    """Ask a job to end: SIGTERM, a grace, SIGKILL. Raises ApiError when it has ended meanwhile."""
    try:
        row = plane.store.get(kind, name) or {}
        now = plane.clock.now()
        members = JOB_TYPES[kind].stage(row, "Stopping", now)
        lifecycle.transition(plane, kind, name, "Stopping", **members)
    except lifecycle.IllegalTransition as cause:
        raise validation(f"The request was rejected because the job has ended: {cause}") from cause
    running = _pool(plane).running.get((kind, name))
    if running is None:
        return
    with running.lock:
        running.stop.set()
        for process in running.processes:
            process.stop(JOB_TYPES[kind].grace_seconds)
    if running.future is not None and running.future.cancel():
        _finish(plane, JOB_TYPES[kind], name, Outcome(STOPPED), {})


def close(plane: Plane) -> None:
    """Before the processes are killed: from now on no ending is written; recover() will tell the
    truth.
    """
    pool = _pool(plane)
    pool.closing = True
    pool.executor.shutdown(wait=False, cancel_futures=True)


def join(plane: Plane) -> None:
    """After the processes were killed: until no job's thread is left."""
    _pool(plane).executor.shutdown(wait=True)
    shipping.of(plane).close()


def recover(plane: Plane) -> None:
    """At boot: no job of the last server runs. Those without an end are Failed (or Stopped), and
    what its jobs had not cleared away is.
    """
    for job in JOB_TYPES.values():
        status = lifecycle.TABLES[job.kind].member
        for row in plane.store.rows(job.kind):
            if row[status] in ("InProgress", "Stopping"):
                _interrupted(plane, job, row[name_member(job)], row[status])
        for root in hosts.left_behind(plane.config.home, job.kind):
            workspace.clear(root)


def _interrupted(plane: Plane, job: JobKind, name: str, status: str) -> None:
    if status == "Stopping":
        _finish(plane, job, name, Outcome(STOPPED), {})
    else:
        _finish(plane, job, name, Outcome(FAILED), {"FailureReason": INTERRUPTED})


def _pool(plane: Plane) -> Pool:
    with _POOLS_LOCK:
        return _POOLS.setdefault(plane, Pool(plane.config.slots))


def _submit(plane: Plane, kind: str, name: str) -> None:
    pool = _pool(plane)
    running = Running()
    pool.running[kind, name] = running
    running.future = pool.executor.submit(_run, plane, JOB_TYPES[kind], name, running)
    running.future.add_done_callback(lambda _: pool.running.pop((kind, name), None))


def _run(plane: Plane, job: JobType | DrivenJob, name: str, running: Running) -> None:
    """The whole life of a job, in its slot; every way out of it ends in a status.

    Nobody who waits for that status waits for the workspace to be cleared.
    """
    try:
        _live(plane, job, name, running)
    finally:
        for host in running.cluster:
            workspace.clear(host.root)


def _live(plane: Plane, job: JobType | DrivenJob, name: str, running: Running) -> None:
    try:
        outcome, members = _carry_out(plane, job, name, running)
    except JobFailure as failure:
        outcome, members = Outcome(FAILED), {"FailureReason": str(failure)}
    except Exception as failure:
        if _pool(plane).closing:
            return
        outcome, members = Outcome(FAILED), {"FailureReason": _unexpected(plane, failure)}
        log.exception("a job failed inside kind=%s name=%s", job.kind, name)
    if not _pool(plane).closing:
        _finish(plane, job, name, outcome, members)


def _carry_out(
    plane: Plane, job: JobType | DrivenJob, name: str, running: Running
) -> tuple[Outcome, Row]:
    row = plane.store.get(job.kind, name)
    if row is None:
        raise JobFailure("InternalServerError: the job's row is gone")
    if isinstance(job, DrivenJob):
        return job.drive(plane, row, running)
    cluster = hosts.create(plane.config.home, job.kind, name, job.instance_count(row))
    running.cluster = cluster
    streams = _open_streams(plane, job, name, cluster)
    try:
        with _Translated("download"):
            _enter(plane, job, name, "Downloading")
            for host in cluster:
                job.lay_out(plane, row, host.root, host.name)
            wanted, roots = job.inputs(row), [host.root for host in cluster]
            inputs.download(plane, wanted, roots)
            pipes = piping.Pipes(plane, wanted, roots, lambda: _kill(running))
        if running.stop.is_set():
            return Outcome(STOPPED), {}
        _enter(plane, job, name, "Training")
        with _synced(plane, job, row, cluster) as syncs, pipes:
            outcome = _execute(plane, job, row, cluster, running)
        if _pool(plane).closing:
            return outcome, {}
        pipes.check()
        return outcome, _deliver(plane, job, row, cluster, outcome, syncs)
    finally:
        for stream in streams:
            shipping.of(plane).finish(stream)


def _open_streams(
    plane: Plane, job: JobType, name: str, cluster: list[Host]
) -> list[shipping.Stream]:
    """The log streams in CloudWatch, as AWS names them: with the time of the start."""
    now = int(plane.clock.now())
    return [
        shipping.of(plane).open(job.kind, f"{name}/{host.name}-{now}", host.log) for host in cluster
    ]


@contextmanager
def _synced(plane: Plane, job: JobType, row: Row, cluster: list[Host]) -> Iterator[list[Sync]]:
    """While the job runs, its folders of that kind go to S3."""
    folders = job.synced(row)
    syncs = [
        Sync(plane, [(workspace.at(host.root, path), uri) for path, uri in folders])
        for host in cluster
    ]
    for each in syncs:
        each.start()
    try:
        yield syncs
    finally:
        for each in syncs:
            each.stop()


def _deliver(
    plane: Plane, job: JobType, row: Row, cluster: list[Host], outcome: Outcome, syncs: list[Sync]
) -> Row:
    """All that is done with what the processes left; members for the job's row."""
    name, root = row[name_member(job)], cluster[0].root
    with _Translated("upload"):
        if outcome.end != FAILED:
            _enter(plane, job, name, "Uploading")
        for each in syncs:
            each.once()
        if len(cluster) > 1:
            job.gather(row, [host.root for host in cluster], outcome)
        delivered = job.deliver(plane, row, root, outcome)
    row = plane.store.get(job.kind, name) or row
    return {**delivered, **job.closing(plane, row, root, outcome)}


def _execute(
    plane: Plane, job: JobType, row: Row, cluster: list[Host], running: Running
) -> Outcome:
    try:
        specs = _specs(plane, job, row, cluster)
        with running.lock:
            if running.stop.is_set():
                return Outcome(STOPPED)
            _start(plane, specs, running)
    except ApiError as cause:
        raise JobFailure(f"ClientError: {cause.message}") from cause
    except ProcessStartError as cause:
        raise JobFailure(f"InternalServerError: {cause}") from cause
    end = hosts.wait(running.processes, job.max_runtime_seconds(row), job.grace_seconds)
    if running.stop.is_set():
        return Outcome(STOPPED, end.code or 0, end.host)
    if end.code is None:
        return Outcome(TIMED_OUT, running.processes[0].exit_code or 0)
    return Outcome(FAILED if end.code else COMPLETED, end.code, end.host)


def _specs(plane: Plane, job: JobType, row: Row, cluster: list[Host]) -> list[ProcessSpec]:
    image = images.resolve(job.image_uri(row), plane.own_images)
    home = plane.config.home
    isolated = job.isolated(row)
    notes = [*image.notes, *job.notes(row)]
    notes += [SEVERAL_HOSTS[isolated]] if len(cluster) > 1 else []
    base = base_environment(plane, len(cluster))
    environment = overlays.environment(home, {**base, **job.environment(row)})
    command = job.command(row, image)
    for host in cluster:
        _note(host.log, notes)
    return [
        ProcessSpec(
            f"{job.kind}/{host.log.stem}",
            command,
            environment,
            host.root,
            host.log,
            path=overlays.path(home),
            network=not isolated,
        )
        for host in cluster
    ]


def _start(plane: Plane, specs: list[ProcessSpec], running: Running) -> None:
    """All of them, or none: what was started is killed when another cannot be."""
    try:
        for spec in specs:
            running.processes.append(plane.processes.start(spec))
    except ProcessStartError:
        for process in running.processes:
            process.stop(0)
            process.wait()
        raise


def _kill(running: Running) -> None:
    with running.lock:
        for process in running.processes:
            process.stop(0)


def base_environment(plane: Plane, instances: int = 1) -> dict[str, str]:
    """What every job's environment begins with: where AWS is, and its share of the cores."""
    threads = str(max(1, (os.cpu_count() or 1) // plane.config.slots // instances))
    return {
        **config.client_environment(plane.config),
        **plane.config.archive_limits.variables(),
        "SM_NUM_CPUS": threads,
        "OMP_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1",
    }


def name_member(job: JobKind) -> str:
    return KINDS[job.kind].name


def _enter(plane: Plane, job: JobType, name: str, stage: str) -> None:
    now = plane.clock.now()

    def change(row: Row) -> Row:
        return {**row, **job.stage(row, stage, now), "LastModifiedTime": now}

    plane.store.edit(job.kind, name, change)


def _finish(plane: Plane, job: JobKind, name: str, outcome: Outcome, members: Row) -> None:
    row = plane.store.get(job.kind, name) or {}
    status = STOPPED if outcome.end == TIMED_OUT else outcome.end
    staged = job.stage(row, outcome.end, plane.clock.now())
    lifecycle.transition(plane, job.kind, name, status, **staged, **members)
    log.info("job ended kind=%s name=%s status=%s", job.kind, name, status)


def _note(log_path: Path, notes: Iterable[str]) -> None:
    with log_path.open("a") as file:
        file.writelines(f"[local-sagemaker] {note}\n" for note in notes)


def _unexpected(plane: Plane, failure: Exception) -> str:
    """The FailureReason for what nobody foresaw, a full disk among it."""
    if isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(plane.config.home).free
        return (
            f"ClientError: no space left on device for the workspace: {plane.config.home} has "
            f"{free} bytes free; free some, or set LOCAL_SAGEMAKER_HOME to a larger disk"
        )
    return f"InternalServerError: {type(failure).__name__}: {failure}"[:1024]


class _Translated:
    """Turn what S3 says while data is moved into the FailureReason of a job."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StorageError):
            raise JobFailure(f"ClientError: Data {self._what} failed: {error}"[:1024]) from error
