"""The queues of asynchronous endpoints: invocations that were acknowledged and are not answered.

Each is a row, so a restart goes on with it, and its name waits in the backlog of its endpoint. A
backlog gives out as many at once as its endpoint has room for. What is done with one is
async_inference.py's.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from local_sagemaker.engine import endpoint_metrics
from local_sagemaker.engine.live import Live
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)
KIND = "async-invocation"
# Room comes with instances, which tell nobody that they are there: looked for while somebody waits.
LOOK_SECONDS = 0.1
MINUTE = 60.0
JOIN_SECONDS = 10.0


@dataclass(frozen=True)
class Room:
    """What an endpoint can take on: its instances, and how many invocations each."""

    instances: int
    each: int


@dataclass(frozen=True)
class Waiting:
    """An invocation that nobody works on yet: since when, and until when it may."""

    name: str
    since: float
    until: float


class Backlog:
    """The invocations of one endpoint in the order of their coming. `work` does one, and says
    whether it is done, or is to be done again.
    """

    def __init__(
        self, plane: Plane, endpoint: str, work: Callable[[str], bool], room: Callable[[], Room]
    ) -> None:
        self._plane = plane
        self._endpoint = endpoint
        self._work = work
        self._room = room
        self._changed = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._running: dict[str, threading.Thread] = {}
        self._closed = False
        self._told = 0.0
        self._dispatcher = threading.Thread(
            target=self._dispatch, name=f"async-{endpoint}", daemon=True
        )
        self._dispatcher.start()

    def add(self, invocation: Waiting) -> None:
        with self._changed:
            self._waiting.append(invocation)
            self._changed.notify_all()
        self._measure()

    def close(self) -> None:
        """Give out no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self) -> None:
        """After `close`: until nobody works any more."""
        self._dispatcher.join(JOIN_SECONDS)
        with self._changed:
            running = list(self._running.values())
        for each in running:
            each.join(JOIN_SECONDS)

    def _dispatch(self) -> None:
        while True:
            room = self._room()
            with self._changed:
                if self._closed:
                    return
                self._give_out(room)
                self._changed.wait(LOOK_SECONDS if self._waiting else None)
            if self._plane.clock.now() - self._told >= MINUTE:
                self._measure()

    def _give_out(self, room: Room) -> None:
        """As many as there is room for, and all that waited too long: they need none."""
        now, kept = self._plane.clock.now(), deque[Waiting]()
        for each in self._waiting:
            if now > each.until or len(self._running) < room.instances * room.each:
                thread = threading.Thread(target=self._one, args=(each,), daemon=True)
                self._running[each.name] = thread
                thread.start()
            else:
                kept.append(each)
        self._waiting = kept

    def _one(self, invocation: Waiting) -> None:
        name = invocation.name
        done = True
        try:
            done = self._work(name)
        except Exception:
            log.exception("an asynchronous invocation failed name=%s", name)
        with self._changed:
            del self._running[name]
            if not done:
                self._waiting.appendleft(invocation)
            self._changed.notify_all()
        self._measure()

    def _measure(self) -> None:
        now, room = self._plane.clock.now(), self._room()
        with self._changed:
            self._told = now
            size = len(self._waiting) + len(self._running)
            oldest = min((each.since for each in self._waiting), default=now)
        values = {
            "ApproximateBacklogSize": float(size),
            "HasBacklogWithoutCapacity": float(bool(size) and not room.instances),
            "ApproximateAgeOfOldestRequest": now - oldest,
        }
        if room.instances:
            values["ApproximateBacklogSizePerInstance"] = size / room.instances
        endpoint_metrics.of_queue(self._plane, self._endpoint, None, now, values)


BACKLOGS: Live[Backlog] = Live()


def forget(plane: Plane, endpoint: str) -> None:
    """The endpoint is deleted, and its queue with it."""
    backlog = BACKLOGS.take(plane, endpoint)
    if backlog is not None:
        backlog.close()
    plane.store.delete_where(KIND, lambda row: row["EndpointName"] == endpoint)


def close(plane: Plane) -> None:
    """Before the processes are killed: what is not answered from now on is recover()'s."""
    for each in BACKLOGS.all(plane).values():
        each.close()


def join(plane: Plane) -> None:
    """After the processes were killed: until no invocation is under way."""
    for each in BACKLOGS.all(plane).values():
        each.join()
