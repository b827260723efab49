"""The exact sequential test of two success rates: what it promises, enumerated and by chance."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.sequential import Blocks, gain_sequence, gains_to_try, log_evidence

SIZES = st.integers(0, 4)
RATES = st.floats(0.0, 1.0)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    """Blocks of (n_a, successes, n_b, successes)."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        n_a, n_b = draw(SIZES), draw(SIZES)
        found.append((n_a, draw(st.integers(0, n_a)), n_b, draw(st.integers(0, n_b))))
    return found


def blocks(rows: list[tuple[int, int, int, int]]) -> Blocks:
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return Blocks(*(table[:, column] for column in range(4)))


def chance(n: int, k: int, rate: float) -> float:
    return math.comb(n, k) * rate**k * (1 - rate) ** (n - k)


@settings(max_examples=60, deadline=None)
@given(histories(), SIZES, SIZES, RATES, RATES, st.floats(-0.9, 0.9))
@example([], 1, 1, 0.0, 1.0, 0.5)
def test_under_the_hypothesis_the_evidence_is_not_expected_to_grow(
    past: list[tuple[int, int, int, int]], n_a: int, n_b: int, a: float, slack: float, gain: float
) -> None:
    """Every outcome of the next block is enumerated: no chance, no tolerance but rounding."""
    a = min(max(a, -gain, 0.0), 1.0)
    b = max(0.0, min(1.0, a + gain) * slack)  # so that b - a <= gain
    before = math.exp(log_evidence(blocks(past), gain)[-1]) if past else 1.0
    after = sum(
        chance(n_a, i, a)
        * chance(n_b, j, b)
        * math.exp(log_evidence(blocks([*past, (n_a, i, n_b, j)]), gain)[-1])
        for i, j in itertools.product(range(n_a + 1), range(n_b + 1))
    )
    assert after <= before * (1 + 1e-7) + 1e-12


@settings(max_examples=40, deadline=None)
@given(histories(), histories(), st.floats(-0.9, 0.9))
def test_what_was_said_is_not_changed_by_what_comes(
    past: list[tuple[int, int, int, int]], coming: list[tuple[int, int, int, int]], gain: float
) -> None:
    told = log_evidence(blocks(past), gain)
    assert log_evidence(blocks([*past, *coming]), gain)[: len(past)] == pytest.approx(told)


def many(rate_a: float, rate_b: float, seed: int, runs: int = 600, minutes: int = 150) -> Blocks:
    """Experiments (runs, minutes) at about 80/20."""
    draw = np.random.default_rng(seed)
    n_a, n_b = draw.poisson(24, (runs, minutes)), draw.poisson(6, (runs, minutes))
    good_a, good_b = draw.binomial(n_a, rate_a), draw.binomial(n_b, rate_b)
    return Blocks(*(each.astype(float) for each in (n_a, good_a, n_b, good_b)))


@pytest.mark.parametrize(("rate", "gain"), [(0.9, 0.0), (0.99, 0.0), (0.5, 0.05), (0.8, -0.03)])
def test_peeking_after_every_minute_rejects_a_truth_at_most_alpha_often(
    rate: float, gain: float
) -> None:
    evidence = log_evidence(many(rate, rate + gain, seed=3), gain)
    wrong = (evidence.max(axis=-1) >= math.log(20)).mean()
    assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_a_real_gain_is_found_and_a_loss_is_not_taken_for_one() -> None:
    better = log_evidence(many(0.80, 0.90, seed=5), 0.0).max(axis=-1)
    worse = log_evidence(many(0.90, 0.80, seed=5), 0.0).max(axis=-1)
    assert (better >= math.log(20)).mean() > 0.9
    assert (worse >= math.log(20)).mean() < 0.01


def one(found: Blocks, run: int) -> Blocks:
    return Blocks(*(each[run] for each in found))


def test_the_bounds_hold_the_true_gain_at_all_times_together() -> None:
    found, grid = many(0.85, 0.90, seed=7, runs=25, minutes=60), gains_to_try(0.0)
    bounds = [gain_sequence(one(found, run), 0.1, grid) for run in range(25)]
    misses = sum((each.lower > 0.05).any() or (each.upper < 0.05).any() for each in bounds)
    assert misses <= 25 * 0.2
    assert np.mean([each.upper[-1] - each.lower[-1] for each in bounds]) < 0.3


def test_bounds_only_ever_come_closer_and_contain_each_other_by_alpha() -> None:
    found, grid = one(many(0.85, 0.90, seed=9), 0), gains_to_try(0.0)
    wide, narrow = gain_sequence(found, 0.01, grid), gain_sequence(found, 0.2, grid)
    for each in (wide, narrow):
        assert (np.diff(each.lower) >= 0).all()
        assert (np.diff(each.upper) <= 0).all()
    assert (wide.lower <= narrow.lower).all()
    assert (wide.upper >= narrow.upper).all()


def test_minutes_without_one_of_the_variants_say_nothing() -> None:
    rows = [(5, 4, 5, 5), (7, 7, 0, 0), (0, 0, 3, 1), (0, 0, 0, 0)]
    evidence = log_evidence(blocks(rows), 0.0)
    assert evidence[1:] == pytest.approx(evidence[0])
