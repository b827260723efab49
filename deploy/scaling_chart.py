"""The plot of a simulation: traffic and instances, latency, and cost, minute by minute."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from deploy.commands import DeployError
from deploy.scaling_model import Minute

SUFFIXES = (".png", ".svg", ".pdf")


def draw(path: Path, minutes: list[Minute], target: float, price: float | None) -> None:
    """Write the plot; its format is its suffix. Raises DeployError."""
    if path.suffix not in SUFFIXES:
        raise DeployError(f"--plot {path}: its suffix must be one of {', '.join(SUFFIXES)}.", 2)
    from matplotlib.figure import Figure  # half a second that no other command should pay

    hours = [index / 60 for index in range(len(minutes))]
    figure = Figure(figsize=(9, 8), layout="constrained")
    traffic, latency, cost = figure.subplots(3, 1, sharex=True)
    traffic.plot(hours, [each.requests for each in minutes], color="tab:gray")
    traffic.set_ylabel("requests a minute", color="tab:gray")
    instances = traffic.twinx()
    instances.step(hours, [each.instances for each in minutes], where="post", color="tab:orange")
    instances.set_ylabel("instances in service", color="tab:orange")
    busiest = max(max(each.requests, target * each.instances) for each in minutes)
    traffic.set_ylim(0, 1.05 * busiest)
    instances.set_ylim(0, 1.05 * busiest / target)  # where the lines meet is the target
    milliseconds = [1000 * each.latency_seconds for each in minutes]
    latency.plot(hours, milliseconds, color="tab:red")
    latency.set_yscale("log")
    latency.set_ylabel("mean latency, ms (M/M/c)")
    unit = 1.0 if price is None else price
    paid = list(accumulate(each.paid / 60 * unit for each in minutes))
    cost.plot(hours, paid, color="tab:green")
    cost.set_ylabel("USD so far" if price is not None else "instance hours so far")
    cost.set_xlabel("hours")
    try:
        figure.savefig(path, metadata={} if path.suffix == ".pdf" else {"Date": None})
    except OSError as error:
        raise DeployError(f"--plot {path} cannot be written: {error.strerror}", 2) from error
