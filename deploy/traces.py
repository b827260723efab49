"""Traffic traces: CSV files with the columns minute and requests."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from deploy.commands import DeployError

LONGEST = 60 * 24 * 366


def read(path: Path) -> list[float]:
    """The requests of each minute, from the first minute of the file to its last; minutes that are
    not in it had none. Raises DeployError.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DeployError(f"--trace {path} cannot be read: {error}", 2) from error
    found: dict[int, float] = {}
    for line, row in enumerate(rows, start=2):
        minute, requests = _numbers(path, line, row)
        found[minute] = found.get(minute, 0.0) + requests
    if not found:
        raise DeployError(f"--trace {path} has no rows.", 2)
    first, last = min(found), max(found)
    if last - first >= LONGEST:
        raise DeployError(f"--trace {path}: minutes {first} to {last} are more than a year.", 2)
    return [found.get(minute, 0.0) for minute in range(first, last + 1)]


def _numbers(path: Path, line: int, row: dict[str, str]) -> tuple[int, float]:
    try:
        minute, requests = int(row["minute"]), float(row["requests"])
    except (KeyError, TypeError, ValueError) as error:
        raise DeployError(
            f"--trace {path}, line {line}: needs a whole number as minute and a number as "
            f"requests; it is {row}",
            2,
        ) from error
    if not (math.isfinite(requests) and requests >= 0):
        raise DeployError(f"--trace {path}, line {line}: requests is {requests}, not 0 or more.", 2)
    return minute, requests
