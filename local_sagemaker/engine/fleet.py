"""The model servers of one endpoint: a fleet has variants, a variant has instances, an instance is
one process.

    Fleet.launch -> every instance: workspace, model.tar.gz into it, process, /ping until 200
    a process that dies -> replaced, with growing pauses
    Fleet.retire -> wait for requests under way, stop

Health checks are in real time: a real process is at the other end. Which fleet an endpoint has, and
its status, is serving.py's; which instance gets a request is decided by `Fleet.route`.
"""

from __future__ import annotations

import logging
import shutil
import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_sagemaker import images, overlays
from local_sagemaker.config import client_environment
from local_sagemaker.containers.archives import ArchiveError, unpack
from local_sagemaker.engine.routing import (
    LOOPBACK,
    Connections,
    Dice,
    ModelGoneError,
    ModelTimeoutError,
    RoutingError,
    choose,
)
from local_sagemaker.engine.variants import Plan, Row
from local_sagemaker.plane import Plane
from local_sagemaker.processes import Process, ProcessSpec, ProcessStartError
from local_sagemaker.storage import StorageError

log = logging.getLogger(__name__)
PING_TIMEOUT_SECONDS = 2.0
PING_PAUSE_SECONDS = 0.025
STOP_GRACE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 30.0
DRAIN_SECONDS = 65.0  # a little over the longest that a model may take
LOG_LINES, LOG_BYTES = 5, 4096


class InstanceError(Exception):
    """A model server did not come up; the message is the endpoint's FailureReason."""


@dataclass(eq=False)
class Instance:
    """One model server: its process, the connections to it, what must be cleaned up after it."""

    process: Process
    port: int
    connections: Connections
    workspace: Path
    log: Path
    log_start: int
    under_way: int = 0
    wanted: bool = True

    def is_idle(self) -> bool:
        return self.under_way == 0

    def last_words(self) -> str:
        """The last lines that this process wrote, for a FailureReason."""
        with self.log.open("rb") as file:
            file.seek(max(self.log_start, self.log.stat().st_size - LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-LOG_LINES:] if line.strip())


@dataclass(frozen=True)
class Place:
    """Where one model server runs: its name, its /opt/ml, its log. A short-lived one is forked
    from the pre-imported process: it starts sooner, and is not there long enough to be slim.
    """

    name: str
    workspace: Path
    log: Path
    short_lived: bool = False


@dataclass(eq=False)
class Variant:
    """One production variant as it runs."""

    name: str
    weight: float
    plan: Row
    instances: list[Instance] = field(default_factory=list)


class Fleet:
    """All model servers of one endpoint under one config. Any thread may route through it."""

    def __init__(self, plane: Plane, endpoint: str, planned: Plan, config_name: str) -> None:
        self.config_name = config_name
        self._plane = plane
        self._endpoint = endpoint
        self._lock = threading.Condition()
        self._retired = threading.Event()
        self._dice = Dice()
        self._variants = [Variant(each["VariantName"], each["Weight"], each) for each in planned]

    def launch(self) -> None:
        """Start every instance, wait until all are healthy. Raises InstanceError, with none left
        running.
        """
        try:
            for variant in self._variants:
                self._grow(variant, variant.plan["Count"])
        except InstanceError:
            self.retire()
            raise

    def resize(self, name: str, weight: float, count: int) -> None:
        """Give a variant another weight and number of instances. Raises InstanceError; then nothing
        changed.
        """
        variant = self._variant(name)
        self._grow(variant, count - len(variant.instances))
        with self._lock:
            variant.weight = weight
            variant.plan |= {"Weight": weight, "Count": count}
            variant.instances, surplus = variant.instances[:count], variant.instances[count:]
        self._release(surplus)

    def counts(self) -> dict[str, int]:
        """How many instances of each variant answer."""
        with self._lock:
            return {
                each.name: sum(i.process.alive for i in each.instances) for each in self._variants
            }

    def plan(self) -> Plan:
        with self._lock:
            return [dict(each.plan) for each in self._variants]

    def route(self, wanted: str | None) -> tuple[str, Instance]:
        """Choose a variant (by weight, or the wanted one) and an instance of it; give it back with
        `leave`.
        """
        with self._lock:
            variant = self._variant(wanted) if wanted else self._by_weight()
            living = [each for each in variant.instances if each.process.alive]
            if not living:
                raise RoutingError(
                    "ServiceUnavailable",
                    503,
                    f'No instance of variant "{variant.name}" of endpoint "{self._endpoint}" is '
                    "healthy; a new one is being started. Try again.",
                )
            instance = living[int(self._dice.roll() * len(living))]
            instance.under_way += 1
            return variant.name, instance

    def leave(self, instance: Instance) -> None:
        """The request that `route` counted is over."""
        with self._lock:
            instance.under_way -= 1
            if instance.under_way == 0:
                self._lock.notify_all()

    def retire(self) -> None:
        """Let requests under way finish, then stop every instance and wait until they are gone."""
        self._retired.set()
        with self._lock:
            instances = [each for variant in self._variants for each in variant.instances]
            for variant in self._variants:
                variant.instances = []
        self._release(instances)

    def _variant(self, name: str) -> Variant:
        for each in self._variants:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self._variants)
        raise RoutingError(
            "ValidationError",
            400,
            f'Variant "{name}" of endpoint "{self._endpoint}" was not found; it has: {names}.',
        )

    def _by_weight(self) -> Variant:
        try:
            return self._variants[choose(self._variants, self._dice.roll())]
        except ValueError as cause:
            raise RoutingError(
                "ValidationError",
                400,
                f'Every variant of endpoint "{self._endpoint}" has weight 0; name one in '
                "TargetVariant or change the weights with UpdateEndpointWeightsAndCapacities.",
            ) from cause

    def _grow(self, variant: Variant, more: int) -> None:
        """Add healthy instances: all started first, then all waited for."""
        started: list[Instance] = []
        try:
            for _ in range(more):
                started.append(start(self._plane, self._endpoint, variant.plan))
            for instance in started:
                wait_until_healthy(instance, variant.plan["HealthSeconds"], self._retired)
        except InstanceError:
            self._release(started)
            raise
        with self._lock:
            variant.instances = [*variant.instances, *started]
        for instance in started:
            self._watch(variant, instance)

    def _release(self, instances: list[Instance]) -> None:
        """Stop instances that get no new requests, once those under way are over; wait for it."""
        for instance in instances:
            instance.wanted = False
        for instance in instances:
            with self._lock:
                self._lock.wait_for(instance.is_idle, DRAIN_SECONDS)
            instance.process.stop(STOP_GRACE_SECONDS)
        for instance in instances:
            instance.process.wait()
            instance.connections.close()
            shutil.rmtree(instance.workspace, ignore_errors=True)

    def _watch(self, variant: Variant, instance: Instance) -> None:
        name = f"watch-{self._endpoint}-{variant.name}"
        threading.Thread(
            target=self._replace_when_dead, args=(variant, instance), name=name, daemon=True
        ).start()

    def _replace_when_dead(self, variant: Variant, instance: Instance) -> None:
        code = instance.process.wait()
        instance.connections.close()
        pause = 0.0
        while instance.wanted and not self._over():
            log.warning(
                "a model server ended and is replaced endpoint=%s variant=%s exit_code=%s log=%s",
                self._endpoint, variant.name, code, instance.log,
            )  # fmt: skip
            try:
                self._replace(variant, instance)
            except InstanceError as problem:
                log.warning("no replacement yet endpoint=%s: %s", self._endpoint, problem)
                pause = min(2 * pause or 1.0, LONGEST_PAUSE_SECONDS)
                self._plane.clock.wait(self._retired, pause)
            else:
                return

    def _replace(self, variant: Variant, dead: Instance) -> None:
        fresh = start(self._plane, self._endpoint, variant.plan)
        try:
            wait_until_healthy(fresh, variant.plan["HealthSeconds"], self._retired)
        except InstanceError:
            self._release([fresh])
            raise
        with self._lock:
            kept = dead in variant.instances
            variant.instances = [fresh if each is dead else each for each in variant.instances]
        shutil.rmtree(dead.workspace, ignore_errors=True)
        if kept:
            self._watch(variant, fresh)
        else:  # the fleet was retired or shrunk meanwhile
            self._release([fresh])

    def _over(self) -> bool:
        return self._retired.is_set() or self._plane.processes.closed


def start(plane: Plane, endpoint: str, planned: Row) -> Instance:
    """Start one model server of a variant; it is not healthy yet. Raises InstanceError."""
    root = plane.config.home / "endpoints" / endpoint
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    variant = planned["VariantName"]
    workspace, number = _new_workspace(root, variant)
    log_file = plane.config.home / "logs" / "endpoints" / f"{endpoint}-{variant}-{number}.log"
    try:
        return start_in(
            plane, Place(f"{endpoint}/{variant}-{number}", workspace, log_file), planned
        )
    except InstanceError as problem:
        shutil.rmtree(workspace, ignore_errors=True)
        raise InstanceError(f"variant {variant} could not be started: {problem}") from problem


def start_in(plane: Plane, place: Place, planned: Row) -> Instance:
    """Start a model server (Image, ModelDataUrl, Environment) in an empty workspace. Raises
    InstanceError.
    """
    try:
        _place_model(plane, planned["ModelDataUrl"], place.workspace)
        return _start_process(plane, place, planned)
    except (StorageError, OSError, ArchiveError, ProcessStartError) as problem:
        raise InstanceError(str(problem)) from problem


def wait_until_healthy(
    instance: Instance,
    seconds: float,
    given_up: threading.Event,
    what: str = "production variant of",
) -> None:
    """GET /ping until it answers 200. Raises InstanceError when it ends or is too slow."""
    deadline = time.monotonic() + seconds
    name = instance.process.name
    with closing(Connections(instance.port, PING_TIMEOUT_SECONDS)) as pings:
        while not _pings(pings):
            if instance.process.ended.wait(PING_PAUSE_SECONDS):
                raise InstanceError(
                    f"The model server of {name} ended with exit code {instance.process.exit_code} "
                    f"before it answered /ping. Its last lines: {instance.last_words()}"
                )
            if given_up.is_set() or time.monotonic() > deadline:
                raise InstanceError(
                    f"The primary container for {what} {name} did not pass the ping health check "
                    f"in {seconds:.0f} s. Its last lines: {instance.last_words()}"
                )


def _pings(connections: Connections) -> bool:
    with suppress(ModelTimeoutError, ModelGoneError, ConnectionRefusedError):
        return connections.ask("GET", "/ping", {}, b"")[0] == 200
    return False


def _new_workspace(root: Path, variant: str) -> tuple[Path, int]:
    """The first free number; mkdir decides between threads."""
    number = 1
    while True:
        workspace = root / f"{variant}-{number}"
        try:
            workspace.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        else:
            return workspace, number


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
    unpack(artifact, model, plane.config.archive_limits)
    shutil.rmtree(fetched)


def _start_process(plane: Plane, place: Place, planned: Row) -> Instance:
    image = images.resolve(planned["Image"], plane.own_images)
    port = free_port()
    workspace, path = place.workspace, place.log
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a") as file:
        file.writelines(f"local SageMaker: {note}\n" for note in image.notes)
    spec = ProcessSpec(
        name=place.name,
        command=image.serve_command(),
        env=overlays.environment(
            plane.config.home, _environment(plane, planned["Environment"], port)
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
    return Instance(plane.processes.start(spec), port, Connections(port), workspace, path, size)


def _environment(plane: Plane, given: dict[str, str], port: int) -> dict[str, str]:
    return {
        **client_environment(plane.config),
        "SAGEMAKER_REGION": plane.config.region,
        "SAGEMAKER_BASE_DIR": "/opt/ml",  # rewritten with the rest where there are no namespaces
        **given,
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }


def free_port() -> int:
    """A loopback port that nobody has now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: Any = probe.getsockname()[1]
    return int(port)
