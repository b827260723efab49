"""A data-quality job, from its environment to its files."""

import json
from pathlib import Path

import pytest

from steps.monitors.__main__ import run
from steps.monitors.environment import MonitorError

CSV = '{"csv":{"header":true}}'
ROWS = "".join(f"{i % 50},{'gold' if i % 2 else 'basic'}\n" for i in range(2000))


def job(root: Path, text: str, **more: str) -> tuple[str, Path]:
    source = root / "data"
    source.mkdir(parents=True)
    (source / "rows").write_text(text)
    environment = {"dataset_source": str(source), "output_path": str(root / "out"), **more}
    return run({"dataset_format": CSV, **environment}, root), root / "out"


def monitored(tmp_path: Path, text: str) -> tuple[str, dict[str, str]]:
    base = job(tmp_path / "base", "age,plan\n" + ROWS)[1]
    message, out = job(
        tmp_path / "now",
        text,
        baseline_constraints=str(base / "constraints.json"),
        baseline_statistics=str(base / "statistics.json"),
        publish_cloudwatch_metrics="Enabled",
    )
    found = json.loads((out / "constraint_violations.json").read_text())["violations"]
    return message, {v["constraint_check_type"]: v["description"] for v in found}


def test_the_baseline_itself_has_no_violations(tmp_path: Path) -> None:
    message, found = monitored(tmp_path, "age,plan\n" + ROWS)
    assert message == "Completed: Job completed successfully with no violations."
    assert found == {}
    metrics = tmp_path / "now/output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
    assert "feature_baseline_drift_age" in metrics.read_text()


@pytest.mark.parametrize(
    ("text", "check", "description"),
    [
        ("age,plan\n" + ROWS + "x,gold\n", "data_type_check", "Expected data type: Integral"),
        ("age,plan\n" + ROWS + ",gold\n", "completeness_check", "does not meet"),
        ("age,plan\n" + ROWS + "1,tin\n", "categorical_values_check", "does not meet"),
        ("age,plan\n" + "49,gold\n" * 900, "baseline_drift_check", "exceeds "),
        ("age\n1\n", "missing_column_check", "Number of columns in current dataset: 1"),
        ("age,plan,z\n1,gold,3\n", "extra_column_check", "Number of columns in current dataset: 3"),
    ],
)
def test_every_check_finds_its_violation(
    tmp_path: Path, text: str, check: str, description: str
) -> None:
    message, found = monitored(tmp_path, text)
    assert message.startswith("CompletedWithViolations: ")
    assert check in found
    assert description in found[check]


def captured(time: str) -> str:
    data = {
        "endpointInput": {"encoding": "CSV", "data": "1,a\n2,b\n"},
        "endpointOutput": {"encoding": "BASE64", "data": "MC41CjAuNwo="},
    }
    return json.dumps({"captureData": data, "eventMetadata": {"inferenceTime": time}}) + "\n"


WINDOW = {"start_time": "2026-01-01T10:00:00Z", "end_time": "2026-01-01T11:00:00Z"}


def test_captured_records_of_the_window_are_outputs_then_inputs(tmp_path: Path) -> None:
    text = captured("2026-01-01T10:30:00Z") + captured("2026-01-01T11:00:00Z")
    out = job(tmp_path, text, dataset_format='{"sagemakerCaptureJson":{}}', **WINDOW)[1]
    statistics = json.loads((out / "statistics.json").read_text())
    assert statistics["dataset"]["item_count"] == 2
    kinds = [(f["name"], f["inferred_type"]) for f in statistics["features"]]
    assert kinds == [("_c0", "Fractional"), ("_c1", "Integral"), ("_c2", "String")]


def test_a_window_without_data_fails(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match=r"Job inputs had no data: .* 2026-01-01"):
        job(
            tmp_path,
            captured("2026-01-02T10:30:00Z"),
            dataset_format='{"sagemakerCaptureJson":{}}',
            **WINDOW,
        )


def test_a_failing_preprocessor_is_named_with_its_line(tmp_path: Path) -> None:
    script = tmp_path / "pre.py"
    script.write_text("def preprocess_handler(record):\n    return 1 / 0\n")
    with pytest.raises(MonitorError, match=r"pre.py failed, line 2: ZeroDivisionError"):
        job(
            tmp_path / "job",
            captured("2026-01-01T10:30:00Z"),
            dataset_format='{"sagemakerCaptureJson":{}}',
            record_preprocessor_script=str(script),
        )


def test_what_is_not_supported_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="output_columns_position 'END' is not supported"):
        job(tmp_path, "a\n1\n", dataset_format='{"csv":{"output_columns_position":"END"}}')
