"""Events on their way to EventBridge: one thread sends what stands in the store's outbox, in order.

    write + note, one transaction -> outbox -> PutEvents, ten at a time -> removed from the outbox

Nobody waits for it. A note is removed after it was taken, so that a server that is killed sends the
rest when it is back: an event may come twice, as at AWS, and none is lost. AWS's PutEvents takes no
events in SageMaker's name, so they go to a MiniStack that ministack_events.py has opened, and
nowhere else.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from local_sagemaker.engine import notice_shapes, notices
from local_sagemaker.ministack_events import HEADER, PUT_EVENTS
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

log = logging.getLogger(__name__)

ON = "on"
GATHER_SECONDS = 0.2  # so that a call carries more than one event
RETRY_SECONDS = 2.0
FLUSH_SECONDS = 3.0
REQUEST_SECONDS = 5.0
BATCH_ENTRIES, BATCH_BYTES = 10, 240_000  # PutEvents: 10 entries, 256 KB in all
READ_NOTES = 200
MOST_NOTES = 20_000
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
FAILURES = (OSError, http.client.HTTPException, ValueError)

Entry = dict[str, Any]


class Forwarder:
    """The thread of one plane, and its count of what was sent and what was given up."""

    def __init__(self, plane: Plane) -> None:
        self.state = "off: not started"
        self.sent = 0
        self.lost = 0
        self._plane = plane
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._failing = False
        self._deadline = float("inf")

    def start(self) -> None:
        """Find out whether events are taken; only then are notes kept and sent."""
        self.state = self._asked()
        if self.state != ON:
            log.info("events do not reach EventBridge: %s", self.state)
            return
        self._plane.store.watch = notices.watcher(self._plane.clock, self._wake.set)
        self._wake.set()  # for what the last server left
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what there is, for a few seconds at most; the rest when the server is back."""
        self._deadline = time.monotonic() + FLUSH_SECONDS
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._plane.store.watch = None

    def _asked(self) -> str:
        endpoint = self._plane.config.s3_endpoint
        if urlsplit(endpoint).hostname not in LOOPBACK_HOSTS:
            return f"off: {endpoint} is not a MiniStack on this machine"
        try:
            answer = self._put([])
        except FAILURES as problem:
            return f"off: {endpoint} did not answer: {type(problem).__name__}: {problem}"
        if answer.get("TakesEventsOf") == notice_shapes.SOURCE:
            return ON
        return (
            f"off: {endpoint} takes no events of {notice_shapes.SOURCE}; if it is our MiniStack, "
            "ministack/server.log in the home says why"
        )

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._plane.clock.wait(self._closing, GATHER_SECONDS)
            if not self._closing.is_set() and not self._drained():
                self._plane.clock.wait(self._closing, RETRY_SECONDS)
                self._wake.set()
        self._drained()
        if self._connection is not None:
            self._connection.close()

    def _drained(self) -> bool:
        """Send until the outbox is empty; False when EventBridge does not take them now."""
        try:
            while notes := self._plane.store.outbox(READ_NOTES):
                for last, batch in self._batches(notes):
                    if time.monotonic() > self._deadline:
                        return False
                    self._deliver(batch)
                    self._plane.store.remove_notes(last)
        except FAILURES as problem:
            self._tell_once(problem)
            return False
        self._failing = False
        return True

    def _batches(self, notes: list[tuple[int, Row]]) -> Iterator[tuple[int, list[Entry]]]:
        """The entries of the notes, as many in one call as PutEvents takes, each time with the
        number of the last note.
        """
        batch: list[Entry] = []
        size = last = 0
        for number, note in notes:
            entry = self._entry(note)
            cost = len(entry["Detail"]) if entry else 0
            if batch and (size + cost > BATCH_BYTES or len(batch) == BATCH_ENTRIES):
                yield last, batch
                batch, size = [], 0
            if entry is not None:
                batch.append(entry)
                size += cost
            last = number
        yield last, batch

    def _entry(self, note: Row) -> Entry | None:
        try:
            entry = notice_shapes.entry(self._plane, note)
        except Exception:  # one event's surprise must not hold up the others
            self.lost += 1
            log.exception("an event is lost, it cannot be made kind=%s", note.get("Kind"))
            return None
        if len(entry["Detail"]) > BATCH_BYTES:
            self._give_up(entry, f"it has more than {BATCH_BYTES} bytes, which PutEvents refuses")
            return None
        return entry

    def _deliver(self, batch: list[Entry]) -> None:
        if not batch:
            return
        answers = self._put(batch)["Entries"]
        for entry, answer in zip(batch, answers, strict=True):
            if "ErrorCode" in answer:
                self._give_up(entry, f"{answer['ErrorCode']}: {answer.get('ErrorMessage')}")
            else:
                self.sent += 1

    def _put(self, entries: list[Entry]) -> Any:
        """PutEvents. boto3 would cost five times as much, and 50 ms at the start."""
        if self._connection is None:
            place = urlsplit(self._plane.config.s3_endpoint)
            self._connection = http.client.HTTPConnection(
                place.hostname or "", place.port, timeout=REQUEST_SECONDS
            )
        try:
            body = json.dumps({"Entries": entries})
            self._connection.request("POST", "/", body, self._headers())
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens it again
            raise
        if answer.status != 200:
            raise ValueError(f"PutEvents answered {answer.status}: {said[:200]!r}")
        found = json.loads(said)
        if not isinstance(found, dict) or len(found.get("Entries", "")) != len(entries):
            raise ValueError(f"PutEvents answered {said[:200]!r}")
        return found

    def _headers(self) -> dict[str, str]:
        config = self._plane.config
        # MiniStack takes account and region from here; nobody checks a signature.
        who = f"Credential={config.access_key}/20260101/{config.region}/events/aws4_request"
        return {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": PUT_EVENTS,
            HEADER: "1",
            "Authorization": f"AWS4-HMAC-SHA256 {who}, SignedHeaders=host, Signature=0",
        }

    def _give_up(self, entry: Entry, reason: str) -> None:
        self.lost += 1
        log.warning(
            "an event is lost type=%r %s: %s", entry["DetailType"], entry["Resources"], reason
        )

    def _tell_once(self, problem: Exception) -> None:
        """Once for each time that it is away; and the outbox does not grow forever."""
        if not self._failing:
            log.warning("EventBridge does not take events, they are kept: %s", problem)
        self._failing = True
        over = self._plane.store.outbox_size() - MOST_NOTES
        if over > 0:
            self._plane.store.remove_notes(self._plane.store.outbox(over)[-1][0])
            self.lost += over
            log.warning("the oldest events are lost: %d of them; %d are kept", over, MOST_NOTES)


_FORWARDERS: weakref.WeakKeyDictionary[Plane, Forwarder] = weakref.WeakKeyDictionary()
_FORWARDERS_LOCK = threading.Lock()


def of(plane: Plane) -> Forwarder:
    """The one forwarder of a plane."""
    with _FORWARDERS_LOCK:
        return _FORWARDERS.setdefault(plane, Forwarder(plane))
