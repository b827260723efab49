"""`python -m deploy.autoscaling simulate`: a trace or a wave through scaling_model.py."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deploy import commands, scaling_chart, scaling_model, scaling_options, traces
from deploy.commands import Answer, DeployError
from deploy.scaling_model import Minute, Policy, Server


def add_options(sub: argparse.ArgumentParser) -> None:
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--trace", type=Path, metavar="FILE.csv", help="columns minute, requests")
    source.add_argument("--wave", type=float, metavar="PEAK", help="a day with PEAK requests/min")
    sub.add_argument("--service-ms", type=float, default=50.0, metavar="MS", help="a request (50)")
    sub.add_argument("--workers", type=int, default=1, metavar="N", help="at once, an instance (1)")
    sub.add_argument("--startup-minutes", type=int, default=4, metavar="N", help="a start (4)")
    sub.add_argument("--price", type=float, metavar="USD", help="of an instance hour")
    sub.add_argument("--plot", type=Path, metavar="FILE.png", help="also .svg or .pdf")
    sub.add_argument("--json", action="store_true", help="print one JSON document")


def simulate(arguments: argparse.Namespace) -> Answer:
    scaling_options.check(arguments)
    for option in ("service_ms", "workers", "wave"):
        value = getattr(arguments, option)
        if value is not None and not value > 0:
            raise DeployError(f"--{option.replace('_', '-')} is {value}; it must be above 0.", 2)
    if arguments.startup_minutes < 0 or (arguments.price or 0) < 0:
        raise DeployError("--startup-minutes and --price must be 0 or more.", 2)
    wave = arguments.wave
    trace = scaling_model.wave(wave) if wave is not None else traces.read(arguments.trace)
    policy = Policy(
        arguments.min,
        arguments.max,
        arguments.target_value,
        arguments.scale_in_cooldown / 60,
        arguments.scale_out_cooldown / 60,
    )
    server = Server(arguments.service_ms / 1000, arguments.workers, arguments.startup_minutes)
    minutes = scaling_model.simulate(trace, policy, server)
    if arguments.plot is not None:
        scaling_chart.draw(arguments.plot, minutes, policy.target, arguments.price)
    return _simulated(arguments, minutes)


def _simulated(arguments: argparse.Namespace, minutes: list[Minute]) -> Answer:
    hours = sum(each.paid for each in minutes) / 60
    always = scaling_model.needed_always([m.requests for m in minutes], arguments.target_value)
    total = sum(each.requests for each in minutes)
    weighed = sum(each.requests * each.latency_seconds for each in minutes)
    document: dict[str, Any] = {
        "minutes": len(minutes),
        "requests": total,
        "instances": {
            "least": min(each.instances for each in minutes),
            "most": max(each.instances for each in minutes),
            "hours": hours,
            "hours_without_scaling": always * len(minutes) / 60,
        },
        "mean_latency_ms": 1000 * weighed / total if total else 0.0,
        "worst_latency_ms": 1000 * max(each.latency_seconds for each in minutes),
        "minutes_above_target": sum(each.per_instance > arguments.target_value for each in minutes),
        "minutes_overloaded": sum(each.utilization >= 1 for each in minutes),
        "cost_usd": None if arguments.price is None else hours * arguments.price,
        "plot": str(arguments.plot) if arguments.plot else None,
        "trace": [vars(each) for each in minutes],
    }
    return Answer(_simulation_text(document), document)


def _simulation_text(found: dict[str, Any]) -> str:
    instances = found["instances"]
    rows = [
        ("minutes, requests", f"{found['minutes']}, {found['requests']:,.0f}"),
        ("instances", f"{instances['least']} to {instances['most']}"),
        (
            "instance hours",
            f"{instances['hours']:.1f} (without scaling, for the busiest minute: "
            f"{instances['hours_without_scaling']:.1f})",
        ),
        ("mean latency", f"{found['mean_latency_ms']:.0f} ms (M/M/c, a lower bound)"),
        ("worst minute", f"{found['worst_latency_ms']:.0f} ms"),
        ("minutes above target", found["minutes_above_target"]),
        ("minutes overloaded", found["minutes_overloaded"]),
    ]
    if found["cost_usd"] is not None:
        rows.append(("cost", f"{found['cost_usd']:.2f} USD"))
    if found["plot"]:
        rows.append(("plot", found["plot"]))
    return commands.table(("simulated", ""), rows)
