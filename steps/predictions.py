"""What a version said about each test row, kept so that another version can be compared with it.

`predictions.npz` stands beside evaluation.json: of each test row a digest (never its cells), and of
each model the target and the prediction. Digests tell which rows two versions were both tested on.
"""

import csv
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NAME = "predictions.npz"
NO_LABELS = ("",)

Digests = npt.NDArray[np.uint64]


class PredictionsError(Exception):
    """The predictions cannot be kept or read."""


class Said(NamedTuple):
    """Of one model: targets (n,), predictions (n,) or (n, classes), the classes in their order."""

    targets: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]
    labels: tuple[str, ...] = NO_LABELS


def write(path: Path, rows: Path, said: Mapping[str, Said]) -> None:
    """Keep what the models said about the rows of a CSV with a header; equal inputs, equal bytes.

    Raises PredictionsError when the CSV has another number of rows than the predictions.
    """
    digests = row_digests(rows)
    arrays: dict[str, Any] = {"rows": digests}
    for name, each in said.items():
        if len(each.targets) != len(digests):
            raise PredictionsError(
                f"{rows} has {len(digests)} rows, the predictions of {name} {len(each.targets)};"
                " run prepare again"
            )
        parts = {"target": each.targets, "value": each.values, "labels": np.array(each.labels)}
        arrays |= {f"{part}-{name}": array for part, array in parts.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def read(path: Path, models: Sequence[str]) -> tuple[Digests, dict[str, Said]]:
    """The digests of the rows, and what these models said. Raises PredictionsError."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            said = {
                name: Said(
                    kept[f"target-{name}"],
                    kept[f"value-{name}"],
                    tuple(kept[f"labels-{name}"].tolist()),
                )
                for name in models
            }
            return kept["rows"], said
    except (OSError, ValueError, KeyError) as error:
        raise PredictionsError(f"{path} does not hold the predictions of a run: {error}") from error


def row_digests(path: Path) -> Digests:
    """One number a row, of its cells and the columns' names: (n,) unsigned 64 bit."""
    with path.open(encoding="utf-8", newline="") as opened:
        reader = csv.reader(opened)
        header = "\x1f".join(next(reader, []))
        found = [_digest(header, cells) for cells in reader if cells]
    return np.array(found, dtype=np.uint64)


def shared(first: Digests, second: Digests) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where the rows that both have stand in each; a row that is there k times pairs up k times at
    most. Both (m,), in the order of the digests.
    """
    keys = [_numbered(each) for each in (first, second)]
    places = [{key: place for place, key in enumerate(each)} for each in keys]
    both = sorted(places[0].keys() & places[1].keys())
    ours, theirs = ([found[key] for key in both] for found in places)
    return np.array(ours, dtype=np.intp), np.array(theirs, dtype=np.intp)


def _numbered(digests: Digests) -> list[tuple[int, int]]:
    """Each digest with how often it was there before."""
    seen: dict[int, int] = {}
    found = []
    for digest in digests.tolist():
        seen[digest] = seen.get(digest, -1) + 1
        found.append((digest, seen[digest]))
    return found


def _digest(header: str, cells: Sequence[str]) -> int:
    text = "\x1f".join((header, *cells))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
