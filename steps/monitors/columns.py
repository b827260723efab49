"""What is known of one column after some of its rows: mergeable, in bounded memory."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from steps.monitors.sketch import Sketch, Values

EXACT_DISTINCT = 10_000
# Above EXACT_DISTINCT values the distinct count is estimated from this many smallest hashes (2 %).
SMALLEST_HASHES = 4096
Hashes = NDArray[np.uint64]
INTEGRAL = re.compile(r"[-+]?\d+")
FRACTIONAL = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")


@dataclass
class Column:
    """Counts by type, moments and sketch of the numbers, counts of the values."""

    present: int = 0
    missing: int = 0
    types: Counter[str] = field(default_factory=Counter)
    numbers: int = 0
    mean: float = 0.0
    squares: float = 0.0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    sketch: Sketch = field(default_factory=Sketch)
    values: Counter[str] | None = field(default_factory=Counter)
    hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))

    @property
    def inferred_type(self) -> str:
        if not self.present:
            return "Unknown"
        if self.types["String"]:
            return "String"
        return "Fractional" if self.types["Fractional"] else "Integral"

    @property
    def std_dev(self) -> float:
        return math.sqrt(self.squares / self.numbers) if self.numbers else 0.0

    @property
    def distinct(self) -> float:
        if self.values is not None:
            return float(len(self.values))
        return (SMALLEST_HASHES - 1) * 2.0**64 / float(self.hashes[-1])

    def add(self, array: pa.Array) -> None:
        """Takes in a batch: numbers, or text that may hold numbers."""
        if pa.types.is_floating(array.type):
            array = pc.if_else(pc.is_finite(array), array, None)
        elif not pa.types.is_integer(array.type):
            array = array.cast(pa.string())
            array = pc.if_else(pc.equal(array, ""), None, array)
        found = array.drop_null()
        self.missing += len(array) - len(found)
        self.present += len(found)
        if len(found):
            self._take(found)

    def merge(self, other: "Column") -> None:
        self.present += other.present
        self.missing += other.missing
        self.types += other.types
        self._moments(other.numbers, other.mean, other.squares, other.total)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.sketch.merge(other.sketch)
        if self.values is None or other.values is None:
            self._spill()
            other._spill()
            self._keep(other.hashes)
        else:
            self._count(other.values)

    def _take(self, found: pa.Array) -> None:
        numbers = _numbers(found)
        if numbers is None:
            self._mixed(found)
            return
        kinds = _kinds(found)
        self.types += kinds
        self._numeric(numbers)
        self._distinct(found, numbers)

    def _mixed(self, found: pa.Array) -> None:
        encoded = found.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        counts = np.bincount(encoded.indices.to_numpy(), minlength=len(texts))
        kinds = [kind_of(text) for text in texts]
        numeric = np.array([kind != "String" for kind in kinds])
        for kind, count in zip(kinds, counts.tolist(), strict=True):
            self.types[kind] += count
        if numeric.any():
            parsed = np.array(
                [float(t) for t, is_number in zip(texts, numeric, strict=True) if is_number]
            )
            self._numeric(np.repeat(parsed, counts[numeric]))
        self._count(Counter(dict(zip(texts, counts.tolist(), strict=True))))

    def _numeric(self, values: Values) -> None:
        mean = float(values.mean())
        self._moments(len(values), mean, float(((values - mean) ** 2).sum()), float(values.sum()))
        self.low, self.high = (
            min(self.low, float(values.min())),
            max(self.high, float(values.max())),
        )
        self.sketch.add(values)

    def _moments(self, count: int, mean: float, squares: float, total: float) -> None:
        if not count:
            return
        together = self.numbers + count
        apart = mean - self.mean
        self.squares += squares + apart * apart * self.numbers * count / together
        self.mean += apart * count / together
        self.total += total
        self.numbers = together

    def _distinct(self, found: pa.Array, numbers: Values) -> None:
        """Numbers are counted too: a later batch may show that the column is text."""
        unique = found.dictionary_encode() if self.values is not None else None
        if unique is None or len(unique.dictionary) > EXACT_DISTINCT:
            self._spill()
            self._keep(hashed_numbers(numbers))
            return
        counts = np.bincount(unique.indices.to_numpy(), minlength=len(unique.dictionary))
        texts = unique.dictionary.cast(pa.string()).to_pylist()
        self._count(Counter(dict(zip(texts, counts.tolist(), strict=True))))

    def _count(self, counts: Counter[str]) -> None:
        if self.values is None:
            self._keep(hashed(list(counts)))
            return
        self.values.update(counts)
        if len(self.values) > EXACT_DISTINCT:
            self._spill()

    def _spill(self) -> None:
        if self.values is not None:
            self._keep(hashed(list(self.values)))
            self.values = None

    def _keep(self, hashes: Hashes) -> None:
        if len(self.hashes) == SMALLEST_HASHES:
            hashes = hashes[hashes < self.hashes[-1]]
        if len(hashes):
            self.hashes = np.union1d(self.hashes, hashes)[:SMALLEST_HASHES]


def kind_of(text: str) -> str:
    """Integral, Fractional or String, as the text is written."""
    if INTEGRAL.fullmatch(text):
        return "Integral"
    return "Fractional" if FRACTIONAL.fullmatch(text) else "String"


def hashed_numbers(numbers: Values) -> Hashes:
    """Splitmix64 of the bits."""
    bits = (numbers + 0.0).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def hashed(texts: list[str]) -> Hashes:
    """A text that is a number is hashed as one, so that both ways count it once."""
    numbers = [float(text) for text in texts if kind_of(text) != "String"]
    others = np.array([text for text in texts if kind_of(text) == "String"], dtype=object)
    words = pd.util.hash_array(others, categorize=False)
    return np.concatenate([hashed_numbers(np.array(numbers, dtype=float)), words])


def _numbers(found: pa.Array) -> Values | None:
    """The batch as numbers, or None when some value is not one."""
    if not pa.types.is_string(found.type):
        return np.asarray(found.cast(pa.float64(), safe=False).to_numpy())
    if kind_of(found[0].as_py()) == "String":
        return None
    try:
        numbers = np.asarray(found.cast(pa.float64()).to_numpy())
    except pa.ArrowInvalid:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _kinds(found: pa.Array) -> Counter[str]:
    if not pa.types.is_string(found.type):
        kind = "Integral" if pa.types.is_integer(found.type) else "Fractional"
        return Counter({kind: len(found)})
    fractional = pc.sum(pc.match_substring_regex(found, "[.eE]")).as_py()
    return +Counter({"Integral": len(found) - fractional, "Fractional": fractional})
