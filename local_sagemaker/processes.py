"""Processes: start, wait for, stop one process tree with its own workspace as /opt/ml.

The server's side of launcher.py, and all that the rest of the local SageMaker sees of the operating
system. Two launchers are kept: a slim one that executes anything, and one with the libraries of
`config.preload` imported, which takes Python commands over in milliseconds. Until that one is ready
(3-4 s after the start) jobs are executed plainly: waiting would only be quicker for jobs that
import the very same libraries, and would stop all others for nothing.

No tree outlives the server, `kill -9` included. A launcher that dies is replaced, and its trees end
with code 137.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from local_sagemaker import takeover
from local_sagemaker.config import Config
from local_sagemaker.isolation import NONE, Isolation

log = logging.getLogger(__name__)
KILLED = 137
SLIM, PREIMPORTED = "slim", "pre-imported"


class ProcessStartError(Exception):
    """A process tree could not be started at all; the message says why."""


@dataclass(frozen=True)
class ProcessSpec:
    """One process tree to be. `workspace` becomes /opt/ml, `log` gets stdout and stderr (appended).

    `env` is laid over the server's environment without its AWS and Python variables. `cwd` is a
    path as the program sees it, /opt/ml when None. `preimported=False` keeps a long-lived process
    slim: it is executed, not forked.
    `path`: folders that come before our python's on PATH. `network=False`: loopback alone.
    """

    name: str
    command: list[str]
    env: dict[str, str]
    workspace: Path
    log: Path
    cwd: str | None = None
    preimported: bool = True
    path: tuple[str, ...] = ()
    network: bool = True


@dataclass(frozen=True)
class Usage:
    """What a whole tree used (children that it never waited for excepted).

    A forked Python job starts with the launcher's imported pages: they count in its peak memory.
    """

    cpu_seconds: float = 0.0
    max_rss_bytes: int = 0


@dataclass(eq=False)
class Process:
    """A process tree that was started; `ended` is set once exit_code, reason, usage are final."""

    name: str
    number: int
    link: Link
    pid: int = 0
    exit_code: int | None = None
    reason: str = ""
    usage: Usage = Usage()
    ended: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    refused: bool = False

    @property
    def alive(self) -> bool:
        return not self.ended.is_set()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code (0..255, 128 + n after signal n), or None when `timeout` seconds were not
        enough.
        """
        self.ended.wait(timeout)
        return self.exit_code

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL for the whole tree after the grace (at once when 0). Returns at
        once: wait().
        """
        if self.alive:
            self.link.send(do="stop", number=self.number, grace=grace_seconds)


class Processes:
    """Every process tree of one local SageMaker. Safe to call from any thread."""

    def __init__(self, config: Config) -> None:
        self._preload = config.preload
        self._lock = threading.Lock()
        self._closed = False
        self._links = {PREIMPORTED: Link(PREIMPORTED, self._preload)}

    @property
    def isolation(self) -> str:
        """How trees are kept apart on this machine, in words; waits for the first launcher to find
        out.
        """
        link = self._link(PREIMPORTED)
        link.answered.wait()
        return link.isolation.describe()

    def start(self, spec: ProcessSpec) -> Process:
        """Start the tree; raises ProcessStartError when it cannot (no workspace, no process left
        ...).

        A command that does not exist is no refusal: its tree ends with 127 and says so in its log,
        as in a shell.
        """
        process = self._choose(spec).start(spec)
        process.answered.wait()
        if process.refused:
            raise ProcessStartError(f"process {spec.name!r} was not started: {process.reason}")
        return process

    def wait_until_preimported(self, timeout: float | None = None) -> bool:
        """Until Python jobs are forked (True); False when they never will be, or not in `timeout`
        seconds.
        """
        link = self._link(PREIMPORTED)
        return link.answered.wait(timeout) and link.usable

    @property
    def closed(self) -> bool:
        """True from the moment that close() was called: trees that end now were killed by it."""
        return self._closed

    def close(self) -> None:
        """Kill every tree and both launchers, and wait until they are gone."""
        with self._lock:
            self._closed = True
            links = list(self._links.values())
        for link in links:
            link.close()

    def _choose(self, spec: ProcessSpec) -> Link:
        if spec.preimported and takeover.is_our_python(spec.command[0]):
            link = self._link(PREIMPORTED)
            if link.answered.is_set() and link.usable:
                return link
        return self._link(SLIM)

    def _link(self, kind: str) -> Link:
        with self._lock:
            if self._closed:
                raise ProcessStartError("the local SageMaker is shutting down")
            link = self._links.get(kind)
            if link is None or link.broken:
                if link is not None:
                    log.warning("starting a new launcher kind=%s: the last one died", kind)
                link = Link(kind, self._preload if kind == PREIMPORTED else None)
                self._links[kind] = link
            return link


class Link:
    """The wire to one launcher: sends wishes, and in its own thread hears what became of them."""

    def __init__(self, kind: str, preload: tuple[str, ...] | None) -> None:
        self.kind = kind
        self.isolation: Isolation = NONE
        self.usable = False
        self.broken = False
        self.answered = threading.Event()
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._processes: dict[int, Process] = {}
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._launcher = _spawn(theirs.fileno(), preload)
        self._reader = threading.Thread(target=self._hear, name=f"launcher-{kind}", daemon=True)
        self._reader.start()

    def start(self, spec: ProcessSpec) -> Process:
        process = Process(spec.name, next(self._numbers), self)
        with self._lock:
            self._processes[process.number] = process
        self.send(
            do="start",
            number=process.number,
            command=spec.command,
            env=spec.env,
            workspace=str(spec.workspace.absolute()),
            log=str(spec.log.absolute()),
            cwd=spec.cwd,
            path=spec.path,
            network=spec.network,
        )
        if (
            self.broken
        ):  # it died before or while we wrote: its thread may not have seen this process
            self._lose_all()
        return process

    def send(self, **message: Any) -> None:
        with contextlib.suppress(OSError), self._lock:  # a dead launcher is noticed by the reader
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        """The end of the socket is the launcher's order to kill everything and go."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._reader.join()

    def _hear(self) -> None:
        with self._socket.makefile("rb") as lines, contextlib.suppress(ConnectionResetError):
            for line in lines:
                self._heard(json.loads(line))
        self.broken = True
        self._launcher.wait()
        self.usable = False
        self.answered.set()
        self._lose_all()
        self._socket.close()

    def _heard(self, message: dict[str, Any]) -> None:
        if message["event"] == "ready":
            self._ready(message)
            return
        with self._lock:
            process = self._processes[message["number"]]
            if message["event"] != "started":
                del self._processes[process.number]
        if message["event"] == "started":
            process.pid = message["pid"]
        elif message["event"] == "refused":
            process.refused = True
            _end(process, KILLED, message["reason"])
        else:
            process.usage = Usage(message["cpu_seconds"], int(message["max_rss_bytes"]))
            _end(process, message["code"], "")
        process.answered.set()

    def _ready(self, message: dict[str, Any]) -> None:
        self.isolation = Isolation(**message["isolation"])
        self.usable = not message["problem"]
        if message["problem"]:
            log.warning("Python jobs will not be forked but executed: %s", message["problem"])
        self.answered.set()

    def _lose_all(self) -> None:
        """The launcher is gone, and its trees with it: their supervisors saw their pipes end."""
        with self._lock:
            lost, self._processes = list(self._processes.values()), {}
        for process in lost:
            _end(process, KILLED, "the launcher of the local SageMaker's processes died")
            process.answered.set()


def _end(process: Process, code: int, reason: str) -> None:
    process.exit_code, process.reason = code, reason
    process.ended.set()


def _spawn(descriptor: int, preload: tuple[str, ...] | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "local_sagemaker.launcher", "--socket", str(descriptor)]
    if preload is not None:
        command += ["--preload", ",".join(preload)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.__stderr__,
        cwd=Path(__file__).parent.parent,
        # Nothing that changes where modules are found: jobs inherit the launcher's module path.
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        pass_fds=[descriptor],
        start_new_session=True,
    )
