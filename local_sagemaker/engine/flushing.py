"""A thread of the server that sends on what was gathered: every few seconds, and once at the end.

    start -> work every `seconds` -> close: work once more, the thread has ended

Whoever gathers never waits for it. The interval goes by the plane's clock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)


class Flusher:
    """The thread, from the first `start` on. `work` is only ever called by one thread at a time."""

    def __init__(self, plane: Plane, name: str, seconds: float, work: Callable[[], None]) -> None:
        self._plane = plane
        self._name = name
        self._seconds = seconds
        self._work = work
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """From the second call on it costs next to nothing."""
        if self._thread is None:
            self._start()

    def close(self) -> None:
        """Send what there is and end; what comes later is not sent."""
        with self._lock:
            self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._plane.clock.wait(self._closing, self._seconds):
            self._once()
        self._once()

    def _once(self) -> None:
        """The edge of the thread: one surprise must not end it."""
        try:
            self._work()
        except Exception:
            log.exception("sending on failed thread=%s", self._name)
