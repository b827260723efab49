"""A Clarify job from its analysis config and data to analysis.json and violations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steps.monitors import bias_drift, clarify
from steps.monitors.__main__ import run
from steps.monitors.bias_metrics import POST_TRAINING, PRE_TRAINING, Rows
from steps.monitors.environment import MonitorError

ALL = {"methods": "all"}
CONFIG: dict[str, Any] = {
    "headers": ["age", "sex", "area", "paid", "predicted_label"],
    "label": "paid",
    "label_values_or_threshold": [1],
    "facet": [{"name_or_index": "sex", "value_or_threshold": ["F"]}],
    "group_variable": "area",
    "methods": {"pre_training_bias": ALL, "post_training_bias": ALL, "report": {"name": "r"}},
}
AGES = {"facet": [{"name_or_index": "age", "value_or_threshold": [40]}]}


def people(paid_women: int, rows: int = 400) -> str:
    """Half women, half men; every second man is paid and as many women in a hundred as said."""
    lines = []
    for i in range(rows):
        woman, place = i % 2, i // 2
        paid = int(place % 100 < paid_women) if woman else place % 2
        lines.append(f"{20 + i % 60},{'MF'[woman]},a{i % 3},{paid},{paid}.0\n")
    return "".join(lines)


def job(root: Path, text: str, baseline: Path | None = None, **changes: Any) -> tuple[str, Any]:
    inputs = root / "processing/input"
    (inputs / "config").mkdir(parents=True)
    (inputs / "data").mkdir()
    config = json.dumps({**CONFIG, **changes})
    (inputs / "config/analysis_config.json").write_text(config)
    (inputs / "data/rows.csv").write_text(text)
    variables = {"baseline_constraints": str(baseline)} if baseline else {}
    message = clarify.run({**variables, "publish_cloudwatch_metrics": "Enabled"}, root)
    return message, json.loads((root / "processing/output/analysis.json").read_text())


def metrics(analysis: Any, stage: str, facet: str = "sex") -> dict[str, Any]:
    (entry,) = analysis[f"{stage}_metrics"]["facets"][facet]
    return {metric["name"]: metric["value"] for metric in entry["metrics"]}


def test_both_stages_are_measured_for_the_facet(tmp_path: Path) -> None:
    message, analysis = job(tmp_path, people(25))
    assert message == "Completed: Job completed successfully with no violations."
    assert analysis["version"] == "1.0"
    section = analysis["pre_training_bias_metrics"]
    assert (section["label"], section["label_value_or_threshold"]) == ("paid", "1")
    assert section["facets"]["sex"][0]["value_or_threshold"] == "F"
    found = metrics(analysis, "pre_training_bias")
    assert set(found) == set(PRE_TRAINING)
    assert (found["CI"], found["DPL"]) == (0, 0.25)
    found = metrics(analysis, "post_training_bias")
    assert set(found) == set(POST_TRAINING)
    assert (found["DI"], found["AD"]) == (0.5, 0)
    assert found["FT"] is not None
    path = tmp_path / "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (line,) = [line for line in lines if line["MetricName"] == "bias_metric_DI"]
    assert line["Value"] == 0.5
    assert {"Name": "FacetValue", "Value": "F"} in line["Dimensions"]


def test_a_number_facet_is_cut_above_its_threshold(tmp_path: Path) -> None:
    _, analysis = job(tmp_path, people(25), **AGES)
    (entry,) = analysis["pre_training_bias_metrics"]["facets"]["age"]
    assert entry["value_or_threshold"] == "(40, 79]"
    # 20 to 40 are 21 of 60 ages, and the first 40 ages come seven times, the others six.
    assert metrics(analysis, "pre_training_bias", "age")["CI"] == pytest.approx(
        (21 * 7 - 19 * 7 - 20 * 6) / 400
    )
    post = {
        m["name"]: m for m in analysis["post_training_bias_metrics"]["facets"]["age"][0]["metrics"]
    }
    assert post["FT"]["value"] is None
    assert post["FT"]["error"].endswith("not numbers: sex")


def test_every_value_is_a_facet_when_none_is_given(tmp_path: Path) -> None:
    facets = job(tmp_path, people(25), facet={"name_or_index": 1})[1]
    found = facets["pre_training_bias_metrics"]["facets"]["sex"]
    assert [entry["value_or_threshold"] for entry in found] == ["F", "M"]


def test_a_facet_without_rows_is_null_with_the_reason(tmp_path: Path) -> None:
    facet = [{"name_or_index": "sex", "value_or_threshold": ["X"]}]
    _, analysis = job(tmp_path, people(25), facet=facet)
    (entry,) = analysis["pre_training_bias_metrics"]["facets"]["sex"]
    assert entry["metrics"][0]["value"] is None
    assert entry["metrics"][0]["error"] == "no row belongs to the facet"


def test_predictions_may_be_probabilities_and_headers_a_first_line(tmp_path: Path) -> None:
    text = "sex,paid,p\nF,1,0.7\nF,1,0.5\nM,1,0.9\nM,0,0.2\n"
    changes: dict[str, Any] = {"headers": None, "probability": "p", "probability_threshold": 0.6}
    _, analysis = job(tmp_path, text, **changes, group_variable=None)
    assert metrics(analysis, "post_training_bias")["DPPL"] == 0
    assert metrics(analysis, "post_training_bias")["RD"] == 0.5


def test_an_infinite_metric_is_a_text_and_awss_number_in_cloudwatch(tmp_path: Path) -> None:
    text = "age,sex,area,paid,predicted_label\n" + "1,F,1,1,0\n1,F,1,1,1\n1,M,1,1,1\n1,M,1,0,0\n"
    _, analysis = job(tmp_path, text)
    assert metrics(analysis, "post_training_bias")["TE"] == "Infinity"
    assert metrics(analysis, "pre_training_bias")["CI"] == 0
    path = tmp_path / "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
    (line,) = [line for line in path.read_text().splitlines() if "bias_metric_TE" in line]
    assert json.loads(line)["Value"] == 2.348543e108


def test_more_bias_than_the_baseline_is_a_violation_and_its_own_is_not(tmp_path: Path) -> None:
    job(tmp_path / "base", people(40))
    baseline = tmp_path / "base/processing/output/analysis.json"
    message, _ = job(tmp_path / "same", people(40), baseline)
    assert message.startswith("Completed: ")
    message, _ = job(tmp_path / "worse", people(5), baseline)
    path = tmp_path / "worse/processing/output/constraint_violations.json"
    content = json.loads(path.read_text())
    found = {violation["metric_name"]: violation for violation in content["violations"]}
    assert message.startswith("CompletedWithViolations: ")
    assert found["DPL"] == {
        "facet": "sex",
        "facet_value": "F",
        "metric_name": "DPL",
        "constraint_check_type": "bias_drift_check",
        "description": "Value 0.45 does not meet the constraint requirement",
    }
    assert "DI" in found
    assert "CI" not in found


@pytest.mark.parametrize(("paid", "rows", "violated"), [(6, 40, False), (30, 4000, True)])
def test_more_bias_in_a_few_rows_is_no_evidence(
    tmp_path: Path, paid: int, rows: int, violated: bool
) -> None:
    job(tmp_path / "base", people(40))
    baseline = tmp_path / "base/processing/output/analysis.json"
    pre = {"pre_training_bias": {"methods": ["DPL"]}}
    message, analysis = job(tmp_path / "now", people(paid, rows), baseline, methods=pre)
    assert metrics(analysis, "pre_training_bias")["DPL"] == pytest.approx(0.2)
    assert message.startswith("CompletedWith") == violated


def test_a_threshold_is_the_same_facet_though_its_largest_value_changes(tmp_path: Path) -> None:
    job(tmp_path / "base", people(40), **AGES)
    baseline = tmp_path / "base/processing/output/analysis.json"
    message, _ = job(tmp_path / "now", people(40) + "90,M,1,1,1\n", baseline, **AGES)
    assert message.startswith("Completed: ")


def test_a_baseline_without_the_stage_is_named(tmp_path: Path) -> None:
    job(tmp_path / "base", people(40), methods={"pre_training_bias": ALL})
    baseline = tmp_path / "base/processing/output/analysis.json"
    with pytest.raises(MonitorError, match="the baseline has no post_training_bias_metrics"):
        job(tmp_path / "now", people(40), baseline)


def test_disparate_impact_is_compared_with_one() -> None:
    assert bias_drift.allowed_range("DI", 0.75) == (0.75, 1.25)
    assert bias_drift.allowed_range("CI", -0.5) == (-0.5, 0.5)


def test_the_interval_is_the_deviation_of_a_share() -> None:
    facet = np.arange(2000) % 2 == 0
    positive = np.arange(2000) % 4 < 2
    rows = Rows(facet, positive.astype(int), positive, positive)
    low, high = bias_drift.confidence_interval(PRE_TRAINING["DPL"][1], rows, 0.0)
    assert high == -low
    assert high == pytest.approx(1.96 * (2 * 0.25 / 1000) ** 0.5, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"methods": {"pdp": {}}}, "methods pdp is not supported"),
        (
            {"methods": {"report": {}}},
            "asks for none of pre_training_bias, post_training_bias, shap",
        ),
        ({"methods": {"shap": {}}}, r"methods.shap needs the model, .* put an unpacked bundle"),
        ({"methods": {"pre_training_bias": {"methods": ["XX"]}}}, "bias has no XX; use CDDL"),
        ({"label": "wage"}, "column 'wage' is not one of age, sex"),
        ({"label_values_or_threshold": [7]}, "no row of paid is 7"),
        ({"label_values_or_threshold": []}, "label_values_or_threshold is not set"),
        ({"facet": []}, "facet is not set"),
        ({"facet": [{"name_or_index": "age"}]}, "60 numbers; give a value_or_threshold"),
        ({"predicted_label": "guess"}, "column 'guess' is not one of"),
        ({"dataset_type": "application/x-parquet"}, "'application/x-parquet' is not supported"),
        ({"headers": ["a"]}, "row 1 has 5 cells, not 1"),
    ],
)
def test_what_cannot_be_measured_is_named(
    tmp_path: Path, changes: dict[str, Any], error: str
) -> None:
    with pytest.raises(MonitorError, match=error):
        job(tmp_path, people(25), **changes)


def test_a_live_predictor_is_refused_with_the_next_step(tmp_path: Path) -> None:
    changes = {"headers": ["age", "sex", "area", "paid", "x"], "predictor": {"model_name": "m"}}
    with pytest.raises(MonitorError, match=r"live endpoint is not supported here; run a batch"):
        job(tmp_path, people(25), **changes)


def test_an_empty_label_or_prediction_is_named(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="1 cells of paid are empty"):
        job(tmp_path / "label", people(25) + "20,F,1,,1\n")
    with pytest.raises(MonitorError, match="1 cells of predicted_label are empty"):
        job(tmp_path / "predicted", people(25) + "20,F,1,1,\n")


def test_the_analyzer_does_a_clarify_job_where_there_is_an_analysis_config(tmp_path: Path) -> None:
    job(tmp_path, people(25))
    output = tmp_path / "processing/output/analysis.json"
    output.unlink()
    assert run({}, tmp_path).startswith("Completed: ")
    assert output.is_file()


def test_captured_data_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="captured data is not supported for bias; merge"):
        clarify.run({"dataset_format": '{"sagemakerCaptureJson":{}}'}, tmp_path)
