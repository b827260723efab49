"""The server process seen from outside: start it in the background, find it, stop it, wipe its
home.

Whether one is up is told by the lock that it holds, not by a pid file, so a stale file misleads
nobody.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from local_sagemaker import record as records

LOG = "server.log"
COMMAND = (sys.executable, "-m", "local_sagemaker", "up", "--foreground")
STOP_SECONDS = 30.0


class DaemonError(Exception):
    """What was asked for did not happen; the message is one line for a person."""


def running(home: Path) -> dict[str, Any] | None:
    """The record of the server that is up in this home; None when none is.

    A server that holds the lock and has said nothing yet is starting or ending: it is waited for.
    """
    deadline = time.monotonic() + STOP_SECONDS
    while (home / records.LOCK).exists():
        lock = records.take_lock(home)
        if lock is not None:
            os.close(lock)
            return None
        record = records.read(home)
        if record:
            return record
        if time.monotonic() > deadline:
            raise DaemonError(f"somebody holds {home / records.LOCK} but says nothing; see {LOG}")
        time.sleep(0.02)
    return None


def start(home: Path, arguments: list[str]) -> dict[str, Any]:
    """Start `up --foreground` on its own and wait until it says it is ready. Raises DaemonError."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    reading, writing = os.pipe()
    with (home / LOG).open("ab") as log, os.fdopen(reading) as said:
        process = subprocess.Popen(
            [*COMMAND, *arguments, "--ready-fd", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "LOCAL_SAGEMAKER_HOME": str(home)},
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        try:
            word = said.readline().strip()
        except KeyboardInterrupt:
            process.terminate()
            raise
    record = records.read(home)
    if word != "ready" or not record:
        process.wait(STOP_SECONDS)
        raise DaemonError(
            word or f"the server ended with code {process.returncode}; see {home / LOG}"
        )
    return record


def stop(home: Path) -> bool:
    """Stop the server of this home and everything it started; False when none was up."""
    record = running(home)
    if record is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(record["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while running(home) is not None:
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record["pid"], signal.SIGKILL)
            raise DaemonError(
                f"process {record['pid']} did not stop in {STOP_SECONDS:.0f} s and was killed; "
                f"see {home / LOG}"
            )
        time.sleep(0.02)
    return True


def wipe(home: Path) -> bool:
    """Remove a home; False when there was nothing. Raises DaemonError if it is none."""
    if not home.exists() or not any(home.iterdir()):
        return False
    if not (home / records.LOCK).exists():
        raise DaemonError(
            f"{home} was not made by a local SageMaker (no {records.LOCK}); not removed"
        )
    shutil.rmtree(home)
    return True
