"""Quality estimated without labels: by hand, and right when the probabilities are."""

import json
from pathlib import Path

import numpy as np
import pytest

from steps.monitors import estimated_quality, quality_metrics
from steps.monitors.__main__ import run
from steps.monitors.environment import MonitorError


def job(root: Path, text: str, **more: str) -> dict[str, object]:
    source = root / "data"
    source.mkdir()
    (source / "rows").write_text(text)
    environment = {
        "analysis_type": "ESTIMATED_MODEL_QUALITY",
        "problem_type": "BinaryClassification",
        "dataset_format": '{"csv":{"header":true}}',
        "dataset_source": str(source),
        "output_path": str(root / "out"),
        "probability_attribute": "p",
        "probability_threshold_attribute": "0.5",
        **more,
    }
    assert run(environment, root).startswith("Completed: ")
    return dict(json.loads((root / "out/estimated_statistics.json").read_text()))


def test_expected_counts_by_hand_are_marked_as_an_estimate(tmp_path: Path) -> None:
    found = job(tmp_path, "p\n0.9\n0.5\n0.2\n0.0\n")
    assert found["estimate"] is True
    assert str(found["note"]).startswith("ESTIMATE without labels")
    metrics = found["estimated_binary_classification_metrics"]
    assert isinstance(metrics, dict)
    matrix = metrics["confusion_matrix"]
    assert matrix["1"] == pytest.approx({"0": 0.2, "1": 1.4})
    assert matrix["0"] == pytest.approx({"0": 1.8, "1": 0.6})
    assert metrics["accuracy"]["value"] == pytest.approx(3.2 / 4)
    assert metrics["accuracy"]["standard_deviation"] == pytest.approx(0.5**0.5 / 4)
    assert metrics["recall"]["value"] == pytest.approx(1.4 / 1.6)
    assert metrics["precision"]["value"] == pytest.approx(0.7)
    assert metrics["f1"]["value"] == pytest.approx(2.8 / 3.6)


def test_calibrated_probabilities_estimate_what_labels_measure() -> None:
    draw = np.random.default_rng(0)
    probabilities = draw.random(20_000)
    targets = (draw.random(20_000) < probabilities).astype(int)
    decisions = (probabilities >= 0.4).astype(int)
    measured = quality_metrics.binary(targets, decisions, None)
    expected = estimated_quality.estimate(probabilities, 0.4)
    for name in ("accuracy", "precision", "recall", "f1"):
        assert expected[name]["value"] == pytest.approx(measured[name]["value"], abs=0.01)
    gap = expected["accuracy"]["value"] - measured["accuracy"]["value"]
    assert abs(gap) < 4 * expected["accuracy"]["standard_deviation"]


def test_captured_answers_need_no_labels(tmp_path: Path) -> None:
    event = {
        "captureData": {"endpointOutput": {"encoding": "CSV", "data": "0.9\n0.2\n"}},
        "eventMetadata": {"eventId": "a", "inferenceTime": "2026-01-01T10:00:00Z"},
    }
    form = '{"sagemakerCaptureJson":{}}'
    more = {"dataset_format": form, "probability_attribute": "0"}
    assert job(tmp_path, json.dumps(event), **more)["dataset"] == {"item_count": 2}


@pytest.mark.parametrize(
    ("text", "more", "error"),
    [
        ("p\n", {}, "Job inputs had no data"),
        ("p\n1.5\n", {}, "p is not within 0 and 1"),
        ("p\n1\n", {"problem_type": "Regression"}, "'Regression' cannot be estimated"),
        ("p\n1\n", {"baseline_constraints": "x"}, "supports neither baseline_constraints"),
    ],
)
def test_what_cannot_be_estimated_is_named(
    tmp_path: Path, text: str, more: dict[str, str], error: str
) -> None:
    with pytest.raises(MonitorError, match=error):
        job(tmp_path, text, **more)
