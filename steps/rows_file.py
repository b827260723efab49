"""test/rows.csv: the raw test rows, for facets, baselines and monitoring.

Plain CSV whatever the source looked like: commas, a header, the spec's column order; the cells as
they were. Typed reading is in `tables.py`.
"""

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.problem import Problem


class RowsError(Exception):
    """The rows of the files cannot be told apart."""


def copy(
    problem: Problem,
    sources: Sequence[Path],
    rows: npt.NDArray[np.intp],
    total: int,
    path: Path,
) -> None:
    """Write these of the `total` rows (counted through all files) to `path`."""
    wanted = np.zeros(total, dtype=bool)
    wanted[rows] = True
    start = 0
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(column.name for column in problem.columns)
        for source in sources:
            start += _copy_from(writer, problem, source, wanted[start:])
    if start != total:
        raise RowsError(
            f"{', '.join(source.name for source in sources)}: {total} rows were read as a table but"
            f" {start} as lines; quote cells that hold line breaks, and end every line the same way"
        )


def _copy_from(writer: Any, problem: Problem, source: Path, wanted: npt.NDArray[np.bool_]) -> int:
    """Write the wanted rows of one file; returns how many rows it has."""
    with source.open(encoding="utf-8-sig", newline="") as opened:
        lines = [line for line in opened if line.strip()]
    names = [column.name for column in problem.columns]
    quoted = any('"' in line for line in lines)
    # Without quotes a line is a row, so the unwanted ones need no parsing.
    rows: list[Any] = list(_cells(problem, lines)) if quoted else lines
    if problem.data.header:
        header, *rows = rows
        found = header if quoted else next(_cells(problem, [header]))
        places = [[cell.strip() for cell in found].index(name) for name in names]
    else:
        places = list(range(len(names)))
    chosen = itertools.compress(rows, wanted)
    parsed = chosen if quoted else _cells(problem, chosen)
    writer.writerows([cells[place] for place in places] for cells in parsed)
    return len(rows)


def _cells(problem: Problem, lines: Iterable[str]) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=problem.data.separator, skipinitialspace=True)
