"""A deployment as it happens: fleets, traffic and bakes, step by step (deployment.py says which),
guarded by alarms and a time limit, and the way back.

Waits are AWS's seconds, `time_scale` of them in a real one; launching takes as long as it takes.
What is being done stands in the row's PendingDeploymentSummary, in AWS's words.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

from local_sagemaker.engine import alarms, deployment
from local_sagemaker.engine.deployment import Counts, Step
from local_sagemaker.engine.fleet import Fleet
from local_sagemaker.engine.shift import Shift
from local_sagemaker.engine.variants import Plan, Row
from local_sagemaker.plane import Plane

KIND = "endpoint"
PENDING = "PendingDeploymentSummary"
WATCH_SECONDS = 0.25  # real ones between two looks at the alarms
_CLOSING: WeakKeyDictionary[Plane, threading.Event] = WeakKeyDictionary()
_LOCK = threading.Lock()


class GuardError(Exception):
    """A guardrail stopped the deployment; the message says which."""


class ClosingError(Exception):
    """The server goes down; recover() goes on from here."""


def close(plane: Plane) -> None:
    """End the waits of every deployment."""
    _closing(plane).set()


def begin_again(plane: Plane, name: str) -> None:
    """After a restart: nothing is done to any variant yet."""

    def forget(row: Row) -> Row:
        pending = row.get(PENDING)
        return {**_idle(row), PENDING: _idle(pending) if pending else None}

    plane.store.edit(KIND, name, forget)


def counts(planned: Plan) -> Counts:
    """How many instances of each variant a plan wants."""
    return {each["VariantName"]: each["Count"] for each in planned}


class Rollout:
    """One deployment of one endpoint, from the old fleet's plan to the new one's."""

    def __init__(
        self, plane: Plane, name: str, shift: Shift, plans: tuple[Plan, Plan], config: Row
    ) -> None:
        self._plane = plane
        self._name = name
        self._shift = shift
        self._old, self._new = plans
        self._config = config
        self._alarms = deployment.alarms(config)
        self._closing = _closing(plane)
        self._started = plane.clock.now()
        self._skipped = 0.0  # seconds of AWS's that waits took less than there
        self._here = Step({}, counts(self._old), {})

    def forward(self) -> None:
        """Until the new fleet is whole and has all traffic; the old one, or its last batch, is
        still there. Raises InstanceError, GuardError, ApiError: then `back` is what remains.
        """
        for step in deployment.steps(self._config, counts(self._old), counts(self._new)):
            for phase in FORWARD:
                self._guard()
                phase(self, step)

    def back(self) -> None:
        """Until the old fleet is whole and has all traffic; the new one, or its last batch, is
        still there. Raises InstanceError.
        """
        for step in deployment.back(self._config, self._here, counts(self._old)):
            for phase in BACK:
                phase(self, step)

    def _launch(self, step: Step) -> None:
        now = self._here.green
        more = {name: count - now.get(name, 0) for name, count in step.green.items()}
        status = "Updating" if now else "Creating"
        self._tell(status, {name: f"Launching {n} instance(s)." for name, n in more.items() if n})
        if not now and step.green == counts(self._new):
            self._shift.green.launch()
        else:
            _resize(self._shift.green, self._new, step.green)
        self._here = replace(self._here, green=step.green)

    def _relaunch(self, step: Step) -> None:
        _resize(self._shift.blue, self._old, step.blue)
        self._here = replace(self._here, blue=step.blue)

    def _activate(self, step: Step) -> None:
        said = {
            name: f"Activating traffic on {step.capacity} capacity of {count} instance(s)."
            for name, count in step.green.items()
        }
        self._tell("ActivatingTraffic", said)
        self._shift.give(step.shares)
        self._here = replace(self._here, shares=step.shares)

    def _return(self, step: Step) -> None:
        self._shift.give(step.shares)
        self._here = replace(self._here, shares=step.shares)

    def _bake(self, step: Step) -> None:
        if step.seconds:
            said = {
                name: f"Baking for {step.seconds} seconds ({step.wait}) with traffic enabled on "
                f"{step.capacity} capacity of {count} instance(s)."
                for name, count in step.green.items()
            }
            real = step.seconds / self._plane.config.time_scale
            until = self._plane.clock.now() + real
            self._tell("Baking", said)
            self._wait(until)
            self._skipped += step.seconds - real
        self._guard()

    def _wait(self, until: float) -> None:
        clock = self._plane.clock
        while (now := clock.now()) < until:
            self._guard()
            clock.wait_until(self._closing, min(until, now + WATCH_SECONDS))

    def _end_old(self, step: Step) -> None:
        """End what a batch replaced. The last of the fleet is not for us: it has to be retired."""
        surplus = {n: self._here.blue[n] - count for n, count in step.blue.items() if count}
        said = {name: f"Terminating {n} instance(s)." for name, n in surplus.items() if n}
        if said:
            self._tell("Deleting", said, of_old=True)
            _resize(self._shift.blue, self._old, {name: step.blue[name] for name in said})
            self._tell("Deleting", {}, of_old=True)
            self._here = replace(self._here, blue=step.blue)

    def _end_new(self, step: Step) -> None:
        left = {name: count for name, count in step.green.items() if count}
        _resize(self._shift.green, self._new, left)
        self._here = replace(self._here, green=self._here.green | left)

    def _guard(self) -> None:
        """Raises GuardError when the deployment must not go on, ClosingError when nothing may."""
        if self._closing.is_set():
            raise ClosingError(self._name)
        tripped = alarms.tripped(self._plane, self._alarms)
        if tripped:
            raise GuardError(
                f"CloudWatch alarm(s) of AutoRollbackConfiguration in ALARM: {', '.join(tripped)}"
            )
        most = deployment.timeout(self._config)
        if self._plane.clock.now() - self._started + self._skipped > most:
            raise GuardError(f"it took longer than MaximumExecutionTimeoutInSeconds ({most})")

    def _tell(self, status: str, said: dict[str, str], of_old: bool = False) -> None:
        """Write down what is being done to which variant."""
        now = self._plane.clock.now()
        fleet = self._shift.blue if of_old else self._shift.green
        alive = fleet.counts()

        def tell(row: Row) -> Row:
            shown = [
                _told(each, alive.get(each["VariantName"], 0), status, said, now)
                for each in (row if of_old else row[PENDING])["ProductionVariants"]
            ]
            changed = {"ProductionVariants": shown}
            news = changed if of_old else {PENDING: row[PENDING] | changed}
            return {**row, **news, "LastModifiedTime": now}

        self._plane.store.edit(KIND, self._name, tell)


Phase = Callable[[Rollout, Step], None]
FORWARD: tuple[Phase, ...] = (
    Rollout._launch,
    Rollout._activate,
    Rollout._bake,
    Rollout._end_old,
)
BACK: tuple[Phase, ...] = (Rollout._relaunch, Rollout._return, Rollout._end_new)


def _idle(shown: Row) -> Row:
    without = [
        {name: value for name, value in each.items() if name != "VariantStatus"}
        for each in shown.get("ProductionVariants", ())
    ]
    return {**shown, "ProductionVariants": without}


def _told(variant: Row, alive: int, status: str, said: dict[str, str], now: float) -> Row:
    kept = {name: each for name, each in variant.items() if name != "VariantStatus"}
    kept["CurrentInstanceCount"] = alive
    message = said.get(variant["VariantName"])
    if message is None:
        return kept
    return kept | {
        "VariantStatus": [{"Status": status, "StatusMessage": message, "StartTime": now}]
    }


def _resize(fleet: Fleet, planned: Plan, wanted: Counts) -> None:
    weights = {each["VariantName"]: each["Weight"] for each in planned}
    for name, count in wanted.items():
        fleet.resize(name, weights[name], count)


def _closing(plane: Plane) -> threading.Event:
    with _LOCK:
        return _CLOSING.setdefault(plane, threading.Event())
