"""How far two distributions are apart, as deequ measures it."""

import math
from collections.abc import Mapping

import numpy as np

from steps.monitors.sketch import Sketch


def numeric(one: Sketch, n: int, two: Sketch, m: int, method: str) -> float:
    """The largest gap between the two cumulative shares."""
    points = np.unique(np.concatenate([*one.levels, *two.levels]))
    return _corrected(float(np.abs(one.cdf(points) - two.cdf(points)).max()), n, m, method)


def categorical(one: Mapping[str, int], two: Mapping[str, int], method: str) -> float:
    """The largest gap between two shares of one category."""
    n, m = sum(one.values()), sum(two.values())
    gap = max(abs(one.get(key, 0) / n - two.get(key, 0) / m) for key in {**one, **two})
    return _corrected(gap, n, m, method)


def _corrected(gap: float, n: int, m: int, method: str) -> float:
    return gap if method == "Simple" else max(0.0, gap - 1.8 * math.sqrt((n + m) / (n * m)))
