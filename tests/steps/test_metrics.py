"""metrics: each number beside scikit-learn's, weights included, and what odd inputs give."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as peer

from steps import metrics


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(5)


def test_regression_metrics_match_scikit_learn(draw: Any) -> None:
    targets, weights = draw.normal(3, 2, 300), draw.integers(0, 4, 300).astype(float)
    predicted = targets + draw.normal(0, 1, 300)
    found = metrics.scorer("regression", targets, predicted)(weights)
    mse = peer.mean_squared_error(targets, predicted, sample_weight=weights)
    assert found == {
        "rmse": pytest.approx(mse**0.5),
        "mae": pytest.approx(peer.mean_absolute_error(targets, predicted, sample_weight=weights)),
        "r2": pytest.approx(peer.r2_score(targets, predicted, sample_weight=weights)),
        "mse": pytest.approx(mse),
    }


@pytest.mark.parametrize("decimals", [8, 1], ids=["distinct", "tied"])
def test_binary_metrics_match_scikit_learn(draw: Any, decimals: int) -> None:
    targets = (draw.random(400) < 0.3).astype(float)
    predicted = np.clip(targets * 0.2 + draw.random(400) * 0.8, 0, 1).round(decimals)
    weights = draw.integers(0, 4, 400).astype(float)
    found = metrics.scorer("binary", targets, predicted, threshold=0.45)(weights)
    flagged = predicted >= 0.45
    clipped = np.clip(predicted, metrics.SMALLEST_PROBABILITY, 1 - metrics.SMALLEST_PROBABILITY)
    with_weights = {"sample_weight": weights}
    assert found == {
        "auc": pytest.approx(peer.roc_auc_score(targets, predicted, **with_weights)),
        "pr_auc": pytest.approx(peer.average_precision_score(targets, predicted, **with_weights)),
        "f1": pytest.approx(peer.f1_score(targets, flagged, **with_weights)),
        "log_loss": pytest.approx(peer.log_loss(targets, clipped, **with_weights)),
        "accuracy": pytest.approx(peer.accuracy_score(targets, flagged, **with_weights)),
        "precision": pytest.approx(peer.precision_score(targets, flagged, **with_weights)),
        "recall": pytest.approx(peer.recall_score(targets, flagged, **with_weights)),
    }


@pytest.mark.parametrize("decimals", [8, 1], ids=["distinct", "tied"])
def test_multiclass_metrics_match_scikit_learn(draw: Any, decimals: int) -> None:
    targets = draw.integers(0, 4, 300)
    predicted = draw.random((300, 4)).round(decimals) + 0.1
    predicted[np.arange(300), targets] += 0.3
    predicted /= predicted.sum(axis=1, keepdims=True)
    if decimals == 1:
        predicted[:50] = 0.25
    weights = draw.integers(1, 4, 300).astype(float)
    found = metrics.scorer("multiclass", targets, predicted)(weights)
    chosen = predicted.argmax(axis=1)
    with_weights = {"sample_weight": weights}
    assert found == {
        "accuracy": pytest.approx(peer.accuracy_score(targets, chosen, **with_weights)),
        "f1": pytest.approx(peer.f1_score(targets, chosen, average="macro", **with_weights)),
        "log_loss": pytest.approx(peer.log_loss(targets, predicted, **with_weights)),
        "ndcg": pytest.approx(peer.ndcg_score(np.eye(4)[targets], predicted, **with_weights)),
    }


def test_a_class_that_never_occurs_has_no_f1(draw: Any) -> None:
    targets = np.array([0, 1, 0, 1])
    predicted = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    assert metrics.scorer("multiclass", targets, predicted)(np.ones(4))["f1"] == 1


def test_whole_weights_are_repeated_rows(draw: Any) -> None:
    targets, predicted = (draw.random(50) < 0.5).astype(float), draw.random(50)
    counts = draw.integers(0, 3, 50)
    weighted = metrics.scorer("binary", targets, predicted)(counts.astype(float))
    repeated = metrics.scorer("binary", np.repeat(targets, counts), np.repeat(predicted, counts))
    assert weighted == pytest.approx(repeated(np.ones(counts.sum())))


def test_an_interval_is_as_wide_as_theory_says(draw: Any) -> None:
    right = draw.random(2000) < 0.8
    score = metrics.scorer("binary", right.astype(float), np.ones(2000))
    accuracy = metrics.bootstrap(score, 2000, seed=1)["accuracy"]
    share = right.mean()
    expected = (share * (1 - share) / 2000) ** 0.5
    assert accuracy.value == pytest.approx(share)
    assert accuracy.standard_deviation == pytest.approx(expected, rel=0.15)
    assert accuracy.low < share < accuracy.high
    assert accuracy.high - accuracy.low == pytest.approx(3.92 * expected, rel=0.2)


def test_the_bootstrap_follows_its_seed(draw: Any) -> None:
    score = metrics.scorer("regression", draw.normal(0, 1, 50), draw.normal(0, 1, 50))
    first, same, other = (metrics.bootstrap(score, 50, seed) for seed in (1, 1, 2))
    assert first == same != other


def test_resamples_that_lost_a_class_do_not_spoil_the_interval() -> None:
    targets = np.r_[1.0, np.zeros(30)]
    found = metrics.bootstrap(metrics.scorer("anomaly", targets, targets), 31, seed=0)
    assert found["auc"] == (1.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("targets", "predicted", "r2"), [([2, 2], [2, 2], 1.0), ([2, 2], [1, 3], 0.0)]
)
def test_r2_of_a_constant_target_is_documented(
    targets: list[float], predicted: list[float], r2: float
) -> None:
    score = metrics.scorer("regression", np.array(targets), np.array(predicted))
    assert score(np.ones(2))["r2"] == r2


def test_nothing_flagged_has_precision_and_f1_zero() -> None:
    found = metrics.scorer("binary", np.array([0.0, 1.0]), np.array([0.1, 0.2]))(np.ones(2))
    assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "targets", "predicted", "said"),
    [
        ("regression", [], [], "no rows"),
        ("regression", [1.0, np.nan], [1.0, 1.0], "not finite"),
        ("regression", [1.0, 2.0], [1.0, np.inf], "not finite"),
        ("binary", [1.0, 1.0], [0.5, 0.6], "all 2 rows have target 1"),
    ],
)
def test_rows_that_allow_no_judgement_are_refused(
    kind: str, targets: list[float], predicted: list[float], said: str
) -> None:
    with pytest.raises(metrics.MetricsError, match=said):
        metrics.scorer(kind, np.array(targets), np.array(predicted))


@pytest.mark.parametrize("goal", ["f1", "accuracy"])
def test_no_other_threshold_is_better_than_the_best(draw: Any, goal: str) -> None:
    targets = (draw.random(200) < 0.3).astype(np.float32)
    predicted = np.clip(0.3 * targets + 0.7 * draw.random(200), 0, 1).astype(np.float32).round(2)
    best = metrics.best_threshold(targets, predicted, goal)

    def value(threshold: float) -> float:
        return metrics.scorer("binary", targets, predicted, threshold)(np.ones(200))[goal]

    assert value(best) == max(value(t) for t in np.arange(0, 1.01, 0.005))


def test_one_class_has_the_threshold_one_half() -> None:
    assert metrics.best_threshold(np.zeros(3), np.array([0.1, 0.2, 0.3]), "f1") == 0.5
