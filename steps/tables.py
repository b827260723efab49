"""CSV files -> one typed pandas table, as the problem spec says. The only reader of the data.

read gives numeric columns as float64, booleans as 1.0/0.0, timestamps as epoch seconds (NaN is
missing); id, categorical and ignored columns as text (None is missing). A column with a cell that
does not parse stays text, and unreadable names its offenders: steps/validate.py reports them all.
A file of a wrong shape (no rows, a column missing, a row too long or short) is a TableError.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.problem import Column, Problem

Floats = npt.NDArray[np.float64]


class TableError(Exception):
    """The files cannot be read as the table that the spec describes."""


class Unreadable(NamedTuple):
    """Cells of one column that are not of its kind."""

    column: str
    samples: list[str]
    rows: int


def files(folder: Path) -> list[Path]:
    """Every data file at or below the folder, whatever its name ends with, in order.

    Names that begin with "." or "_" are markers of other tools (_SUCCESS), not data.
    """
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name[0] not in "._")


def read(problem: Problem, paths: list[Path], partial: bool = False) -> pd.DataFrame:
    """All files below each other: one row a line, the columns of the spec in its order.

    partial=True lets named columns be missing or unknown (unknown ones come last, as text): for
    validation, which reports them. Otherwise they raise TableError, like an empty or ragged file.
    """
    if not paths:
        raise TableError("no data file was given; put at least one CSV into the input")
    frames = [_read_one(problem, path, partial) for path in paths]
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def unreadable(frame: pd.DataFrame, problem: Problem) -> list[Unreadable]:
    """Columns that should have become numbers but hold something else; up to 5 samples each."""
    found = []
    for column in problem.columns:
        if column.kind not in _PARSERS or column.name not in frame:
            continue
        cells = frame[column.name]
        if cells.dtype != object:
            continue
        bad = cells.notna().to_numpy() & np.isnan(_PARSERS[column.kind](cells, column))
        samples = [str(cell) for cell in cells[bad].unique()[:5]]
        found.append(Unreadable(column.name, samples, int(bad.sum())))
    return found


def numbers(cells: pd.Series[Any]) -> Floats:
    """Text -> float64; what is not a finite number becomes NaN."""
    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def booleans(cells: pd.Series[Any], column: Column) -> Floats:
    """Text -> 1.0 or 0.0 by the column's words, whatever their case; anything else NaN."""
    words = {word.strip().lower(): 0.0 for word in column.false}
    words |= {word.strip().lower(): 1.0 for word in column.true}
    return np.array([words.get(str(cell).strip().lower(), np.nan) for cell in cells], np.float64)


def timestamps(cells: pd.Series[Any]) -> Floats:
    """ISO 8601 text -> seconds since 1970-01-01 UTC (no offset means UTC); anything else NaN."""
    times = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
    seconds = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return np.asarray(seconds.to_numpy(np.float64, na_value=np.nan))


_PARSERS: dict[str, Callable[[pd.Series[Any], Column], Floats]] = {
    "numeric": lambda cells, _: numbers(cells),
    "boolean": booleans,
    "timestamp": lambda cells, _: timestamps(cells),
}


def _read_one(problem: Problem, path: Path, partial: bool) -> pd.DataFrame:
    names = _names(problem, path)
    spec = {column.name: column for column in problem.columns}
    if not partial:
        _check_names(names, spec, path)
    raw = _parse(problem, path, names, spec)
    if raw.empty:
        raise TableError(f"{path.name}: has no rows")
    # A short row leaves its last cell empty, a long first row makes pandas invent an index.
    if raw[names[-1]].isna().any() or not isinstance(raw.index, pd.RangeIndex):
        _check_widths(problem, path, names)
    order = [name for name in spec if name in names]
    order += [name for name in names if name not in spec]
    missing = {word.strip() for word in problem.data.missing} | {""}
    return pd.DataFrame(
        {name: _typed(raw[name], spec.get(name), missing) for name in order}, copy=False
    )


def _names(problem: Problem, path: Path) -> list[str]:
    """Column names of the file, from its first line or, without a header, from the spec."""
    first = _first_row(problem, path)
    if not problem.data.header:
        if len(first) != len(problem.columns):
            raise TableError(
                f"{path.name}: the first line has {len(first)} cells, the spec names "
                f"{len(problem.columns)} columns"
            )
        return [column.name for column in problem.columns]
    names = [name.strip() for name in first]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise TableError(f"{path.name}: the header names {doubled[0]!r} twice")
    return names


def _first_row(problem: Problem, path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines, delimiter=problem.data.separator, skipinitialspace=True)
            first = next((row for row in rows if row), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path.name}: cannot be read as CSV in UTF-8: {error}") from error
    if not first:
        raise TableError(f"{path.name}: the file is empty")
    return first


def _check_names(names: list[str], spec: dict[str, Column], path: Path) -> None:
    if absent := [name for name in spec if name not in names]:
        raise TableError(f"{path.name}: no column {_listed(absent)}; the file has {_listed(names)}")
    if unknown := [name for name in names if name not in spec]:
        raise TableError(
            f"{path.name}: column {_listed(unknown)} is not in the spec; add it under `columns`, "
            "with `kind: ignore` if it is of no use"
        )


def _parse(problem: Problem, path: Path, names: list[str], spec: dict[str, Column]) -> pd.DataFrame:
    """One pass of the C reader: numbers at once when all of them parse, else everything as text."""
    text = dict.fromkeys(names, "category")
    text |= {name: "object" for name in names if name in spec and spec[name].kind == "id"}
    numeric = {name: "float64" for name in names if name in spec and spec[name].kind == "numeric"}
    try:
        try:
            return _read_csv(problem, path, names, text | numeric)
        except ValueError as error:
            if isinstance(error, (pd.errors.ParserError, UnicodeDecodeError)):
                raise
            return _read_csv(problem, path, names, text)
    except pd.errors.ParserError as error:
        _check_widths(problem, path, names)
        raise TableError(f"{path.name}: {str(error).strip().rpartition('error: ')[2]}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path.name}: cannot be read as UTF-8: {error}") from error


def _read_csv(
    problem: Problem, path: Path, names: list[str], dtypes: dict[str, str]
) -> pd.DataFrame:
    return pd.read_csv(
        path,
        sep=problem.data.separator,
        header=0 if problem.data.header else None,
        names=names,
        dtype=dtypes,
        keep_default_na=False,
        na_values=["", *problem.data.missing],
        skipinitialspace=problem.data.separator != " ",
        encoding="utf-8-sig",
        engine="c",
    )


def _check_widths(problem: Problem, path: Path, names: list[str]) -> None:
    """Count the cells of every line: the slow way, taken only when something looks wrong."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for row in (reader := csv.reader(lines, delimiter=problem.data.separator)):
            if row and len(row) != len(names):
                where = f"{path.name}: line {reader.line_num}"
                raise TableError(f"{where} has {len(row)} cells instead of {len(names)}")


def _typed(raw: pd.Series[Any], column: Column | None, missing: set[str]) -> Any:
    """The column as the module says: float64, or object text where it is text or does not parse."""
    if raw.dtype == np.float64:
        return raw.astype(object) if np.isinf(raw.to_numpy()).any() else raw
    codes, words = pd.factorize(raw)
    stripped = [str(word).strip() for word in words]
    cells = np.array([None if word in missing else word for word in stripped] + [None], object)
    if column is not None and column.kind in _PARSERS:
        series = pd.Series(cells[:-1], dtype=object)
        values = _PARSERS[column.kind](series, column)
        if not (series.notna().to_numpy() & np.isnan(values)).any():
            return np.append(values, np.nan)[codes]
    return pd.Series(cells[codes], dtype=object)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"
