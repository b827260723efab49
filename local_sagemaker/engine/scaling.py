"""The autoscaler: one thread that looks at every scalable target each minute.

    a minute is over -> scheduled actions that are due -> alarms and decision of each target
                     -> scaling_activities: asked of SageMaker, followed until it is true

It also wakes when an endpoint or component has settled, or somebody registered something. All it
knows stands in the store: after a restart it goes on. A target whose resource is gone is
deregistered, as at AWS.
"""

from __future__ import annotations

import logging
import threading
from weakref import WeakKeyDictionary

from local_sagemaker.engine import (
    components,
    scalable,
    scaling_activities,
    scaling_alarms,
    scaling_metrics,
    scaling_rules,
    scaling_schedules,
    serving,
)
from local_sagemaker.engine.scaling_rules import COOLDOWN_SECONDS, Decision, Tracking
from local_sagemaker.events import Change
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

log = logging.getLogger(__name__)
MINUTE = scaling_metrics.MINUTE
LAG_SECONDS = 1.0  # after a minute, for what was measured at its very end
NEXT_DUE = "LocalNextDue"  # a member of ours in a scheduled action's row
WATCHED = (serving.KIND, components.KIND)


class Scaler:
    """The thread of one plane."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._since = plane.clock.now()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._unsubscribe = plane.bus.subscribe(self._hear)
        self._thread = threading.Thread(target=self._run, name="autoscaling", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def close(self) -> None:
        self._unsubscribe()
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _hear(self, change: Change) -> None:
        if change.kind in WATCHED:
            self._wake.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                look(self._plane, self._since)
            except Exception:  # the thread's edge: the next look may succeed
                log.exception("autoscaling failed")
            now = self._plane.clock.now() - LAG_SECONDS
            if not self._closing.is_set():
                self._plane.clock.wait(self._wake, MINUTE - now % MINUTE)


_SCALERS: WeakKeyDictionary[Plane, Scaler] = WeakKeyDictionary()


def start(plane: Plane) -> None:
    _SCALERS[plane] = Scaler(plane)


def wake(plane: Plane) -> None:
    """Something was registered or changed: look now."""
    scaler = _SCALERS.get(plane)
    if scaler is not None:
        scaler.wake()


def close(plane: Plane) -> None:
    scaler = _SCALERS.pop(plane, None)
    if scaler is not None:
        scaler.close()


def look(plane: Plane, since: float) -> None:
    """Everything there is to do at this moment. `since`: when this server began to measure."""
    for target in plane.store.rows(scalable.TARGET):
        _forget_if_gone(plane, target)
    _run_due_actions(plane)
    scaling_activities.go_on(plane)
    now = plane.clock.now() - LAG_SECONDS
    minute = now - now % MINUTE
    due = plane.store.rows(scalable.TARGET, lambda row: row[scalable.EVALUATED] < minute)
    for target in due:
        _evaluate(plane, target, minute, since)
    if due:
        scaling_activities.go_on(plane)
        scaling_activities.forget_old(plane)


def deregister(plane: Plane, target: Row) -> None:
    """Forget a target with its policies, their alarms, and its scheduled actions."""
    policies = scalable.belonging(plane, scalable.POLICY, target)
    for each in policies:
        scaling_alarms.remove(plane, each)
    actions = scalable.belonging(plane, scalable.ACTION, target)
    with plane.store.together():
        for each in policies:
            name = scalable.below(each, each["PolicyName"])
            plane.store.delete(scalable.POLICY, name)
        for each in actions:
            name = scalable.below(each, each["ScheduledActionName"])
            plane.store.delete(scalable.ACTION, name)
        plane.store.delete(scalable.TARGET, scalable.key(target))


def set_range(plane: Plane, target: Row, **members: int) -> Row:
    """Give a target another MinCapacity or MaxCapacity, and move its capacity into it."""
    row = plane.store.edit(scalable.TARGET, scalable.key(target), lambda row: {**row, **members})
    scaling_activities.fit(plane, row)
    return row


def next_due(action: Row, after: float) -> float | None:
    """When a scheduled action is due next. Raises ValueError."""
    begin = float(action.get("StartTime") or action["CreationTime"])
    following = scaling_schedules.parse(action["Schedule"], action.get("Timezone"), begin)
    due = following(max(after, action.get("StartTime", after) - 1))
    return None if due is None or due > action.get("EndTime", due) else due


def _forget_if_gone(plane: Plane, target: Row) -> None:
    it = scalable.resource(target)
    row = plane.store.get(it.kind, it.name)
    if row is None or scalable.made(row) != target[scalable.MADE] or scalable.is_ending(row, it):
        log.info("deregistered, its resource is gone target=%s", scalable.key(target))
        deregister(plane, target)


def _run_due_actions(plane: Plane) -> None:
    now = plane.clock.now()
    for action in plane.store.rows(scalable.ACTION):
        due = action[NEXT_DUE]
        target = plane.store.get(scalable.TARGET, scalable.key(action))
        if due is None or due > now or target is None:
            continue
        with plane.store.together():  # it happens, and is never due again
            if not target.get("SuspendedState", {}).get("ScheduledScalingSuspended", False):
                _act(plane, target, action)
            name = scalable.below(action, action["ScheduledActionName"])
            following = {NEXT_DUE: next_due(action, now)}
            scaling_activities.edit(plane, scalable.ACTION, name, **following)


def _act(plane: Plane, target: Row, action: Row) -> None:
    wanted = {m: target[m] for m in ("MinCapacity", "MaxCapacity")} | action["ScalableTargetAction"]
    least, most = wanted["MinCapacity"], wanted["MaxCapacity"]
    bounds = f"min capacity to {least} and max capacity to {most}"
    cause = f"scheduled action name {action['ScheduledActionName']} was triggered"
    ends = {"EndTime": plane.clock.now()}
    if least > most:
        said = f"Failed to set {bounds}. Reason: the minimum is above the maximum"
        status = "Failed"
    else:
        said, status = f"Successfully set {bounds}", "Successful"
        set_range(plane, target, **wanted)
    scaling_activities.record(
        plane, target, f"Setting {bounds}", cause, status, StatusMessage=said, **ends
    )


def _evaluate(plane: Plane, target: Row, minute: float, since: float) -> None:
    """Alarms and decision of one target, at the end of a minute."""
    policies = scalable.belonging(plane, scalable.POLICY, target)
    found = _decided(plane, target, policies, minute, since)
    with plane.store.together():
        if found is not None:
            decision, before = found
            cause = _cause(policies, decision)
            scaling_activities.propose(plane, target, decision.capacity, cause, decision, before)
        seen = {scalable.EVALUATED: minute}
        scaling_activities.edit(plane, scalable.TARGET, scalable.key(target), **seen)


def _decided(
    plane: Plane, target: Row, policies: list[Row], minute: float, since: float
) -> tuple[Decision, int] | None:
    """The decision and the capacity it was made at; None to stay, and while a change is under way
    (its alarms are looked at all the same).
    """
    it = scalable.resource(target)
    row = scalable.behind(plane, it)
    if row is None:
        return None
    known_since = max(since, target[scalable.MADE])
    kinds: dict[str, list[Row]] = {"TargetTrackingScaling": [], "StepScaling": []}
    for each in policies:
        kinds[each["PolicyType"]].append(each)
    tracking = [
        _tracking(plane, target, row, each, known_since, minute)
        for each in kinds["TargetTrackingScaling"]
    ]
    stepping = scaling_alarms.stepping(plane, kinds["StepScaling"], minute)
    under_way = scaling_activities.open_ones(plane, target)
    if any(each["StatusCode"] == "InProgress" for each in under_way):
        return None
    state = scaling_activities.state_of(target, scalable.capacity(row, it) or 0)
    decision = scaling_rules.decide(state, tracking, stepping, plane.clock.now())
    return None if decision is None else (decision, state.capacity)


def _tracking(
    plane: Plane, target: Row, row: Row, policy: Row, known_since: float, minute: float
) -> Tracking:
    """A target tracking policy with its metric; its alarms are shown to CloudWatch."""
    it = scalable.resource(target)
    config = policy["TargetTrackingScalingPolicyConfiguration"]
    count = scaling_rules.IN_MINUTES
    points = scaling_metrics.points(plane, it, row, config, known_since, minute, count)
    value = config["TargetValue"]
    states = {
        scaling_alarms.HIGH: scaling_rules.high_alarm(value, points),
        scaling_alarms.LOW: scaling_rules.low_alarm(value, points),
    }
    scaling_alarms.show(plane, it, policy, states)
    return Tracking(
        name=policy["PolicyName"],
        target=value,
        points=points,
        out_seconds=config.get("ScaleOutCooldown", COOLDOWN_SECONDS),
        in_seconds=config.get("ScaleInCooldown", COOLDOWN_SECONDS),
        scales_in=not config.get("DisableScaleIn", False),
    )


def _cause(policies: list[Row], decision: Decision) -> str:
    policy = next(each for each in policies if each["PolicyName"] == decision.policy)
    tracks = policy["PolicyType"] == "TargetTrackingScaling"
    alarm = scaling_alarms.name_of(policy, decision.alarm) if tracks else decision.alarm
    return f"monitor alarm {alarm} in state ALARM triggered policy {decision.policy}"
