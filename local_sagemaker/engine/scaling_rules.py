"""When capacity changes, and to what: Application Auto Scaling's algorithm, as pure functions.

    metric of 15 minutes -> alarm states -> what each policy wishes -> one decision, or none

Target tracking: the high alarm is 3 minutes above the target, and asks for capacity in proportion
to the newest of them; the low alarm is 15 minutes below 90 % of it, and asks for what the highest
of them needs. Any policy scales out, to the largest that is asked for; target tracking scales in
only when all its policies agree. During the cooldown of a scale-out its capacity counts as part of
the next one; the cooldown of a scale-in holds back scale-ins alone, and a scale-out ends it.
Cooldowns and agreement: AWS's user guide; the numbers of minutes and the 90 % are what AWS's alarms
show; taking the highest minute for a scale-in is ours, and errs towards too much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

OUT_MINUTES, IN_MINUTES = 3, 15
IN_SHARE = 0.9
COOLDOWN_SECONDS = 300
OK, ALARM, UNKNOWN = "OK", "ALARM", "INSUFFICIENT_DATA"

Points = Sequence[float | None]  # one a minute, the newest last; None: nothing was measured


@dataclass(frozen=True)
class State:
    """One scalable target: where it is, where it may go, and what it has to wait for."""

    capacity: int
    least: int
    most: int
    out_until: float = 0.0  # epoch seconds, as `now` is
    out_base: int = 0  # the capacity that the scale-out in its cooldown began with
    in_until: float = 0.0
    out_suspended: bool = False
    in_suspended: bool = False


@dataclass(frozen=True)
class Tracking:
    """A target tracking policy, and what its metric was."""

    name: str
    target: float  # above 0
    points: Points
    out_seconds: float = COOLDOWN_SECONDS
    in_seconds: float = COOLDOWN_SECONDS
    scales_in: bool = True


@dataclass(frozen=True)
class Step:
    """One bound of a step: from `lower` to `upper` away from the alarm's threshold."""

    adjustment: int
    lower: float = -math.inf
    upper: float = math.inf


@dataclass(frozen=True)
class Stepping:
    """A step scaling policy, one of whose alarms is in ALARM: its metric is `difference` above the
    threshold (below, when negative).
    """

    name: str
    alarm: str
    difference: float
    adjustment_type: str
    steps: tuple[Step, ...]
    least_change: int = 0
    seconds: float = COOLDOWN_SECONDS


@dataclass(frozen=True)
class Decision:
    """The capacity to go to, and whose doing it is. `alarm`: AlarmHigh, AlarmLow, or a name."""

    capacity: int
    policy: str
    alarm: str
    cooldown_seconds: float


def high_alarm(target: float, points: Points) -> str:
    return _alarm([None if p is None else p > target for p in points[-OUT_MINUTES:]], OUT_MINUTES)


def low_alarm(target: float, points: Points) -> str:
    limit = target * IN_SHARE
    return _alarm([None if p is None else p < limit for p in points[-IN_MINUTES:]], IN_MINUTES)


def decide(
    state: State, tracking: Sequence[Tracking], stepping: Sequence[Stepping], now: float
) -> Decision | None:
    """Where to go from here; None to stay. Never outside the least and the most."""
    base = min(state.out_base, state.capacity) if now < state.out_until else state.capacity
    stepped = [each for each in (_stepped(step, base) for step in stepping) if each]
    if not state.out_suspended:
        outs = [each for each in (_tracked_out(policy, base) for policy in tracking) if each]
        wish = _largest([*outs, *(each for each in stepped if each.capacity > base)])
        out = _clipped(wish, state)
        if out is not None and out.capacity > state.capacity:
            return out
    if state.in_suspended or now < state.in_until:
        return None
    stepped_in = [_stepped(step, state.capacity) for step in stepping]
    ins = [*_tracked_in(tracking, state.capacity), *(each for each in stepped_in if each)]
    wish = _clipped(_largest(ins), state)
    return wish if wish is not None and wish.capacity < state.capacity else None


def after(state: State, decision: Decision, ended: float) -> State:
    """The state when a decision has come true at `ended`: its cooldown begins."""
    until = ended + decision.cooldown_seconds
    if decision.capacity < state.capacity:
        return replace(state, capacity=decision.capacity, in_until=until)
    goes_on = ended < state.out_until
    return replace(
        state,
        capacity=decision.capacity,
        out_until=until,
        out_base=state.out_base if goes_on else state.capacity,
        in_until=0.0,
    )


def _alarm(breaching: Sequence[bool | None], minutes: int) -> str:
    if all(each is None for each in breaching):
        return UNKNOWN
    return ALARM if len(breaching) == minutes and all(breaching) else OK


def _tracked_out(policy: Tracking, base: int) -> Decision | None:
    if high_alarm(policy.target, policy.points) != ALARM:
        return None
    newest = policy.points[-1] or 0.0
    wanted = max(_needed(base, newest, policy.target), base + 1)
    return Decision(wanted, policy.name, "AlarmHigh", policy.out_seconds)


def _tracked_in(policies: Sequence[Tracking], capacity: int) -> list[Decision]:
    """What the policies that scale in wish; nothing when one of them does not agree."""
    asked = [each for each in policies if each.scales_in]
    if any(low_alarm(each.target, each.points) != ALARM for each in asked):
        return []
    wishes = []
    for each in asked:
        highest = max(point or 0.0 for point in each.points[-IN_MINUTES:])
        wanted = _needed(capacity, highest, each.target)
        wishes.append(Decision(wanted, each.name, "AlarmLow", each.in_seconds))
    return wishes


def _needed(capacity: int, value: float, target: float) -> int:
    """The capacity at which the metric is on its target, when it shares its load evenly."""
    return math.ceil(round(capacity * value / target, 9))


def _stepped(policy: Stepping, capacity: int) -> Decision | None:
    step = next((each for each in policy.steps if _holds(each, policy.difference)), None)
    if step is None:
        return None
    wanted = max(0, _adjusted(policy, step.adjustment, capacity))
    return Decision(wanted, policy.name, policy.alarm, policy.seconds)


def _holds(step: Step, difference: float) -> bool:
    """Above the threshold the lower bound belongs to a step, below it the upper one."""
    if difference >= 0:
        return step.lower <= difference < step.upper
    return step.lower < difference <= step.upper


def _adjusted(policy: Stepping, adjustment: int, capacity: int) -> int:
    if policy.adjustment_type == "ExactCapacity":
        return adjustment
    if policy.adjustment_type == "ChangeInCapacity":
        return capacity + adjustment
    change = math.trunc(capacity * adjustment / 100)
    size = max(abs(change), policy.least_change, 1)
    return capacity + (size if adjustment > 0 else -size if adjustment < 0 else 0)


def _largest(wishes: Sequence[Decision]) -> Decision | None:
    return max(wishes, key=lambda each: each.capacity, default=None)


def _clipped(wish: Decision | None, state: State) -> Decision | None:
    if wish is None:
        return None
    return replace(wish, capacity=max(state.least, min(wish.capacity, state.most)))
