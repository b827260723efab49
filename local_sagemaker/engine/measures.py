"""What endpoints measure: AWS's metrics by endpoint and variant, a bucket a minute, in memory.

Whoever decides by them (autoscaling) reads them here at once; what CloudWatch gets is made of the
same values. They begin anew with the server, as metrics of instances that are gone do.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from local_sagemaker.plane import Plane

MINUTE = 60.0
KEPT_MINUTES = 180


@dataclass
class Bucket:
    """The values of one metric in one minute: CloudWatch's statistic set."""

    start: float  # epoch seconds, a multiple of 60
    total: float = 0.0
    count: int = 0
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1
        if value < self.least:
            self.least = value
        if value > self.most:
            self.most = value


class Measures:
    """The metrics of one local SageMaker's endpoints. Any thread may add and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[tuple[str, str, str], deque[Bucket]] = {}

    def add(self, endpoint: str, variant: str, now: float, values: dict[str, float]) -> None:
        """The values that one event measured, by the metric's name, in AWS's units."""
        start = now - now % MINUTE
        with self._lock:
            for metric, value in values.items():
                series = self._series.get((endpoint, variant, metric))
                if series is None:
                    series = self._series[endpoint, variant, metric] = deque(maxlen=KEPT_MINUTES)
                if not series or series[-1].start < start:
                    series.append(Bucket(start))
                series[-1].add(value)

    def minutes(
        self, endpoint: str, variant: str, metric: str, since: float, until: float
    ) -> list[Bucket]:
        """The minutes with values that begin in [since, until), oldest first."""
        with self._lock:
            series = list(self._series.get((endpoint, variant, metric), ()))
        return [each for each in series if since <= each.start < until]

    def forget(self, endpoint: str) -> None:
        with self._lock:
            for key in [key for key in self._series if key[0] == endpoint]:
                del self._series[key]


_MEASURES: WeakKeyDictionary[Plane, Measures] = WeakKeyDictionary()
_LOCK = threading.Lock()


def of(plane: Plane) -> Measures:
    """The plane's measures."""
    found = _MEASURES.get(plane)
    if found is None:
        with _LOCK:
            found = _MEASURES.setdefault(plane, Measures())
    return found
