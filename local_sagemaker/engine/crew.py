"""The instances of one variant, or the copies of one inference component: as many as wanted, the
dead replaced.

    Crew.resize -> every instance: a model server for each of its containers (model_servers.py)
    a model server that dies -> replaced, with growing pauses; its log says so and counts
    Crew.retire -> wait for requests under way, stop

Which crew gets a request is fleet.py's to say, and serving.py's or components.py's when there is a
crew.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from local_sagemaker.engine import model_servers, shipping
from local_sagemaker.engine.model_containers import DIRECT
from local_sagemaker.engine.model_servers import InstanceError, ModelServer, Place
from local_sagemaker.engine.routing import Dice, Hop, RoutingError
from local_sagemaker.engine.variants import Row
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)
STOP_GRACE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 30.0
DRAIN_SECONDS = 65.0  # a little over the longest that a model may take
LEAST_OUTSTANDING = "LEAST_OUTSTANDING_REQUESTS"


class RetiredError(Exception):
    """The crew serves no more: somebody else does, or nobody."""


@dataclass(frozen=True)
class Post:
    """What a crew is there for: where its files lie, and what it is called in messages."""

    folder: str  # of the workspaces below the home, and of the logs
    owner: str  # the endpoint or the inference component
    stem: str  # an instance is <owner>/<stem>-<number>
    what: str  # "production variant of"
    described: str  # 'variant "A" of endpoint "e"'
    log_group: str  # in CloudWatch Logs


@dataclass(eq=False)
class Instance:
    """One machine of AWS's: a model server for each container, by the container's hostname."""

    name: str
    workspace: Path
    servers: dict[str, ModelServer] = field(default_factory=dict)
    streams: dict[str, shipping.Stream] = field(default_factory=dict)  # the logs, by the same
    under_way: int = 0
    wanted: bool = True

    @property
    def alive(self) -> bool:
        return all(each.process.alive for each in self.servers.values())

    def is_idle(self) -> bool:
        return self.under_way == 0

    def serves(self, hostname: str | None) -> bool:
        """Can it take a request to this container; to all, one after the other, if None?"""
        return self.alive if hostname is None else self.servers[hostname].process.alive

    def hops(self, hostname: str | None) -> list[Hop]:
        """The containers that a request goes through, in turn."""
        chosen = [hostname] if hostname else list(self.servers)
        return [Hop(each, self.servers[each].connections) for each in chosen]


class Crew:
    """Instances that run the same containers. Any thread may send requests through it."""

    def __init__(self, plane: Plane, post: Post, plan: Row) -> None:
        self.post = post
        self.plan = plan
        self._plane = plane
        self._lock = threading.Condition()
        self._retired = threading.Event()
        self._dice = Dice()
        self._replaced = 0
        self._instances: list[Instance] = []

    def resize(self, count: int) -> None:
        """Grow or shrink to so many instances, all healthy. Raises InstanceError; then nothing
        changed.
        """
        self._grow(count - len(self._instances))
        with self._lock:
            self.plan |= {"Count": count}
            self._instances, surplus = self._instances[:count], self._instances[count:]
        self._release(surplus)

    def alive(self) -> int:
        """How many instances answer."""
        with self._lock:
            return sum(each.alive for each in self._instances)

    def processes(self) -> list[list[int]]:
        """The process ids of the model servers, instance by instance."""
        with self._lock:
            return [[s.process.pid for s in each.servers.values()] for each in self._instances]

    @contextmanager
    def taken(self, target: str | None, strategy: str | None = None) -> Iterator[list[Hop]]:
        """The way through an instance, which is kept until the request is over. Raises
        RoutingError; RetiredError when somebody else serves now.
        """
        hostname = self._hostname(target)
        with self._lock:
            if self._retired.is_set():
                raise RetiredError(self.post.described)
            living = [each for each in self._instances if each.serves(hostname)]
            instance = self._choose(living, strategy)
            instance.under_way += 1
            hops = instance.hops(hostname)
        try:
            yield hops
        finally:
            with self._lock:
                instance.under_way -= 1
                if instance.under_way == 0:
                    self._lock.notify_all()

    def retire(self) -> None:
        """Let requests under way finish, then stop every instance and wait until they are gone."""
        with self._lock:
            self._retired.set()
            instances, self._instances = self._instances, []
        self._release(instances)

    def _choose(self, living: list[Instance], strategy: str | None) -> Instance:
        if not living:
            raise RoutingError(
                "ServiceUnavailable",
                503,
                f"No instance of {self.post.described} is healthy; a new one is being started. "
                "Try again.",
            )
        if strategy == LEAST_OUTSTANDING:
            fewest = min(each.under_way for each in living)
            living = [each for each in living if each.under_way == fewest]
        return living[int(self._dice.roll() * len(living))]

    def _hostname(self, target: str | None) -> str | None:
        """The container to ask, None for all in turn; refuses what AWS refuses."""
        names = [each["Hostname"] for each in self.plan["Containers"]]
        if self.plan.get("Mode") != DIRECT:
            if target is None:
                return None
            said = "does not take TargetContainerHostname: its containers are not in mode Direct"
        elif target is None:
            said = f"needs TargetContainerHostname; it may be one of: {', '.join(names)}"
        elif target in names:
            return target
        else:
            said = f"has no container {target!r}; it has: {', '.join(names)}"
        raise RoutingError("ValidationError", 400, f"{self.post.described} {said}.")

    def _grow(self, more: int) -> None:
        """Add healthy instances: all started first, then all waited for."""
        started: list[Instance] = []
        try:
            for _ in range(more):
                started.append(self._new_instance())
                for container in self.plan["Containers"]:
                    server = self._start(started[-1], container)
                    started[-1].servers[container["Hostname"]] = server
            for instance in started:
                for hostname, server in instance.servers.items():
                    self._wait_until_healthy(hostname, server)
        except InstanceError:
            self._release(started)
            raise
        with self._lock:
            self._instances = [*self._instances, *started]
        for instance in started:
            for container in self.plan["Containers"]:
                self._watch(instance, container, instance.servers[container["Hostname"]])

    def _release(self, instances: list[Instance]) -> None:
        """Stop instances that get no new requests, once those under way are over; wait for it."""
        with self._lock:
            for instance in instances:
                instance.wanted = False
        for instance in instances:
            with self._lock:
                self._lock.wait_for(instance.is_idle, DRAIN_SECONDS)
            for server in instance.servers.values():
                server.process.stop(STOP_GRACE_SECONDS)
        for instance in instances:
            for server in instance.servers.values():
                server.process.wait()
                server.clear()
            for stream in instance.streams.values():
                shipping.of(self._plane).finish(stream)
            shutil.rmtree(instance.workspace, ignore_errors=True)

    def _new_instance(self) -> Instance:
        root = self._plane.config.home / self.post.folder / self.post.owner
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        workspace = _free_folder(root, self.post.stem)
        return Instance(f"{self.post.owner}/{workspace.name}", workspace)

    def _start(self, instance: Instance, container: Row) -> ModelServer:
        hostname = container["Hostname"]
        alone = len(self.plan["Containers"]) == 1
        name = instance.name if alone else f"{instance.name}/{hostname}"
        logs = self._plane.config.home / "logs" / self.post.folder
        workspace = _free_folder(instance.workspace, hostname)
        place = Place(name, workspace, logs / f"{name.replace('/', '-')}.log")
        try:
            server = model_servers.start_in(self._plane, place, container)
        except InstanceError as problem:
            shutil.rmtree(workspace, ignore_errors=True)
            raise InstanceError(
                f"{self.post.described} could not be started: {problem}"
            ) from problem
        self._ship(instance, hostname, server)
        return server

    def _ship(self, instance: Instance, hostname: str, server: ModelServer) -> None:
        """One log stream for each container of an instance; a replaced server writes on in it."""
        if hostname in instance.streams:
            return
        machine = f"{instance.workspace.name}-{int(self._plane.clock.now())}"
        stream = f"{self.post.stem}/{machine}"
        if len(self.plan["Containers"]) > 1:
            stream += f"/{hostname}"
        instance.streams[hostname] = shipping.of(self._plane).follow(
            self.post.log_group, stream, server.log, server.log_start
        )

    def _wait_until_healthy(self, hostname: str, server: ModelServer) -> None:
        what = f"The {hostname} container for {self.post.what}"
        model_servers.wait_until_healthy(server, self.plan["HealthSeconds"], self._retired, what)

    def _watch(self, instance: Instance, container: Row, server: ModelServer) -> None:
        threading.Thread(
            target=self._replace_when_dead,
            args=(instance, container, server),
            name=f"watch-{instance.name}",
            daemon=True,
        ).start()

    def _replace_when_dead(self, instance: Instance, container: Row, server: ModelServer) -> None:
        code = server.process.wait()
        server.connections.close()
        pause = 0.0
        while instance.wanted and not self._over():
            log.warning(
                "a model server ended and is replaced server=%s exit_code=%s log=%s",
                server.process.name, code, server.log,
            )  # fmt: skip
            try:
                self._replace(instance, container, server)
            except InstanceError as problem:
                log.warning("no replacement yet server=%s: %s", server.process.name, problem)
                pause = min(2 * pause or 1.0, LONGEST_PAUSE_SECONDS)
                self._plane.clock.wait(self._retired, pause)
            else:
                return

    def _replace(self, instance: Instance, container: Row, dead: ModelServer) -> None:
        with self._lock:
            self._replaced += 1
            said = f"the model server ended with exit code {dead.process.exit_code}"
        with dead.log.open("a") as file:
            file.write(f"local SageMaker: {said}; replacement {self._replaced} is started\n")
        fresh = self._start(instance, container)
        try:
            self._wait_until_healthy(container["Hostname"], fresh)
        except InstanceError:
            _stop(fresh)
            raise
        with self._lock:
            if instance.wanted:
                instance.servers[container["Hostname"]] = fresh
        dead.clear()
        if instance.wanted:
            self._watch(instance, container, fresh)
        else:  # the crew was retired or shrunk meanwhile
            _stop(fresh)

    def _over(self) -> bool:
        return self._retired.is_set() or self._plane.processes.closed


def _stop(server: ModelServer) -> None:
    server.process.stop(STOP_GRACE_SECONDS)
    server.process.wait()
    server.clear()


def _free_folder(root: Path, stem: str) -> Path:
    """The first free `<stem>-<number>`; mkdir decides between threads."""
    for number in itertools.count(1):
        folder = root / f"{stem}-{number}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            return folder
    raise AssertionError("count() has no end")
