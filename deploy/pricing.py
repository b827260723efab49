"""What a load costs a month in each way of serving it: arithmetic alone, prices are given.

    Load -> each kind (real-time, autoscaled, serverless, asynchronous, batch) x type -> Options

An Option that cannot carry the load says why not. The recommendation is the cheapest that can, of
that very list: it cannot contradict it. Latency is taken to be the same on every type; it is not,
so measure it on the type that you choose.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipelines.prices import Instance, Prices

SECONDS_PER_HOUR = 3600
HOURS_PER_DAY = 24
DAY_SECONDS = HOURS_PER_DAY * SECONDS_PER_HOUR
KB_PER_GB = 1024**2
COLD_START_SECONDS = 2.0  # a serverless endpoint that nobody asked for a while
QUEUE_SECONDS = 3600.0  # a peak waits in an asynchronous endpoint's queue
BATCH_HOURS = 4  # a day's batch is done within this
BATCH_START_HOURS = 4 / 60  # an instance of a transform job is paid for while it starts
SERVERLESS_GB = range(1, 7)
SERVERLESS_AT_ONCE = 200
# Of one request: payload in KB, and seconds that an answer may take.
LIMITS = {
    "real-time": (6 * 1024, 60),
    "autoscaled": (6 * 1024, 60),
    "serverless": (4 * 1024, 60),
    "asynchronous": (1024**2, 3600),
    "batch": (100 * 1024, 3600),
}


@dataclass(frozen=True)
class Load:
    """What is asked of the model. payload_kb: of a request, and of an answer. utilisation: the
    share of an instance's time that is planned for. parallel: requests an instance works on at
    once. answer_within: seconds that the slowest answer may take, waiting included.
    """

    requests_per_month: float
    latency_ms: float
    payload_kb: float
    peak_factor: float = 3.0
    utilisation: float = 0.7
    memory_gb: float = 2.0
    min_instances: int = 2
    answer_within: float = 60.0
    parallel: int | None = None

    @property
    def latency_seconds(self) -> float:
        return self.latency_ms / 1000

    @property
    def busy_seconds(self) -> float:
        """Of one worker, in a month."""
        return self.requests_per_month * self.latency_seconds


@dataclass(frozen=True)
class Option:
    """One way to serve: USD a month; `unmet` says what it cannot do of what is asked."""

    kind: str
    instance_type: str
    instances: str
    month: float
    slowest_seconds: float
    unmet: tuple[str, ...]


def options(
    load: Load, prices: Prices, hosting: Collection[str], transform: Collection[str]
) -> list[Option]:
    """Every way, the cheapest first. hosting, transform: types that may serve, and run batches."""
    found = [serverless(load, prices)]
    for name in prices.instances:
        if name in hosting:
            found += [each(load, prices, name) for each in (real_time, autoscaled, asynchronous)]
        if name in transform:
            found.append(batch(load, prices, name))
    return sorted(found, key=lambda each: (each.month, each.kind, each.instance_type))


def recommended(found: Iterable[Option]) -> Option | None:
    """The cheapest that can carry the load; None when none can."""
    return min((each for each in found if not each.unmet), key=lambda o: o.month, default=None)


def real_time(load: Load, prices: Prices, name: str) -> Option:
    """As many instances as the peak needs, always."""
    count = _at_peak(load, prices, name)
    return _on_instances(
        "real-time", load, prices, name, str(count), prices.month(name, count), load.latency_seconds
    )


def autoscaled(load: Load, prices: Prices, name: str) -> Option:
    """As many as are needed at the moment: in the mean as many as the mean load needs."""
    count = max(load.min_instances, _needed(load, prices, name))
    most = _at_peak(load, prices, name)
    words = f"{load.min_instances}-{most}"
    month = prices.month(name, count)
    return _on_instances("autoscaled", load, prices, name, words, month, load.latency_seconds)


def asynchronous(load: Load, prices: Prices, name: str) -> Option:
    """As many as the mean load needs; a peak waits in the queue. As if requests came all day."""
    count = max(1, _up(_needed(load, prices, name)))
    month, slowest = prices.month(name, count), load.latency_seconds + QUEUE_SECONDS
    return _on_instances("asynchronous", load, prices, name, str(count), month, slowest)


def batch(load: Load, prices: Prices, name: str) -> Option:
    """A transform job a day over what came in, on as many instances as finish it in time."""
    days = prices.hours_per_month / HOURS_PER_DAY
    work = load.busy_seconds / SECONDS_PER_HOUR / days / _workers(load, prices.instance(name))
    count = max(1, _up(work / BATCH_HOURS))
    month = prices.month(name, (work + count * BATCH_START_HOURS) / HOURS_PER_DAY)
    slowest = DAY_SECONDS + (BATCH_HOURS + BATCH_START_HOURS) * SECONDS_PER_HOUR
    unmet = _unmet("batch", load, prices.instance(name).memory_gb, slowest)
    return Option("batch", name, f"{count} daily", month, slowest, unmet)


def serverless(load: Load, prices: Prices) -> Option:
    """Memory x time of each request, and the data that goes in and out."""
    memory = max(SERVERLESS_GB.start, _up(load.memory_gb))
    seconds = load.busy_seconds * memory
    month = prices.used("serverless_gb_second", seconds) + _data(load, prices)
    slowest = load.latency_seconds + COLD_START_SECONDS
    unmet = _unmet("serverless", load, SERVERLESS_GB[-1], slowest)
    at_once = _up(_per_second(load, prices) * load.peak_factor * load.latency_seconds)
    if at_once > SERVERLESS_AT_ONCE:
        unmet += (f"the peak is {at_once} requests at once, at most {SERVERLESS_AT_ONCE}",)
    return Option("serverless", f"{memory} GB", "by use", month, slowest, unmet)


def _on_instances(
    kind: str, load: Load, prices: Prices, name: str, count: str, month: float, slowest: float
) -> Option:
    unmet = _unmet(kind, load, prices.instance(name).memory_gb, slowest)
    return Option(kind, name, count, month + _data(load, prices), slowest, unmet)


def _unmet(kind: str, load: Load, memory_gb: float, slowest: float) -> tuple[str, ...]:
    payload_kb, seconds = LIMITS[kind]
    wrong = (
        (load.memory_gb > memory_gb, f"has {memory_gb:g} GB of memory"),
        (load.payload_kb > payload_kb, f"a payload is at most {payload_kb:g} KB"),
        (load.latency_seconds > seconds, f"an answer may take {seconds} s"),
        (slowest > load.answer_within, f"the slowest answer takes {_duration(slowest)}"),
    )
    return tuple(words for is_so, words in wrong if is_so)


def _at_peak(load: Load, prices: Prices, name: str) -> int:
    return max(load.min_instances, _up(_needed(load, prices, name) * load.peak_factor))


def _needed(load: Load, prices: Prices, name: str) -> float:
    """Instances for the mean load, as a number that need not be whole."""
    busy = load.busy_seconds / (prices.hours_per_month * SECONDS_PER_HOUR)
    return busy / (_workers(load, prices.instance(name)) * load.utilisation)


def _workers(load: Load, machine: Instance) -> int:
    """A request at a time on each vCPU, or on the accelerator."""
    return load.parallel or (1 if machine.accelerator else machine.vcpu)


def _per_second(load: Load, prices: Prices) -> float:
    return load.requests_per_month / (prices.hours_per_month * SECONDS_PER_HOUR)


def _data(load: Load, prices: Prices) -> float:
    both_ways = 2 * load.payload_kb / KB_PER_GB
    return prices.used("data_processed_gb", load.requests_per_month * both_ways)


def _up(number: float) -> int:
    """The next whole number; a rounding error is no instance."""
    return math.ceil(number - 1e-9)


def _duration(seconds: float) -> str:
    for size, unit in ((SECONDS_PER_HOUR, "h"), (60, "min")):
        if seconds >= size:
            return f"up to {seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
