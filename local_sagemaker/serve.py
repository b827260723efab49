"""The server process: take the home's lock, bind the ports, start what is beside us, serve until
told to stop.

lock -> ports -> MiniStack starting || plane -> recover -> healthy -> "ready" -> ... -> SIGTERM ->
all down

Only this process writes `server.json`, which tells the other commands where we are.
"""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from local_sagemaker import boot, record
from local_sagemaker.config import LOOPBACK, Config
from local_sagemaker.engine import forwarding
from local_sagemaker.ministack import MiniStack, MiniStackError
from local_sagemaker.plane import Plane
from local_sagemaker.server import Server

log = logging.getLogger(__name__)

# After `kill -9` the MiniStack of the last server needs a moment to save and leave its port.
DYING_SECONDS = 6.0


class StartError(Exception):
    """The local SageMaker cannot start; the message is one line for a person."""


@dataclass(frozen=True)
class Beside:
    """MiniStack, when it is ours to start: its port and its interpreter."""

    port: int
    python: Path


def run(config: Config, beside: Beside | None, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called once all is healthy. Raises StartError."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if record.take_lock(config.home) is None:  # else ours until this process has ended
        raise StartError(f"a local SageMaker is already up in {config.home}")
    unclean = (config.home / record.FILE).exists()
    (config.home / record.FILE).unlink(missing_ok=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _serve(config, beside, unclean, ready, stop)


def _serve(
    config: Config,
    beside: Beside | None,
    unclean: bool,
    ready: Callable[[], None],
    stop: threading.Event,
) -> None:
    _check_port(config.port, "--port", 0.0)
    ministack = None
    plane = None
    server = None
    try:
        if beside is not None:
            _check_port(beside.port, "--s3-port", DYING_SECONDS if unclean else 0.0)
            ministack = MiniStack(config, beside.port, beside.python)
        plane = boot.build(config)
        server = _bind(plane)
        threading.Thread(target=lambda: plane.storage.client, daemon=True).start()
        if ministack is not None:
            ministack.wait_until_healthy()
        boot.recover(plane)
        server.serve_in_background()
        record.write(
            plane.config,
            beside.port if beside else None,
            ministack.pid if ministack else None,
            forwarding.of(plane).state,
        )
        ready()
        _wait(stop, ministack)
        server.shutdown()
        server.server_close()
    except MiniStackError as cause:
        raise StartError(str(cause)) from cause
    finally:
        if server is not None:
            server.take_down()
        elif plane is not None:
            boot.shut_down(plane)
        if ministack is not None:
            ministack.stop()
        (config.home / record.FILE).unlink(missing_ok=True)


def _wait(stop: threading.Event, ministack: MiniStack | None) -> None:
    while not stop.wait(1.0):
        if ministack is not None and ministack.ended():
            log.error("MiniStack ended: S3 is gone; run `python -m local_sagemaker down` and `up`")
            ministack = None


def _bind(plane: Plane) -> Server:
    try:
        server = Server(plane)
    except OSError as cause:
        raise _taken(plane.config.port, "--port", cause) from cause
    plane.config = replace(plane.config, port=server.server_port)
    return server


def _check_port(port: int, option: str, patience: float) -> None:
    """Raise StartError when somebody listens there, after `patience` seconds of hope."""
    deadline = time.monotonic() + patience
    while port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as cause:
                if cause.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise _taken(port, option, cause) from cause
            else:
                return
        time.sleep(0.05)


def _taken(port: int, option: str, cause: OSError) -> StartError:
    if cause.errno == errno.EADDRINUSE:
        return StartError(f"port {port} is in use by another program; choose another: {option} N")
    return StartError(f"port {port} cannot be used: {cause.strerror}; choose another: {option} N")
