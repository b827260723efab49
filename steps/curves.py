"""What a picture of predictions needs: calibration bins, ROC and PR curves, confusion, scatter.

Pure functions of targets and predictions, thinned for drawing; the numbers that judge a model are
in `metrics.py`, the drawing is in `report.py`.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

BINS = 10
CURVE_POINTS = 120
SCATTER_POINTS = 400


def calibration(targets: Floats, predicted: Floats) -> dict[str, Any]:
    """Mean prediction beside mean target in up to 10 bins of equal row counts.

    targets 0/1 and predicted probabilities, or numbers and predicted numbers, both (n,). Equal
    predictions share a bin, so constant predictions give one. `expected_calibration_error`: the
    gap of each bin weighted by its rows, in the target's unit.
    """
    edges = np.quantile(predicted, np.linspace(0, 1, BINS + 1))
    bins = np.searchsorted(edges[1:-1], predicted, side="right")
    rows = np.bincount(bins)
    full = np.flatnonzero(rows)
    rows = rows[full]
    mean = np.bincount(bins, predicted)[full] / rows
    observed = np.bincount(bins, targets)[full] / rows
    table = zip(rows.tolist(), mean.tolist(), observed.tolist(), strict=True)
    return {
        "bins": [{"rows": n, "mean_predicted": p, "mean_observed": o} for n, p, o in table],
        "expected_calibration_error": float(np.abs(mean - observed) @ rows / rows.sum()),
    }


def top_label_calibration(targets: Floats, predicted: Floats) -> dict[str, Any]:
    """Multiclass: how often the most probable class is right, beside its probability."""
    right = (predicted.argmax(axis=1) == targets).astype(np.float64)
    return calibration(right, predicted.max(axis=1))


def roc_and_pr(targets: Floats, predicted: Floats) -> dict[str, list[tuple[float, float]]]:
    """{"roc": [(false positive rate, true positive rate)], "pr": [(recall, precision)]}."""
    order = np.argsort(-predicted, kind="stable")
    ranked, yes = predicted[order], targets[order]
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    caught = np.cumsum(yes)[ends]
    false = ends + 1 - caught
    roc = [(0.0, 0.0), *_thin(false / max(false[-1], 1), caught / max(caught[-1], 1))]
    pr = _thin(caught / max(caught[-1], 1), caught / (ends + 1))
    return {"roc": roc, "pr": [(0.0, pr[0][1]), *pr]}


def confusion(targets: Floats, predicted: Floats) -> list[list[int]]:
    """Row counts by [true class][most probable class]."""
    classes = predicted.shape[1]
    cells = targets.astype(np.intp) * classes + predicted.argmax(axis=1)
    counts: list[list[int]] = np.bincount(cells, minlength=classes**2).reshape(classes, -1).tolist()
    return counts


def scatter(targets: Floats, predicted: Floats) -> list[tuple[float, float]]:
    """(actual, predicted) of up to 400 rows at even distances."""
    rows = np.unique(np.linspace(0, len(targets) - 1, SCATTER_POINTS).astype(np.intp))
    return list(zip(targets[rows].tolist(), predicted[rows].tolist(), strict=True))


def _thin(x: Floats, y: Floats) -> list[tuple[float, float]]:
    """The curve's points, or CURVE_POINTS of them at even distances along it, its ends included."""
    kept = np.arange(len(x))
    if len(x) > CURVE_POINTS:
        way = np.r_[0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
        kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], CURVE_POINTS)))
    return list(zip(x[kept].tolist(), y[kept].tolist(), strict=True))
