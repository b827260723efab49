"""What serves now, by name: the fleet of an endpoint, the crew of an inference component; and the
threads in which it changes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from local_sagemaker import lifecycle
from local_sagemaker.engine.model_servers import InstanceError
from local_sagemaker.engine.variants import Row
from local_sagemaker.plane import Plane
from local_sagemaker.processes import Processes

log = logging.getLogger(__name__)
T = TypeVar("T")


class Live(Generic[T]):
    """One kind of what serves. A plane is known by its Processes: whoever has the same processes
    has the same model servers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planes: WeakKeyDictionary[Processes, dict[str, T]] = WeakKeyDictionary()

    def find(self, plane: Plane, name: str) -> T | None:
        with self._lock:
            return self._planes.get(plane.processes, {}).get(name)

    def get(self, plane: Plane, name: str) -> T:
        found = self.find(plane, name)
        if found is None:
            raise LookupError(f"nothing serves for {name!r}")
        return found

    def all(self, plane: Plane) -> list[T]:
        with self._lock:
            return list(self._planes.get(plane.processes, {}).values())

    def put(self, plane: Plane, name: str, fresh: T) -> T | None:
        """From now on it serves; what served before."""
        with self._lock:
            named = self._planes.setdefault(plane.processes, {})
            old = named.get(name)
            named[name] = fresh
            return old

    def take(self, plane: Plane, name: str) -> T | None:
        """From now on nobody serves; what served before."""
        with self._lock:
            return self._planes.get(plane.processes, {}).pop(name, None)


def row_of(plane: Plane, kind: str, name: str) -> Row:
    row = plane.store.get(kind, name)
    if row is None:
        raise LookupError(f"{kind} {name!r} is gone")
    return row


def in_background(plane: Plane, kind: str, name: str, work: Callable[[Plane, str], None]) -> None:
    """Work on a resource in a thread of its own; what goes wrong becomes the resource's status."""
    threading.Thread(
        target=_guarded, args=(plane, kind, name, work), name=f"{kind}-{name}", daemon=True
    ).start()


def _guarded(plane: Plane, kind: str, name: str, work: Callable[[Plane, str], None]) -> None:
    """The edge of a background thread."""
    try:
        work(plane, name)
    except InstanceError as problem:
        reason = str(problem)
    except Exception as problem:
        log.exception("serving failed kind=%s name=%s", kind, name)
        reason = f"InternalServerError: {type(problem).__name__}: {problem}"
    else:
        return
    if not plane.processes.closed:  # else the server is going down; recover() goes on from here
        lifecycle.transition(plane, kind, name, "Failed", FailureReason=reason)
