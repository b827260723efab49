"""One model server: a container of a model as a process with a port, from its artifact to its
health.

    start_in -> model.tar.gz into the workspace, process
    wait_until_healthy -> /ping until 200

Health checks are in real time: a real process is at the other end. How many servers there are, and
that dead ones are replaced, is crew.py's; a batch transform job has a few of its own.
"""

from __future__ import annotations

import random
import shutil
import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from local_sagemaker import images, overlays
from local_sagemaker.config import client_environment
from local_sagemaker.containers import archives
from local_sagemaker.containers.archives import ArchiveError
from local_sagemaker.engine.routing import (
    LOOPBACK,
    Connections,
    ModelGoneError,
    ModelTimeoutError,
)
from local_sagemaker.engine.variants import Row
from local_sagemaker.plane import Plane
from local_sagemaker.processes import Process, ProcessSpec, ProcessStartError
from local_sagemaker.storage import StorageError

PING_TIMEOUT_SECONDS = 2.0
PING_PAUSE_SECONDS = 0.025
LOG_LINES, LOG_BYTES = 5, 4096
PORTS = (12_000, 32_000)


class InstanceError(Exception):
    """A model server did not come up; the message is the FailureReason of what it is part of."""


@dataclass(eq=False)
class ModelServer:
    """One model server: its process, the connections to it, what must be cleaned up after it."""

    process: Process
    port: int
    connections: Connections
    workspace: Path
    log: Path
    log_start: int

    def last_words(self) -> str:
        """The last lines that this process wrote, for a FailureReason."""
        with self.log.open("rb") as file:
            file.seek(max(self.log_start, self.log.stat().st_size - LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-LOG_LINES:] if line.strip())

    def clear(self) -> None:
        """After the end of the process: its connections and its workspace."""
        self.connections.close()
        shutil.rmtree(self.workspace, ignore_errors=True)


@dataclass(frozen=True)
class Place:
    """Where one model server runs: its name, its /opt/ml, its log. A short-lived one is forked
    from the pre-imported process: it starts sooner, and is not there long enough to be slim.
    """

    name: str
    workspace: Path
    log: Path
    short_lived: bool = False


def start_in(plane: Plane, place: Place, container: Row) -> ModelServer:
    """Start a model server (Image, ModelDataUrl, Environment) in an empty workspace. Raises
    InstanceError.
    """
    try:
        _place_model(plane, container["ModelDataUrl"], place.workspace)
        return _start_process(plane, place, container)
    except (StorageError, OSError, ArchiveError, ProcessStartError) as problem:
        raise InstanceError(str(problem)) from problem


def wait_until_healthy(
    server: ModelServer,
    seconds: float,
    given_up: threading.Event,
    what: str = "The primary container for production variant of",
) -> None:
    """GET /ping until it answers 200. Raises InstanceError when it ends or is too slow."""
    deadline = time.monotonic() + seconds
    name = server.process.name
    with closing(Connections(server.port, PING_TIMEOUT_SECONDS)) as pings:
        while not _pings(pings):
            if server.process.ended.wait(PING_PAUSE_SECONDS):
                raise InstanceError(
                    f"The model server of {name} ended with exit code {server.process.exit_code} "
                    f"before it answered /ping. Its last lines: {server.last_words()}"
                )
            if given_up.is_set() or time.monotonic() > deadline:
                raise InstanceError(
                    f"{what} {name} did not pass the ping health check in {seconds:.0f} s. Its "
                    f"last lines: {server.last_words()}"
                )


def free_port() -> int:
    """A loopback port that nobody has now, below those that the kernel gives to connections: one of
    theirs would soon be somebody else's, before the model server has bound it.
    """
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = random.randrange(*PORTS)  # noqa: S311 - no secret
            probe.bind((LOOPBACK, port))
            return port


def _pings(connections: Connections) -> bool:
    with suppress(ModelTimeoutError, ModelGoneError, ConnectionRefusedError):
        return connections.ask("GET", "/ping", {}, b"")[0] == 200
    return False


def _place_model(plane: Plane, uri: str | None, workspace: Path) -> None:
    model = workspace / "model"
    model.mkdir()
    if uri is None:
        return
    fetched = workspace / "fetched"
    plane.storage.download(uri, fetched)
    artifact = fetched / uri.rpartition("/")[2]
    if not artifact.is_file():
        raise InstanceError(
            f"ModelDataUrl {uri} does not exist; is the training output still there?"
        )
    archives.unpack(artifact, model, plane.config.archive_limits)
    shutil.rmtree(fetched)


def _start_process(plane: Plane, place: Place, container: Row) -> ModelServer:
    image = images.resolve(container["Image"], plane.own_images)
    port = free_port()
    workspace, path = place.workspace, place.log
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a") as file:
        file.writelines(f"local SageMaker: {note}\n" for note in image.notes)
    spec = ProcessSpec(
        name=place.name,
        command=image.serve_command(),
        env=overlays.environment(
            plane.config.home, _environment(plane, container["Environment"], port)
        ),
        path=overlays.path(plane.config.home),
        workspace=workspace,
        log=path,
        cwd=image.serve_cwd,
        preimported=place.short_lived,
    )
    if image.serve_cwd and not (workspace / Path(image.serve_cwd).relative_to("/opt/ml")).is_dir():
        raise InstanceError(f"the model has no {image.serve_cwd}; {image.name} runs from there")
    size = path.stat().st_size
    return ModelServer(plane.processes.start(spec), port, Connections(port), workspace, path, size)


def _environment(plane: Plane, given: dict[str, str], port: int) -> dict[str, str]:
    return {
        **client_environment(plane.config),
        "SAGEMAKER_REGION": plane.config.region,
        "SAGEMAKER_BASE_DIR": "/opt/ml",  # rewritten with the rest where there are no namespaces
        **given,
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }
