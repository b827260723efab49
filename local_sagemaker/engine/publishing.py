"""Metrics to CloudWatch (MiniStack's, or whatever answers there): one thread sends what was added.

    add -> noted down, nobody waits -> every few seconds: values and counts by metric and minute ->
    PutMetricData

Values are sent as they are (Values and Counts), so that CloudWatch has percentiles of them. What it
does not take is kept for the next time, up to a bound; the server's log says so. `kill -9` loses
what was added since the last sending.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from local_sagemaker.engine import services
from local_sagemaker.engine.flushing import Flusher
from local_sagemaker.engine.measures import MINUTE
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)
INTERVAL_SECONDS = 2.0
MOST_NOTES, MOST_UNSENT = 200_000, 50  # notes; calls that could not be made
# PutMetricData: 150 values a datum, 1,000 datums and 1 MB a call.
DATUM_VALUES, CALL_DATUMS = 150, 200
READ_TIMEOUT_SECONDS = 10.0
# By metric; all others are plain numbers.
UNITS = {
    "ModelLatency": "Microseconds",
    "OverheadLatency": "Microseconds",
    "TimeInBacklog": "Milliseconds",
    "TotalProcessingTime": "Milliseconds",
    "ApproximateAgeOfOldestRequest": "Seconds",
    "CPUUtilization": "Percent",
    "MemoryUtilization": "Percent",
    "DiskUtilization": "Percent",
}

Dimensions = tuple[tuple[str, str], ...]
Note = tuple[str, tuple[Dimensions, ...], float, dict[str, float]]
Datum = dict[str, Any]
Call = tuple[str, list[Datum]]  # the namespace, and what goes there


class Publisher:
    """What is on its way from one plane. Any thread may add."""

    def __init__(self, plane: Plane) -> None:
        self.lost = 0  # notes and datums that nobody will see
        self._plane = plane
        self._notes: deque[Note] = deque()
        self._unsent: deque[Call] = deque()
        self._failing = False
        self._flusher = Flusher(plane, "metrics", INTERVAL_SECONDS, self._flush)

    def add(
        self,
        namespace: str,
        dimensions: tuple[Dimensions, ...],
        now: float,
        values: dict[str, float],
    ) -> None:
        """The values of one moment, each under every one of these sets of dimensions."""
        if len(self._notes) >= MOST_NOTES:
            self.lost += 1
            return
        self._notes.append((namespace, dimensions, now, values))
        self._flusher.start()

    def close(self) -> None:
        """Send what there is and end."""
        self._flusher.close()

    def _flush(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        self._unsent.extend(calls(self._notes.popleft() for _ in range(len(self._notes))))
        try:
            while self._unsent:
                self._send(self._unsent[0])
                self._unsent.popleft()
        except ClientError as problem:  # asking again would not help
            self._give_up(1, problem)
        except (BotoCoreError, OSError) as problem:
            self._give_up(len(self._unsent) - MOST_UNSENT, problem)
        else:
            self._failing = False

    def _send(self, call: Call) -> None:
        client = services.client(self._plane, "cloudwatch", READ_TIMEOUT_SECONDS, 2)
        client.put_metric_data(Namespace=call[0], MetricData=call[1])

    def _give_up(self, oldest: int, problem: Exception) -> None:
        if not self._failing:
            log.warning("CloudWatch does not take metrics: %s", problem)
        self._failing = True
        for _ in range(oldest):
            self.lost += len(self._unsent.popleft()[1])


def calls(notes: Iterable[Note]) -> Iterator[Call]:
    """What was added, in as few calls of PutMetricData as it allows."""
    waiting: dict[str, list[Datum]] = {}
    for namespace, datum in _datums(notes):
        together = waiting.setdefault(namespace, [])
        together.append(datum)
        if len(together) == CALL_DATUMS:
            yield namespace, waiting.pop(namespace)
    yield from waiting.items()


def _datums(notes: Iterable[Note]) -> Iterator[tuple[str, Datum]]:
    """One for each metric, minute and set of dimensions, or a few where it has many values."""
    counted: dict[tuple[str, Dimensions, str, float], Counter[float]] = {}
    latest: dict[float, float] = {}
    for namespace, dimensions, now, values in notes:
        minute = now - now % MINUTE
        latest[minute] = max(now, latest.get(minute, now))
        for metric, value in values.items():
            for each in dimensions:
                counted.setdefault((namespace, each, metric, minute), Counter())[value] += 1
    for (namespace, each, metric, minute), counter in counted.items():
        pairs = list(counter.items())
        for start in range(0, len(pairs), DATUM_VALUES):
            some = pairs[start : start + DATUM_VALUES]
            datum = {
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in each],
                "Timestamp": latest[minute],
                "Values": [value for value, _ in some],
                "Counts": [float(count) for _, count in some],
                "Unit": UNITS.get(metric, "None"),
            }
            yield namespace, datum


_PUBLISHERS: WeakKeyDictionary[Plane, Publisher] = WeakKeyDictionary()
_LOCK = threading.Lock()


def of(plane: Plane) -> Publisher:
    """The one publisher of a plane."""
    found = _PUBLISHERS.get(plane)
    if found is None:
        with _LOCK:
            found = _PUBLISHERS.setdefault(plane, Publisher(plane))
    return found
