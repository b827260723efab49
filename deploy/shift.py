"""`python -m deploy.variants shift --to B`: the traffic moves to a variant in steps, watched.

The state is the weights themselves: started again after a kill, the step that was reached is
watched once more and the next ones follow. When an alarm is in ALARM, or the variant's error rate
or latency is above its limit, the variant gets nothing any more and the exit code is 1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from deploy import champion_variant, guardrails, updating, watching
from deploy.commands import Answer, DeployError, Refused
from deploy.served import shares, tell
from deploy.work import Work, begin

CHECK_SECONDS = 10.0
sleep: Callable[[float], None] = time.sleep


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--to", required=True, metavar="VARIANT")
    command.add_argument("--steps", default="10,25,50,100", metavar="P,P,...", help="percent")
    command.add_argument("--pause", type=float, default=60.0, metavar="SECONDS")
    command.add_argument("--alarm", action="append", default=[], metavar="NAME")
    watching.add_options(command)


def shift(arguments: argparse.Namespace) -> Answer:
    steps = _steps(arguments.steps)
    if arguments.pause < 0:
        raise DeployError(f"--pause is {arguments.pause}; allowed: 0 or more.", 2)
    work = begin(arguments)
    there = champion_variant.in_service(work)
    champion_variant.named(there, arguments.to)
    if len(there["variants"]) < 2:
        raise DeployError(f"Variant {arguments.to} is alone; first `split`.")
    guardrails.check_alarms(work.cloudwatch, arguments.alarm)
    made = _walk(work, there, steps, arguments)
    done = f"{arguments.to} has {steps[-1]:g} %"
    text = f"Endpoint {work.endpoint}: {done}" + ("" if made else " already; nothing changed")
    facts = {"endpoint": work.endpoint, "to": arguments.to, "steps": made}
    return Answer(work.said(text), {**facts, "changed": bool(made), **work.shown()})


def _steps(text: str) -> list[float]:
    try:
        steps = [float(each) for each in text.split(",")]
    except ValueError:
        steps = []
    if not steps or steps != sorted(set(steps)) or not 0 < steps[0] <= steps[-1] <= 100:
        raise DeployError(f"--steps is {text!r}; allowed: rising percents, such as 10,50,100", 2)
    return steps


def _walk(
    work: Work, there: dict[str, Any], steps: list[float], arguments: argparse.Namespace
) -> list[float]:
    """Take the steps that are left; those that were taken."""
    begun, to = datetime.now(UTC), arguments.to
    weights = {each["VariantName"]: each["weight"] for each in there["variants"]}
    share = 100 * shares(there["variants"])[to]
    made = []
    for step in steps:
        if share > step + updating.ROUNDING or share >= steps[-1] - updating.ROUNDING:
            continue
        if share < step - updating.ROUNDING:
            weights = moved(weights, to, step)
            updating.to_weights(work, weights)
            made.append(step)
            share = step
            tell(f"  {to}: {step:g} %")
        trouble = "" if work.dry_run else _watched(work, arguments, begun)
        if trouble:
            raise Refused(_taken_back(work, there, weights, to, trouble))
    return made


def moved(weights: dict[str, float], to: str, share: float) -> dict[str, float]:
    """Weights whose sum is 100, `share` of it with `to`; the others share the rest as before. Pure.

    Where the others have nothing, they get equal parts.
    """
    others = {name: each for name, each in weights.items() if name != to}
    total = sum(others.values())
    parts = {name: each / total if total else 1 / len(others) for name, each in others.items()}
    rest = {name: round((100 - share) * part, 6) for name, part in parts.items()}
    return {name: share if name == to else rest[name] for name in weights}


def _watched(work: Work, arguments: argparse.Namespace, begun: datetime) -> str:
    """Pause, looking again and again; what is wrong, or nothing."""
    left = arguments.pause
    while True:
        states = guardrails.alarm_states(work.cloudwatch, arguments.alarm)
        wrong = guardrails.ringing_alarms(states) or watching.trouble(
            work.cloudwatch, work.endpoint, arguments.to, begun, arguments
        )
        if wrong or left <= 0:
            return wrong
        nap = min(left, CHECK_SECONDS)
        sleep(nap)
        left -= nap


def _taken_back(
    work: Work, there: dict[str, Any], weights: dict[str, float], to: str, trouble: str
) -> Answer:
    if not any(each for name, each in weights.items() if name != to):
        first = champion_variant.champion(work, there)
        weights = {name: float(name == first) for name in weights}
    back = moved(weights, to, 0.0)
    updating.to_weights(work, back)
    shown = ", ".join(f"{name} {each:g} %" for name, each in back.items())
    text = f"Endpoint {work.endpoint}: taken back to {shown}: {trouble}"
    facts = {"endpoint": work.endpoint, "to": to, "taken_back": True, "reason": trouble}
    return Answer(text, {**facts, "weights": back})
