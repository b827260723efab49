"""The caller's terminal and a process tree: its log streamed, or a shell in it to talk to.

A tree has no terminal of its own (supervisor.py). A shell gets one that we make, a pseudo terminal,
and we carry bytes between it and the caller's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import termios
import tty
from collections.abc import Callable, Iterator
from dataclasses import replace

from local_sagemaker.processes import Process, ProcessSpec

POLL_SECONDS = 0.05
END_OF_INPUT = b"\x04"
Start = Callable[[ProcessSpec], Process]


def stream(start: Start, spec: ProcessSpec, write: Callable[[str], object]) -> int:
    """Run the tree, give out what it prints as it comes; its exit code."""
    spec.log.unlink(missing_ok=True)
    spec.log.touch(mode=0o600)
    process = start(spec)
    with spec.log.open(errors="replace") as file:
        over = False
        while not over:
            over = process.wait(POLL_SECONDS) is not None  # before reading: nothing is lost
            for text in iter(lambda: file.read(1 << 16), ""):
                write(text)
    return process.exit_code or 0


def shell(start: Start, spec: ProcessSpec, source: int, sink: int) -> int:
    """Run a shell in place of the tree's command, talking to two descriptors; its exit code."""
    ours, theirs = os.openpty()
    try:
        _copy_size(source, ours)
        process = start(replace(spec, command=_shell_on(os.ttyname(theirs), os.isatty(source))))
        with _raw(source):
            _carry(process, ours, source, sink)
        return process.exit_code or 0
    finally:
        os.close(ours)
        os.close(theirs)


def _shell_on(terminal: str, typed: bool) -> list[str]:
    """A session leader that opens a terminal gets it as its own: job control and Ctrl-C work."""
    program = shutil.which("bash") or "/bin/sh"
    # Line editing changes the terminal's mode as it starts; an end of input from before is lost.
    plain = "" if typed or program == "/bin/sh" else "--noediting "
    return ["/bin/sh", "-c", f'exec "$0" {plain}-i <"$1" >"$1" 2>&1', program, terminal]


def _carry(process: Process, ours: int, source: int, sink: int) -> None:
    sources = [ours, source]
    while True:
        over = not process.alive
        ready, _, _ = select.select(sources, [], [], 0 if over else POLL_SECONDS)
        if ours in ready:
            os.write(sink, os.read(ours, 1 << 16))
        elif over:
            return
        if source in ready:
            typed = os.read(source, 1 << 12)
            os.write(ours, typed or END_OF_INPUT)
            sources = sources if typed else [ours]


def _copy_size(source: int, target: int) -> None:
    with contextlib.suppress(OSError):  # the source is a pipe: the size stays the default
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Every key goes through as it is, Ctrl-C included: the shell's terminal gives it its sense."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
