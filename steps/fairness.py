"""How differently a yes/no model treats groups of people: three measures per facet.

    demographic parity difference   largest - smallest share of yes            0 is equal
    equal opportunity difference    largest - smallest share of yes among true positives
    disparate impact                smallest / largest share of yes            1 is equal

`groups` cuts a column into groups. Groups too small to say anything are shown, not compared.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FEWEST_ROWS = 30
FEWEST_POSITIVES = 10
MISSING = "(missing)"
# The direction in which a measure is worse, and its value when there is nothing to compare.
WORSE = {
    "demographic_parity_difference": max,
    "equal_opportunity_difference": max,
    "disparate_impact": min,
}


class Groups(NamedTuple):
    """Who belongs where: each row's place in `names`, (n,) integers."""

    names: tuple[str, ...]
    codes: npt.NDArray[np.intp]

    def members(self) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """(name, rows) of the groups that have any."""
        for code, name in enumerate(self.names):
            rows = self.codes == code
            if rows.any():
                yield name, rows


def groups(values: npt.NDArray[Any], bins: Sequence[float] = ()) -> Groups:
    """Column (n,) -> groups: texts as they are, 0/1 as no and yes, numbers by `bins`.

    bins [30, 50] gives "below 30", "30 to below 50", "50 and above". Missing is the last group.
    """
    if values.dtype == object:
        names = sorted({value for value in values.tolist() if value is not None})
        places: dict[str | None, int] = {name: code for code, name in enumerate(names)}
        codes = np.array([places.get(value, len(names)) for value in values.tolist()], np.intp)
        return Groups((*names, MISSING), codes)
    if bins:
        edges = [f"{edge:g}" for edge in bins]
        middle = [f"{low} to below {high}" for low, high in pairwise(edges)]
        names = [f"below {edges[0]}", *middle, f"{edges[-1]} and above"]
        codes = np.digitize(values, bins)
    else:
        names, codes = ["no", "yes"], np.nan_to_num(values).astype(np.intp)
    return Groups((*names, MISSING), np.where(np.isnan(values), len(names), codes))


def compare(
    facet: Groups, decisions: npt.NDArray[np.bool_], targets: npt.NDArray[Any]
) -> dict[str, Any]:
    """The groups of one facet, and the three measures over those large enough.

    Fewer than 30 rows: not compared at all; fewer than 10 positives: not for equal opportunity.
    With fewer than two groups left a measure is its equal value, and `notes` says so.
    """
    shown = [_group(name, rows, decisions, targets) for name, rows in facet.members()]
    large = [g for g in shown if g["rows"] >= FEWEST_ROWS]
    with_positives = [g for g in large if g["positives"] >= FEWEST_POSITIVES]
    selected = [g["selection_rate"] for g in large]
    recalled = [g["true_positive_rate"] for g in with_positives]
    return {
        "groups": shown,
        "demographic_parity_difference": _spread(selected),
        "equal_opportunity_difference": _spread(recalled),
        "disparate_impact": _lowest_share(selected),
        "notes": _notes(shown, large, with_positives),
    }


def mean_predictions(facet: Groups, predicted: npt.NDArray[Any]) -> dict[str, Any]:
    """Regression: each group's mean prediction, and the difference of the extremes; no limits."""
    shown: list[dict[str, Any]] = [
        {
            "group": name,
            "rows": int(rows.sum()),
            "mean_prediction": float(predicted[rows].mean(dtype=np.float64)),
        }
        for name, rows in facet.members()
    ]
    large = [g["mean_prediction"] for g in shown if g["rows"] >= FEWEST_ROWS]
    return {"groups": shown, "mean_prediction_difference": _spread(large)}


def worst(facets: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per measure the facet that is worst: {measure: {"value", "facet"}}."""
    found = {}
    for measure, worse in WORSE.items():
        facet = worse(facets, key=lambda name: facets[name][measure])
        found[measure] = {"value": facets[facet][measure], "facet": facet}
    return found


def _group(
    name: str,
    members: npt.NDArray[np.bool_],
    decisions: npt.NDArray[np.bool_],
    targets: npt.NDArray[Any],
) -> dict[str, Any]:
    positive = members & (targets > 0)
    return {
        "group": name,
        "rows": int(members.sum()),
        "positives": int(positive.sum()),
        "selection_rate": float(decisions[members].mean()),
        "true_positive_rate": float(decisions[positive].mean()) if positive.any() else None,
    }


def _notes(shown: list[Any], large: list[Any], with_positives: list[Any]) -> list[str]:
    notes = [
        f"{g['group']}: {g['rows']} rows, fewer than {FEWEST_ROWS}; not compared"
        for g in shown
        if g not in large
    ]
    notes += [
        f"{g['group']}: {g['positives']} positives, fewer than {FEWEST_POSITIVES}; left out of"
        " equal opportunity"
        for g in large
        if g not in with_positives
    ]
    if len(large) < 2:
        notes.append("fewer than two groups to compare: taken as equal")
    return notes


def _spread(shares: list[float]) -> float:
    return max(shares) - min(shares) if len(shares) > 1 else 0.0


def _lowest_share(shares: list[float]) -> float:
    """smallest / largest; 1 when nobody is selected at all."""
    if len(shares) < 2 or max(shares) == 0:
        return 1.0
    return min(shares) / max(shares)
