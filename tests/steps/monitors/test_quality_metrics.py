"""Model-quality metrics against the guide's example, scikit-learn and the constraints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from steps.metrics import MetricsError
from steps.monitors import quality_constraints, quality_metrics
from steps.monitors.environment import MonitorError


def values(found: dict[str, object]) -> dict[str, float]:
    return {name: m["value"] for name, m in found.items() if isinstance(m, dict) and "value" in m}


def test_the_guides_binary_example() -> None:
    found = quality_metrics.binary(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), None)
    assert found["confusion_matrix"] == {"0": {"0": 1, "1": 2}, "1": {"0": 0, "1": 1}}
    expected = {
        "recall": 1.0,
        "precision": 1 / 3,
        "accuracy": 0.5,
        "recall_best_constant_classifier": 1.0,
        "precision_best_constant_classifier": 0.25,
        "accuracy_best_constant_classifier": 0.25,
        "true_positive_rate": 1.0,
        "true_negative_rate": 1 / 3,
        "false_positive_rate": 2 / 3,
        "false_negative_rate": 0.0,
        "f0_5": 0.38461538,
        "f1": 0.5,
        "f2": 0.71428571,
        "f0_5_best_constant_classifier": 0.29411765,
        "f1_best_constant_classifier": 0.4,
        "f2_best_constant_classifier": 0.625,
    }
    assert values(found) == pytest.approx(expected)
    assert found["recall"]["standard_deviation"] == "NaN"
    assert "auc" not in found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=1, max_size=60))
def test_binary_metrics_are_scikit_learns(rows: list[tuple[int, int]]) -> None:
    targets = np.array([row[0] for row in rows])
    scores = np.array([row[1] / 10 for row in rows])
    decisions = (scores >= 0.5).astype(int)
    found = quality_metrics.binary(targets, decisions, scores)
    got = values(found)
    options = {"zero_division": 0.0}
    assert got["precision"] == pytest.approx(sk.precision_score(targets, decisions, **options))
    assert got["recall"] == pytest.approx(sk.recall_score(targets, decisions, **options))
    for name, beta in quality_metrics.BETAS.items():
        assert got[name] == pytest.approx(sk.fbeta_score(targets, decisions, beta=beta, **options))
    if 0 < targets.sum() < len(targets):
        assert got["auc"] == pytest.approx(sk.roc_auc_score(targets, scores))
        assert got["true_positive_rate"] + got["false_negative_rate"] == pytest.approx(1)
    else:
        assert got["auc"] == "NaN"
    curve = found["receiver_operating_characteristic_curve"]
    assert curve["false_positive_rates"] == sorted(curve["false_positive_rates"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_multiclass_metrics_are_scikit_learns(rows: list[tuple[int, int]]) -> None:
    targets, predicted = np.array(rows).T
    found = quality_metrics.multiclass(targets, predicted, ("a", "b", "c", "d"))
    got = values(found)
    options = {"average": "weighted", "zero_division": 0.0}
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(targets, predicted))
    assert got["weighted_precision"] == pytest.approx(
        sk.precision_score(targets, predicted, **options)
    )
    for name, beta in quality_metrics.BETAS.items():
        assert got[f"weighted_{name}"] == pytest.approx(
            sk.fbeta_score(targets, predicted, beta=beta, **options)
        )
    constant = np.full(len(targets), np.bincount(targets).argmax())
    assert got["weighted_f1_best_constant_classifier"] == pytest.approx(
        sk.f1_score(targets, constant, **options)
    )


def test_regression_by_hand() -> None:
    found = values(quality_metrics.regression(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])))
    assert found == pytest.approx({"mae": 1.0, "mse": 3.0, "rmse": 3**0.5, "r2": 1 - 9 / 2})


def test_the_standard_deviation_needs_200_rows_and_is_the_same_every_time() -> None:
    draw = np.random.default_rng(1)
    targets = draw.integers(0, 2, 200)
    decisions = np.where(draw.random(200) < 0.8, targets, 1 - targets)
    few = quality_metrics.binary(targets[:199], decisions[:199], None)
    enough = quality_metrics.binary(targets, decisions, None)
    assert few["accuracy"]["standard_deviation"] == "NaN"
    assert 0 < enough["accuracy"]["standard_deviation"] < 0.05
    assert enough == quality_metrics.binary(targets, decisions, None)


def test_no_rows_are_an_error() -> None:
    none = np.array([], dtype=int)
    with pytest.raises(MetricsError, match="no rows"):
        quality_metrics.binary(none, none, None)
    with pytest.raises(MetricsError, match="no rows"):
        quality_metrics.multiclass(none, none, ("a",))


BASE = {
    "recall": {"value": 0.8, "standard_deviation": 0.05},
    "rmse": {"value": 2.0, "standard_deviation": "NaN"},
    "auc": {"value": "NaN", "standard_deviation": "NaN"},
    "f1_best_constant_classifier": {"value": 0.5, "standard_deviation": 0.1},
    "confusion_matrix": {"0": {"0": 1}},
}


def test_the_baseline_suggests_its_own_values_a_deviation_looser() -> None:
    found = quality_constraints.suggest(BASE)
    assert found == {
        "recall": {"threshold": 0.75, "comparison_operator": "LessThanThreshold"},
        "rmse": {"threshold": 2.0, "comparison_operator": "GreaterThanThreshold"},
    }
    assert quality_constraints.evaluate(BASE, found) == []


def test_a_worse_value_is_a_violation_in_awss_words() -> None:
    now = {"recall": {"value": 0.7, "standard_deviation": 0.01}}
    limits = quality_constraints.suggest(BASE)
    first, second = quality_constraints.evaluate(now, limits)
    assert first == {
        "metric_name": "recall",
        "constraint_check_type": "LessThanThreshold",
        "description": "Metric recall with 0.7 +/- 0.01 was LessThanThreshold '0.75'",
    }
    assert second["description"].startswith("Metric rmse cannot be computed on this data")


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(MonitorError, match="comparison_operator 'Equals' of recall is not one of"):
        quality_constraints.evaluate(
            BASE, {"recall": {"threshold": 1, "comparison_operator": "Equals"}}
        )
