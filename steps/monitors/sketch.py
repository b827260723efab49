"""KLL quantile sketch: levels of values, those of level h standing for 2^h values each."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

K = 2048
C = 0.64


def _first() -> list[Values]:
    return [np.empty(0)]


@dataclass
class Sketch:
    """Mergeable; exact while it holds all values."""

    levels: list[Values] = field(default_factory=_first)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, values: Values) -> None:
        self.levels[0] = np.concatenate([self.levels[0], values])
        self._compress()

    def merge(self, other: "Sketch") -> None:
        while len(self.levels) < len(other.levels):
            self.levels.append(np.empty(0))
        for height, values in enumerate(other.levels):
            self.levels[height] = np.concatenate([self.levels[height], values])
        self._compress()

    def weighted(self) -> tuple[Values, Values]:
        """The values in order, and how many each stands for."""
        values = np.concatenate(self.levels)
        weights = np.repeat(
            2.0 ** np.arange(len(self.levels)), [len(level) for level in self.levels]
        )
        order = np.argsort(values, kind="stable")
        return values[order], weights[order]

    def cdf(self, points: Values) -> Values:
        """The share of values at or below each point."""
        values, weights = self.weighted()
        below = np.concatenate([[0.0], np.cumsum(weights)])
        shares: Values = below[np.searchsorted(values, points, side="right")] / below[-1]
        return shares

    def to_json(self, low: float, high: float, buckets: int = 10) -> dict[str, Any]:
        values, weights = self.weighted()
        edges = np.linspace(low, high, buckets + 1)
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, buckets - 1)
        counts = np.bincount(place, weights, buckets)
        return {
            "buckets": [
                {"lower_bound": float(a), "upper_bound": float(b), "count": float(count)}
                for a, b, count in zip(edges, edges[1:], counts, strict=False)
            ],
            "sketch": {
                "parameters": {"c": C, "k": float(K)},
                "data": [level.tolist() for level in self.levels],
            },
        }

    def _compress(self) -> None:
        while sum(map(len, self.levels)) > sum(map(self._capacity, range(len(self.levels)))):
            height = next(
                h for h, level in enumerate(self.levels) if len(level) >= self._capacity(h)
            )
            if height + 1 == len(self.levels):
                self.levels.append(np.empty(0))
            level = np.sort(self.levels[height])
            even = len(level) // 2 * 2
            kept = level[int(self.random.integers(2)) : even : 2]
            self.levels[height] = level[even:]
            self.levels[height + 1] = np.concatenate([self.levels[height + 1], kept])

    def _capacity(self, height: int) -> int:
        return max(2, math.ceil(K * C ** (len(self.levels) - 1 - height)))


def from_json(data: dict[str, Any]) -> Sketch:
    """The sketch in a statistics.json."""
    return Sketch([np.array(level, dtype=float) for level in data["sketch"]["data"]])
