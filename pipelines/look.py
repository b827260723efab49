"""Looks at a CSV: separator, header, missing markers, and of what kind each column seems to be.

    lines -> separator -> header or not -> text table -> missing markers -> one Seen per column

Every answer is a guess for a person to correct, so each comes with its reason where it is not
plain. What the guesses become in YAML is pipelines/new.py.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.problem import FALSE_WORDS, LEAST_ROWS, TRUE_WORDS

SEPARATORS = (",", ";", "\t", "|")
MOST_VALUES = 50  # more different words than this are not listed as allowed values
# Words that mean missing wherever they stand, and those that do so only among numbers.
MISSING = ("?", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null")
MISSING_AMONG_NUMBERS = ("NA", "na", "-", "None", "none", ".", "missing", "unknown")

_SAMPLE_LINES = 200
_ID_NAME = re.compile(r"(^|[_\W])(id|uuid|guid|key)$|[a-z](ID|Id)$", re.IGNORECASE)
_ISO_TIME = re.compile(r"^\d{4}-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?)?)?")
_PAIRS = dict(zip(TRUE_WORDS, FALSE_WORDS, strict=True)) | {"1.0": "0.0"}


class LookError(Exception):
    """The file is not a table that a problem can be made of."""


@dataclass(frozen=True)
class Seen:
    """One column as it looks: `values` are its different words, most frequent first."""

    name: str
    kind: str
    rows: int
    missing: int
    values: tuple[str, ...] = ()
    true: str = ""
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Look:
    """The whole file as it looks."""

    path: Path
    rows: int
    separator: str
    header: bool
    missing: tuple[str, ...]
    columns: tuple[Seen, ...]


def look(path: Path, separator: str | None = None, header: bool | None = None) -> Look:
    """Read the whole file and guess; LookError says what is wrong with it. UTF-8 only."""
    lines = _first_lines(path)
    separator = separator or _separator(lines)
    rows = [row for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row]
    has_header = _has_header(rows) if header is None else header
    names = _names(rows[0], has_header, path)
    table = _table(path, separator, has_header, names)
    if len(table) < LEAST_ROWS:
        raise LookError(f"{path}: has {len(table)} rows; at least {LEAST_ROWS} are needed")
    missing = _missing(table)
    seen = [_seen(table[name], missing) for name in names]
    return Look(path, len(table), separator, has_header, missing, tuple(_one_id(seen)))


def as_target(seen: Seen) -> tuple[Seen, str]:
    """The column as something to predict, and the kind of model for it."""
    if seen.missing:
        raise LookError(
            f"target {seen.name}: {seen.missing} of {seen.rows} cells are missing; "
            "a target is never missing: take those rows out first"
        )
    few = 3 <= len(seen.values) <= (5 if seen.low is not None else MOST_VALUES)
    if len(seen.values) == 2:
        true = seen.true or seen.values[1]
        why = "" if seen.true else "the rarer value counts as true; swap them if that is wrong"
        return replace(seen, kind="boolean", true=true, reason=why), "binary"
    if few:
        return replace(seen, kind="categorical"), "multiclass"
    if seen.low is not None and len(seen.values) > 2:
        return replace(seen, kind="numeric"), "regression"
    raise LookError(
        f"target {seen.name}: {len(seen.values)} different values in {seen.rows} rows; "
        f"allowed: two values, 3 to {MOST_VALUES} words, or numbers"
    )


def _first_lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line, _ in zip(file, range(_SAMPLE_LINES), strict=False)]
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    if not any(line.strip() for line in lines):
        raise LookError(f"{path}: the file is empty")
    return lines


def _not_utf8(path: Path, error: UnicodeDecodeError) -> LookError:
    return LookError(
        f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8, for instance with"
        f" `iconv -f latin1 -t utf-8 {path.name}`"
    )


def _separator(lines: list[str]) -> str:
    """The one that cuts most lines into the same number of cells, the more cells the better."""

    def agreement(separator: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        width, count = Counter(widths).most_common(1)[0]
        return (count / len(widths), width) if width > 1 else (0.0, 1)

    return max(SEPARATORS, key=agreement)


def _has_header(rows: list[list[str]]) -> bool:
    """Names are no numbers, and few of them stand again below."""
    first, body = [cell.strip() for cell in rows[0]], rows[1:]
    if any(_is_number(cell) for cell in first):
        return False
    below = [{row[at].strip() for row in body if at < len(row)} for at in range(len(first))]
    again = sum(cell in cells for cell, cells in zip(first, below, strict=True))
    return again <= len(first) // 4


def _names(first: list[str], header: bool, path: Path) -> list[str]:
    if not header:
        return [f"column_{at}" for at in range(1, len(first) + 1)]
    names = [name.strip() for name in first]
    for at, name in enumerate(names, start=1):
        if not name:
            raise LookError(
                f"{path}: the header has no name for column {at} (a saved index?); "
                "name it or take it out"
            )
        if names.count(name) > 1:
            raise LookError(f"{path}: the header names {name!r} twice; names must differ")
    return names


def _table(path: Path, separator: str, header: bool, names: list[str]) -> pd.DataFrame:
    """Every cell as trimmed text."""
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            header=0 if header else None,
            names=names,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except pd.errors.ParserError as error:
        reason = str(error).strip().rpartition("error: ")[2]
        raise LookError(f"{path}: is not a table: {reason}") from error
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    if not isinstance(table.index, pd.RangeIndex):
        raise LookError(f"{path}: is not a table: line 2 has more cells than line 1 names columns")
    return pd.DataFrame({name: table[name].fillna("").str.strip() for name in names})


def _missing(table: pd.DataFrame) -> tuple[str, ...]:
    """The empty cell, and the markers that this file uses."""
    found: dict[str, None] = {}
    for name in table:
        words = set(table[name].unique())
        found |= dict.fromkeys(word for word in MISSING if word in words)
        markers = {*MISSING, *MISSING_AMONG_NUMBERS, ""}
        rest = words - markers
        if rest and all(_is_number(word) for word in rest):
            found |= dict.fromkeys(word for word in MISSING_AMONG_NUMBERS if word in words)
    return ("", *found)


def _seen(cells: pd.Series[Any], missing: tuple[str, ...]) -> Seen:
    present = cells[~cells.isin(missing)]
    counts = present.value_counts()
    words = tuple(str(word) for word in counts.index)
    facts: dict[str, Any] = {
        "name": str(cells.name),
        "rows": len(cells),
        "missing": len(cells) - len(present),
        "values": words,
    }
    if numbers := _numbers(words):
        facts |= {"low": min(numbers), "high": max(numbers)}
    if len(words) < 2:
        return Seen(kind="ignore", reason="it holds one value only" if words else "empty", **facts)
    if true := _true_word(words):
        return Seen(kind="boolean", true=true, **facts)
    if numbers:
        return _seen_numbers(numbers, facts)
    return _seen_words(words, facts)


def _seen_numbers(numbers: list[float], facts: dict[str, Any]) -> Seen:
    whole: npt.NDArray[np.float64] = np.sort(np.array(numbers))
    counted = bool((np.diff(whole) == 1).all())
    different = len(numbers) == facts["rows"] and all(value.is_integer() for value in numbers)
    if different and (_ID_NAME.search(facts["name"]) or counted):
        return Seen(kind="id", **facts)
    return Seen(kind="numeric", **facts)


def _seen_words(words: tuple[str, ...], facts: dict[str, Any]) -> Seen:
    rows = facts["rows"] - facts["missing"]
    if all(_ISO_TIME.match(word) for word in words) and _are_times(words):
        return Seen(kind="timestamp", **facts)
    if len(words) == facts["rows"]:
        return Seen(kind="id", **facts)
    if len(words) > max(MOST_VALUES, rows // 5):
        why = f"{len(words)} different texts in {rows} rows say little about the next row"
        return Seen(kind="ignore", reason=why, **facts)
    return Seen(kind="categorical", **facts)


def _one_id(seen: list[Seen]) -> list[Seen]:
    """The first id stays, preferring one that is named so; the others are of no use to a model."""
    ids = [column for column in seen if column.kind == "id"]
    if not ids:
        return seen
    chosen = next((column for column in ids if _ID_NAME.search(column.name)), ids[0])
    why = f"every value differs, and {chosen.name} is the id"
    return [
        replace(column, kind="ignore", reason=why)
        if column in ids and column is not chosen
        else column
        for column in seen
    ]


def _true_word(words: tuple[str, ...]) -> str:
    """The word for true when the two words are a known pair, else nothing."""
    if len(words) != 2:
        return ""
    for true, false in (words, words[::-1]):
        if _PAIRS.get(true.lower()) == false.lower():
            return true
    return ""


def _numbers(words: tuple[str, ...]) -> list[float]:
    return [float(word) for word in words] if all(_is_number(word) for word in words) else []


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word))) and "_" not in word
    except ValueError:
        return False


def _are_times(words: tuple[str, ...]) -> bool:
    times = pd.to_datetime(pd.Series(words), format="ISO8601", utc=True, errors="coerce")
    return bool(times.notna().all())
