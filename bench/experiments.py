"""Ten thousand simulated experiments: how often the always-valid test is wrong, and how soon right.

    python -m bench experiments

Every experiment is looked at after every block and stopped at the first yes: what a person does who
watches a dashboard. Beside it the usual z-test at the same looks, made for one look at the end.
The tables are markdown; docs/experiments.md has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.sequential import Blocks, log_evidence

ALPHA = 0.05
RUNS, LOOKS, PER_LOOK = 10_000, 60, 100
POWER_RUNS = 400
BATCH = 2_000  # experiments at a time: what fits the cache is fast
RATES = (0.02, 0.5, 0.9)
SHARES = ((80, 20), (50, 50))
BASE = 0.85
EFFECTS = (0.01, 0.02, 0.05, 0.10)
SIZES = (1_000, 3_000, 10_000, 30_000)
Bools = NDArray[np.bool_]


class Wrong(NamedTuple):
    """Of experiments without any difference: the shares that were decided nevertheless."""

    promoted: float
    rolled_back: float
    by_z_test: float


def simulated(
    rates: tuple[float, float], share: int, runs: int, looks: int, per_look: int, seed: int
) -> Blocks:
    """Blocks (runs, looks); each request goes to the challenger with probability share / 100."""
    draw = np.random.default_rng(seed)
    n_b = draw.binomial(per_look, share / 100, (runs, looks))
    n_a = per_look - n_b
    good = draw.binomial(n_a, rates[0]), draw.binomial(n_b, rates[1])
    return Blocks(*(each.astype(float) for each in (n_a, good[0], n_b, good[1])))


def decided(blocks: Blocks, alpha: float) -> Bools:
    """Per experiment whether "not better" was ever rejected."""
    found: Bools = log_evidence(blocks, 0.0).max(axis=-1) >= math.log(1 / alpha)
    return found


def z_test_decided(blocks: Blocks, alpha: float) -> Bools:
    """The same with a one-sided z-test of two proportions at every look, uncorrected."""
    from scipy.stats import norm

    n_a, good_a, n_b, good_b = (np.cumsum(each, axis=-1) for each in blocks)
    pooled = (good_a + good_b) / (n_a + n_b)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n_a, 1) + 1 / np.maximum(n_b, 1)))
    gain = good_b / np.maximum(n_b, 1) - good_a / np.maximum(n_a, 1)
    z = np.divide(gain, spread, out=np.zeros_like(gain), where=spread > 0)
    found: Bools = (z >= norm.ppf(1 - alpha)).any(axis=-1)
    return found


def wrong(rate: float, share: int, runs: int = RUNS) -> Wrong:
    """Of A = B; a rollback has half of alpha here, as in deploy.experiment by errors."""
    counts = np.zeros(3)
    for start in range(0, runs, BATCH):
        size = min(BATCH, runs - start)
        blocks = simulated((rate, rate), share, size, LOOKS, PER_LOOK, start)
        counts += (
            decided(blocks, ALPHA).sum(),
            decided(blocks.mirrored, ALPHA / 2).sum(),
            z_test_decided(blocks, ALPHA).sum(),
        )
    return Wrong(*(float(each) for each in counts / runs))


def power(effect: float, share: int, size: int, runs: int = POWER_RUNS) -> float:
    """The share of experiments of this size in which this gain was found."""
    blocks = simulated((BASE, BASE + effect), share, runs, LOOKS, size // LOOKS, seed=1)
    return float(decided(blocks, ALPHA).mean())


def report() -> Iterator[str]:
    yield f"{RUNS:,} experiments without a difference, {LOOKS} looks, {PER_LOOK} requests each:\n"
    yield "| success rate | traffic | false promotions | false rollbacks | z-test, peeked at |"
    yield "|---|---|---|---|---|"
    for rate in RATES:
        for a, b in SHARES:
            found = wrong(rate, b)
            cells = " | ".join(f"{100 * each:.2f} %" for each in found)
            yield f"| {rate:g} | {a}/{b} | {cells} |"
    yield f"\nPower: success rate {BASE:g}, {POWER_RUNS} experiments each, {LOOKS} looks:\n"
    yield "| gain | traffic | " + " | ".join(f"{size:,}" for size in SIZES) + " |"
    yield "|---|---|" + "---|" * len(SIZES)
    for effect in EFFECTS:
        for a, b in SHARES:
            cells = " | ".join(f"{100 * power(effect, b, size):.0f} %" for size in SIZES)
            yield f"| +{100 * effect:g} points | {a}/{b} | {cells} |"


def print_report() -> None:
    for line in report():
        print(line, flush=True)
