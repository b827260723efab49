"""fairness: the measures by hand, and groups too small to compare."""

import numpy as np
import pytest

from steps import fairness

GROUPS = fairness.Groups(("a", "b"), np.repeat([0, 1], 100))


def _flags(*shares: float) -> np.ndarray:
    """100 rows per share, that share of them true, the true ones first."""
    return np.concatenate([np.arange(100) < 100 * share for share in shares])


def test_the_three_measures_by_hand() -> None:
    found = fairness.compare(GROUPS, _flags(0.6, 0.3), _flags(0.8, 0.4).astype(float))
    assert found["demographic_parity_difference"] == pytest.approx(0.3)
    assert found["disparate_impact"] == pytest.approx(0.5)
    assert found["equal_opportunity_difference"] == pytest.approx(0.75 - 0.75)
    assert found["groups"][0] == {
        "group": "a",
        "rows": 100,
        "positives": 80,
        "selection_rate": 0.6,
        "true_positive_rate": 0.75,
    }
    assert found["notes"] == []


def test_missed_positives_show_in_equal_opportunity() -> None:
    targets = _flags(0.5, 0.5).astype(float)
    found = fairness.compare(GROUPS, _flags(0.5, 0.2), targets)
    assert found["equal_opportunity_difference"] == pytest.approx(1 - 0.4)


def test_a_small_group_is_shown_but_not_compared() -> None:
    codes = np.repeat([0, 1, 2], [100, 71, 29])
    facet = fairness.Groups(("a", "b", "tiny"), codes)
    decisions = codes == 2
    found = fairness.compare(facet, decisions, _flags(0.5, 0.5).astype(float))
    assert [group["group"] for group in found["groups"]] == ["a", "b", "tiny"]
    assert found["demographic_parity_difference"] == 0
    assert found["notes"][0] == "tiny: 29 rows, fewer than 30; not compared"


def test_a_group_with_few_positives_is_left_out_of_equal_opportunity() -> None:
    found = fairness.compare(GROUPS, _flags(0.0, 0.5), _flags(0.05, 0.5).astype(float))
    assert found["demographic_parity_difference"] == 0.5
    assert found["equal_opportunity_difference"] == 0
    assert any("5 positives, fewer than 10" in note for note in found["notes"])


def test_one_group_is_equal_to_itself_and_says_so() -> None:
    facet = fairness.Groups(("a",), np.zeros(200, dtype=int))
    found = fairness.compare(facet, _flags(0.2, 0.3), _flags(0.2, 0.3).astype(float))
    assert found["disparate_impact"] == 1
    assert found["notes"] == ["fewer than two groups to compare: taken as equal"]


def test_nobody_selected_is_equal() -> None:
    found = fairness.compare(GROUPS, _flags(0, 0), _flags(0.5, 0.5).astype(float))
    assert found["disparate_impact"] == 1


def test_numbers_are_cut_at_the_bins_and_missing_is_a_group() -> None:
    facet = fairness.groups(np.array([29.9, 30.0, 49.9, 50.0, np.nan]), [30, 50])
    named = [facet.names[code] for code in facet.codes]
    assert named == [
        "below 30",
        "30 to below 50",
        "30 to below 50",
        "50 and above",
        fairness.MISSING,
    ]


def test_texts_and_booleans_are_their_own_groups() -> None:
    texts = fairness.groups(np.array(["b", None, "a"], dtype=object))
    assert [texts.names[code] for code in texts.codes] == ["b", fairness.MISSING, "a"]
    flags = fairness.groups(np.array([1.0, 0.0, np.nan]))
    assert [flags.names[code] for code in flags.codes] == ["yes", "no", fairness.MISSING]


def test_the_worst_facet_of_each_measure_is_found() -> None:
    calm = {
        "demographic_parity_difference": 0.1,
        "equal_opportunity_difference": 0.3,
        "disparate_impact": 0.9,
    }
    harsh = {
        "demographic_parity_difference": 0.4,
        "equal_opportunity_difference": 0.2,
        "disparate_impact": 0.5,
    }
    assert fairness.worst({"calm": calm, "harsh": harsh}) == {
        "demographic_parity_difference": {"value": 0.4, "facet": "harsh"},
        "equal_opportunity_difference": {"value": 0.3, "facet": "calm"},
        "disparate_impact": {"value": 0.5, "facet": "harsh"},
    }


def test_regression_groups_have_mean_predictions() -> None:
    found = fairness.mean_predictions(GROUPS, np.repeat([1.0, 3.5], 100))
    assert found["mean_prediction_difference"] == 2.5
