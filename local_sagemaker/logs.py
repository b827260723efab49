"""Showing a kept log: find it by name, print it, follow it until its job has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from local_sagemaker import boot
from local_sagemaker.store import KINDS, Store

POLL_SECONDS = 0.2
ENDS = frozenset({"Completed", "Failed", "Stopped"})


class LogError(Exception):
    """There is no such log, or more than one; the message names those there are."""


def find(home: Path, name: str) -> Path:
    """The log of JOB, of KIND/JOB when two kinds have one of that name, or of what begins so."""
    directory = home / "logs"
    kind, _, job = name.rpartition("/")
    logs = sorted(p for p in directory.glob("*/*.log") if kind in ("", p.parent.name))
    found = [p for p in logs if p.stem == job] or [p for p in logs if p.stem.startswith(job)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{path.parent.name}/{path.stem}" for path in found)
        raise LogError(f"more than one log is called {name!r}; say which: {names}")
    newest = sorted(directory.glob("*/*.log"), key=lambda path: -path.stat().st_mtime)[:5]
    names = ", ".join(path.stem for path in newest) or "there are none"
    raise LogError(f"no log of {name!r}; the newest logs: {names}")


def show(path: Path, write: Callable[[str], object]) -> None:
    with path.open(errors="replace") as file:
        for line in file:
            write(line)


def follow(home: Path, path: Path, write: Callable[[str], object]) -> None:
    """As `show`, and on, until the job has ended."""
    kind, name = path.parent.name, path.stem
    with path.open(errors="replace") as file:
        while True:
            over = _ended(home, kind, name)  # before reading: what came before the end is not lost
            for line in file:
                write(line)
            if over:
                return
            time.sleep(POLL_SECONDS)


def _ended(home: Path, kind: str, name: str) -> bool:
    if kind not in KINDS or KINDS[kind].status is None:
        return False  # the log of an endpoint's instance: until somebody presses Ctrl-C
    store = Store(home / boot.STATE)
    try:
        row = store.get(kind, name.partition(".")[0])  # JOB.algo-2 is the log of a second host
    finally:
        store.close()
    return row is None or row.get(KINDS[kind].status or "") in ENDS
