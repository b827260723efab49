"""Is the challenger better? Exact tests of two success rates that may be looked at at any time.

A block is what arrived together (a minute): n requests of the champion, n of the challenger, and
how many of each succeeded. Shares need not be equal and may change, as long as they do not depend
on the outcomes. The gain is P(success of challenger) - P(success of champion).

For the hypothesis "gain <= d" the e-value of a block is

    p(block; bet) / p(block; nearest)   bet: rates of both, chosen from the blocks before this one
                                        nearest: the rates with gain <= d closest to the bet in KL

The hypothesis is a convex set, so its expectation is at most 1 under every point of it (Turner and
Grünwald 2023, "Exact anytime-valid confidence intervals for contingency tables and beyond",
theorem 1; Turner, Ly and Grünwald 2024, "Generic E-variables for exact sequential k-sample tests").
The product over blocks is then a test supermartingale, so is the mean of several with different
bets (the rates seen so far; the pooled rate with fixed gaps between the two), and by Ville's
inequality it ever reaches 1/alpha with probability at most alpha: peeking costs nothing. All arrays
are (..., blocks).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Beta(0.18, 0.18): the prior that grows fastest in the worst case (Turner, Ly, Grünwald 2024).
PRIOR = 0.18
# Gaps beyond the hypothesis that are bet on: a factor of 2.5 between them loses little of any.
GAPS = (0.32, 0.128, 0.05, 0.02, 0.008, 0.0032, 0.0013)
# Rates that are bet on stay INSIDE, further from 0 and 1 than the nearest ones, which may come to
# the EDGE: so the nearest are where the slope is zero, and not where a range ends.
INSIDE, EDGE = 1e-6, 1e-12
POLISH = 3


class Blocks(NamedTuple):
    """Requests and successes of both variants, block by block; floats that hold whole numbers."""

    champion_n: Floats
    champion_successes: Floats
    challenger_n: Floats
    challenger_successes: Floats

    @property
    def mirrored(self) -> Blocks:
        """Champion and challenger change places: the gain changes its sign."""
        return Blocks(*self[2:], *self[:2])


class Sequence(NamedTuple):
    """After each block: a lower and an upper bound, each wrong ever with probability alpha."""

    lower: Floats
    upper: Floats


def log_evidence(blocks: Blocks, gain: float | Floats) -> Floats:
    """log of the e-process against "gain <= `gain`" after each block; 0 is no evidence.

    -1 < gain < 1, or several (gains, 1). Empty blocks leave it as it is. Evidence against
    "gain >= g" is `log_evidence(blocks.mirrored, -g)`.
    """
    bets = [_bet(blocks, gain), *(_bet(blocks, gain, gap) for gap in GAPS)]
    total = bets[0]
    for each in bets[1:]:
        total = np.logaddexp(total, each)
    mean: Floats = total - math.log(len(bets))
    return mean


def _bet(blocks: Blocks, gain: float | Floats, gap: float | None = None) -> Floats:
    """log of the product of e-values that bet on this gap beyond the hypothesis, or on the rates
    seen so far; where those do not contradict the hypothesis, or one variant had no request, no bet
    is made.
    """
    n_a, n_b = blocks.champion_n, blocks.challenger_n
    if gap is None:
        a = _rate_before(n_a, blocks.champion_successes)
        b = _rate_before(n_b, blocks.challenger_successes)
    else:
        a, b = _apart(blocks, gain + gap)
    near_a = _nearest(n_a, a, n_b, b, gain)
    ratio = _log_ratio(n_a, blocks.champion_successes, _edged(a), near_a)
    near_b = _edged(near_a + gain)
    ratio += _log_ratio(n_b, blocks.challenger_successes, _edged(b), near_b)
    bets = (b - a > gain) & (n_a > 0) & (n_b > 0) & (a > 0) & (b < 1)
    total: Floats = np.cumsum(np.where(bets, ratio, 0.0), axis=-1)
    return total


def _apart(blocks: Blocks, gain: float | Floats) -> tuple[Floats, Floats]:
    """Rates this far apart around the rate seen so far of both; outside 0..1 if there are none."""
    n = blocks.champion_n + blocks.challenger_n
    pooled = _rate_before(n, blocks.champion_successes + blocks.challenger_successes)
    before_b = np.cumsum(blocks.challenger_n, axis=-1) - blocks.challenger_n
    before = np.cumsum(n, axis=-1) - n
    share_b = before_b / np.where(before > 0, before, 1.0)
    lowest, highest = np.maximum(0.0, -gain) + INSIDE, np.minimum(1.0, 1.0 - gain) - INSIDE
    a = np.where(lowest < highest, np.clip(pooled - share_b * gain, lowest, highest), -1.0)
    challenger: Floats = a + gain
    return a, challenger


def gain_sequence(blocks: Blocks, alpha: float, grid: Floats) -> Sequence:
    """Bounds of the gain after each block; `grid`: rising gains to try, which limits their detail.

    A lower bound is the last of the gains from the left that have all been rejected at some time:
    wrong only if the smallest of them that is true was rejected. blocks: one experiment.
    """
    lower = _rejected_from_left(blocks, alpha, grid)
    upper = _rejected_from_left(blocks.mirrored, alpha, -grid[::-1])
    return Sequence(lower, -upper)


def gains_to_try(*exactly: float) -> Floats:
    """A grid of gains from -1 to 1, finer towards 0 (steps of 10 %), that holds `exactly`.

    It must not depend on what was seen, or the bound would be that of a hypothesis that was chosen
    afterwards; a fixed grid also keeps the bounds of one look inside those of the look before.
    """
    way = np.geomspace(1e-4, 0.98, 100)
    grid: Floats = np.unique(np.concatenate([-way, [0.0], way, exactly]))
    return grid


def _rejected_from_left(blocks: Blocks, alpha: float, grid: Floats) -> Floats:
    """After each block the last of the gains that are rejected without a gap from the left."""
    bar = np.log(1 / alpha)
    evidence = log_evidence(Blocks(*(each[None, :] for each in blocks)), grid[:, None])
    ever = np.maximum.accumulate(evidence, axis=1) >= bar
    count = np.logical_and.accumulate(ever, axis=0).sum(axis=0)
    bound: Floats = np.concatenate([[-1.0], grid])[count]
    return bound


def _rate_before(n: Floats, successes: Floats) -> Floats:
    """The success rate before each block, by the blocks before it; one half before the first."""
    before_n = np.cumsum(n, axis=-1) - n
    before = np.cumsum(successes, axis=-1) - successes
    rate: Floats = (before + PRIOR) / (before_n + 2 * PRIOR)
    return rate


def _nearest(n_a: Floats, a: Floats, n_b: Floats, b: Floats, gain: float | Floats) -> Floats:
    """The champion's rate t that makes n_a KL(a, t) + n_b KL(b, t + gain) least.

    That is convex in t. The zero of its slope solves a cubic (Miettinen and Nurminen 1985, appendix
    1), whose root Newton's steps make as exact as floats are.
    """
    n_a, n_b = np.maximum(n_a, EDGE), np.maximum(n_b, EDGE)
    low, high = np.maximum(0.0, -gain) + EDGE, np.minimum(1.0, 1.0 - gain) - EDGE
    pooled = (n_a * a + n_b * b) / (n_a + n_b)
    if np.ndim(gain) == 0 and gain == 0:
        return _edged(pooled)
    at: Floats = np.clip(
        np.where(gain == 0, pooled, _cubic(n_a, a, n_b, b, gain) - gain), low, high
    )
    for _ in range(POLISH):
        slope = _slope(n_a, a, at) + _slope(n_b, b, at + gain)
        curve = _curve(n_a, a, at) + _curve(n_b, b, at + gain)
        at = np.clip(at - slope / curve, low, high)
    return at


def _cubic(n_a: Floats, a: Floats, n_b: Floats, b: Floats, gain: float | Floats) -> Floats:
    """The challenger's rate, in closed form."""
    theta = n_a / n_b
    three = 3 * (1 + theta)
    second = -(1 + theta + b + theta * a + gain * (theta + 2))
    first = gain**2 + gain * (2 * b + theta + 1) + b + theta * a
    v = (
        (second / three) ** 3
        - 1.5 * second * first / three**2
        - 1.5 * b * gain * (1 + gain) / three
    )
    u = np.sqrt(np.maximum((second / three) ** 2 - first / three, EDGE))
    u = np.where(v < 0, -u, u)
    angle = (np.pi + np.arccos(np.clip(v / u**3, -1, 1))) / 3
    root: Floats = 2 * u * np.cos(angle) - second / three
    return root


def _slope(n: Floats, rate: Floats, at: Floats) -> Floats:
    """d/d at of n KL(rate, at)."""
    slope: Floats = n * (at - rate) / (at * (1 - at))
    return slope


def _curve(n: Floats, rate: Floats, at: Floats) -> Floats:
    """d/d at of the slope; above 0."""
    curve: Floats = n * (rate / at**2 + (1 - rate) / (1 - at) ** 2)
    return np.maximum(curve, EDGE)


def _edged(rate: Floats) -> Floats:
    edged: Floats = np.clip(rate, EDGE, 1 - EDGE)
    return edged


def _log_ratio(n: Floats, successes: Floats, above: Floats, below: Floats) -> Floats:
    failures = n - successes
    ratio: Floats = successes * np.log(above / below)
    ratio += failures * np.log((1 - above) / (1 - below))
    return ratio
