"""What the server process leaves in its home for the other commands: a lock it holds, and where it
is.

Whether a server is up is told by the lock, which dies with it, never by the file, so a stale file
misleads nobody.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from local_sagemaker.config import Config

FILE = "server.json"
LOCK = "server.lock"


def take_lock(home: Path) -> int | None:
    """The home's lock, held until its descriptor is closed or we die; None when somebody has it."""
    descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def read(home: Path) -> dict[str, Any]:
    """What the running server said of itself; {} when there is nothing readable."""
    try:
        record = json.loads((home / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write(config: Config, s3_port: int | None, ministack_pid: int | None, events: str) -> None:
    """Say where we are, in one step: a reader sees the whole record or none."""
    record = {
        "pid": os.getpid(),
        "port": config.port,
        "endpoint": config.endpoint,
        "s3_port": s3_port,
        "s3_endpoint": config.s3_endpoint,
        "ministack_pid": ministack_pid,
        "events": events,
        "region": config.region,
        "access_key": config.access_key,
        "secret_key": config.secret_key,
        "slots": config.slots,
        "time_scale": config.time_scale,
        "started": time.time(),
    }
    part = config.home / f"{FILE}.part"
    part.touch(mode=0o600)  # it may hold the key of a foreign S3
    part.write_text(json.dumps(record, indent=1))
    part.replace(config.home / FILE)
