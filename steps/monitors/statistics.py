"""statistics.json: one pass over the batches, one Column each."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from steps.monitors.columns import Column
from steps.monitors.environment import MonitorError

# Deequ's low-cardinality threshold: a text column with more values gets no histogram.
MOST_CATEGORIES = 120


def collect(batches: Iterable[pa.RecordBatch]) -> tuple[int, dict[str, Column]]:
    """The number of rows, and every column; a column a batch does not have is missing in it."""
    rows, columns = 0, dict[str, Column]()
    for batch in batches:
        for name in batch.schema.names:
            column = columns.setdefault(name, Column(missing=rows))
            if pa.types.is_nested(batch.column(name).type):
                raise MonitorError(f"column {name} is nested; flatten it before monitoring")
            column.add(batch.column(name))
        rows += batch.num_rows
        for column in columns.values():
            column.missing = rows - column.present
    return rows, columns


def to_json(rows: int, columns: dict[str, Column]) -> dict[str, Any]:
    return {
        "version": 0.0,
        "dataset": {"item_count": rows},
        "features": [_feature(name, column) for name, column in columns.items()],
    }


def _feature(name: str, column: Column) -> dict[str, Any]:
    feature: dict[str, Any] = {"name": name, "inferred_type": column.inferred_type}
    common = {"num_present": column.present, "num_missing": column.missing}
    if column.inferred_type == "String":
        feature["string_statistics"] = {"common": common, **_text(column)}
    else:
        feature["numerical_statistics"] = {"common": common, **_numeric(column)}
    return feature


def _numeric(column: Column) -> dict[str, Any]:
    if not column.numbers:
        return {}
    return {
        "mean": column.mean,
        "sum": column.total,
        "std_dev": column.std_dev,
        "min": column.low,
        "max": column.high,
        "distribution": {"kll": column.sketch.to_json(column.low, column.high)},
    }


def _text(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"distinct_count": column.distinct}
    if column.values is not None and len(column.values) <= MOST_CATEGORIES:
        found["distribution"] = {
            "categorical": {
                "buckets": [
                    {"value": value, "count": count}
                    for value, count in sorted(column.values.items(), key=lambda p: (-p[1], p[0]))
                ]
            }
        }
    return found
