"""What people see: a table that keeps itself current, or one line per change."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from pipelines import console
from pipelines.execution import Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def step(name: str, status: str, **more: Any) -> dict[str, Any]:
    end = {} if status == "Executing" else {"EndTime": NOW + timedelta(seconds=2)}
    return {"StepName": name, "StepStatus": status, "StartTime": NOW} | end | more


def shown(terminal: bool, *snapshots: Snapshot) -> str:
    screen = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    with console.progress(screen, ["Validate", "Prepare"]) as show:
        for now in snapshots:
            show(now)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_terminal_shows_what_still_waits_and_what_runs() -> None:
    said = shown(True, Snapshot("Executing", "", [step("Validate", "Succeeded")]))
    assert "Validate  Succeeded  2.0 s" in said
    assert "Prepare   waiting" in said


def test_at_the_end_nothing_waits_any_more() -> None:
    now = Snapshot("Failed", "", [step("Validate", "Failed")])
    screen = Console(file=io.StringIO(), width=100)
    screen.print(console._steps_table(now, ["Validate", "Prepare"]))
    assert isinstance(screen.file, io.StringIO)
    assert "Prepare" not in screen.file.getvalue()


def test_a_pipe_gets_a_line_per_change_and_no_more() -> None:
    running = Snapshot("Executing", "", [step("Validate", "Executing")])
    ended = Snapshot("Succeeded", "", [step("Validate", "Succeeded", CacheHitResult={})])
    said = shown(False, running, running, ended, ended)
    assert said.split("\n") == [
        "Validate                 Executing",
        "Validate                 Succeeded (reused)",
        "",
    ]


def test_a_step_name_is_never_read_as_markup() -> None:
    assert "[red]" in shown(False, Snapshot("Failed", "", [step("[red]", "Failed")]))


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, ""), (0.04, "0.0 s"), (59.94, "59.9 s"), (125.2, "2 min 5 s")]
)
def test_durations_read_naturally(seconds: float | None, said: str) -> None:
    assert console.duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.123456, "0.1235"),
        ({"label": "article", "probabilities": {"article": 0.8, "x": 0.2}}, "article (0.80)"),
        ({"label": "article"}, "article"),
    ],
)
def test_answers_of_every_kind_are_shown(value: Any, said: str) -> None:
    assert console._answer(value) == said
