"""What the machines of endpoints use: CPU, memory and disk of each instance, once a minute, to
CloudWatch.

An instance here is the process trees of its model servers: CPUUtilization is theirs, in percent of
one core as at AWS; MemoryUtilization is their part of this machine's memory; DiskUtilization is
that of the disk on which the home lies. Without psutil there are none of these metrics.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from local_sagemaker.engine import publishing, serving
from local_sagemaker.engine.flushing import Flusher
from local_sagemaker.plane import Plane

if TYPE_CHECKING:
    import psutil

log = logging.getLogger(__name__)
NAMESPACE = "/aws/sagemaker/Endpoints"
INTERVAL_SECONDS = 60.0


class Sampler:
    """The thread of one plane, and the processes whose CPU time it has seen before."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._known: dict[int, psutil.Process] = {}
        self._flusher = Flusher(plane, "host-metrics", INTERVAL_SECONDS, self._sample)

    def start(self) -> None:
        if importlib.util.find_spec("psutil") is None:
            log.info("endpoints have no CPU, memory and disk metrics: psutil is not installed")
        else:
            self._flusher.start()

    def close(self) -> None:
        self._flusher.close()

    def _sample(self) -> None:
        known, self._known = self._known, {}
        for endpoint, fleet in serving.FLEETS.all(self._plane).items():
            for variant, instances in fleet.processes().items():
                dimensions = (("EndpointName", endpoint), ("VariantName", variant))
                for pids in instances:
                    values = self._used(pids, known)
                    now = self._plane.clock.now()
                    publishing.of(self._plane).add(NAMESPACE, (dimensions,), now, values)

    def _used(self, pids: list[int], known: dict[int, psutil.Process]) -> dict[str, float]:
        import psutil  # 40 ms that only a server with endpoints pays

        cpu = memory = 0.0
        for process in _trees(pids):
            self._known[process.pid] = known.get(process.pid, process)
            with contextlib.suppress(psutil.Error):  # it has just ended
                cpu += self._known[process.pid].cpu_percent()  # since it was asked last
                memory += process.memory_percent("rss")
        disk = psutil.disk_usage(str(self._plane.config.home)).percent
        return {"CPUUtilization": cpu, "MemoryUtilization": memory, "DiskUtilization": disk}


def _trees(pids: list[int]) -> Iterator[psutil.Process]:
    import psutil

    for pid in pids:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            yield root
            yield from root.children(recursive=True)


_SAMPLERS: WeakKeyDictionary[Plane, Sampler] = WeakKeyDictionary()
_LOCK = threading.Lock()


def of(plane: Plane) -> Sampler:
    """The one sampler of a plane."""
    with _LOCK:
        return _SAMPLERS.setdefault(plane, Sampler(plane))
