"""deploy.autoscaling against a real local SageMaker, and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import autoscaling, scaling_targets
from deploy.requests import Requests
from pipelines import settings
from pipelines.settings import Settings
from tests.local_sagemaker import hosting
from tests.local_sagemaker.conftest import (  # noqa: F401 - pytest finds fixtures by their names
    bucket,
    local,
    s3,
    s3_endpoint,
    sagemaker,
    start,
)

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def run(
    local: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command against the local SageMaker; its exit code and document."""
    place = Settings("local", "us-east-1", "", hosting.ROLE, "b", {})
    monkeypatch.setattr(settings, "resolve", lambda *_, **__: place)
    monkeypatch.setattr(settings, "client", lambda _, service: local.client(service))

    def go(*words: str) -> tuple[int, Any]:
        code = autoscaling.main([*words, "--name", "e", "--json"])
        return code, json.loads(capsys.readouterr().out)

    return go


@pytest.fixture
def endpoint(local: Any, sagemaker: Any) -> str:  # noqa: F811
    model = hosting.create_model(local, sagemaker)
    hosting.deploy(local, sagemaker, hosting.variant(model, "A"), hosting.variant(model, "B"))
    return "e"


def operations(document: Any) -> list[str]:
    return [each["operation"] for each in document["requests"]]


def test_set_scales_every_variant_and_again_changes_nothing(run: Run, endpoint: str) -> None:
    code, first = run("set", "--min", "1", "--max", "3")
    assert code == 0
    assert operations(first) == ["register_scalable_target", "put_scaling_policy"] * 2
    code, again = run("set", "--min", "1", "--max", "3")
    assert (code, again["changes"]) == (0, 0)
    assert operations(run("set", "--min", "1", "--max", "4")[1]) == ["register_scalable_target"] * 2
    other = run("set", "--min", "1", "--max", "4", "--target-value", "500", "--variant", "A")
    assert operations(other[1]) == ["put_scaling_policy"]


def test_show_tells_ranges_policies_and_what_was_done(
    run: Run,
    endpoint: str,
    local: Any,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("show") == (0, {"endpoint": "e", "targets": [], "activities": []})
    run("set", "--min", "2", "--max", "3", "--variant", "A")
    local.until_true(lambda: run("show")[1]["activities"][0]["StatusCode"] == "Successful")
    assert autoscaling.main(["show", "--name", "e"]) == 0
    text = capsys.readouterr().out
    policy = "invocations-per-instance at 1000, cooldown in/out 300/60 s"
    assert f"A        2          2    3    {policy}  no" in text
    assert "Setting desired instance count to 2.  minimum capacity was set to 2" in text


def test_remove_forgets_targets_and_policies(run: Run, endpoint: str) -> None:
    run("set", "--min", "1", "--max", "2")
    assert operations(run("remove", "--variant", "A")[1]) == ["deregister_scalable_target"]
    assert [each["target"]["ResourceId"] for each in run("show")[1]["targets"]] == [
        "endpoint/e/variant/B"
    ]
    assert run("remove")[1]["changes"] == 1
    assert run("remove") == (0, {"endpoint": "e", "changes": 0, "requests": []})


def test_a_dry_run_shows_the_requests_and_changes_nothing(run: Run, endpoint: str) -> None:
    code, shown = run("set", "--variant", "A", "--dry-run")
    assert code == 0
    registered, put = shown["requests"]
    assert registered["service"] == "application-autoscaling"
    assert registered["parameters"] == {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/e/variant/A",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 2,
        "MaxCapacity": 20,
    }
    assert put["parameters"]["TargetTrackingScalingPolicyConfiguration"] == {
        "TargetValue": 1000.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
        },
        "ScaleInCooldown": 300,
        "ScaleOutCooldown": 60,
    }
    assert run("show")[1]["targets"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "--min", "0"], "allowed: 1 <= min <= max"),
        (["set", "--min", "5", "--max", "4"], "--min is 5 and --max 4"),
        (["set", "--target-value", "0"], "--target-value is 0; allowed: 1 or more"),
        (["set", "--scale-in-cooldown", "-1"], "--scale-in-cooldown is -1"),
    ],
)
def test_numbers_that_aws_refuses_are_bad_usage(run: Run, words: list[str], said: str) -> None:
    code, document = run(*words)
    assert code == 2
    assert said in document["error"]


def test_a_variant_that_is_not_there_is_named_with_those_that_are(run: Run, endpoint: str) -> None:
    code, document = run("set", "--variant", "C")
    assert (code, document) == (1, {"error": "Endpoint e has no variant C; it has: A, B."})


def test_scaling_that_is_suspended_goes_on_as_it_was_also_after_an_error(
    run: Run,
    endpoint: str,
    local: Any,  # noqa: F811
) -> None:
    run("set", "--min", "1", "--max", "2", "--variant", "A")
    scaling = local.client("application-autoscaling")

    def off() -> set[bool]:
        (found,) = scaling_targets.of_endpoint(scaling, "e")
        return set(found.target["SuspendedState"].values())

    def fail() -> None:
        with scaling_targets.suspended(Requests(), scaling, "e"):
            assert off() == {True}
            raise RuntimeError("the update failed")

    with pytest.raises(RuntimeError, match="the update failed"):
        fail()
    assert off() == {False}


def test_simulate_plays_a_trace_and_plots_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"{minute},{3000 if minute < 30 else 500}" for minute in range(90)]
    trace.write_text("\n".join(["minute,requests", *rows]))
    plot = tmp_path / "plot.png"
    words = ["simulate", "--trace", str(trace), "--plot", str(plot), "--price", "0.5"]
    assert autoscaling.main([*words, "--min", "1", "--startup-minutes", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    counts = [each["instances"] for each in found["trace"]]
    assert counts[:5] == [1] * 5
    assert counts[5] == 3
    assert counts[-1] == 1
    assert found["cost_usd"] == pytest.approx(0.5 * sum(m["paid"] for m in found["trace"]) / 60)
    assert found["instances"]["hours_without_scaling"] == 4.5
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert autoscaling.main(["simulate", "--wave", "5000"]) == 0
    assert "instance hours" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("minute,requests\n", "has no rows"),
        ("minute,requests\n1,x\n", "line 2: needs a whole number"),
        ("minute,requests\n1,-1\n", "not 0 or more"),
        ("time,requests\n1,1\n", "needs a whole number as minute"),
        ("minute,requests\n1,1\n9999999,1\n", "more than a year"),
    ],
)
def test_a_trace_that_cannot_be_read_is_bad_usage(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    assert autoscaling.main(["simulate", "--trace", str(trace)]) == 2
    assert said in capsys.readouterr().err


def test_a_plot_of_no_known_format_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert autoscaling.main(["simulate", "--wave", "10", "--plot", "x.bmp"]) == 2
    assert "must be one of .png, .svg, .pdf" in capsys.readouterr().err
