"""From a DeploymentConfig to what is done, in turn: pure planning, nothing runs here.

    ALL_AT_ONCE  launch all, all traffic; bake TerminationWait
    CANARY       launch the canary, its share; bake WaitInterval; the rest; bake TerminationWait
    LINEAR       step by step: launch, share, bake WaitInterval; at the end bake TerminationWait
    rolling      batch by batch: launch, share, bake WaitInterval, end as much of the old fleet

A step says where both fleets and the traffic are after it. A size in percent is that share of the
traffic, and of the instances rounded up; a size in instances is their share of the variant's total.
The last step of the new fleet, and of a way back, is where the other fleet gets nothing more: it is
then ended as a whole, never shrunk to nothing, so that no request finds it empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
Counts = dict[str, int]  # instances by variant
Shares = dict[str, Fraction]  # of a variant's traffic, what goes to the new fleet
NONE, ALL = Fraction(0), Fraction(1)
WAIT, TERMINATION = "WaitIntervalInSeconds", "TerminationWaitInSeconds"
DEFAULT_TIMEOUT_SECONDS = 28_800
DEFAULT: Row = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", WAIT: 0},
        TERMINATION: 0,
    }
}


@dataclass(frozen=True)
class Step:
    """Where a deployment is: instances of both fleets, the new one's traffic; then it bakes."""

    green: Counts
    blue: Counts
    shares: Shares
    capacity: str = "full"  # as it is called in messages
    wait: str = WAIT
    seconds: int = 0

    @property
    def is_full(self) -> bool:
        """Does the new fleet get all traffic?"""
        return all(share == ALL for share in self.shares.values())


@dataclass(frozen=True)
class Size:
    """A CapacitySize."""

    percent: bool
    value: int

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Size:
        return cls(given["Type"] == "CAPACITY_PERCENT", given["Value"])

    def share(self, total: int) -> Fraction:
        """The part of so many instances; at most all of them."""
        return min(ALL, Fraction(self.value, 100 if self.percent else max(total, 1)))


def policy(config: Row) -> Row:
    """The update policy in a DeploymentConfig; by default blue/green, all at once."""
    found: Row = config.get("BlueGreenUpdatePolicy") or config.get("RollingUpdatePolicy") or {}
    return found or DEFAULT["BlueGreenUpdatePolicy"]


def is_rolling(config: Row) -> bool:
    return "RollingUpdatePolicy" in config


def timeout(config: Row) -> int:
    """MaximumExecutionTimeoutInSeconds."""
    return int(policy(config).get("MaximumExecutionTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS))


def alarms(config: Row) -> list[str]:
    given = config.get("AutoRollbackConfiguration", {}).get("Alarms", ())
    return [each["AlarmName"] for each in given if "AlarmName" in each]


def waiting(config: Row, green: Counts) -> int:
    """How many seconds all bakes take together."""
    return sum(step.seconds for step in steps(config, green, green))


def steps(config: Row, blue: Counts, green: Counts) -> list[Step]:
    """The way from an old fleet of these instances to a new one."""
    chosen = policy(config)
    if is_rolling(config):
        batches = _levels(_batches(Size.of(chosen["MaximumBatchSize"]), green))
        return [_batch(level, blue, green, chosen[WAIT]) for level in batches]
    routing = chosen["TrafficRoutingConfiguration"]
    shift = SHIFTS[routing["Type"]]
    levels = shift.levels(routing, green)
    first = Step({}, blue, {}, shift.capacity, WAIT, routing[WAIT])
    steps_before = [_reached(first, level, green) for level in levels]
    last = Step({}, blue, {}, "full", TERMINATION, chosen.get(TERMINATION, 0))
    return [*steps_before, _reached(last, dict.fromkeys(green, ALL), green)]


def back(config: Row, here: Step, blue: Counts) -> list[Step]:
    """The way from anywhere to where the old fleet is whole and has all traffic again."""
    size = config.get("RollingUpdatePolicy", {}).get("RollbackMaximumBatchSize")
    batch = Size.of(size) if size else Size(percent=True, value=100)
    found = [_returned(here, blue, batch)]
    while found[-1].blue != blue:
        found.append(_returned(found[-1], blue, batch))
    return found


def _returned(here: Step, blue: Counts, batch: Size) -> Step:
    """One batch of the old fleet further; of the new one stays what its traffic needs."""
    grown = {
        name: min(count, here.blue[name] + math.ceil(batch.share(count) * count))
        for name, count in blue.items()
    }
    shares = {
        name: min(share, 1 - Fraction(grown[name], blue[name])) if name in blue else NONE
        for name, share in here.shares.items()
    }
    green = {
        name: min(count, math.ceil(count * shares[name] / here.shares[name]))
        if here.shares.get(name)
        else 0
        for name, count in here.green.items()
    }
    return Step(green, grown, shares)


def _at_once(_: Row, __: Counts) -> list[Shares]:
    return []


def _canary(routing: Row, green: Counts) -> list[Shares]:
    return [_parts(Size.of(routing["CanarySize"]), green)]


def _linear(routing: Row, green: Counts) -> list[Shares]:
    return _levels(_parts(Size.of(routing["LinearStepSize"]), green))[:-1]


@dataclass(frozen=True)
class Shift:
    """A TrafficRoutingConfiguration.Type: what the new fleet gets before it gets all."""

    levels: Callable[[Row, Counts], list[Shares]]
    capacity: str


SHIFTS = {
    "ALL_AT_ONCE": Shift(_at_once, "full"),
    "CANARY": Shift(_canary, "canary"),
    "LINEAR": Shift(_linear, "linear step"),
}


def _parts(size: Size, counts: Counts) -> Shares:
    return {name: size.share(count) for name, count in counts.items()}


def _batches(size: Size, counts: Counts) -> Shares:
    """The shares of whole instances: a batch is one at least."""
    return {
        name: Fraction(math.ceil(size.share(count) * count), count)
        for name, count in counts.items()
    }


def _levels(parts: Shares) -> list[Shares]:
    """Part by part up to all traffic of every variant."""
    number = math.ceil(1 / min(parts.values()))
    return [
        {name: min(ALL, part * level) for name, part in parts.items()}
        for level in range(1, number + 1)
    ]


def _reached(step: Step, shares: Shares, green: Counts) -> Step:
    return replace(step, green=_whole(shares, green), shares=shares)


def _batch(shares: Shares, blue: Counts, green: Counts, seconds: int) -> Step:
    left = _whole({name: 1 - share for name, share in shares.items()}, blue)
    full = all(share == ALL for share in shares.values())
    capacity = "full" if full else "rolling batch"
    return Step(_whole(shares, green), left, shares, capacity, WAIT, seconds)


def _whole(shares: Shares, counts: Counts) -> Counts:
    """As many instances as these shares need."""
    return {name: math.ceil(shares.get(name, NONE) * count) for name, count in counts.items()}
