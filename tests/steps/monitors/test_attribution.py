"""Attributions: equal to XGBoost's, aggregated AWS's ways, and their drift."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.transform import Feature, Transform, import_xgboost
from steps.monitors import attribution_drift, clarify
from steps.monitors.environment import MonitorError

ROWS = 60
NAMES = ["age", "spend", "noise"]


def features() -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(ROWS, 3)).round(3).astype(np.float32)
    found[3, 2] = np.nan
    return found


def booster(classes: int = 2, matrix: Any = None) -> Any:
    xgboost = import_xgboost()
    x = features()
    target = ((x[:, 0] > 0).astype(int) + 2 * (x[:, 1] > 1)) % classes
    parameters = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1}
    if classes > 2:
        parameters |= {"objective": "multi:softprob", "num_class": classes}
    return xgboost.train(parameters, matrix or xgboost.DMatrix(x, target), 3)


def job(root: Path, model: Any, baseline: Path | None = None, **shap: Any) -> tuple[str, Any]:
    inputs = root / "processing/input"
    for name in ("config", "data", "model"):
        (inputs / name).mkdir(parents=True)
    config = {"headers": [*NAMES, "label"], "label": "label", "methods": {"shap": shap}}
    (inputs / "config/analysis_config.json").write_text(json.dumps(config))
    cells = [["" if np.isnan(v) else str(v) for v in row] for row in features()]
    (inputs / "data/x.csv").write_text("".join(",".join([*row, "1"]) + "\n" for row in cells))
    model(inputs / "model")
    variables = {"baseline_constraints": str(baseline)} if baseline else {}
    message = clarify.run({**variables, "publish_cloudwatch_metrics": "Enabled"}, root)
    return message, json.loads((root / "processing/output/analysis.json").read_text())


def saved(model: Any, name: str = "model.ubj") -> Any:
    return lambda folder: model.save_model(folder / name)


def contributions(model: Any) -> np.ndarray:
    return np.asarray(model.predict(import_xgboost().DMatrix(features()), pred_contribs=True))


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
def test_local_values_are_xgboosts_and_add_up_to_the_margin(tmp_path: Path, name: str) -> None:
    model = booster()
    _, analysis = job(tmp_path, saved(model, name))
    expected = contributions(model)
    with (tmp_path / "processing/output/explanations_shap/out.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["age_label0", "spend_label0", "noise_label0"]
    values = np.array(rows, dtype=float)
    assert np.abs(values - expected[:, :-1]).max() < 1e-6
    found = analysis["explanations"]["kernel_shap"]["label0"]
    margin = model.predict(import_xgboost().DMatrix(features()), output_margin=True)
    assert values.sum(axis=1) + found["expected_value"] == pytest.approx(margin, abs=1e-5)
    path = tmp_path / "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
    assert '"MetricName": "feature_age"' in path.read_text()


@pytest.mark.parametrize(
    ("method", "aggregate"),
    [
        ("mean_abs", lambda v: np.abs(v).mean(axis=0)),
        ("median", lambda v: np.median(v, axis=0)),
        ("mean_sq", lambda v: (v**2).mean(axis=0)),
    ],
)
def test_every_class_has_its_global_values(tmp_path: Path, method: str, aggregate: Any) -> None:
    model = booster(classes=3)
    _, analysis = job(tmp_path, saved(model), agg_method=method, save_local_shap_values=False)
    found = analysis["explanations"]["kernel_shap"]
    assert list(found) == ["label0", "label1", "label2"]
    for label, entry in enumerate(found.values()):
        expected = aggregate(contributions(model)[:, label, :-1].astype(np.float64))
        got = [entry["global_shap_values"][name] for name in NAMES]
        assert got == pytest.approx(expected.tolist(), abs=1e-6)
    assert not (tmp_path / "processing/output/explanations_shap").exists()


def bundle(folder: Path, targets: tuple[str, ...], version: str = "") -> None:
    """A bundle whose transform has the columns in another order than the data."""
    kinds = [Feature(name, "numeric") for name in reversed(NAMES)]
    (folder / "transform.json").write_text(Transform(tuple(kinds)).to_json())
    version = version or import_xgboost().__version__
    models = [{"name": f"m{i}", "target": target} for i, target in enumerate(targets)]
    (folder / "bundle.json").write_text(json.dumps({"models": models, "xgboost_version": version}))
    x = features()[:, ::-1]
    matrix = import_xgboost().DMatrix(x, x[:, 2] > 0)
    for model in models:
        path = folder / "models" / model["name"]
        path.mkdir(parents=True)
        booster(matrix=matrix).save_model(path / "model.ubj")


def test_a_bundle_reads_the_columns_as_its_transform_says(tmp_path: Path) -> None:
    _, analysis = job(tmp_path, lambda folder: bundle(folder, ("other", "label")))
    found = analysis["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    assert next(iter(found)) == "age"
    assert found["age"] > 0.1


def test_a_bundle_without_a_model_of_the_label_is_named(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="holds models of a, b; set label"):
        job(tmp_path, lambda folder: bundle(folder, ("a", "b")))


def test_a_bundle_of_another_xgboost_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match=r"was trained with xgboost 0\.1, and"):
        job(tmp_path, lambda folder: bundle(folder, ("label",), "0.1"))


def test_the_guides_example_of_drift() -> None:
    baseline = {"SAT score": 0.70, "GPA": 0.50, "Class rank": 0.05}
    live = {"SAT score": 0.10, "GPA": 0.20, "Class rank": 0.70}
    value = attribution_drift.ndcg(baseline, live)
    assert round(value, 2) == 0.69
    files = [
        {"explanations": {"kernel_shap": {"label0": {"global_shap_values": scores}}}}
        for scores in (live, baseline)
    ]
    assert attribution_drift.violations(*files) == [
        {
            "label": "label0",
            "metric_name": "shap",
            "constraint_check_type": "feature_attribution_drift_check",
            "description": f"Feature attribution drift {value} exceeds threshold 0.9",
        }
    ]
    assert attribution_drift.violations(files[1], files[1]) == []


@given(st.dictionaries(st.text(max_size=3), st.floats(-9, 9), min_size=1), st.randoms())
def test_drift_is_between_0_and_1_and_the_same_order_is_1(
    baseline: dict[str, float], random: Any
) -> None:
    names = list(baseline)
    random.shuffle(names)
    live = dict(zip(names, baseline.values(), strict=True))
    assert 0 <= attribution_drift.ndcg(baseline, live) <= 1 + 1e-12
    negated = {name: -2 * value for name, value in baseline.items()}
    assert attribution_drift.ndcg(baseline, negated) == 1


def test_a_job_that_listens_to_others_than_the_baseline_has_a_violation(tmp_path: Path) -> None:
    model = booster()
    job(tmp_path / "base", saved(model))
    path = tmp_path / "base/processing/output/analysis.json"
    message, _ = job(tmp_path / "same", saved(model), path)
    assert message.startswith("Completed: ")
    before = json.loads(path.read_text())
    shown = {"age": 0.01, "spend": 0.02, "noise": 5.0}
    before["explanations"]["kernel_shap"]["label0"]["global_shap_values"] = shown
    path.write_text(json.dumps(before))
    message, _ = job(tmp_path / "other", saved(model), path)
    assert message == "CompletedWithViolations: Job completed successfully with 1 violations."
    violations = tmp_path / "other/processing/output/constraint_violations.json"
    assert "feature_attribution_drift_check" in violations.read_text()


def test_other_features_than_the_baseline_are_named() -> None:
    with pytest.raises(MonitorError, match="differ in features: a, b"):
        attribution_drift.ndcg({"a": 1.0}, {"b": 1.0})


@pytest.mark.parametrize(
    ("model", "shap", "error"),
    [
        (lambda folder: None, {}, "holds 0 .ubj or .json files; give one model"),
        (lambda f: (f / "m.json").write_text("{}"), {}, "m.json is no XGBoost model"),
        (saved(booster()), {"agg_method": "max"}, "agg_method 'max' is not one of mean_abs"),
    ],
)
def test_what_cannot_be_explained_is_named(
    tmp_path: Path, model: Any, shap: dict[str, Any], error: str
) -> None:
    with pytest.raises(MonitorError, match=error):
        job(tmp_path, model, **shap)


def test_a_model_of_other_features_is_named(tmp_path: Path) -> None:
    xgboost = import_xgboost()
    small = xgboost.train({}, xgboost.DMatrix(features()[:, :2], np.ones(ROWS)), 1)
    with pytest.raises(MonitorError, match="has 2 features, the data 3: age, spend, noise"):
        job(tmp_path, saved(small))
