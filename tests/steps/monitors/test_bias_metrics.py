"""Bias metrics by hand on ten people, the flip test against scikit-learn, and the empty cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from steps.monitors import bias_metrics
from steps.monitors.bias_metrics import POST_TRAINING, PRE_TRAINING, BiasError, Rows

# Six of a, four of d: label, prediction, group.
PEOPLE = [
    (0, 1, 1, 0),
    (0, 1, 1, 0),
    (0, 1, 1, 1),
    (0, 1, 0, 1),
    (0, 0, 1, 1),
    (0, 0, 0, 0),
    (1, 1, 1, 0),
    (1, 1, 0, 0),
    (1, 0, 0, 1),
    (1, 0, 0, 1),
]
LN = np.log


def people() -> Rows:
    facet, label, predicted, group = np.array(PEOPLE).T
    flips = np.array([0, 0, 0, 0, 0, 0, 1, -1, -1, 0.0])
    return Rows(facet > 0, label, label > 0, predicted > 0, group, flips)


def values(metrics: bias_metrics.Metrics, rows: Rows) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in bias_metrics.report(metrics, rows)}


def test_metrics_of_labels_by_hand() -> None:
    # a is 4 of 6 positive, d 2 of 4; rejected 2+2, accepted 4+2.
    assert values(PRE_TRAINING, people()) == pytest.approx(
        {
            "CI": 0.2,
            "DPL": 4 / 6 - 0.5,
            "KL": 2 / 3 * LN(4 / 3) + 1 / 3 * LN(2 / 3),
            "JS": 0.5
            * (
                2 / 3 * LN((2 / 3) / (7 / 12))
                + 1 / 3 * LN((1 / 3) / (5 / 12))
                + 0.5 * LN(0.5 / (7 / 12))
                + 0.5 * LN(0.5 / (5 / 12))
            ),
            "LP": 2**0.5 / 6,
            "TVD": 1 / 6,
            "KS": 1 / 6,
            # group 0: rejected 1 of a; accepted 2 of a, 2 of d. group 1: 1 of a, 2 of d; 2 of a.
            "CDDL": (5 * (0 - 0.5) + 5 * (2 / 3 - 0)) / 10,
        }
    )


def test_metrics_of_predictions_by_hand() -> None:
    # a: tp 3, fp 1, fn 1, tn 1. d: tp 1, fp 0, fn 1, tn 2.
    benefits = np.array([1, 1, 1, 0, 2, 1, 1, 0, 1, 1])
    assert values(POST_TRAINING, people()) == pytest.approx(
        {
            "DPPL": 4 / 6 - 1 / 4,
            "DI": (1 / 4) / (4 / 6),
            "DCA": 4 / 4 - 2 / 1,
            "DCR": 2 / 3 - 2 / 2,
            "RD": 3 / 4 - 1 / 2,
            "SD": 2 / 2 - 1 / 2,
            "DAR": 3 / 4 - 1,
            "DRR": 2 / 3 - 1 / 2,
            "AD": 4 / 6 - 3 / 4,
            "TE": np.inf,
            # group 0: rejected 1 of a, 1 of d; accepted 2, 1. group 1: 1, 2; 2, 0.
            "CDDPL": (5 * (1 / 2 - 1 / 3) + 5 * (2 / 3 - 0)) / 10,
            "FT": -1 / 4,
            "GE": float(((benefits / 0.9) ** 2 - 1).sum()) / 20,
        }
    )


def test_two_infinities_are_no_difference() -> None:
    rows = people()._replace(predicted=np.zeros(10, dtype=bool))
    found = values(POST_TRAINING, rows)
    assert (found["TE"], found["DCA"], found["DI"]) == (0, 0, 0)
    assert found["CDDPL"] is None


@pytest.mark.parametrize("facet", [np.zeros(10, dtype=bool), np.ones(10, dtype=bool)])
def test_an_empty_side_is_an_error_text_in_every_metric(facet: np.ndarray) -> None:
    for table in (PRE_TRAINING, POST_TRAINING):
        for metric in bias_metrics.report(table, people()._replace(facet=facet)):
            assert metric["value"] is None
            assert "the facet" in metric["error"]


def test_what_does_not_exist_says_why() -> None:
    rows = people()._replace(group=None, flips="no numbers")
    errors = {m["name"]: m.get("error") for m in bias_metrics.report(POST_TRAINING, rows)}
    assert errors["CDDPL"] == "group_variable is not set"
    assert errors["FT"] == "no numbers"
    apart = people()._replace(labels=people().facet.astype(int))
    errors = {m["name"]: m.get("error") for m in bias_metrics.report(PRE_TRAINING, apart)}
    assert errors["KL"] == "facet and other rows have no label in common"
    negative = people()._replace(positive=np.ones(10, dtype=bool), predicted=np.zeros(10, bool))
    errors = {m["name"]: m.get("error") for m in bias_metrics.report(POST_TRAINING, negative)}
    assert errors["GE"].startswith("every prediction is a false negative")


@pytest.mark.parametrize(("others", "neighbours"), [(9, 1), (10, 5), (60, 5)])
def test_the_flip_test_has_scikit_learns_neighbours(
    others: int, neighbours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bias_metrics, "CHUNK_CELLS", 7 * others)
    draw = np.random.default_rng(others)
    facet = np.r_[np.zeros(others), np.ones(20)].astype(bool)
    features, predicted = draw.normal(size=(len(facet), 3)), draw.random(len(facet)) < 0.5
    model = KNeighborsClassifier(neighbours, algorithm="brute")
    expected = model.fit(features[~facet], predicted[~facet]).predict(features[facet])
    found = bias_metrics.flips(features, facet, predicted)
    assert found[facet].tolist() == (predicted[facet].astype(int) - expected).tolist()
    assert not found[~facet].any()


def test_the_flip_test_refuses_what_it_cannot_compare() -> None:
    facet = np.array([True, False])
    with pytest.raises(BiasError, match="missing values"):
        bias_metrics.flips(np.array([[np.nan], [1.0]]), facet, facet)
    with pytest.raises(BiasError, match="needs a feature"):
        bias_metrics.flips(np.empty((2, 0)), facet, facet)


BITS = st.lists(st.tuples(*[st.integers(0, 1)] * 4), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(BITS)
def test_the_other_side_sees_the_opposite_and_ranges_hold(bits: list[tuple[int, ...]]) -> None:
    facet, label, predicted, group = np.array(bits).T
    rows = Rows(facet > 0, label, label > 0, predicted > 0, group, np.zeros(len(bits)))
    other = rows._replace(facet=~rows.facet)
    mine = values(PRE_TRAINING, rows) | values(POST_TRAINING, rows)
    theirs = values(PRE_TRAINING, other) | values(POST_TRAINING, other)
    for name in ("CI", "DPL", "DPPL", "DCA", "DCR", "RD", "SD", "DAR", "DRR", "AD", "TE"):
        assert mine[name] == (None if mine[name] is None else pytest.approx(-theirs[name]))
    for name in ("JS", "LP", "TVD", "KS", "GE"):
        assert mine[name] is None or mine[name] >= -1e-12
    for name in ("CI", "DPL", "DPPL", "RD", "SD", "DAR", "DRR", "AD", "CDDL", "CDDPL"):
        assert mine[name] is None or -1 <= mine[name] <= 1
