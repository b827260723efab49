"""The instances of one job: names, workspaces, logs; and waiting for the process trees of all.

algo-1 has the job's own workspace and log; the others `<job>.algo-2` ... beside them. A job name
holds no dot, so nothing else is called so.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from local_sagemaker.engine import workspace
from local_sagemaker.processes import Process

ALONE = "algo-1"


@dataclass(frozen=True)
class Host:
    """One instance: its name, what it sees as /opt/ml, and where it prints."""

    name: str
    root: Path
    log: Path


@dataclass(frozen=True)
class End:
    """How the trees of a job ended: the code, and the index of the host whose code it is. Without a
    code, the time was up.
    """

    code: int | None
    host: int = 0


def names(count: int) -> list[str]:
    return [f"algo-{number}" for number in range(1, count + 1)]


def create(home: Path, kind: str, job: str, count: int) -> list[Host]:
    """New workspaces, and the folder of the logs."""
    made = []
    for name in names(count):
        own = job if name == ALONE else f"{job}.{name}"
        log = workspace.log_file(home, kind, own)
        log.parent.mkdir(parents=True, exist_ok=True)
        made.append(Host(name, workspace.create(home, kind, own), log))
    return made


def left_behind(home: Path, kind: str) -> list[Path]:
    """The workspaces of all hosts of all jobs of a kind."""
    folder = home / "jobs" / kind
    return [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []


def logs(home: Path, kind: str, job: str) -> list[Path]:
    """The logs of every host of a job, algo-1's first."""
    first = workspace.log_file(home, kind, job)
    others = first.parent.glob(f"{job}.algo-*.log")
    return [first, *sorted(others, key=lambda path: int(path.stem.rpartition("-")[2]))]


def wait(processes: list[Process], seconds: float, grace_seconds: float) -> End:
    """Until all trees have ended. The first one that fails stops the others, as does the time."""
    deadline = time.monotonic() + seconds
    failed: list[End] = []
    watchers = [
        threading.Thread(target=_watch, args=(index, processes, grace_seconds, failed))
        for index in range(1, len(processes))
    ]
    for watcher in watchers:
        watcher.start()
    in_time = _watch(0, processes, grace_seconds, failed, seconds)
    for process in processes[1:]:
        in_time &= process.wait(max(0.0, deadline - time.monotonic())) is not None
    timed_out = not in_time and not failed
    if timed_out:
        _stop(processes, grace_seconds)
    for process in processes:
        process.wait()
    for watcher in watchers:
        watcher.join()
    if timed_out:
        return End(None)
    return failed[0] if failed else End(0)


def _watch(
    index: int,
    processes: list[Process],
    grace_seconds: float,
    failed: list[End],
    seconds: float | None = None,
) -> bool:
    code = processes[index].wait(seconds)
    if code:
        failed.append(End(code, index))
        _stop(processes, grace_seconds)
    return code is not None


def _stop(processes: list[Process], grace_seconds: float) -> None:
    for process in processes:
        process.stop(grace_seconds)
