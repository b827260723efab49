"""`python -m local_sagemaker why EXECUTION STEP`: true for the moment when the step started."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker import __main__
from local_sagemaker.clock import FakeClock
from tests.local_sagemaker.pipelining import (
    CACHED,
    fail,
    for_each,
    processing,
    reads,
    rerun,
    run,
    writes,
)

Why = Callable[..., str]


@pytest.fixture
def why_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Any], Why]:
    """What the command prints about a server's executions; its exit code is checked."""

    def ask_of(local: Any) -> Why:
        monkeypatch.setenv("LOCAL_SAGEMAKER_HOME", str(local.plane.config.home))

        def ask(execution: str, step: str, *more: str, code: int = 0) -> str:
            assert __main__.main(["why", execution, step, *more]) == code
            said = capsys.readouterr()
            return said.out if code == 0 else said.err

        return ask

    return ask_of


@pytest.fixture
def why(local: Any, why_in: Callable[[Any], Why]) -> Why:
    return why_in(local)


def id_of(arn: str) -> str:
    return arn.rpartition("/")[2]


def cached(local: Any, name: str = "Work", **more: Any) -> dict[str, Any]:
    arguments = {**reads(f"s3://{local.bucket}/data/"), **writes(local.bucket), **more}
    return processing(name, "echo 1 > /opt/ml/processing/out/x", arguments=arguments, **CACHED)


def test_the_first_run_has_no_earlier_success(local: Any, sagemaker: Any, why: Why) -> None:
    local.put("data/rows.csv", "1")
    arn = run(local, sagemaker, cached(local))
    assert why(arn, "Work") == "Work ran: no earlier success of it was kept for reuse\n"


def test_of_a_for_each_every_child_has_its_own_reason(local: Any, sagemaker: Any, why: Why) -> None:
    local.put("data/rows.csv", "1")
    item = {"Environment": {"ITEM": {"Get": "ForEach.CurrentItem"}}}
    first = run(local, sagemaker, for_each(["a", "b"], cached(local, **item)))
    second = run(local, sagemaker, for_each(["a", "c"], cached(local, **item)))
    assert f"Work-0 was reused from execution {id_of(first)}" in why(second, "Work-0")
    assert "Work-1 ran again: Environment" in why(second, "Work-1")
    assert why(second, "Each") == "Each ran: a ForEach step is never reused\n"


def test_a_reused_step_names_the_execution_it_comes_from(
    local: Any, sagemaker: Any, why: Why
) -> None:
    local.put("data/rows.csv", "1")
    first = run(local, sagemaker, cached(local))
    second = rerun(local, sagemaker)
    expected = (
        f"Work was reused from execution {id_of(first)}: nothing in its cache key has changed"
    )
    assert why(id_of(second), "Work") == f"{expected}\n"
    answer = json.loads(why(second, "Work", "--json"))
    assert (answer["Reason"], answer["SourcePipelineExecutionArn"]) == ("Reused", first)
    assert answer["Text"] == expected


def test_changed_data_under_the_same_uri_is_named(local: Any, sagemaker: Any, why: Why) -> None:
    local.put("data/rows.csv", "1")
    run(local, sagemaker, cached(local))
    reused = rerun(local, sagemaker)
    local.put("data/rows.csv", "2")
    third = rerun(local, sagemaker)
    assert why(third, "Work") == (
        f"Work ran again: content of s3://{local.bucket}/data/ changed "
        f"since execution {id_of(reused)}\n"
    )


def test_a_changed_attribute_is_named_and_listed_for_machines(
    local: Any, sagemaker: Any, why: Why
) -> None:
    local.put("data/rows.csv", "1")
    first = run(local, sagemaker, cached(local))
    second = run(local, sagemaker, cached(local, Environment={"DEPTH": "3"}))
    said = f"Work ran again: Environment changed since execution {id_of(first)}\n"
    assert why(second, "Work") == said
    assert json.loads(why(second, "Work", "--json"))["Changed"] == ["Environment"]


def test_deleted_outputs_are_the_reason(local: Any, sagemaker: Any, why: Why) -> None:
    local.put("data/rows.csv", "1")
    first = run(local, sagemaker, cached(local))
    for key in local.keys(id_of(first)):
        local.s3.delete_object(Bucket=local.bucket, Key=key)
    second = rerun(local, sagemaker)
    assert why(second, "Work") == (
        f"Work ran again: the result of execution {id_of(first)} could not be used: "
        "its outputs in S3 are gone or were changed\n"
    )


def test_an_expired_result_says_since_when(
    start: Callable[..., Any], why_in: Callable[[Any], Why], tmp_path: Path
) -> None:
    clock = FakeClock()
    local = start(tmp_path / "other", slots=1, clock=clock)
    sagemaker = local.client()
    local.put("data/rows.csv", "1")
    first = run(local, sagemaker, cached(local))
    clock.advance(33 * 86_400 + 60)
    second = rerun(local, sagemaker)
    assert why_in(local)(second, "Work") == (
        f"Work ran again: the result of execution {id_of(first)} could not be used: "
        "expired 3 days before (ExpireAfter P30D)\n"
    )


def test_steps_that_are_never_cached_say_so(local: Any, sagemaker: Any, why: Why) -> None:
    arn = run(
        local,
        sagemaker,
        processing("Work"),
        fail("Stop", DependsOn=["Work"]),
        processing("After", DependsOn=["Stop"]),
    )
    assert why(arn, "Work") == "Work ran: caching is off (its CacheConfig is not enabled)\n"
    assert why(arn, "Stop") == "Stop ran: a Fail step is never reused\n"
    assert why(arn, "After") == "After did not run in this execution\n"


def test_unknown_executions_and_steps_are_one_line(local: Any, sagemaker: Any, why: Why) -> None:
    arn = run(local, sagemaker, processing("Work"))
    assert why("abc", "Work", code=1) == (
        f"local_sagemaker: no execution 'abc'; the newest: {id_of(arn)}\n"
    )
    assert "did you mean 'Work'?" in why(arn, "Wrok", code=1)
