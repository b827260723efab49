"""How good predictions were, under AWS's metric names. Pure: arrays in, dictionaries out.

Every metric is a function of row weights, so that its standard deviation (five random subsamples
of 80 %, from 200 rows on) costs no second definition. Regression and AUC are `steps.metrics`'.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from steps import curves, metrics

Floats: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.intp]
Scores: TypeAlias = dict[str, float]

FEWEST_SAMPLES = 200
SUBSAMPLES = 5
SHARE = 0.8
SEED = 0
BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}
CONSTANT = "_best_constant_classifier"


def regression(targets: Floats, predicted: Floats) -> dict[str, Any]:
    """mae, mse, rmse, r2 of finite (n,) arrays. Raises steps.metrics.MetricsError without rows."""
    score = metrics.scorer("regression", targets, predicted)
    return _spread(score, len(targets), ("mae", "mse", "rmse", "r2"))


def binary(targets: Codes, decisions: Codes, probabilities: Floats | None) -> dict[str, Any]:
    """targets and decisions (n,) 0 or 1; with probabilities (n,) also the curves and auc.

    The constant classifier always says 1, as in the guide's example. A rate of nothing is 0; the
    auc of one class is "NaN".
    """
    _check(targets)
    cells = 2 * targets + decisions
    area = _area(targets, probabilities)

    def score(weights: Floats) -> Scores:
        tn, fp, fn, tp = np.bincount(cells, weights, 4).tolist()
        constant = _decided(tp + fn, fp + tn, 0.0, 0.0)
        return {
            **_decided(tp, fp, fn, tn),
            "true_positive_rate": _ratio(tp, tp + fn),
            "true_negative_rate": _ratio(tn, tn + fp),
            "false_positive_rate": _ratio(fp, tn + fp),
            "false_negative_rate": _ratio(fn, tp + fn),
            **area(weights),
            **{name + CONSTANT: value for name, value in constant.items()},
        }

    found = {"confusion_matrix": _confusion(targets, decisions, ("0", "1"))}
    found |= _spread(score, len(targets))
    return found if probabilities is None else found | _curves(targets, probabilities)


def multiclass(targets: Codes, predicted: Codes, labels: Sequence[str]) -> dict[str, Any]:
    """targets and predicted (n,) places in labels; the weights are each class's share of targets.

    The constant classifier always names the most frequent target.
    """
    _check(targets)
    count = len(labels)
    cells = targets * count + predicted
    most = int(np.bincount(targets, minlength=count).argmax())

    def score(weights: Floats) -> Scores:
        matrix = np.bincount(cells, weights, count**2).reshape(count, count)
        constant = np.zeros_like(matrix)
        constant[:, most] = matrix.sum(axis=1)
        named = _weighted(constant).items()
        return {**_weighted(matrix), **{name + CONSTANT: value for name, value in named}}

    found = {"confusion_matrix": _confusion(targets, predicted, labels)}
    return found | _spread(score, len(targets))


def _check(targets: Codes) -> None:
    if not len(targets):
        raise metrics.MetricsError("there are no rows to judge by")


def _decided(tp: float, fp: float, fn: float, tn: float) -> Scores:
    recall, precision = _ratio(tp, tp + fn), _ratio(tp, tp + fp)
    return {
        "recall": recall,
        "precision": precision,
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        **{name: float(_f(precision, recall, beta)) for name, beta in BETAS.items()},
    }


def _weighted(matrix: npt.NDArray[Any]) -> Scores:
    hits, actual = matrix.diagonal(), matrix.sum(axis=1)
    recall, precision = _ratios(hits, actual), _ratios(hits, matrix.sum(axis=0))
    shares = actual / actual.sum()
    return {
        "accuracy": float(hits.sum() / actual.sum()),
        "weighted_recall": float((shares * recall).sum()),
        "weighted_precision": float((shares * precision).sum()),
        **{
            f"weighted_{name}": float((shares * _f(precision, recall, beta)).sum())
            for name, beta in BETAS.items()
        },
    }


def _f(precision: Any, recall: Any, beta: float) -> Any:
    return _ratios((1 + beta**2) * precision * recall, beta**2 * precision + recall)


def _area(targets: Codes, probabilities: Floats | None) -> Callable[[Floats], Scores]:
    if probabilities is None:
        return lambda _weights: {}
    if len(np.unique(targets)) < 2:
        return lambda _weights: {"auc": np.nan}
    score = metrics.scorer("binary", targets.astype(np.float64), probabilities)
    return lambda weights: {"auc": score(weights)["auc"]}


def _curves(targets: Codes, probabilities: Floats) -> dict[str, Any]:
    points = curves.roc_and_pr(targets.astype(np.float64), probabilities)
    false, true = zip(*points["roc"], strict=True)
    recalls, precisions = zip(*points["pr"], strict=True)
    return {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": list(false),
            "true_positive_rates": list(true),
        },
        "precision_recall_curve": {"precisions": list(precisions), "recalls": list(recalls)},
    }


def _confusion(targets: Codes, predicted: Codes, labels: Sequence[str]) -> dict[str, Any]:
    """{actual: {predicted: rows}}."""
    count = len(labels)
    cells = np.bincount(targets * count + predicted, minlength=count**2).reshape(count, count)
    return {
        label: dict(zip(labels, row, strict=True))
        for label, row in zip(labels, cells.tolist(), strict=True)
    }


def _spread(
    score: Callable[[Floats], Scores], rows: int, names: Sequence[str] = ()
) -> dict[str, Any]:
    """{metric: {"value", "standard_deviation"}}; "NaN" for what does not exist."""
    values = score(np.ones(rows))
    draws: list[Scores] = []
    if rows >= FEWEST_SAMPLES:
        generator = np.random.default_rng(SEED)
        draws = [score(_subsample(generator, rows)) for _ in range(SUBSAMPLES)]
    return {
        name: {
            "value": _plain(values[name]),
            "standard_deviation": _plain(
                float(np.std([draw[name] for draw in draws], ddof=1)) if draws else np.nan
            ),
        }
        for name in names or values
    }


def _subsample(generator: np.random.Generator, rows: int) -> Floats:
    weights = np.zeros(rows)
    weights[generator.permutation(rows)[: int(SHARE * rows)]] = 1
    return weights


def _plain(value: float) -> float | str:
    return float(value) if np.isfinite(value) else "NaN"


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _ratios(parts: Any, wholes: Any) -> Any:
    """parts / wholes with x/0 = 0, element by element."""
    wholes = np.asarray(wholes, dtype=np.float64)
    return np.divide(parts, wholes, out=np.zeros_like(wholes), where=wholes != 0)
