"""Time: the only place that asks the operating system what time it is or waits for some to pass.

Tests use FakeClock, which moves only when told to.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the local SageMaker needs of time."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Until the event is set (True) or the seconds are over (False)."""

    def wait_until(self, event: threading.Event, moment: float) -> bool:
        """Until the event is set (True) or `now` is there (False)."""


class SystemClock:
    """The real time."""

    def now(self) -> float:
        return time.time()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)

    def wait_until(self, event: threading.Event, moment: float) -> bool:
        return event.wait(max(0.0, moment - self.now()))


class FakeClock:
    """A time that stands still until `advance`; waiting threads wake when theirs has come."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._moved = threading.Condition()

    def now(self) -> float:
        with self._moved:
            return self._now

    def advance(self, seconds: float) -> None:
        with self._moved:
            self._now += seconds
            self._moved.notify_all()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return self.wait_until(event, self.now() + seconds)

    def wait_until(self, event: threading.Event, moment: float) -> bool:
        with self._moved:
            while not event.is_set() and self._now < moment:
                # The event is set elsewhere, without our condition: look again after a short while.
                self._moved.wait(0.01)
        return event.is_set()
