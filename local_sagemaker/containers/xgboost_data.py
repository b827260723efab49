"""The data channels of XGBoost's algorithm mode: CSV, LIBSVM and Parquet files -> one DMatrix.

Label first, no header; with `csv_weights` the second CSV column is the row's weight. A missing
value (an empty CSV cell, an index that a LIBSVM row does not name) stays missing for XGBoost.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from local_sagemaker.containers.xgboost_parameters import UserError

Floats = npt.NDArray[np.float32]
DELIMITERS = ",;\t| "
LIBSVM = "text/libsvm"


@dataclass(frozen=True)
class Table:
    """Rows of one channel: labels (rows,), features (rows x columns; dense, or sparse for LIBSVM),
    weights (rows,) or None.
    """

    label: Floats
    features: Any
    weight: Floats | None = None


def read(directory: Path, content_type: str, *, csv_weights: bool) -> Table:
    """All files of a channel as one table. Raises UserError for what cannot be understood."""
    kind = content_type.partition(";")[0].strip().lower() or LIBSVM
    reader = READERS.get(kind)
    if reader is None:
        allowed = ", ".join(sorted(READERS))
        raise UserError(f"ContentType {content_type!r} is not supported; it may be {allowed}")
    _check_options(content_type)
    files = _files(directory)
    if not files:
        raise UserError(f"Channel {directory.name!r} holds no data file")
    return reader(files, csv_weights)


def _check_options(content_type: str) -> None:
    for option in content_type.split(";")[1:]:
        name, _, value = (each.strip() for each in option.partition("="))
        if name == "label_size" and value != "1":
            raise UserError(f"ContentType {content_type!r}: label_size may only be 1")


def _files(directory: Path) -> list[Path]:
    """Data files, by name; those that begin with . or _ are somebody's bookkeeping."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return [path for path in found if not path.name.startswith((".", "_"))]


def _read_csv(files: list[Path], csv_weights: bool) -> Table:
    return _from_frame([_csv_frame(path) for path in files], files, csv_weights)


def _csv_frame(path: Path) -> pd.DataFrame:
    with path.open(newline="") as file:
        first = file.readline()
    try:
        delimiter = csv.Sniffer().sniff(first, DELIMITERS).delimiter
    except csv.Error:  # one column, or one number
        delimiter = ","
    try:
        return pd.read_csv(path, header=None, sep=delimiter, dtype=np.float32)
    except pd.errors.EmptyDataError as cause:
        raise UserError(f"{path.name} is empty") from cause
    except (ValueError, pd.errors.ParserError) as cause:
        raise UserError(
            f"{path.name} is not a CSV of numbers without a header (label in the first column): "
            f"{cause}; its first line is {first.strip()[:120]!r}"
        ) from cause


def _read_parquet(files: list[Path], _weights: bool) -> Table:
    try:
        frames = [pd.read_parquet(path) for path in files]
    except (OSError, ValueError) as cause:
        raise UserError(f"a file of the channel is not Parquet: {cause}") from cause
    return _from_frame(frames, files, csv_weights=False)


def _from_frame(frames: list[pd.DataFrame], files: list[Path], csv_weights: bool) -> Table:
    before = 2 if csv_weights else 1
    for frame, path in zip(frames, files, strict=True):
        if frame.shape[1] != frames[0].shape[1]:
            raise UserError(
                f"{path.name} has {frame.shape[1]} columns, {files[0].name} {frames[0].shape[1]}"
            )
        if frame.shape[1] <= before:
            raise UserError(
                f"{path.name} has {frame.shape[1]} columns; label"
                f"{', weight' if csv_weights else ''} and at least one feature are needed"
            )
    try:
        values = np.concatenate([frame.to_numpy(dtype=np.float32) for frame in frames])
    except (TypeError, ValueError) as cause:
        raise UserError(f"the channel holds something that is not a number: {cause}") from cause
    return Table(
        label=_labels(values[:, 0]),
        features=values[:, before:],
        weight=values[:, 1] if csv_weights else None,
    )


def _read_libsvm(files: list[Path], _weights: bool) -> Table:
    """`label[:weight] index:value ...`, indices from zero; scikit-learn's reader knows no weight,
    so that is taken off before.
    """
    from sklearn.datasets import load_svmlight_file

    weights: list[str] = []
    rows: list[str] = []
    for path in files:
        for line in filter(str.strip, path.read_text().splitlines()):
            first, _, rest = line.strip().partition(" ")
            label, _, weight = first.partition(":")
            weights.append(weight)
            rows.append(f"{label} {rest}\n")
    try:
        text = io.BytesIO("".join(rows).encode())
        features, label_values = load_svmlight_file(text, dtype=np.float32, zero_based=True)
        weight_values = np.array(weights, np.float32) if any(weights) else None
    except ValueError as cause:
        names = ", ".join(path.name for path in files)
        raise UserError(
            f"{names}: not LIBSVM text (label[:weight] index:value ...): {cause}"
        ) from cause
    return Table(_labels(label_values), features, weight_values)


def _labels(values: npt.NDArray[Any]) -> Floats:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise UserError(f"{bad} of {len(values)} rows have no label (the first column)")
    return values.astype(np.float32)


def matrices(tables: dict[str, Table]) -> dict[str, Any]:
    """A DMatrix for each; sparse ones get the width of the widest, dense ones must agree."""
    import xgboost

    widths = {name: table.features.shape[1] for name, table in tables.items()}
    widest = max(widths.values())
    for name, table in tables.items():
        if widths[name] != widest:
            if isinstance(table.features, np.ndarray):
                raise UserError(f"the channels differ in their number of features: {widths}")
            table.features.resize(table.features.shape[0], widest)
    return {
        name: xgboost.DMatrix(table.features, label=table.label, weight=table.weight)
        for name, table in tables.items()
    }


READERS: dict[str, Callable[[list[Path], bool], Table]] = {
    "application/x-parquet": _read_parquet,
    "csv": _read_csv,
    "libsvm": _read_libsvm,
    "parquet": _read_parquet,
    "text/csv": _read_csv,
    "text/libsvm": _read_libsvm,
    "text/x-libsvm": _read_libsvm,
}
