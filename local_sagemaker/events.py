"""The event bus: every change of status, told after it was committed.

Subscribers run in the thread that made the change, so they must be quick: set an event, put into a
queue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """One committed change of status of one resource; `row` is the resource after it."""

    kind: str
    name: str
    before_status: str | None
    after_status: str
    row: dict[str, Any]


class Bus:
    """Tells every subscriber of every change."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Change], None]] = []
        self._lock = threading.Lock()

    def subscribe(self, fn: Callable[[Change], None]) -> Callable[[], None]:
        """From now on `fn` hears of every change; call what is returned to end that."""
        with self._lock:
            self._subscribers = [*self._subscribers, fn]

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = [each for each in self._subscribers if each is not fn]

        return unsubscribe

    def publish(self, change: Change) -> None:
        """The change is committed: a subscriber that fails is logged and stops nobody else."""
        for fn in self._subscribers:
            try:
                fn(change)
            except Exception:
                log.exception("a subscriber failed kind=%s name=%s", change.kind, change.name)
