"""`python -m deploy.experiment` and `deploy.capture`: usage, and how answers are scored."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from deploy import capture, experiment, scoring
from deploy.captured import Captured, Side
from deploy.commands import DeployError
from deploy.replaying import Comparison
from steps.problem import load
from tests.deploy.test_endpoint import HERE

PROBLEM = load(Path(__file__).resolve().parents[2] / "config" / "engagement.yaml")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--alpha", "0"], "--alpha is 0"),
        (["--min-effect", "1.5"], "--min-effect is 1.5"),
        (["--settle", "-1"], "must not be negative"),
        (["--metric", "loss"], "needs --ground-truth"),
        (["--metric", "errors", "--ground-truth", "s3://b/p"], "does not look at"),
    ],
)
def test_bad_usage_of_an_experiment_is_named(
    aws: Stubber, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert experiment.main([*HERE, *words]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["on", "--sampling", "0"], "--sampling is 0"),
        (["on", "--to", "bucket/prefix"], "is no S3 URI"),
        (["show", "--limit", "-1"], "--limit is -1"),
        (["show", "--since", "soon"], "--since is 'soon'"),
        (["replay", "--to-variant", "B", "--rate", "0"], "--rate must be above 0"),
    ],
)
def test_bad_usage_of_capture_is_named(
    aws: Stubber, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert capture.main([*words, *HERE]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "label", "threshold", "score"),
    [
        ({"churn": 0.7}, "1", None, 1),
        ({"churn": 0.7}, "0", None, 0),
        ({"churn": 0.7}, "true", 0.8, 0),
        ({"churn": {"label": "red"}}, "red", None, 1),
        (0.2, "no", None, 1),
        ("3", "3.0", None, 1),
    ],
)
def test_an_answer_is_right_or_not(
    answer: Any, label: str, threshold: float | None, score: float
) -> None:
    assert scoring.scorer("correct", PROBLEM, "churn", threshold, None)(answer, label) == score


def test_a_loss_is_a_share_of_the_largest_that_counts() -> None:
    score = scoring.scorer("loss", PROBLEM, "ltv", None, 200.0)
    assert score({"ltv": 150.0}, "100") == 0.25
    assert score({"ltv": 1000.0}, "100") == 1
    with pytest.raises(DeployError, match="--loss-max"):
        scoring.scorer("loss", PROBLEM, "ltv", None, None)
    with pytest.raises(DeployError, match="the captured answers have: a"):
        score({"a": 1}, "1")


def test_answers_are_compared_by_number_label_and_missing_row() -> None:
    found, side = Comparison(threshold=0.5), Side("", b"")
    record = Captured("e", "", datetime(2026, 1, 1, tzinfo=UTC), side, side)
    found.add(record, [{"p": 0.4}, {"p": 0.1}], [{"p": 0.6}, {"p": 0.1}])
    found.add(record, ["red", 1.0], ["blue"])
    said = found.document
    assert (said["rows"], said["same_rows"], said["label_changes"]) == (4, 1, 3)
    assert said["largest_difference"] == pytest.approx(0.2)
    assert said["worst"][-1]["now"] == {"p": 0.6}
