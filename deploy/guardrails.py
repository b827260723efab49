"""How an endpoint is updated: the DeploymentConfig, made from options and the problem's `rollout`.

    all-at-once   the new fleet gets everything; it bakes for `bake` seconds, then the old one ends
    canary        first `canary_percent`, after `bake` the rest
    linear        `step_percent` more after every `bake`
    rolling       `step_percent` of the instances are replaced at a time; no second fleet

An alarm in ALARM while it bakes takes everything back. Without a strategy and without alarms there
is no DeploymentConfig: the new fleet gets everything at once, and nobody watches.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import ValidationError

from deploy.commands import DeployError
from steps.problem import Rollout

STRATEGIES: tuple[str, ...] = get_args(get_args(Rollout.model_fields["strategy"].annotation)[0])
OPTIONS = ("strategy", "canary_percent", "step_percent", "bake", "termination_wait", "timeout")
# Which strategies an option means something for; any needs a strategy or an alarm.
MEANT_FOR = {
    "canary_percent": ("canary",),
    "step_percent": ("linear", "rolling"),
    "termination_wait": ("all-at-once", "canary", "linear"),
    "bake": STRATEGIES,
    "timeout": STRATEGIES,
}
BOTH_KINDS = ["MetricAlarm", "CompositeAlarm"]


def add_options(command: argparse.ArgumentParser) -> None:
    """Their defaults are the problem's, in deploy.rollout of its YAML."""
    command.add_argument("--strategy", choices=STRATEGIES, help="how the traffic moves")
    for name, metavar, text in (
        ("canary-percent", "P", "share of a canary, 1 to 50"),
        ("step-percent", "P", "share of a step, linear 10 to 50, rolling 5 to 50"),
        ("bake", "SECONDS", "watch the alarms this long after every step"),
        ("termination-wait", "SECONDS", "watch this long before the old fleet ends"),
        ("timeout", "SECONDS", "give up, and go back, after this long"),
    ):
        command.add_argument(f"--{name}", type=int, metavar=metavar, help=text)
    command.add_argument(
        "--alarm", action="append", default=[], metavar="NAME", help="takes the update back"
    )


def chosen(arguments: argparse.Namespace, default: Rollout) -> Rollout:
    """The problem's rollout with what the command line says instead."""
    given = {name: getattr(arguments, name) for name in OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {"alarms": tuple(arguments.alarm)} if arguments.alarm else {}
    try:
        rollout = Rollout.model_validate({**default.model_dump(), **given})
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        option = "--" + str(wrong["loc"][0]).replace("_", "-").replace("alarms", "alarm")
        raise DeployError(f"{option} is {wrong['input']!r}: {wrong['msg']}", 2) from error
    _check_meant(rollout, list(given))
    return rollout


def _check_meant(rollout: Rollout, given: list[str]) -> None:
    """An option that would do nothing is refused."""
    strategy = rollout.strategy or ("all-at-once" if rollout.alarms else None)
    for name in given:
        meant = MEANT_FOR.get(name, (strategy,))
        if strategy not in meant:
            raise DeployError(
                f"--{name.replace('_', '-')} is for --strategy {', '.join(map(str, meant))}; "
                f"it is {strategy or 'not given'}.",
                2,
            )


def deployment_config(rollout: Rollout) -> dict[str, Any] | None:
    """What UpdateEndpoint is told, or None. Pure."""
    if rollout.strategy is None and not rollout.alarms:
        return None
    alarms = [{"AlarmName": name} for name in rollout.alarms]
    guarded = {"AutoRollbackConfiguration": {"Alarms": alarms}} if alarms else {}
    policy = _rolling(rollout) if rollout.strategy == "rolling" else _blue_green(rollout)
    return {**policy, **guarded}


def _rolling(rollout: Rollout) -> dict[str, Any]:
    size = {"Type": "CAPACITY_PERCENT", "Value": rollout.step_percent}
    waits = {"MaximumBatchSize": size, "WaitIntervalInSeconds": rollout.bake}
    return {"RollingUpdatePolicy": {**waits, **_limit(rollout)}}


def _blue_green(rollout: Rollout) -> dict[str, Any]:
    at_once = rollout.strategy in ("all-at-once", None)
    routing: dict[str, Any] = {
        "Type": (rollout.strategy or "all-at-once").upper().replace("-", "_"),
        "WaitIntervalInSeconds": 0 if at_once else rollout.bake,
    }
    if rollout.strategy == "canary":
        routing["CanarySize"] = {"Type": "CAPACITY_PERCENT", "Value": rollout.canary_percent}
    if rollout.strategy == "linear":
        routing["LinearStepSize"] = {"Type": "CAPACITY_PERCENT", "Value": rollout.step_percent}
    waited = rollout.termination_wait
    if waited is None:
        waited = rollout.bake if at_once else 0
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": waited}
    return {"BlueGreenUpdatePolicy": {**policy, **_limit(rollout)}}


def _limit(rollout: Rollout) -> dict[str, int]:
    limit = rollout.timeout
    return {} if limit is None else {"MaximumExecutionTimeoutInSeconds": limit}


def alarm_states(cloudwatch: Any, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Alarm name -> its description, of those that exist; metric alarms and composite ones."""
    if not names:
        return {}
    found = cloudwatch.describe_alarms(AlarmNames=list(names), AlarmTypes=BOTH_KINDS)
    alarms = [*found.get("MetricAlarms", ()), *found.get("CompositeAlarms", ())]
    return {each["AlarmName"]: each for each in alarms}


def check_alarms(cloudwatch: Any, names: Sequence[str]) -> None:
    """Each exists and is not in ALARM already, which would take the update back at once."""
    states = alarm_states(cloudwatch, names)
    missing = [name for name in names if name not in states]
    if missing:
        raise DeployError(
            f"There is no alarm {', '.join(missing)}; look with `aws cloudwatch describe-alarms`."
        )
    ringing = ringing_alarms(states)
    if ringing:
        raise DeployError(f"{ringing}: an update would be taken back. First look into that.")


def ringing_alarms(states: dict[str, dict[str, Any]]) -> str:
    """The alarms in ALARM and why, or nothing."""
    return "; ".join(
        f"alarm {name} is in ALARM ({each.get('StateReason', 'no reason given')})"
        for name, each in states.items()
        if each.get("StateValue") == "ALARM"
    )
