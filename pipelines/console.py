"""What people see of a run: the live table of steps, and the summary at its end.

A terminal gets a table that keeps itself current; anything else gets a line per change. All facts
come from pipelines/execution.py and pipelines/results.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from pipelines import execution
from pipelines.execution import Snapshot

COLOURS = {
    "Succeeded": "green",
    "Failed": "red",
    "Stopped": "yellow",
    "Stopping": "yellow",
    "Executing": "cyan",
    "Starting": "cyan",
}
SHOWN_FEATURES = 8
Show = Callable[[Snapshot], None]


def terminal(quiet: bool = False) -> Console:
    """stdout; quiet shows nothing."""
    width = None if sys.stdout.isatty() else 200  # what is piped is not folded at 80
    return Console(highlight=False, soft_wrap=True, quiet=quiet, width=width)


@contextmanager
def progress(console: Console, names: list[str]) -> Iterator[Show]:
    """A function that shows a snapshot; names are the steps to expect, in their order."""
    if not console.is_terminal:
        yield _lines(console)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda now: live.update(_steps_table(now, names))


def _lines(console: Console) -> Show:
    said: dict[str, str] = {}

    def show(now: Snapshot) -> None:
        for step in now.steps:
            name, status = step["StepName"], step["StepStatus"]
            if said.get(name) != status:
                said[name] = status
                console.print(escape(f"{name:<24} {_status(step)}"))

    return show


def _status(step: dict[str, Any]) -> str:
    status = str(step["StepStatus"])
    if execution.is_cached(step):
        return f"{status} (reused)"
    if status in ("Starting", "Executing"):
        return status
    return f"{status} in {duration(execution.seconds(step))}"


def _steps_table(now: Snapshot, names: list[str]) -> Table:
    steps = {step["StepName"]: step for step in now.steps}
    ended = now.status in execution.ENDED
    table = Table("Step", "Status", "Time", box=None, pad_edge=False, header_style="bold")
    for name in [*names, *(name for name in steps if name not in names)]:
        if step := steps.get(name):
            status = str(step["StepStatus"])
            cached = execution.is_cached(step)
            time = "reused" if cached else duration(execution.seconds(step))
            table.add_row(escape(name), f"[{COLOURS.get(status, 'white')}]{status}[/]", time)
        elif not ended:
            table.add_row(f"[dim]{escape(name)}[/]", "[dim]waiting[/]", "")
    return table


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def summary(console: Console, result: dict[str, Any]) -> None:
    """The end of a run, from the document that --json would print."""
    for part in (_models, _release, _prediction, _report, _reused):
        part(console, result)
    for failure in result["failures"]:
        if result["reason"] and failure.endswith(result["reason"]):
            continue  # said below
        console.print(f"[red]{escape(failure)}[/]")
    took = duration(result["seconds"])
    colour = COLOURS.get(result["status"], "white")
    console.print(f"\n[{colour}]{result['status']}[/] in {took}: {escape(result['execution'])}")
    if result["reason"]:
        console.print(f"[red]{escape(result['reason'])}[/]")
    _next(console, result)


def _models(console: Console, result: dict[str, Any]) -> None:
    if not result["models"]:
        return
    table = Table("Model", "Metric", "Value", "95 %", "Gate", "", box=None, pad_edge=False)
    for model in result["models"]:
        table.add_row(
            escape(model["name"]),
            model["metric"],
            f"{model['value']:.4g}",
            f"{model['low']:.4g} to {model['high']:.4g}",
            _bound(model["direction"], model["threshold"]),
            _verdict(model["passed"]),
        )
        for measure, found in model["limits"].items():
            table.add_row(
                "",
                measure.replace("_", " "),
                f"{found['value']:.4g}",
                escape(str(found.get("facet", ""))),
                _bound(found["direction"], found["limit"]),
                _verdict(found["passed"]),
            )
    console.print()
    console.print(table)


def _bound(direction: str, value: float) -> str:
    return f"{'at least' if direction == 'min' else 'at most'} {value:g}"


def _verdict(passed: bool) -> str:
    return "[green]passed[/]" if passed else "[red]failed[/]"


def _release(console: Console, result: dict[str, Any]) -> None:
    if package := result["model_package"]:
        console.print(
            f"\nRegistered  {escape(package['group'])} version {package['version']}, "
            f"{package['approval']}"
        )
    if endpoint := result["endpoint"]:
        console.print(f"Endpoint    {escape(endpoint['name'])}, {endpoint['status']}")


def _prediction(console: Console, result: dict[str, Any]) -> None:
    asked = result["prediction"]
    if asked is None:
        return
    if "error" in asked:
        console.print(f"[red]The endpoint did not answer: {escape(asked['error'])}[/]")
        return
    features = list(asked["features"].items())
    shown = ", ".join(f"{name}={value or 'missing'}" for name, value in features[:SHOWN_FEATURES])
    more = len(features) - SHOWN_FEATURES
    answers = Table("Model", "Answer", "What happened", box=None, pad_edge=False)
    for name, value in asked["answer"].items():
        answers.add_row(escape(name), escape(_answer(value)), escape(str(asked["truth"][name])))
    row = escape(shown + (f" and {more} more" if more > 0 else ""))
    console.print(Group(f"One answer  to {row}", answers))


def _answer(value: Any) -> str:
    if isinstance(value, dict):
        label = str(value.get("label"))
        share = value.get("probabilities", {}).get(label)
        return label if share is None else f"{label} ({share:.2f})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _report(console: Console, result: dict[str, Any]) -> None:
    words = {"report": "Report", "data_docs": "Data Docs"}
    for key, word in words.items():
        if path := result["report"].get(key):
            console.print(f"{word:<11} {escape(path)}")


def _reused(console: Console, result: dict[str, Any]) -> None:
    if result["reused"]:
        count = f"{len(result['reused'])} of {len(result['steps'])} steps reused"
        console.print(f"{count}: {escape(', '.join(result['reused']))}")


def _next(console: Console, result: dict[str, Any]) -> None:
    if result["left_running"]:
        console.print(f"Left running: {result['left_running']}. To stop it: {result['stop']}")
    if result["next"]:
        console.print("Next:")
    for command in result["next"]:
        console.print(f"  {escape(command)}")
