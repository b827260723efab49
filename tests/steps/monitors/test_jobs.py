"""A data-quality job, from its environment to its files."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.monitors.__main__ import main, run
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
    with pytest.raises(MonitorError, match="analysis_type 'BIAS' is not supported"):
        job(tmp_path / "bias", "a\n1\n", analysis_type="BIAS")


def test_what_captured_parts_are_not_supported_is_named(tmp_path: Path) -> None:
    form = '{"sagemakerCaptureJson":{"captureIndexNames":["batchTransformOutput"]}}'
    with pytest.raises(MonitorError, match="captureIndexNames 'batchTransformOutput' is not"):
        job(tmp_path, captured("2026-01-01T10:30:00Z"), dataset_format=form)


def test_csv_json_lines_and_parquet_of_the_same_rows_have_the_same_statistics(
    tmp_path: Path,
) -> None:
    rows = [{"age": i % 50, "plan": "gold" if i % 2 else "basic"} for i in range(2000)]
    csv = job(tmp_path / "csv", "age,plan\n" + ROWS)[1]
    lines = job(
        tmp_path / "json",
        "".join(json.dumps(row) + "\n" for row in rows),
        dataset_format='{"json":{"lines":true}}',
    )[1]
    parquet = tmp_path / "rows" / "rows.parquet"
    parquet.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    stored = job(
        tmp_path / "parquet",
        "",
        dataset_format='{"parquet":{}}',
        dataset_source=str(parquet.parent),
    )[1]
    expected = json.loads((csv / "statistics.json").read_text())
    assert expected["dataset"]["item_count"] == 2000
    for out in (lines, stored):
        assert json.loads((out / "statistics.json").read_text()) == expected


def test_a_preprocessor_makes_many_rows_or_none_and_a_post_processor_sees_the_files(
    tmp_path: Path,
) -> None:
    pre, post = tmp_path / "pre.py", tmp_path / "post.py"
    pre.write_text(
        "def preprocess_handler(record, logger):\n"
        "    logger.debug('one')\n"
        "    if record.event_metadata.event_time.startswith('2026-01-02'):\n"
        "        return []\n"
        "    return [{'x': 1, 'from': record.endpoint_input.encoding}, {'x': 2}]\n"
    )
    out = tmp_path / "job" / "out"
    post.write_text(
        "import pathlib\n"
        "def postprocess_handler():\n"
        f"    made = pathlib.Path({str(out)!r})\n"
        "    (made / 'seen').write_text(' '.join(sorted(p.name for p in made.iterdir())))\n"
    )
    job(
        tmp_path / "job",
        captured("2026-01-01T10:30:00Z") + captured("2026-01-02T10:30:00Z"),
        dataset_format='{"sagemakerCaptureJson":{}}',
        record_preprocessor_script=str(pre),
        post_analytics_processor_script=str(post),
    )
    statistics = json.loads((out / "statistics.json").read_text())
    assert statistics["dataset"]["item_count"] == 2
    x, source = statistics["features"]
    assert x["numerical_statistics"]["sum"] == 3.0
    assert source["string_statistics"]["common"] == {"num_present": 1, "num_missing": 1}
    assert (out / "seen").read_text() == "constraints.json statistics.json"


def test_a_job_that_fails_leaves_its_reason_and_exits_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_bytes(b"age\n\xff\n")
    monkeypatch.setattr("sys.argv", ["monitors", "--root", str(tmp_path)])
    monkeypatch.setenv("dataset_format", CSV)
    monkeypatch.setenv("dataset_source", str(tmp_path / "data"))
    for output, said in ((None, "output_path is not set"), (str(tmp_path / "out"), "utf-8|UTF8")):
        if output:
            monkeypatch.setenv("output_path", output)
        assert main() == 1
        assert re.search(said, (tmp_path / "output" / "message").read_text())
