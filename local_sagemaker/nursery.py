"""Guards: the first process of a tree that the pre-imported launcher forks, made where forks are
cheap.

    launcher --fork (before it imports)--> nursery --fork--> guard: process 1 of a new pid namespace
    launcher --setns, fork--> the program: a process of that namespace, the launcher's own child

A fork of the pre-imported launcher costs 3 ms and its end as much again, so only the program is
one. The guard collects orphans and knows nothing of the job. Its pipe ends when the launcher lets
go of it (or is gone): then it ends, and the kernel kills whatever is left in its namespace. The
nursery tells when that has happened, and what the orphans used.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from dataclasses import dataclass
from typing import NoReturn

from local_sagemaker import isolation, supervisor
from local_sagemaker.isolation import Isolation


@dataclass(frozen=True)
class Guard:
    """A namespace that waits for its program: the guard's pid as the nursery knows it, two files.

    Closing `control` ends the guard and everybody in its namespace.
    """

    pid: int
    control: int
    pids: int


@dataclass(frozen=True)
class Gone:
    """A guard that has ended, nobody is left; what it and the orphans it collected used."""

    pid: int
    cpu_seconds: float
    max_rss: int


class Nursery:
    """The launcher's end of the wire: one guard is always kept in reserve."""

    def __init__(self, isolated: Isolation) -> None:
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            self.link.close()
            _serve(theirs, isolated)
        theirs.close()
        self._spare: list[Guard] = []
        self._gone: list[Gone] = []
        self._refusal = ""
        self._ask()

    def take(self) -> Guard:
        """The guard in reserve. Raises OSError when the nursery cannot make one."""
        if self._refusal:
            self._refusal = ""
            self._ask()
        while not self._spare:
            self.hear()
            if self._refusal:
                raise OSError(self._refusal)
        self._ask()
        return self._spare.pop()

    def hear(self) -> None:
        """Take in one message; waits for it. Raises BrokenPipeError when the nursery is gone."""
        said, files, _, _ = socket.recv_fds(self.link, 4096, 2)
        if not said:
            raise BrokenPipeError("the nursery of the local SageMaker's processes died")
        word, rest = said.decode().split(" ", 1)
        if word == "guard":
            self._spare.append(Guard(int(rest), *files))
        elif word == "gone":
            pid, cpu_seconds, max_rss = rest.split()
            self._gone.append(Gone(int(pid), float(cpu_seconds), int(max_rss)))
        else:
            self._refusal = rest

    def hear_if_said(self) -> None:
        """As `hear`, when told of a message that may have been taken in since."""
        if select.select([self.link], [], [], 0)[0]:
            self.hear()

    def gone(self) -> list[Gone]:
        """The guards that were heard to have ended since the last call."""
        told, self._gone = self._gone, []
        return told

    def close(self) -> None:
        """Once every guard in use was let go: until they and the nursery are gone."""
        for guard in self._spare:
            os.close(guard.control)
            os.close(guard.pids)
        self.link.close()
        os.waitpid(self._pid, 0)

    def _ask(self) -> None:
        self.link.send(b"?")


def _serve(link: socket.socket, isolated: Isolation) -> NoReturn:
    """The nursery's life: make guards, tell of those that ended; go when the launcher has gone."""
    told = link.fileno()
    supervisor.close_all_but(told)
    wakeup = supervisor.listen_for_children()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:
            ready, _, _ = select.select([told, wakeup], [], [])
            if wakeup in ready:
                os.read(wakeup, 4096)
                _tell_who_ended(link)
            if told in ready:
                if not link.recv(1):
                    break
                _make_guard(link, isolated)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    os._exit(0)


def _make_guard(link: socket.socket, isolated: Isolation) -> None:
    reader, writer = os.pipe()
    try:
        pid = isolation.fork_tree(isolated)
        if pid == 0:
            _guard(reader)
        pids = isolation.open_pids(pid)
        socket.send_fds(link, [f"guard {pid}".encode()], [writer, pids])
        os.close(pids)
    except OSError as problem:
        link.send(f"refused {problem}".encode())
    finally:
        os.close(reader)
        os.close(writer)


def _guard(control: int) -> NoReturn:
    supervisor.close_all_but(control)
    wakeup = supervisor.listen_for_children()
    while True:
        ready, _, _ = select.select([control, wakeup], [], [])
        if control in ready:
            os._exit(0)
        os.read(wakeup, 4096)
        supervisor.reap()


def _tell_who_ended(link: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            cpu_seconds = usage.ru_utime + usage.ru_stime
            link.send(f"gone {pid} {cpu_seconds} {usage.ru_maxrss}".encode())
