"""`python -m local_sagemaker.launcher`: the process that every job is a child of. One thread, one
loop.

    server --socket--> launcher --fork--> supervisor.py --fork--> program (executed)
    server --socket--> pre-imported launcher --fork--> spare.py, which becomes the program

The server starts two: one slim, that executes; one that imports numpy, xgboost ... once
(`--preload`), so that the Python jobs it forks find them imported (takeover.py). The pre-imported
one must stay a process of one thread without a started OpenMP region or BLAS pool, because neither
survives a fork: it says so when that is not true, and the server then does without it.

Messages are JSON lines. Server to launcher: start, stop. Launcher to server: ready, started,
refused, ended. When the server goes away, the socket ends, and with the launcher every tree.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local_sagemaker import isolation, supervisor, takeover
from local_sagemaker import spare as spares
from local_sagemaker.isolation import OPT_ML, Isolation
from local_sagemaker.nursery import Nursery
from local_sagemaker.spare import Spare
from local_sagemaker.supervisor import KILL, TERMINATE, Program

# Libraries that would start threads while they load; the job's own sizes are set after the fork
# (takeover.py).
SINGLE_THREADED = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
# A job sees the server's environment without what steers the server's own AWS access and Python.
HIDDEN_PREFIXES = (
    "AWS_",
    "PYTHON",
    "SM_",
    "SAGEMAKER_",
    "LOCAL_SAGEMAKER",
    "VIRTUAL_ENV",
    *SINGLE_THREADED,
)
NO_ISOLATION = (
    b"[local-sagemaker] EnableNetworkIsolation is not enforced on this machine: this job can reach "
    b"the network\n"
)
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


@dataclass
class Tree:
    """One running process tree: who asked, where to send wishes, when patience ends.

    With a guard the first process is the program itself, and the tree ends with the guard.
    """

    number: int
    control: int
    guard: int | None = None
    kill_at: float | None = None


@dataclass
class Ended:
    """What is told of a tree that has ended."""

    number: int
    code: int
    cpu_seconds: float
    max_rss_bytes: int


class Launcher:
    """The loop and what it knows: the socket to the server, the trees by the pid of their first
    process.
    """

    def __init__(self, server: socket.socket, preload: list[str] | None) -> None:
        self.server = server
        self.takes_over = preload is not None
        self.base_env = _base_environment()
        self.isolation = isolation.probe()
        isolation.enter(self.isolation)
        guarded = self.takes_over and self.isolation.pids
        self.nursery = Nursery(self.isolation) if guarded else None
        self.spare: Spare | None = None
        self.trees: dict[int, Tree] = {}
        self.ended: dict[int, Ended] = {}  # by the guard that is still to end
        problem = _preload(preload) if preload else ""
        _protect(self.isolation)  # later than the imports, which keep their bytecode there
        # `-m` put the project's folder first; a job must not find us there.
        self.interpreter = takeover.interpreter(sys.path[1:])
        gc.collect()
        gc.freeze()  # or the first collection in every child would touch, and so copy, every page
        self._send(event="ready", isolation=asdict(self.isolation), problem=problem)

    def run(self) -> None:
        """Until the server closes the socket (or is gone); then every tree is killed and waited
        for.
        """
        wakeup = _wake_on_children()
        selector = selectors.DefaultSelector()
        selector.register(self.server, selectors.EVENT_READ)
        selector.register(wakeup, selectors.EVENT_READ)
        if self.nursery is not None:
            selector.register(self.nursery.link, selectors.EVENT_READ)
        unread = b""
        while True:
            self._tell_of_guarded()
            for key, _ in selector.select(self._patience()):
                if key.fileobj is wakeup:
                    wakeup.recv(4096)
                    continue
                if self.nursery is not None and key.fileobj is self.nursery.link:
                    try:
                        self.nursery.hear_if_said()
                    except OSError:  # without it nothing can be started: make room for another
                        return self._leave()
                    continue
                data = self.server.recv(1 << 20)
                if not data:
                    return self._leave()
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            self._reap()
            self._lose_patience()
            self._replenish()

    def _obey(self, message: dict[str, Any]) -> None:
        if message["do"] == "start":
            self._start(message)
        else:
            self._stop(message["number"], message["grace"])

    def _start(self, message: dict[str, Any]) -> None:
        try:
            pid = self._fork(message)
        except OSError as problem:
            self._send(event="refused", number=message["number"], reason=str(problem))
        else:
            self._send(event="started", number=message["number"], pid=pid)

    def _fork(self, message: dict[str, Any]) -> int:
        workspace = Path(message["workspace"])
        if not workspace.is_dir():
            raise FileNotFoundError(f"workspace {str(workspace)!r} is not a directory")
        program = self._program(message, workspace)
        log = os.open(message["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fork = self._fork_supervised if self.nursery is None else self._hand_over
            pid, control, guard = fork(program, log)
        finally:
            os.close(log)
        self.trees[pid] = Tree(message["number"], control, guard)
        return pid

    def _fork_supervised(self, program: Program, log: int) -> tuple[int, int, None]:
        reader, writer = os.pipe()
        pid = isolation.fork_tree(self.isolation)
        if pid == 0:
            supervisor.supervise(program, self.isolation, reader, log, self._become)
        os.close(reader)
        return pid, writer, None

    def _hand_over(self, program: Program, log: int) -> tuple[int, int, int]:
        spare, self.spare = self.spare or self._new_spare(), None
        try:
            spare.give(program, log)
        except OSError:  # it died while it waited
            spare.dismiss()
            spare = self._new_spare()
            spare.give(program, log)
        return spare.pid, spare.guard.control, spare.guard.pid

    def _new_spare(self) -> Spare:
        assert self.nursery is not None  # noqa: S101 - the caller has looked
        return spares.fork(self.nursery.take(), self.isolation, self._become)

    def _replenish(self) -> None:
        """While the program that was just started runs: the process for the next one."""
        if self.nursery is not None and self.spare is None:
            with contextlib.suppress(OSError):  # the next start asks again, and tells
                self.spare = self._new_spare()

    def _program(self, message: dict[str, Any], workspace: Path) -> Program:
        env = self.base_env | message["env"]
        env["PATH"] = os.pathsep.join(
            [*message["path"], str(Path(sys.executable).parent), env.get("PATH", os.defpath)]
        )
        cwd = message["cwd"] or str(OPT_ML)
        network = message.get("network", True)
        program = Program(message["command"], env, workspace, cwd, network)
        return program if self.isolation.mounts else rewritten(program)

    def _become(self, program: Program) -> None:
        """In the program's process: run it here when this interpreter can, else execute it."""
        if not program.network:
            isolation.leave_network(self.isolation)
            if not self.isolation.network:
                os.write(2, NO_ISOLATION)
        planned = takeover.plan(program, self.interpreter) if self.takes_over else None
        if planned is None:
            supervisor.execute(program)
        else:
            takeover.run(planned, program, self.interpreter)

    def _stop(self, number: int, grace: float) -> None:
        for pid, tree in self.trees.items():
            if tree.number == number:
                if grace > 0 and tree.guard is not None:
                    supervisor.terminate(pid)
                else:
                    _tell(tree, TERMINATE if grace > 0 else KILL)
                tree.kill_at = time.monotonic() + grace

    def _patience(self) -> float | None:
        ends = [tree.kill_at for tree in self.trees.values() if tree.kill_at is not None]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _lose_patience(self) -> None:
        for tree in self.trees.values():
            if tree.kill_at is not None and tree.kill_at <= time.monotonic():
                _tell(tree, KILL)
                tree.kill_at = None

    def _reap(self) -> None:
        while self.trees:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            tree = self.trees.pop(pid, None)
            if tree is None:  # the nursery, or a spare: their sockets have ended too
                continue
            os.close(tree.control)
            ended = Ended(tree.number, isolation.exit_code(status), *_used(usage))
            if tree.guard is None:
                self._send(event="ended", **asdict(ended))
            else:  # the guard goes now, and whoever the program left behind
                self.ended[tree.guard] = ended

    def _tell_of_guarded(self) -> None:
        for gone in self.nursery.gone() if self.nursery is not None else ():
            ended = self.ended.pop(gone.pid, None)
            if ended is not None:  # else its program could not be forked
                ended.cpu_seconds += gone.cpu_seconds
                ended.max_rss_bytes = max(ended.max_rss_bytes, gone.max_rss * MAXRSS_BYTES)
                self._send(event="ended", **asdict(ended))

    def _leave(self) -> None:
        for tree in self.trees.values():
            _tell(tree, KILL)
        for pid in self.trees:
            os.waitpid(pid, 0)
        if self.spare is not None:
            self.spare.dismiss()
        if self.nursery is not None:
            self.nursery.close()

    def _send(self, **message: Any) -> None:
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # the next recv ends the loop
            self.server.sendall(json.dumps(message).encode() + b"\n")


def _preload(names: list[str]) -> str:
    """Import; what stands against forking afterwards, in words, or nothing."""
    os.environ.update(SINGLE_THREADED)
    try:
        for name in names:
            with contextlib.suppress(ImportError):  # optional: what is not installed is left out
                importlib.import_module(name)
    except Exception as problem:  # noqa: BLE001 - a library may fail in any way; jobs go on without
        return f"importing {', '.join(names)} failed: {type(problem).__name__}: {problem}"
    finally:
        for name in SINGLE_THREADED:
            del os.environ[name]
    threads = thread_count()
    return "" if threads == 1 else f"{threads} threads run after importing {', '.join(names)}"


def _protect(isolated: Isolation) -> None:
    try:
        isolation.protect(isolated, isolation.environments())
    except OSError as problem:
        print(f"jobs can write into our Python environment: {problem}", file=sys.stderr)


def rewritten(program: Program) -> Program:
    """For machines without namespaces: the same program with the workspace's path wherever /opt/ml
    stood.
    """
    here = str(program.workspace)

    def at_home(text: str) -> str:
        return text.replace(str(OPT_ML), here)

    for driver in (program.workspace / "input/data/sm_drivers").rglob("*"):
        if driver.suffix in (".py", ".sh") and driver.is_file():
            driver.write_text(at_home(driver.read_text()))
    return Program(
        [at_home(each) for each in program.command],
        {name: at_home(value) for name, value in program.env.items()},
        program.workspace,
        at_home(program.cwd),
        program.network,
    )


def thread_count() -> int:
    """Threads of this process; 1 where the system does not tell."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 1


def _base_environment() -> dict[str, str]:
    shown = {
        name: value for name, value in os.environ.items() if not name.startswith(HIDDEN_PREFIXES)
    }
    return {"LANG": "C.UTF-8", **shown, "PYTHONUNBUFFERED": "1"}


def _wake_on_children() -> socket.socket:
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    reader.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is the server's to handle; it then closes the socket
    return reader


def _tell(tree: Tree, wish: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it ended a moment ago; the reaping follows
        os.write(tree.control, wish)


def _used(usage: resource.struct_rusage) -> tuple[float, int]:
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_BYTES


def main(argv: list[str] | None = None) -> int:
    """Started by processes.py only: `--socket FD [--preload a,b]`."""
    parser = argparse.ArgumentParser(prog="python -m local_sagemaker.launcher", description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--preload", help="take Python programs over, with these imported: a,b")
    options = parser.parse_args(argv)
    preload = None if options.preload is None else [n for n in options.preload.split(",") if n]
    Launcher(socket.socket(fileno=options.socket), preload).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
