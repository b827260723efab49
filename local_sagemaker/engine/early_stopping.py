"""Is a running trial worth its time? The rules by which a tuning job stops one early.

Auto: AWS's median rule. Hyperband: asynchronous successive halving by stopping, and the end of
every trial at MaxResource. Pure functions of what was emitted per epoch: one value of the objective
metric is one epoch, which is one unit of resource.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

ENOUGH = 3  # finished trials before the median means anything; AWS does not say how many it takes
REDUCTION = 3  # Hyperband lets one in this many go on from each rung

Values = Sequence[float]


def worse_than_median(mine: Values, finished: Sequence[Values], *, maximize: bool) -> bool:
    """Is the last value worse than the median of the others' running averages at that epoch?

    Source: developer guide, "Stop Training Jobs Early".
    """
    epoch = len(mine)
    averages = [fmean(each[:epoch]) for each in finished if epoch and len(each) >= epoch]
    if len(averages) < ENOUGH:
        return False
    middle = median(averages)
    return mine[-1] < middle if maximize else mine[-1] > middle


def loses_at_a_rung(
    mine: Values, others: Sequence[Values], low: int, high: int, *, maximize: bool
) -> bool:
    """Did it reach MaxResource (`high`), or a rung at which it is not among the best third?

    Rungs lie at `low`, and 3 times as far each, below `high`. Source: Li et al., "A System for
    Massively Parallel Hyperparameter Tuning" (ASHA), its stopping variant.
    """
    if len(mine) >= high:
        return True
    rung = low
    while rung <= len(mine):
        at_rung = [each[rung - 1] for each in (*others, mine) if len(each) >= rung]
        allowed = math.ceil(len(at_rung) / REDUCTION)
        best = sorted(at_rung, reverse=maximize)[:allowed]
        if len(at_rung) >= REDUCTION and mine[rung - 1] not in best:
            return True
        rung *= REDUCTION
    return False
