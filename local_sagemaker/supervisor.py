"""The first process of every tree: it starts the program, passes signals on, and leaves nobody
behind.

    launcher --fork--> supervisor --fork--> the program (its own session, log as stdout and stderr)

Inside a process id namespace the supervisor is process 1: when it ends the kernel kills whatever is
left. Without one it adopts orphans and kills every descendant itself. The launcher speaks to it
through a pipe, one byte a wish; the end of that pipe means that the launcher (or the server behind
it) is gone, and the tree goes with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from local_sagemaker import isolation
from local_sagemaker.isolation import Isolation

if TYPE_CHECKING:
    import psutil

TERMINATE, KILL = b"T", b"K"
NOT_STARTED, NOT_FOUND = 126, 127


@dataclass(frozen=True)
class Program:
    """What to run, ready: paths are already as the program will see them."""

    command: list[str]
    env: dict[str, str]
    workspace: Path
    cwd: str
    network: bool = True  # False: loopback alone, where the machine allows it


Runner = Callable[[Program], None]


def supervise(
    program: Program, isolated: Isolation, control: int, log: int, run: Runner
) -> NoReturn:
    """Run one tree from its first process on; never returns. `control` and `log` are file
    descriptors.
    """
    code = NOT_STARTED
    try:
        close_all_but(control, log)
        isolation.enter_workspace(isolated, program.workspace)
        if not isolated.pids:
            isolation.adopt_orphans()
        wakeup = listen_for_children()
        # Until the program has its own handlers a SIGTERM must wait, not be ignored.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        main = os.fork()
        if main == 0:
            become(program, log, run)
        code = _watch(main, control, wakeup, isolated)
    except OSError as problem:
        os.write(
            log, f"the local SageMaker could not start {program.command}: {problem}\n".encode()
        )
    except BaseException:  # noqa: BLE001 - an error of ours; nobody above would tell it
        os.write(log, traceback.format_exc().encode())
    finally:
        os._exit(code)


def close_all_but(*kept: int) -> None:
    """Close every descriptor above stderr except these: other trees' pipes, the server's socket."""
    start = 3
    for descriptor in sorted(kept):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, 1 << 16)


def execute(program: Program) -> None:
    """Replace this process by the program, found on the PATH of its own environment."""
    for number in (
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):  # Python ignores them; an executed program must not
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(program.command[0], program.command, program.env)  # noqa: S606 - a list, no shell


def become(
    program: Program, log: int, run: Runner, enter: Callable[[Path], None] | None = None
) -> NoReturn:
    """In the program's process: shed what is ours, enter the workspace if need be, run."""
    code = NOT_STARTED
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _attach(log)
        if enter is not None:
            enter(program.workspace)
        os.chdir(program.cwd)
        run(program)
    except FileNotFoundError as problem:
        code = NOT_FOUND
        _complain(program, problem)
    except OSError as problem:
        _complain(program, problem)
    except BaseException:  # noqa: BLE001 - an error of ours; nobody above would tell it
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _attach(log: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, 1 << 16)


def _complain(program: Program, problem: OSError) -> None:
    os.write(2, f"the local SageMaker could not start {program.command}: {problem}\n".encode())


def listen_for_children() -> int:
    """A descriptor that can be read when a child has ended; signals mean nothing else here."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT):  # wishes come through the pipe alone
        signal.signal(number, signal.SIG_IGN)
    return reader


def _watch(main: int, control: int, wakeup: int, isolated: Isolation) -> int:
    """Until the program has ended; its exit code."""
    sources = [control, wakeup]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if wakeup in ready:
            os.read(wakeup, 4096)
            code = reap(main)
            if code is not None:
                if not isolated.pids:  # else the kernel does it when we end
                    _kill_tree(isolated)
                return code
        if control in ready:
            wish = os.read(control, 1)
            if wish == TERMINATE:
                terminate(main)
            else:
                sources = [wakeup] if not wish else sources
                _kill_tree(isolated)


def reap(main: int = -1) -> int | None:
    """Collect every child that ended; the program's exit code when it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == main:
                code = isolation.exit_code(status)
    return code


def terminate(main: int) -> None:
    """SIGTERM to a program and to all who are still in its first process group."""
    try:
        os.killpg(main, signal.SIGTERM)
    except ProcessLookupError:  # it has not called setsid yet
        with contextlib.suppress(ProcessLookupError):
            os.kill(main, signal.SIGTERM)


def _kill_tree(isolated: Isolation) -> None:
    if isolated.pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # everybody in this namespace, but not its process 1
        return
    import psutil  # 40 ms that only this road pays

    # A process may fork while we look: look again until nobody is left.
    while living := [each for each in psutil.Process().children(recursive=True) if _lives(each)]:
        for each in living:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        time.sleep(0.005)


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
