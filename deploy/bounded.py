"""Confidence sequences of means: of bounded losses exactly, of anything asymptotically.

Each holds at all times at once, so they may be looked at whenever one likes. For success rates
there is a sharper test in sequential.py.
"""

from __future__ import annotations

import math

import numpy as np

from deploy.sequential import Floats, Sequence

MOST_BET = 0.5  # c of the paper: keeps every bet's worst loss bounded
# When the asymptotic sequence is tightest: rho2 below makes it so at about this many values.
TIGHTEST_AT = 60


def bounded_mean(values: Floats, alpha: float) -> Sequence:
    """Bounds of the mean after each value; values (times,) in 0..1, in their order of arrival.

    The predictable plug-in empirical Bernstein sequence of Waudby-Smith and Ramdas 2024
    ("Estimating means of bounded random variables by betting", theorem 2), one side at a time:
    each bound is wrong ever with probability at most alpha. ValueError outside 0..1.
    """
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError(f"losses must lie in 0..1; these go from {values.min()} to {values.max()}")
    times = np.arange(1, values.size + 1)
    means = (0.5 + np.cumsum(values)) / (times + 1)
    before_mean = np.concatenate([[0.5], means[:-1]])
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (times + 1)
    before_variance = np.concatenate([[0.25], variances[:-1]])
    side = math.log(1 / alpha)
    bets = np.minimum(MOST_BET, np.sqrt(2 * side / (before_variance * times * np.log1p(times))))
    cost = (-np.log1p(-bets) - bets) * (values - before_mean) ** 2
    total = np.cumsum(bets)
    centre, width = np.cumsum(bets * values) / total, (side + np.cumsum(cost)) / total
    lower = np.maximum.accumulate(np.clip(centre - width, 0, 1))
    return Sequence(lower, np.minimum.accumulate(np.clip(centre + width, 0, 1)))


def loss_gain(
    champion: Floats, challenger: Floats, seen_a: Floats, seen_b: Floats, alpha: float
) -> Sequence:
    """Bounds of (mean loss of champion - of challenger) at moments when so many were seen of each.

    Half of alpha for each variant: a bound is wrong only if one of the two means' bounds is.
    """
    a, b = bounded_mean(champion, alpha / 2), bounded_mean(challenger, alpha / 2)
    lower = _at(a.lower, seen_a, 0.0) - _at(b.upper, seen_b, 1.0)
    return Sequence(lower, _at(a.upper, seen_a, 1.0) - _at(b.lower, seen_b, 0.0))


def asymptotic_mean(values: Floats, alpha: float) -> Sequence:
    """Bounds of the mean of values (times,) with any variance; ASYMPTOTIC: for many values only.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform central limit theory and
    asymptotic confidence sequences", theorem 2.2, both sides together wrong with probability alpha.
    """
    times = np.arange(1, values.size + 1)
    mean = np.cumsum(values) / times
    variance = np.maximum(np.cumsum(values**2) / times - mean**2, 0.0)
    log_term = -2 * math.log(alpha)
    rho2 = (log_term + math.log(log_term + 1)) / TIGHTEST_AT
    spread = times * rho2 + 1
    width = np.sqrt(variance * 2 * spread / (times**2 * rho2) * np.log(np.sqrt(spread) / alpha))
    return Sequence(mean - width, mean + width)


def _at(bounds: Floats, seen: Floats, before: float) -> Floats:
    """The bound after so many values; `before` when there was none yet."""
    padded: Floats = np.concatenate([[before], bounds])
    chosen: Floats = padded[seen.astype(int)]
    return chosen
