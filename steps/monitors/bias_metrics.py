"""Clarify's bias metrics: a facet's rows (d) against all others (a). Pure numpy.

PRE_TRAINING compares labels, POST_TRAINING predictions; each is name -> (description, function of
Rows). 0/0 is 0 and x/0 is infinite; a metric that does not exist for the rows raises BiasError.
`steps.fairness` measures spreads over many groups, without a sign: other numbers under other names.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-measure-data-bias.html and
clarify-measure-post-training-bias.html
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Flags: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.intp]

NEIGHBOURS = 5
# So few rows of a have one neighbour each.
FEW_ROWS = 9
CHUNK_CELLS = 4_000_000
MOST_PAIRS = 5_000_000_000


class BiasError(ValueError):
    """The metric does not exist for these rows; the text says why."""


class Rows(NamedTuple):
    """n rows. labels and group are codes from 0; flips is what `flips` gives, or why it cannot."""

    facet: Flags
    labels: Codes
    positive: Flags
    predicted: Flags
    group: Codes | None = None
    flips: Floats | str = "there are no predictions"

    def take(self, places: Codes) -> "Rows":
        """The rows at these places, which may repeat."""
        return Rows(
            self.facet[places],
            self.labels[places],
            self.positive[places],
            self.predicted[places],
            None if self.group is None else self.group[places],
            self.flips if isinstance(self.flips, str) else self.flips[places],
        )


def measure(metric: Callable[[Rows], float], rows: Rows) -> float:
    """The metric. Raises BiasError where it does not exist, as when d or a has no rows."""
    if not rows.facet.any():
        raise BiasError("no row belongs to the facet")
    if rows.facet.all():
        raise BiasError("every row belongs to the facet; there is none to compare with")
    return float(metric(rows))


def flips(features: Floats, facet: Flags, predicted: Flags) -> Floats:
    """(n, k) finite numbers -> (n,): 1 where a row of d is predicted positive and its nearest rows
    of a are not, -1 the other way round, else 0.

    Exact Euclidean neighbours: 5, or 1 when a has at most 9 rows. Raises BiasError for features
    that are missing and for more than 5e9 pairs, which would take minutes.
    """
    here, there = features[facet], features[~facet]
    if not features.shape[1]:
        raise BiasError("the flip test needs a feature besides facet and label")
    if not np.isfinite(features).all():
        raise BiasError("the flip test does not support missing values")
    if len(here) * len(there) > MOST_PAIRS:
        raise BiasError(f"{len(here)} x {len(there)} pairs are too many for the flip test")
    answer = np.zeros(len(facet))
    if len(here) and len(there):
        nearest = _neighbours(here, there, predicted[~facet])
        answer[facet] = predicted[facet].astype(np.float64) - nearest
    return answer


def _neighbours(here: Floats, there: Floats, predicted: Flags) -> Flags:
    """What most of the nearest rows of `there` are predicted, for each row of `here`."""
    count = NEIGHBOURS if len(there) > FEW_ROWS else 1
    step = max(CHUNK_CELLS // len(there), 1)
    votes = []
    for start in range(0, len(here), step):
        chunk = here[start : start + step]
        distances = np.zeros((len(chunk), len(there)))
        for column in range(here.shape[1]):
            distances += (chunk[:, column, None] - there[None, :, column]) ** 2
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        votes.append(predicted[nearest].sum(axis=1))
    return np.asarray(np.concatenate(votes) * 2 > count)


def _ci(rows: Rows) -> float:
    d = int(rows.facet.sum())
    return (len(rows.facet) - 2 * d) / len(rows.facet)


def _dpl(rows: Rows) -> float:
    return _share(rows.positive, ~rows.facet) - _share(rows.positive, rows.facet)


def _dppl(rows: Rows) -> float:
    return _share(rows.predicted, ~rows.facet) - _share(rows.predicted, rows.facet)


def _di(rows: Rows) -> float:
    return _divide(_share(rows.predicted, rows.facet), _share(rows.predicted, ~rows.facet))


def _kl(rows: Rows) -> float:
    pa, pd = _distributions(rows)
    return float((pa * np.log(pa / pd)).sum())


def _js(rows: Rows) -> float:
    pa, pd = _distributions(rows)
    middle = (pa + pd) / 2
    return float((pa * np.log(pa / middle) + pd * np.log(pd / middle)).sum() / 2)


def _norm(order: float, factor: float = 1.0) -> Callable[[Rows], float]:
    def norm(rows: Rows) -> float:
        pa, pd = _distributions(rows)
        return factor * float(np.linalg.norm(pa - pd, order))

    return norm


def _distributions(rows: Rows) -> tuple[Floats, Floats]:
    """Shares of the labels in a and d, of those labels alone that both have."""
    size = int(rows.labels.max()) + 1
    a, d = (np.bincount(rows.labels[m], minlength=size) for m in (~rows.facet, rows.facet))
    both = (a > 0) & (d > 0)
    if not both.any():
        raise BiasError("facet and other rows have no label in common")
    return a[both] / a.sum(), d[both] / d.sum()


def _demographic_disparity(rows: Rows, accepted: Flags) -> float:
    if rows.group is None:
        raise BiasError("group_variable is not set")
    if accepted.all() or not accepted.any():
        raise BiasError("all rows have the same label; conditional disparity needs both")
    total = 0.0
    for group in np.unique(rows.group):
        inside = rows.group == group
        rejected = _share(rows.facet, inside & ~accepted)
        total += inside.sum() * (rejected - _share(rows.facet, inside & accepted))
    return total / len(accepted)


def _cells(rows: Rows, members: Flags) -> tuple[int, int, int, int]:
    """tp, fp, fn, tn among the members."""
    cells = 2 * rows.positive[members].astype(np.intp) + rows.predicted[members]
    tn, fp, fn, tp = np.bincount(cells, minlength=4).tolist()
    return tp, fp, fn, tn


def _difference(rate: Callable[[int, int, int, int], float], sign: int) -> Callable[[Rows], float]:
    """rate(a) - rate(d) with sign 1, rate(d) - rate(a) with sign -1; two infinities are equal."""

    def difference(rows: Rows) -> float:
        a, d = rate(*_cells(rows, ~rows.facet)), rate(*_cells(rows, rows.facet))
        return 0.0 if a == d else sign * (a - d)

    return difference


def _ft(rows: Rows) -> float:
    if isinstance(rows.flips, str):
        raise BiasError(rows.flips)
    return float(rows.flips[rows.facet].mean())


def _ge(rows: Rows) -> float:
    benefits = rows.predicted.astype(np.float64) - rows.positive + 1
    mean = benefits.mean()
    if mean == 0:
        raise BiasError("every prediction is a false negative; generalized entropy needs another")
    return float(((benefits / mean) ** 2 - 1).mean() / 2)


def _share(flags: Flags, members: Flags) -> float:
    return _divide(int((flags & members).sum()), int(members.sum()))


def _divide(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return float("inf") if part else 0.0


Metrics: TypeAlias = dict[str, tuple[str, Callable[[Rows], float]]]
PRE_TRAINING: Metrics = {
    "CDDL": (
        "Conditional Demographic Disparity in Labels (CDDL)",
        lambda rows: _demographic_disparity(rows, rows.positive),
    ),
    "CI": ("Class Imbalance (CI)", _ci),
    "DPL": ("Difference in Positive Proportions in Labels (DPL)", _dpl),
    "JS": ("Jensen-Shannon Divergence (JS)", _js),
    "KL": ("Kullback-Leibler Divergence (KL)", _kl),
    "KS": ("Kolmogorov-Smirnov Distance (KS)", _norm(np.inf)),
    "LP": ("L-p Norm (LP)", _norm(2)),
    "TVD": ("Total Variation Distance (TVD)", _norm(1, 0.5)),
}
POST_TRAINING: Metrics = {
    "AD": (
        "Accuracy Difference (AD)",
        _difference(lambda tp, fp, fn, tn: _divide(tp + tn, tp + fp + fn + tn), 1),
    ),
    "CDDPL": (
        "Conditional Demographic Disparity in Predicted Labels (CDDPL)",
        lambda rows: _demographic_disparity(rows, rows.predicted),
    ),
    "DAR": (
        "Difference in Acceptance Rates (DAR)",
        _difference(lambda tp, fp, _fn, _tn: _divide(tp, tp + fp), 1),
    ),
    "DCA": (
        "Difference in Conditional Acceptance (DCA)",
        _difference(lambda tp, fp, fn, _tn: _divide(tp + fn, tp + fp), 1),
    ),
    "DCR": (
        "Difference in Conditional Rejection (DCR)",
        _difference(lambda _tp, fp, fn, tn: _divide(tn + fp, tn + fn), -1),
    ),
    "DI": ("Disparate Impact (DI)", _di),
    "DPPL": ("Difference in Positive Proportions in Predicted Labels (DPPL)", _dppl),
    "DRR": (
        "Difference in Rejection Rates (DRR)",
        _difference(lambda _tp, _fp, fn, tn: _divide(tn, tn + fn), -1),
    ),
    "FT": ("Flip Test (FT)", _ft),
    "GE": ("Generalized Entropy (GE)", _ge),
    "RD": (
        "Recall Difference (RD)",
        _difference(lambda tp, _fp, fn, _tn: _divide(tp, tp + fn), 1),
    ),
    "SD": (
        "Specificity Difference (SD)",
        _difference(lambda _tp, fp, _fn, tn: _divide(tn, tn + fp), -1),
    ),
    "TE": (
        "Treatment Equality (TE)",
        _difference(lambda _tp, fp, fn, _tn: _divide(fn, fp), -1),
    ),
}


def report(metrics: Metrics, rows: Rows) -> list[dict[str, Any]]:
    """[{"name", "description", "value"}] as in analysis.json; value None with an "error" where a
    metric does not exist."""
    found: list[dict[str, Any]] = []
    for name, (description, metric) in metrics.items():
        entry: dict[str, Any] = {"name": name, "description": description}
        try:
            entry["value"] = measure(metric, rows)
        except BiasError as error:
            entry |= {"value": None, "error": str(error)}
        found.append(entry)
    return found
