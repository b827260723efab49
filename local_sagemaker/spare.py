"""A program's process that is forked before there is a program: a start then waits for no fork.

    launcher --setns, fork--> spare: waits --program and log, through a socket--> becomes it

A fork of the pre-imported launcher takes 3 ms, and its own mount table and /proc another: all of
it is done while nobody waits. A spare sits in its guard's process id namespace (nursery.py), so it
ends with its guard, with the launcher, and with the server. It has run nothing but what stands
here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from local_sagemaker import isolation, supervisor
from local_sagemaker.isolation import Isolation
from local_sagemaker.nursery import Guard
from local_sagemaker.supervisor import Program, Runner


@dataclass(frozen=True)
class Spare:
    """A process that waits for its program."""

    pid: int
    guard: Guard
    wire: socket.socket

    def give(self, program: Program, log: int) -> None:
        """Let it become the program. Raises OSError when it is gone."""
        words = {**asdict(program), "workspace": str(program.workspace)}
        with self.wire:
            socket.send_fds(self.wire, [b"!"], [log])
            self.wire.sendall(json.dumps(words).encode())

    def dismiss(self) -> None:
        """It is not needed, or gone: its guard goes too, once it has been reaped."""
        self.wire.close()
        os.close(self.guard.control)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def fork(guard: Guard, isolated: Isolation, run: Runner) -> Spare:
    """A new spare in the guard's namespace. Raises OSError; the guard has then been let go."""
    ours, theirs = socket.socketpair()
    try:
        pid = isolation.fork_into(guard.pids)
        if pid == 0:
            _wait(theirs, isolated, run)
    except OSError:
        ours.close()
        os.close(guard.control)
        raise
    finally:
        theirs.close()
        os.close(guard.pids)
    return Spare(pid, guard, ours)


def _wait(wire: socket.socket, isolated: Isolation, run: Runner) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        supervisor.close_all_but(wire.fileno())
        isolation.own_mounts(isolated)
        said, files, _, _ = socket.recv_fds(wire, 1, 1)
        if said:
            with wire.makefile("rb") as rest:
                words = json.loads(rest.read())
            program = Program(**{**words, "workspace": Path(words["workspace"])})
            enter = functools.partial(isolation.bind_workspace, isolated)
            supervisor.become(program, files[0], run, enter)
    except OSError as problem:
        with contextlib.suppress(OSError):
            os.write(2, f"a spare of the local SageMaker's processes died: {problem}\n".encode())
    finally:
        os._exit(supervisor.NOT_STARTED)
