"""A local plane of a benchmark's own: private home, free ports, and what its process tree costs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

SAMPLE_SECONDS = 0.2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def plane(home: Path, preload: str) -> Iterator[dict[str, str]]:
    """The environment in which every command of ours uses this plane."""
    environment = {**os.environ, "LOCAL_SAGEMAKER_HOME": str(home)}
    ports = ["--port", str(free_port()), "--s3-port", str(free_port())]
    command(environment, "up", *ports, "--preload", preload)
    try:
        yield environment
    finally:
        command(environment, "down")


def command(environment: dict[str, str], *words: str) -> str:
    """`python -m local_sagemaker ...`; what it printed. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-m", "local_sagemaker", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def plane_tree(environment: dict[str, str]) -> list[psutil.Process]:
    """The server and everything below it."""
    status: dict[str, Any] = json.loads(command(environment, "status", "--json"))
    server = psutil.Process(int(status["pid"]))
    return [server, *server.children(recursive=True)]


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """User and system time of these processes and of the children they have waited for."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


class PeakMemory:
    """Largest sum of proportional set sizes (bytes) of some process trees, sampled."""

    def __init__(self, roots: list[psutil.Process]) -> None:
        self.peak = 0
        self._roots = roots
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(_pss(process) for process in self._tree()))

    def _tree(self) -> set[psutil.Process]:
        found = set()
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                found |= {root, *root.children(recursive=True)}
        return found


def _pss(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(process.memory_full_info().pss)
    return 0
