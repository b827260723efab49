"""What target tracking would do with a traffic trace: Application Auto Scaling's algorithm and a
queue, as pure functions; nobody is called.

The algorithm: three minutes with more than the target for each instance ask for instances in
proportion to the last of them; fifteen minutes below 90 % of it take away what the busiest of them
does not need; cooldowns as the policy says. AWS's guides say: the cooldowns, and that a minute
without traffic counts as 0. From memory of the alarms that AWS makes, not promised by it: 3 and 15
minutes, 90 %, the proportion. Ours: the busiest of the 15 minutes; AWS says that it scales in with
care, not how.

The queue: requests come at random (Poisson) within a minute, and take exponentially long, at
instances with so many workers each, which share one line (M/M/c). More than they can do waits, and
is done first in the next minute. Real traffic is burstier and a real router has a line for each
instance: the latency here is a lower bound to compare settings by, not a promise.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

OUT_MINUTES, IN_MINUTES = 3, 15
IN_SHARE = 0.9


@dataclass(frozen=True)
class Policy:
    """One target tracking policy on InvocationsPerInstance."""

    least: int
    most: int
    target: float  # requests a minute and instance; above 0
    in_minutes: float
    out_minutes: float


@dataclass(frozen=True)
class Server:
    """What one instance is: how long a request takes, how many it does at once, and how long an
    instance needs before it answers.
    """

    service_seconds: float
    workers: int = 1
    startup_minutes: int = 4


@dataclass(frozen=True)
class Minute:
    """One minute of a simulation. `paid` counts instances that are starting, too; `latency_seconds`
    is the mean, waiting included; `utilization` is above 1 when more came than can be done.
    """

    requests: float
    instances: int
    paid: int
    per_instance: float
    utilization: float
    latency_seconds: float
    waiting: float


@dataclass
class _Scaler:
    """Where the algorithm stands."""

    capacity: int
    out_until: float = -math.inf
    out_base: int = 0
    in_until: float = -math.inf

    def decide(self, policy: Policy, seen: Sequence[float], now: float) -> int:
        """The capacity to have from now on, given the minutes so far."""
        base = self.out_base if now < self.out_until else self.capacity
        last = list(seen)[-OUT_MINUTES:]
        if len(last) == OUT_MINUTES and min(last) > policy.target:
            wanted = min(policy.most, max(base + 1, _needed(base, last[-1], policy.target)))
            if wanted > self.capacity:
                return self._out(wanted, base, now + policy.out_minutes)
        low = list(seen)[-IN_MINUTES:]
        if len(low) < IN_MINUTES or max(low) >= policy.target * IN_SHARE or now < self.in_until:
            return self.capacity
        wanted = max(policy.least, _needed(self.capacity, max(low), policy.target))
        if wanted < self.capacity:
            self.capacity, self.in_until = wanted, now + policy.in_minutes
        return self.capacity

    def _out(self, wanted: int, base: int, until: float) -> int:
        self.out_base, self.out_until, self.in_until = base, until, -math.inf
        self.capacity = wanted
        return wanted


def simulate(trace: Sequence[float], policy: Policy, server: Server) -> list[Minute]:
    """Play a trace (requests of each minute) from the least number of instances on. While instances
    start the endpoint is Updating, and nothing else is decided, as at AWS.
    """
    scaler = _Scaler(policy.least)
    in_service, ready_at, waiting = policy.least, 0, 0.0
    seen: deque[float] = deque(maxlen=IN_MINUTES)
    minutes: list[Minute] = []
    for now, requests in enumerate(trace):
        if now >= ready_at:
            in_service = scaler.capacity
        minutes.append(_minute(requests, waiting, in_service, scaler.capacity, server))
        waiting = minutes[-1].waiting
        seen.append(requests / in_service)
        if in_service == scaler.capacity:
            grows = scaler.decide(policy, seen, now + 1) > in_service
            starting = server.startup_minutes if grows else 0
            ready_at = now + 1 + starting
            scaler.out_until += starting  # the cooldown begins when they are there
    return minutes


def wave(peak: float, minutes: int = 1440) -> list[float]:
    """A day: a quiet night, a busy day, and a burst of a quarter of an hour in the afternoon."""
    found: list[float] = []
    for minute in range(minutes):
        hour = minute * 24 / minutes
        day = 0.5 - 0.5 * math.cos(2 * math.pi * (hour - 3) / 24)
        burst = 0.25 if 16 <= hour < 16.25 else 0.0
        found.append(round(peak * min(1.0, 0.05 + 0.7 * day**2 + burst)))
    return found


def needed_always(trace: Sequence[float], target: float) -> int:
    """The instances of an endpoint without scaling that never is above the target."""
    return max(1, _needed(1, max(trace, default=0.0), target))


def _needed(capacity: int, value: float, target: float) -> int:
    return math.ceil(round(capacity * value / target, 9))


def _minute(requests: float, before: float, instances: int, paid: int, server: Server) -> Minute:
    count = instances * server.workers
    can_do = 60.0 * count / server.service_seconds
    work = before + requests
    waiting = max(0.0, work - can_do)
    line = (before + waiting) / 2  # as it is in the middle of the minute
    rate = min(requests, can_do * 0.999) / 60.0
    delay = line * 60.0 / can_do + _erlang_wait(rate, server.service_seconds, count)
    return Minute(
        requests=requests,
        instances=instances,
        paid=max(instances, paid),
        per_instance=requests / instances,
        utilization=requests / can_do,
        latency_seconds=server.service_seconds + delay,
        waiting=waiting,
    )


def _erlang_wait(rate: float, service_seconds: float, count: int) -> float:
    """Mean wait in an M/M/c queue (Erlang C) in seconds; `rate` a second, below count / service."""
    load = rate * service_seconds
    if load <= 0:
        return 0.0
    blocked = 1.0  # Erlang B, one server more at a time: no factorials
    for each in range(1, count + 1):
        blocked = load * blocked / (each + load * blocked)
    busy = load / count
    waits = blocked / (1 - busy + busy * blocked)
    return waits * service_seconds / (count - load)
