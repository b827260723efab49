"""A serverless variant: no model server until somebody asks, none again after a while of silence.

    first request -> cold start (warming.py) -> as many requests at once as MaxConcurrency
    config.serverless_idle_seconds without one -> stopped; with ProvisionedConcurrency never

One process answers all requests of a variant, in threads: what AWS bounds by giving each request an
environment of its own is bounded here by counting.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from local_sagemaker.engine import measures
from local_sagemaker.engine.crew import Crew, Post, RetiredError
from local_sagemaker.engine.model_servers import InstanceError
from local_sagemaker.engine.routing import Hop, RoutingError
from local_sagemaker.engine.variants import SERVERLESS, Row
from local_sagemaker.engine.warming import Warming
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
MICROSECONDS = 1e6


class Serverless:
    """One variant's model server while there is one. Any thread may send requests through it."""

    def __init__(self, plane: Plane, post: Post, plan: Row) -> None:
        self.post = post
        self.plan = plan
        self._plane = plane
        self._lock = threading.Lock()
        self._changed = threading.Event()  # wakes the one that waits for silence
        self._retired = False
        self._under_way = 0
        self._last = plane.clock.now()
        self._warm: Warming | None = None

    def resize(self, _: int) -> None:
        """Instances are nobody's to count; what is provisioned is up at once. Raises
        InstanceError.
        """
        if self._provisioned:
            with self._lock:
                warming = self._started()
            warming.wait_up()

    def configure(self, serverless: Row) -> None:
        """Another MaxConcurrency or ProvisionedConcurrency. Raises InstanceError; then nothing
        changed.
        """
        before = self.plan[SERVERLESS]
        self.plan |= {SERVERLESS: serverless}
        try:
            self.resize(0)
        except InstanceError:
            self.plan |= {SERVERLESS: before}
            raise

    def alive(self) -> int:
        """AWS counts no instances of a serverless variant."""
        return 0

    def processes(self) -> list[list[int]]:
        """The process ids of the model server, while there is one."""
        with self._lock:
            warm = self._warm
        return [] if warm is None else warm.crew.processes()

    @contextmanager
    def taken(self, target: str | None, strategy: str | None = None) -> Iterator[list[Hop]]:
        """The way to the model, which is started if need be. Raises RoutingError; RetiredError
        when somebody else serves now.
        """
        warming = self._entered()
        try:
            crew = warming.ready(self._plane.config.loading_seconds)
            with crew.taken(target, strategy) as hops:
                yield hops
        finally:
            with self._lock:
                self._under_way -= 1
                self._last = self._plane.clock.now()

    def retire(self) -> None:
        """Let requests under way finish, then stop what runs."""
        with self._lock:
            self._retired = True
            warm, self._warm = self._warm, None
        self._changed.set()
        if warm is not None:
            warm.retire()

    @property
    def _provisioned(self) -> bool:
        return "ProvisionedConcurrency" in self.plan[SERVERLESS]

    def _entered(self) -> Warming:
        most = self.plan[SERVERLESS]["MaxConcurrency"]
        with self._lock:
            if self._retired:
                raise RetiredError(self.post.described)
            if self._under_way >= most:
                raise RoutingError(
                    "ThrottlingException",
                    429,
                    f"Rate exceeded: {self.post.described} has {most} requests under way, its "
                    "MaxConcurrency. Try again.",
                )
            warming = self._started()
            self._under_way += 1
            return warming

    def _started(self) -> Warming:
        """What is up, or on its way; the lock is held."""
        if self._warm is None:
            began = self._plane.clock.now()

            def done(warming: Warming) -> None:
                with self._lock:
                    if warming.problem is not None and self._warm is warming:
                        self._warm = None  # the next request tries again
                now = self._plane.clock.now()
                took = {"ModelSetupTime": (now - began) * MICROSECONDS}
                measures.of(self._plane).add(self.post.owner, self.post.stem, now, took)

            log.info(
                "%s starts; its memory is not limited MemorySizeInMB=%d",
                self.post.described, self.plan[SERVERLESS]["MemorySizeInMB"],
            )  # fmt: skip
            plan = {**self.plan, "Count": 1}
            self._warm = Warming(Crew(self._plane, self.post, plan), done)
            self._last = began
            threading.Thread(
                target=self._stop_when_idle, args=(self._warm,), name="idle", daemon=True
            ).start()
        return self._warm

    def _stop_when_idle(self, warming: Warming) -> None:
        left = self._plane.config.serverless_idle_seconds
        while not self._plane.clock.wait(self._changed, left):
            with self._lock:
                if self._warm is not warming:
                    return
                left = self._left()
                if left > 0:
                    continue
                self._warm = None
            warming.retire()
            return

    def _left(self) -> float:
        """How long until the silence has lasted; the lock is held."""
        idle: float = self._plane.config.serverless_idle_seconds
        if self._under_way or self._provisioned:
            return idle
        return self._last + idle - self._plane.clock.now()
