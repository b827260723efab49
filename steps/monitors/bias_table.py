"""The data set of a bias or attribution job: columns of texts, by name or place."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from steps.monitors import capture, ground_truth
from steps.monitors.bias_metrics import Floats
from steps.monitors.environment import MonitorError

Config: TypeAlias = Mapping[str, Any]
Texts: TypeAlias = npt.NDArray[Any]
Table: TypeAlias = dict[str, Texts]
CSV, LINES = "text/csv", "application/jsonlines"


def read(folder: Path, config: Config) -> Table:
    """Columns of texts by name. A CSV line equal to `headers` is skipped; without `headers` the
    first line is them. Raises MonitorError naming the file."""
    kind = config.get("dataset_type", CSV)
    if kind not in (CSV, LINES):
        raise MonitorError(f"dataset_type {kind!r} is not supported; use {CSV} or {LINES}")
    names: list[str] = list(config.get("headers") or [])
    rows: list[list[str]] = []
    for file in ground_truth.files(folder):
        named, found = _csv(file, names) if kind == CSV else _lines(file, names)
        names = names or named
        rows += found
    if not rows:
        raise MonitorError(f"Job inputs had no data: {folder} holds no rows")
    return {n: np.array(c, object) for n, c in zip(names, zip(*rows, strict=True), strict=True)}


def _csv(file: Path, names: list[str]) -> tuple[list[str], list[list[str]]]:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if row]
    if rows and (not names or rows[0] == names):
        names, rows = rows[0], rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise MonitorError(f"{file}, row {number} has {len(row)} cells, not {len(names)}")
    return names, rows


def _lines(file: Path, names: list[str]) -> tuple[list[str], list[list[str]]]:
    records = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            records.append(capture.flat(json.loads(line)))
        except ValueError as error:
            raise MonitorError(f"{file} is not JSON lines: {error}") from error
    names = names or list(records[0] if records else [])
    return names, [[_text(record.get(name)) for name in names] for record in records]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def named(table: Table, name: Any) -> str:
    """The column's name from its name or its place."""
    if name in table:
        return str(name)
    if isinstance(name, int) and name < len(table):
        return list(table)[name]
    raise MonitorError(f"column {name!r} is not one of {', '.join(table)}")


def column(table: Table, name: Any) -> Texts:
    return table[named(table, name)]


def number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def numbers(values: Texts) -> Floats | None:
    """float64 (n,) with NaN for an empty cell; None when another cell is not a number."""
    try:
        found = np.where(values == "", "nan", values).astype(np.float64)
    except ValueError:
        return None
    return found if np.isfinite(found).any() else None


def whole(table: Table, name: Any) -> Texts:
    """The column. Raises MonitorError when a cell of it is empty."""
    values = column(table, name)
    if empty := int((values == "").sum()):
        raise MonitorError(f"{empty} cells of {named(table, name)} are empty; leave out those rows")
    return values
