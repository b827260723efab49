"""Data capture of endpoints: which invocations are captured, and their way to S3.

    witness: the sample is drawn, the invocation noted down -> every few seconds: records, one
    object for each variant and hour (capture_records.py)

Only what was answered is captured. What waits is bounded; what finds no room, and what S3 has not
taken when there is no more room, is lost and counted. `kill -9` loses what was not written yet: a
few seconds of it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

from local_sagemaker.engine import capture_records
from local_sagemaker.engine.capture_records import Config
from local_sagemaker.engine.flushing import Flusher
from local_sagemaker.engine.invocations import Invocation
from local_sagemaker.engine.routing import Dice
from local_sagemaker.engine.variants import CAPTURE, Plan
from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError

log = logging.getLogger(__name__)
INTERVAL_SECONDS = 2.0
MOST_BYTES = 64 << 20
MOST_UNWRITTEN = 200  # objects that S3 did not take
NOTE_BYTES = 1_000  # what an invocation weighs beside its bodies, about


def is_on(config: Config) -> bool:
    """Does it capture? EnableCapture may be left out."""
    return bool(config.get("EnableCapture", True))


def witness(plane: Plane, seen: Invocation) -> None:
    """Note it down if it is to be captured."""
    config = seen.variant.crew.plan.get(CAPTURE)
    if config is not None and is_on(config) and seen.reply is not None:
        of(plane).add(seen, config)


def summary(planned: Plan) -> dict[str, Any]:
    """DescribeEndpoint's DataCaptureConfig, when there is one."""
    config = planned[0].get(CAPTURE)
    if config is None:
        return {}
    on = is_on(config)
    shown = {
        "EnableCapture": on,
        "CaptureStatus": "Started" if on else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
    return {CAPTURE: shown}


class Capture:
    """What is on its way from one plane to S3. Any thread may add."""

    def __init__(self, plane: Plane) -> None:
        self.lost = 0  # records that nobody will see
        self._plane = plane
        self._dice = Dice()
        self._notes: deque[tuple[Invocation, Config]] = deque()
        self._unwritten: deque[tuple[str, list[bytes]]] = deque()  # URIs, and the lines there
        self._bytes = 0
        self._lock = threading.Lock()
        self._failing = False
        self._flusher = Flusher(plane, "data-capture", INTERVAL_SECONDS, self._flush)

    def add(self, seen: Invocation, config: Config) -> None:
        """Draw the sample; note it down."""
        if self._dice.roll() * 100 >= config["InitialSamplingPercentage"]:
            return
        size = _size(seen)
        with self._lock:
            if self._bytes + size > MOST_BYTES:
                self.lost += 1
                return
            self._bytes += size
        self._notes.append((seen, config))
        self._flusher.start()

    def close(self) -> None:
        """Write what there is and end."""
        self._flusher.close()
        self.lost += sum(len(lines) for _, lines in self._unwritten)
        if self.lost:
            log.warning("data capture has lost records, S3 was too slow or away: %d", self.lost)

    def _flush(self) -> None:
        notes = [self._notes.popleft() for _ in range(len(self._notes))]
        self._unwritten.extend(_objects(notes).items())
        with self._lock:
            self._bytes -= sum(_size(seen) for seen, _ in notes)
        try:
            while self._unwritten:
                uri, lines = self._unwritten[0]
                self._plane.storage.write(uri, b"".join(lines))
                self._unwritten.popleft()
        except StorageError as problem:
            self._keep(problem)
        else:
            self._failing = False

    def _keep(self, problem: StorageError) -> None:
        """S3 may be back, or the bucket be made, by the next time."""
        if not self._failing:
            log.warning("captured data is not written: %s", problem)
        self._failing = True
        # The one that failed goes last: it must not hold up what lies elsewhere.
        self._unwritten.rotate(-1)
        while len(self._unwritten) > MOST_UNWRITTEN:
            self.lost += len(self._unwritten.popleft()[1])


def _objects(notes: list[tuple[Invocation, Config]]) -> dict[str, list[bytes]]:
    """The lines of each object, by its URI."""
    names: dict[str, str] = {}
    objects: dict[str, list[bytes]] = {}
    for seen, config in notes:
        folder = capture_records.folder(seen, config)
        if folder not in names:
            names[folder] = f"{folder}/{capture_records.file_name(seen)}"
        objects.setdefault(names[folder], []).append(capture_records.line(seen, config))
    return objects


def _size(seen: Invocation) -> int:
    return NOTE_BYTES + len(seen.body) + (len(seen.reply[2]) if seen.reply else 0)


_CAPTURES: WeakKeyDictionary[Plane, Capture] = WeakKeyDictionary()
_LOCK = threading.Lock()


def of(plane: Plane) -> Capture:
    """The one capture of a plane."""
    found = _CAPTURES.get(plane)
    if found is None:
        with _LOCK:
            found = _CAPTURES.setdefault(plane, Capture(plane))
    return found
