"""Run inside MiniStack's own environment, by path: MiniStack, tied to the life of the server that
started it.

Standard input is a pipe whose other end the server holds and never writes to. When it ends, the
server is gone, however it went, and MiniStack is asked to save and leave. Of ours it imports only
ministack_events.py, which stands beside it.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

SAVING_SECONDS = 5.0


def leave_with_the_server() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVING_SECONDS)
    os._exit(1)


def beside(name: str) -> Any:
    """A module of ours that stands beside this file."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - it has a name and a path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def take_events() -> None:
    """Without it MiniStack serves as ever; `up` and `status` tell that events do not arrive."""
    door = beside("ministack_events")
    try:
        door.open_door()
    except door.DoorError as problem:
        print(f"SageMaker's events are not taken: {problem}", file=sys.stderr, flush=True)


def heed_dimensions() -> None:
    """Without it alarms look at all metrics of their name."""
    alarms = beside("ministack_alarms")
    try:
        alarms.heed_dimensions()
    except alarms.AlarmsError as problem:
        print(f"Alarms do not heed dimensions: {problem}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    threading.Thread(target=leave_with_the_server, daemon=True).start()
    take_events()
    heed_dimensions()
    runpy.run_module("ministack", run_name="__main__")
