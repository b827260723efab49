"""How good predictions are: weighted metrics and their bootstrap intervals. numpy alone.

`scorer(...)` does what does not depend on weights (sorting, errors) once and returns a function of
row weights; `bootstrap` calls it for the sample itself and for each resample, a vector of counts.
Calibration and the curves of the report live in `curves.py`, fairness in `fairness.py`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Scorer: TypeAlias = Callable[[Floats], dict[str, float]]

RESAMPLES = 200
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)  # predictions are float32


class MetricsError(Exception):
    """The rows do not allow a judgement."""


class Estimate(NamedTuple):
    """A metric on the sample, its bootstrap standard deviation and 95 % interval."""

    value: float
    standard_deviation: float
    low: float
    high: float


def scorer(kind: str, targets: Floats, predicted: Floats, threshold: float = 0.5) -> Scorer:
    """The metrics of a kind as a function of row weights, (n,) non-negative.

    targets (n,): numbers, 0/1 or class codes. predicted: (n,), or (n, classes) probabilities.
    Raises MetricsError when there are no rows, when a value is not finite, or when a binary or
    anomaly model's rows hold one class only: AUC does not exist then.
    """
    if not len(targets):
        raise MetricsError("there are no rows to judge by")
    if not (np.isfinite(targets).all() and np.isfinite(predicted).all()):
        raise MetricsError("targets or predictions hold a value that is not finite")
    targets, predicted = targets.astype(np.float64), predicted.astype(np.float64)
    if kind == "regression":
        return _regression(targets, predicted)
    if kind == "multiclass":
        return _multiclass(targets.astype(np.intp), predicted)
    if len(np.unique(targets)) < 2:
        raise MetricsError(
            f"all {len(targets)} rows have target {targets[0]:g}; AUC needs both classes"
        )
    return _binary(targets, predicted, threshold)


def bootstrap(
    score: Scorer, rows: int, seed: int, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Each metric with its spread over `resamples` draws of `rows` rows with replacement.

    A draw that lost a class has no AUC (NaN) and is left out of that metric's spread.
    """
    generator = np.random.default_rng(seed)
    values = score(np.ones(rows))
    draws = []
    for _ in range(resamples):
        counts = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        draws.append(list(score(counts.astype(np.float64)).values()))
    table = np.array(draws)
    return {
        name: _estimate(value, table[:, index])
        for index, (name, value) in enumerate(values.items())
    }


def best_threshold(targets: Floats, predicted: Floats, goal: str) -> float:
    """The predicted value from which on "yes" gives the best F1 or accuracy; 0.5 if one class.

    The largest one where several are equally good: half way to the next smaller prediction.
    """
    order = np.argsort(-predicted, kind="stable")
    ranked, yes = predicted[order].astype(np.float64), targets[order].astype(np.float64)
    total = yes.sum()
    if total in (0, len(yes)):
        return 0.5
    true = np.cumsum(yes)
    flagged = np.arange(1, len(yes) + 1)
    value = 2 * true / (flagged + total) if goal == "f1" else 2 * true - flagged
    value[:-1][ranked[:-1] == ranked[1:]] = -np.inf
    best = int(np.argmax(value))
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float(np.float32((ranked[best] + below) / 2))


def _estimate(value: float, draws: Floats) -> Estimate:
    kept = draws[np.isfinite(draws)]
    if len(kept) < 2:
        return Estimate(value, 0.0, value, value)
    low, high = np.percentile(kept, [2.5, 97.5])
    return Estimate(value, float(kept.std(ddof=1)), float(low), float(high))


def _regression(targets: Floats, predicted: Floats) -> Scorer:
    centred = targets - targets.mean()
    errors = predicted - targets
    terms = np.stack([errors**2, np.abs(errors), centred, centred**2])

    def score(weights: Floats) -> dict[str, float]:
        squared, absolute, mean, square = _sums(weights, terms) / weights.sum()
        variance = square - mean**2
        # R2 of a constant target is 1 when it is met exactly, else 0: scikit-learn's convention.
        r2 = 1 - squared / variance if variance > 0 else float(squared == 0)
        return {"rmse": squared**0.5, "mae": absolute, "r2": r2, "mse": squared}

    return score


def _binary(targets: Floats, predicted: Floats, threshold: float) -> Scorer:
    yes = predicted >= threshold
    inside = np.clip(predicted, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    loss = -np.where(targets > 0, np.log(inside), np.log1p(-inside))
    terms = np.stack([loss, yes == targets, yes * targets, yes, targets], dtype=np.float64)
    areas = _areas(targets, predicted)

    def score(weights: Floats) -> dict[str, float]:
        total = weights.sum()
        losses, right, hits, flagged, actual = _sums(weights, terms)
        return {
            **areas(weights),
            "f1": _ratio(2 * hits, flagged + actual),
            "log_loss": losses / total,
            "accuracy": right / total,
            "precision": _ratio(hits, flagged),
            "recall": _ratio(hits, actual),
        }

    return score


def _areas(targets: Floats, predicted: Floats) -> Scorer:
    """AUC-ROC (ties count half) and PR-AUC (average precision, ties as one threshold)."""
    order = np.argsort(-predicted, kind="stable")
    ranked, positive = predicted[order], targets[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    tied = len(starts) < len(ranked)

    def score(weights: Floats) -> dict[str, float]:
        count = weights[order]
        hits = count * positive
        if tied:
            count, hits = np.add.reduceat(count, starts), np.add.reduceat(hits, starts)
        caught, seen = np.cumsum(hits), np.cumsum(count)
        positives, negatives = caught[-1], seen[-1] - caught[-1]
        if positives == 0 or negatives == 0:
            return {"auc": np.nan, "pr_auc": np.nan}
        above = _sums(count - hits, caught - hits / 2)
        precision = caught / np.maximum(seen, 1e-300)
        return {
            "auc": above / (positives * negatives),
            "pr_auc": _sums(hits, precision) / positives,
        }

    return score


def _multiclass(targets: npt.NDArray[np.intp], predicted: Floats) -> Scorer:
    rows, classes = predicted.shape
    chosen = predicted.argmax(axis=1)
    right = chosen == targets
    of_target = predicted[np.arange(rows), targets]
    loss = -np.log(np.clip(of_target, SMALLEST_PROBABILITY, 1))
    terms = np.stack([loss, right, _gains(of_target, predicted)], dtype=np.float64)

    def score(weights: Floats) -> dict[str, float]:
        losses, hits, gains = _sums(weights, terms) / weights.sum()
        named = np.bincount(chosen, weights, classes) + np.bincount(targets, weights, classes)
        found = np.bincount(targets[right], weights[right], classes)
        # Classes that neither occur nor are named have no F1; the mean is over the others.
        f1 = float(np.mean(2 * found[named > 0] / named[named > 0]))
        return {"accuracy": hits, "f1": f1, "log_loss": losses, "ndcg": gains}

    return score


def _gains(of_target: Floats, predicted: Floats) -> Floats:
    """NDCG of each row's ranking of classes, where the true class alone is relevant: 1 / log2(1 +
    its rank). Classes tied with it share the mean of their places, as in scikit-learn."""
    ahead = (predicted > of_target[:, None]).sum(axis=1)
    tied = (predicted == of_target[:, None]).sum(axis=1)
    discounts = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(2, predicted.shape[1] + 2)))]
    gains: Floats = (discounts[ahead + tied] - discounts[ahead]) / tied
    return gains


def _sums(weights: Floats, terms: Floats) -> Any:
    """terms (..., n) -> their weighted sums (...).

    einsum, not @: BLAS would share this little work among threads, which costs more CPU than it
    saves time, and makes the last digits depend on their number.
    """
    return np.einsum("...n,n->...", terms, weights)


def _ratio(part: float, whole: float) -> float:
    """part / whole, and 0 of nothing: precision when nothing is flagged, F1 without any yes."""
    return part / whole if whole else 0.0
