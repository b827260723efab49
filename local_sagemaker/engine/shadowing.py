"""Shadow variants: copies of requests for a model that nobody hears.

    witness of the production variant's invocation -> sampled -> a few threads of the shadow's own
    -> its crew -> its own invocation, for the same witnesses

The caller has its answer by then, so nothing here delays or fails it. Of all requests the share of
the shadow's weight in the production variant's is copied. When too many wait, further ones are
dropped and counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from local_sagemaker.engine.crew import RetiredError
from local_sagemaker.engine.fleet import Variant
from local_sagemaker.engine.invocations import Invocation
from local_sagemaker.engine.routing import (
    LOG_GROUP,
    TARGET_CONTAINER,
    Dice,
    RoutingError,
    Target,
    forward,
)
from local_sagemaker.plane import Plane

if TYPE_CHECKING:  # a witness of invocations that makes invocations
    from local_sagemaker.engine.witnesses import Watch

log = logging.getLogger(__name__)
THREADS, MOST_WAITING = 4, 100
_DICE = Dice()


class Mirror:
    """The copies on their way to one shadow variant."""

    def __init__(self, shadow: Variant) -> None:
        self.dropped = 0
        self._name = shadow.crew.post.described
        self._room = threading.BoundedSemaphore(MOST_WAITING)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"shadow-{shadow.name}")

    def send(self, work: Callable[[], None]) -> None:
        """Have it done soon, or not at all."""
        if not self._room.acquire(blocking=False):
            self.dropped += 1
            if self.dropped == 1:
                log.warning("%s is too slow, copies of requests are dropped", self._name)
            return
        self._threads.submit(self._do, work)

    def _do(self, work: Callable[[], None]) -> None:
        """The edge of a thread that nobody asks how it went."""
        try:
            work()
        except Exception:
            log.exception("a copied request was lost shadow=%s", self._name)
        finally:
            self._room.release()


def copy(plane: Plane, seen: Invocation, watching: type[Watch]) -> None:
    """Send a copy of the request to the variant's shadow, when it has one and its turn has come."""
    shadow = seen.variant.shadow
    if shadow is None or _DICE.roll() * seen.variant.weight >= shadow.weight:
        return
    of(shadow).send(lambda: _ask(plane, seen, shadow, watching))


def _ask(plane: Plane, seen: Invocation, shadow: Variant, watching: type[Watch]) -> None:
    config = plane.config
    group = f"{LOG_GROUP}/{seen.endpoint}"
    target = Target(group, shadow.name, config.account, config.region)
    way = (shadow, shadow.crew, None)
    hostname = seen.headers.get(TARGET_CONTAINER)
    # What goes wrong is in the shadow's metrics; that it is gone, nobody needs to know.
    with (
        suppress(RetiredError, RoutingError),
        watching(plane, seen.endpoint, way, seen.headers, seen.body) as watch,
        shadow.crew.taken(hostname, shadow.strategy) as hops,
    ):
        watch.asking()
        watch.answered(forward(hops, target, seen.headers, seen.body))


_MIRRORS: WeakKeyDictionary[Variant, Mirror] = WeakKeyDictionary()
_LOCK = threading.Lock()


def of(shadow: Variant) -> Mirror:
    """The one mirror of a shadow variant; it goes with it."""
    found = _MIRRORS.get(shadow)
    if found is None:
        with _LOCK:
            found = _MIRRORS.setdefault(shadow, Mirror(shadow))
    return found
