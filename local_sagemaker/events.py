"""The event bus: every change of status, told after it was committed.

Subscribers run in the thread that made the change, so they must be quick: set an event, put into a
queue.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
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
        self._held = threading.local()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What this thread publishes in here is told at the end, and never after an error: it goes
        around a transaction.
        """
        if getattr(self._held, "changes", None) is not None:
            yield
            return
        changes: list[Change] = []
        self._held.changes = changes
        try:
            yield
        finally:
            self._held.changes = None
        for change in changes:
            self.publish(change)

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
        held: list[Change] | None = getattr(self._held, "changes", None)
        if held is not None:
            held.append(change)
            return
        for fn in self._subscribers:
            try:
                fn(change)
            except Exception:
                log.exception("a subscriber failed kind=%s name=%s", change.kind, change.name)
