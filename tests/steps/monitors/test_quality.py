"""A model-quality job from labels and captured records to its files."""

import json
from pathlib import Path
from typing import Any

import pytest

from steps.monitors import ground_truth
from steps.monitors.__main__ import run
from steps.monitors.environment import MonitorError

CSV = '{"csv":{"header":true}}'
CAPTURE = '{"sagemakerCaptureJson":{"captureIndexNames":["endpointInput","endpointOutput"]}}'
BINARY = {"problem_type": "BinaryClassification", "probability_attribute": "score"}
THRESHOLD = {"probability_threshold_attribute": "0.5"}
ROWS = [(0, 0.1), (0, 0.2), (0, 0.7), (1, 0.9), (1, 0.8), (1, 0.3)]


def job(root: Path, text: str, **more: str) -> tuple[str, Path]:
    source = root / "data"
    source.mkdir(parents=True, exist_ok=True)
    if text:
        (source / "rows").write_text(text)
    environment = {
        "analysis_type": "MODEL_QUALITY",
        "dataset_format": CSV,
        "dataset_source": str(source),
        "output_path": str(root / "out"),
        "ground_truth_attribute": "label",
        **more,
    }
    return run(environment, root), root / "out"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def table(rows: list[tuple[int, float]]) -> str:
    return "label,score\n" + "".join(f"{label},{score}\n" for label, score in rows)


def captured(key: str, answer: str, id_name: str = "eventId", hour: int = 10) -> dict[str, Any]:
    metadata = {"eventId": f"own-{key}", "inferenceTime": f"2026-01-01T{hour:02}:30:00Z"}
    return {
        "captureData": {
            "endpointInput": {"encoding": "CSV", "data": "1,a"},
            "endpointOutput": {"encoding": "CSV", "data": answer},
        },
        "eventMetadata": {**metadata, id_name: key},
        "eventVersion": "0",
    }


def label(key: str, value: str) -> dict[str, Any]:
    truth = {"data": value, "encoding": "CSV"}
    return {"groundTruthData": truth, "eventMetadata": {"eventId": key}, "eventVersion": "0"}


def write(path: Path, events: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def test_the_baseline_meets_its_own_constraints_and_worse_data_does_not(tmp_path: Path) -> None:
    message, base = job(tmp_path / "base", table(ROWS), **BINARY, **THRESHOLD)
    assert message == "Completed: Job completed successfully with no violations."
    found = read(base / "statistics.json")
    assert found["dataset"]["item_count"] == 6
    metrics = found["binary_classification_metrics"]
    assert metrics["confusion_matrix"] == {"0": {"0": 2, "1": 1}, "1": {"0": 1, "1": 2}}
    assert metrics["auc"]["value"] == pytest.approx(8 / 9)
    baseline = {"baseline_constraints": str(base / "constraints.json")}
    message, out = job(tmp_path / "same", table(ROWS), **BINARY, **THRESHOLD, **baseline)
    assert message.startswith("Completed: ")
    assert read(out / "constraint_violations.json") == {"violations": []}
    worse = [*ROWS[:-2], (1, 0.2), (1, 0.3)]
    more = {**baseline, "publish_cloudwatch_metrics": "Enabled", "sagemaker_endpoint_name": "e"}
    message, out = job(tmp_path / "worse", table(worse), **BINARY, **THRESHOLD, **more)
    violations = read(out / "constraint_violations.json")["violations"]
    assert message == (
        f"CompletedWithViolations: Job completed successfully with {len(violations)} violations."
    )
    assert {"recall", "false_negative_rate"} <= {v["metric_name"] for v in violations}
    path = tmp_path / "worse/output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
    lines = {line["MetricName"]: line for line in map(json.loads, path.read_text().splitlines())}
    assert lines["recall"]["Value"] == pytest.approx(1 / 3)
    assert lines["recall"]["Dimensions"] == [{"Name": "Endpoint", "Value": "e"}]


def test_regression_and_multiclass_read_columns_by_place_and_path(tmp_path: Path) -> None:
    more = {"problem_type": "Regression", "inference_attribute": "1"}
    out = job(tmp_path / "r", "label,guess\n1,2\n3,3\n", **more)[1]
    assert read(out / "statistics.json")["regression_metrics"]["mae"]["value"] == 0.5
    rows = '{"label":"a","out":{"best":"a"}}\n{"label":1,"out":{"best":"1.0"}}\n'
    more = {"problem_type": "MulticlassClassification", "inference_attribute": "$.out.best"}
    out = job(tmp_path / "m", rows, dataset_format='{"json":{"lines":true}}', **more)[1]
    found = read(out / "statistics.json")["multiclass_classification_metrics"]
    assert found["accuracy"]["value"] == 1.0
    assert found["confusion_matrix"]["1"] == {"1": 1, "a": 0}


def test_merged_capture_is_judged_by_its_labels(tmp_path: Path) -> None:
    records = [captured("a", "0.9\n"), captured("b", "0.2\n", "inferenceId")]
    records += [captured("none", "0.5\n"), captured("early", "0.9\n", hour=8)]
    write(tmp_path / "captured/10/x.jsonl", records)
    write(tmp_path / "labels/10/x.jsonl", [label("a", "0"), label("b", "0"), label("early", "0")])
    write(tmp_path / "labels/12/late.jsonl", [label("a", "1"), label("lost", "1")])
    counts = ground_truth.merge(tmp_path / "captured", tmp_path / "labels", tmp_path / "job/data")
    assert counts.to_json() == {
        "matched": 3,
        "unmatched_records": 1,
        "unmatched_labels": 1,
        "duplicate_labels": 1,
    }
    more = {"dataset_format": CAPTURE, "start_time": "2026-01-01T10:00:00Z", **THRESHOLD}
    out = job(tmp_path / "job", "", **{**BINARY, **more, "probability_attribute": "0"})[1]
    found = read(out / "statistics.json")["binary_classification_metrics"]
    assert found["confusion_matrix"] == {"0": {"0": 1, "1": 0}, "1": {"0": 0, "1": 1}}


@pytest.mark.parametrize(
    ("text", "more", "error"),
    [
        ("label,score\n", {**BINARY, **THRESHOLD}, "Job inputs had no data"),
        (table(ROWS), {"problem_type": "Ranking"}, "problem_type 'Ranking' is not one of"),
        (table(ROWS), BINARY, "probability_threshold_attribute is not set"),
        (table(ROWS), {"problem_type": "BinaryClassification"}, "neither inference_attribute"),
        (table(ROWS), {**BINARY, "probability_attribute": "p"}, "'p' is not one of the columns"),
        ("label,score\n2,0.1\n", {**BINARY, **THRESHOLD}, "the ground truth is '2'"),
        ("label,score\n,0.1\n", {**BINARY, **THRESHOLD}, "row 1: label is empty"),
        ("label,score\n1,x\n", {**BINARY, **THRESHOLD}, "could not convert string to float: 'x'"),
        ("label,score\n1,nan\n", {**BINARY, **THRESHOLD}, "score: nan is not finite"),
    ],
)
def test_what_cannot_be_judged_is_named(
    tmp_path: Path, text: str, more: dict[str, str], error: str
) -> None:
    with pytest.raises(MonitorError, match=error):
        job(tmp_path, text, **more)


def test_captured_records_without_labels_are_named(tmp_path: Path) -> None:
    text = json.dumps(captured("a", "0.9\n"))
    with pytest.raises(MonitorError, match="line 1 is not a captured record with groundTruthData"):
        job(tmp_path, text, **{**BINARY, **THRESHOLD, "dataset_format": CAPTURE})


def test_a_baseline_of_another_problem_is_named(tmp_path: Path) -> None:
    base = job(tmp_path / "base", table(ROWS), **BINARY, **THRESHOLD)[1]
    more = {"problem_type": "Regression", "inference_attribute": "score"}
    with pytest.raises(MonitorError, match="has no regression_constraints; it holds version, bina"):
        job(tmp_path, table(ROWS), **more, baseline_constraints=str(base / "constraints.json"))


@pytest.mark.parametrize("truth", [{}, {"groundTruthData": {"data": "1"}}])
def test_a_label_line_that_is_none_is_named(tmp_path: Path, truth: dict[str, Any]) -> None:
    bad = {"eventMetadata": {"eventId": "b"}, **truth}
    write(tmp_path / "labels/x.jsonl", [label("a", "1"), bad])
    with pytest.raises(MonitorError, match=r"line 2 is not a ground truth label: KeyError"):
        ground_truth.merge(tmp_path / "captured", tmp_path / "labels", tmp_path / "out")
