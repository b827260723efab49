"""A small shop's customers: a CSV that is nobody's, with what real files have."""

import csv
from pathlib import Path

import numpy as np

HEADER = ["id", "visits", "spend", "city", "member", "left"]


def write(path: Path, rows: int = 1500, seed: int = 3) -> Path:
    """Numbers with blanks, a text column, Yes/No; `left` follows from visits and membership."""
    random = np.random.default_rng(seed)
    visits = random.poisson(6, rows)
    spend = random.gamma(2, 20, rows).round(2)
    member = random.random(rows) < 0.4
    leaves = random.random(rows) < 1 / (1 + np.exp(0.8 * visits + 2.0 * member - 4.5))
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADER)
        for row in range(rows):
            out.writerow(
                [
                    f"c{row}",
                    visits[row],
                    " " if row % 97 == 0 else spend[row],
                    ["Bern", "Basel", "Genf"][row % 3],
                    "Yes" if member[row] else "No",
                    "Yes" if leaves[row] else "No",
                ]
            )
    return path
