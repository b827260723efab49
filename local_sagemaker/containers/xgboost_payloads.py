"""Bodies of requests to an XGBoost model in algorithm mode -> DMatrix. No label in either format.

CSV without a header: the delimiter is sniffed, an empty field is missing. LIBSVM: `[label] i:value
...`, columns counted from 0, what is not given is missing.
"""

from __future__ import annotations

import csv
from types import ModuleType
from typing import Any

CSV = "text/csv"
LIBSVM = ("text/libsvm", "text/x-libsvm")
DELIMITERS = ",;\t |"
SNIFFED = 512  # characters of the first line, as in the image


def matrix(xgboost: ModuleType, body: bytes, content_type: str | None) -> Any:
    """The rows of a request; ValueError names what is wrong with them."""
    kind = (content_type or CSV).partition(";")[0].strip().lower()
    if kind == CSV:
        read = _csv
    elif kind in LIBSVM:
        read = _libsvm
    else:
        allowed = ", ".join((CSV, *LIBSVM))
        raise ValueError(f"Content-type {kind} is not supported; it may be {allowed}")
    try:
        return read(xgboost, body.strip().decode())
    except ValueError as problem:
        raise ValueError(
            f"Loading {kind} data failed, please ensure data is in {kind} format: {problem}"
        ) from problem


def _csv(xgboost: ModuleType, text: str) -> Any:
    import numpy as np

    lines = text.splitlines()
    delimiter = _delimiter(lines[0] if lines else "")
    rows = [[field or "nan" for field in line.split(delimiter)] for line in lines]
    return xgboost.DMatrix(np.array(rows).astype(np.float32), nthread=1)


def _delimiter(line: str) -> str:
    try:
        return csv.Sniffer().sniff(line[:SNIFFED], DELIMITERS).delimiter
    except csv.Error:  # a single column has none
        return ","


def _libsvm(xgboost: ModuleType, text: str) -> Any:
    import numpy as np
    from scipy.sparse import csr_matrix

    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for line in text.splitlines():
        pairs = [item.partition(":") for item in line.split() if ":" in item]
        columns.extend(int(column) for column, _, _ in pairs)
        values.extend(float(value) for _, _, value in pairs)
        ends.append(len(values))
    if not values:
        raise ValueError("no row has an index:value pair")
    if min(columns) < 0:
        raise ValueError(f"column {min(columns)} is negative; columns are counted from 0")
    shape = (len(ends) - 1, max(columns) + 1)
    data = np.array(values, np.float32)
    return xgboost.DMatrix(csr_matrix((data, columns, ends), shape=shape), nthread=1)
