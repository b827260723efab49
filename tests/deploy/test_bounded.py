"""Confidence sequences of means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bounded import asymptotic_mean, bounded_mean, loss_gain


@pytest.mark.parametrize("shape", [(2.0, 8.0), (0.2, 0.2), (50.0, 1.0)])
def test_bounds_of_a_bounded_mean_hold_at_all_times(shape: tuple[float, float]) -> None:
    draw, truth = np.random.default_rng(1), shape[0] / sum(shape)
    wrong = 0
    for _ in range(300):
        found = bounded_mean(draw.beta(*shape, 400), 0.05)
        wrong += bool((found.lower > truth).any())
    assert wrong <= 300 * 0.05 + 12


def test_they_are_narrow_where_there_is_little_variance() -> None:
    draw = np.random.default_rng(2)
    calm, wild = (
        bounded_mean(draw.beta(200, 200, 2000), 0.05),
        bounded_mean(draw.integers(0, 2, 2000).astype(float), 0.05),
    )
    widths = [each.upper[-1] - each.lower[-1] for each in (calm, wild)]
    assert widths[0] < widths[1] / 3


@given(st.lists(st.floats(0, 1), max_size=40), st.floats(0.001, 0.5))
def test_bounds_stay_in_the_unit_interval_and_only_come_closer(
    values: list[float], alpha: float
) -> None:
    found = bounded_mean(np.array(values), alpha)
    for each in found:
        assert ((each >= 0) & (each <= 1)).all()
    assert (np.diff(found.lower) >= 0).all()
    assert (np.diff(found.upper) <= 0).all()


def test_a_loss_outside_the_unit_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        bounded_mean(np.array([0.5, 1.5]), 0.05)


def test_the_gain_of_a_smaller_loss_is_positive() -> None:
    draw = np.random.default_rng(4)
    worse, better = draw.beta(4, 6, 3000), draw.beta(2, 8, 1000)
    found = loss_gain(worse, better, np.array([0, 3000]), np.array([0, 1000]), 0.05)
    assert (found.lower[0], found.upper[0]) == (-1, 1)
    assert 0 < found.lower[1] < 0.2 < found.upper[1]


def test_the_asymptotic_sequence_rarely_misses_a_skewed_mean_from_some_minutes_on() -> None:
    draw, wrong = np.random.default_rng(6), 0
    for _ in range(400):
        found = asymptotic_mean(draw.gamma(4, 0.5, 300), 0.05)
        wrong += bool(((found.lower > 2) | (found.upper < 2))[14:].any())
    assert wrong <= 400 * 0.05 + 14
