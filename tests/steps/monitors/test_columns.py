"""What is known of a column: equal to numpy's, however its rows are split."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.monitors.columns import Column
from steps.monitors.sketch import Sketch

NUMBERS = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))


def column(values: list[str]) -> Column:
    made = Column()
    made.add(pa.array(values, pa.string()))
    return made


@settings(max_examples=30, deadline=None)
@given(st.lists(NUMBERS, min_size=1), st.lists(NUMBERS, min_size=1))
def test_split_batches_give_the_statistics_of_one(first: list[float], second: list[float]) -> None:
    merged = column([str(v) for v in first])
    merged.merge(column([str(v) for v in second]))
    everything = np.array(first + second)
    assert merged.numbers == len(everything)
    assert merged.mean == pytest.approx(everything.mean(), rel=1e-9, abs=1e-9)
    assert merged.std_dev == pytest.approx(everything.std(), rel=1e-9, abs=1e-6)
    assert (merged.low, merged.high) == (everything.min(), everything.max())


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2"], "Integral"),
        (["1", "2.5"], "Fractional"),
        (["1", "x"], "String"),
        ([""], "Unknown"),
    ],
)
def test_the_type_is_that_of_all_values(values: list[str], kind: str) -> None:
    assert column(values).inferred_type == kind


def test_empty_texts_are_missing() -> None:
    assert (column(["a", "", "a"]).missing, column(["a", "", "a"]).distinct) == (1, 1.0)


def test_many_distinct_values_are_estimated() -> None:
    assert column([f"id-{i}" for i in range(30_000)]).distinct == pytest.approx(30_000, rel=0.08)


def test_a_sketch_keeps_ranks_and_the_count() -> None:
    values = np.random.default_rng(1).normal(size=200_000)
    sketch = Sketch()
    for part in np.array_split(values, 20):
        sketch.add(part)
    points = np.quantile(values, np.linspace(0.01, 0.99, 99))
    assert np.abs(sketch.cdf(points) - np.linspace(0.01, 0.99, 99)).max() < 0.005
    assert sketch.weighted()[1].sum() == 200_000
    assert sum(map(len, sketch.levels)) < 8_000
