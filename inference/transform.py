"""The one feature transform: typed columns in, the float32 matrix that XGBoost reads out.

`steps.prepare` fits it on train rows and writes `transform.json`; training and serving then encode
through `Transform.encode` alone. A request's cells become typed columns in `parse_column`; the
training frame arrives typed from `steps.tables`. The body formats live in `codecs.py`, the models
in `model.py`. numpy and the standard library only; `import_xgboost` is handed on because steps may
import no other module of this room.
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inference.xgb import import_xgboost

__all__ = ["CellError", "Feature", "Features", "Transform", "fit", "import_xgboost"]

Features: TypeAlias = npt.NDArray[np.float32]
Column: TypeAlias = npt.NDArray[Any]

KINDS = ("numeric", "categorical", "boolean", "timestamp")
FEATURE_TYPES = {"numeric": "q", "categorical": "c", "boolean": "i", "timestamp": "q"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
SHOWN_CHARACTERS = 60


class CellError(ValueError):
    """A cell that its column cannot hold; the text names column, row and value."""


@dataclass(frozen=True)
class Feature:
    """One feature column: what it is called, its kind, and what the kind needs to be read."""

    name: str
    kind: str
    categories: tuple[str, ...] = ()
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()


@dataclass(frozen=True)
class Transform:
    """Fitted features in order, the cell texts that mean missing, the columns to leave aside.

    `ignored` names columns a full data row has beside its features (ids, targets): a request may
    carry them.
    """

    features: tuple[Feature, ...]
    missing: tuple[str, ...] = ("",)
    ignored: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def feature_types(self) -> list[str]:
        """XGBoost's letter per feature: q quantitative, c categorical, i indicator."""
        return [FEATURE_TYPES[feature.kind] for feature in self.features]

    def encode(self, columns: Mapping[str, Column]) -> Features:
        """Typed columns, each of n values -> float32 (n, features), C-contiguous.

        Numeric, boolean and timestamp columns are float64 with NaN for missing; categorical ones
        hold texts with None for missing. A missing value and a category not seen in training
        become NaN. Raises CellError for infinite numbers and those beyond float32.
        """
        lengths = {len(columns[name]) for name in self.names}
        if len(lengths) != 1:
            raise ValueError(f"columns of unequal length: {sorted(lengths)}")
        encoded = np.empty((lengths.pop(), len(self.features)), dtype=np.float32)
        for index, feature in enumerate(self.features):
            encoded[:, index] = _encode_column(feature, columns[feature.name])
        return encoded

    def parse_column(self, feature: Feature, cells: Sequence[object]) -> Column:
        """The cells of a request (texts of a CSV, values of a JSON) -> a typed column.

        Raises CellError naming column, row (from 1) and value, never NaN for a bad value.
        """
        reader = _READERS[feature.kind]
        values: list[Any] = []
        for row, cell in enumerate(cells, start=1):
            text = cell.strip() if isinstance(cell, str) else cell
            missing = text is None or (isinstance(text, str) and text in self.missing)
            try:
                values.append(None if missing else reader(feature, text))
            except ValueError as error:
                shown = json.dumps(cell, default=repr, ensure_ascii=False)[:SHOWN_CHARACTERS]
                raise CellError(
                    f'column "{feature.name}", row {row}: {shown} is not {error}'
                ) from None
        return np.array(values, dtype=object if feature.kind == "categorical" else np.float64)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Transform":
        content = json.loads(text)
        features = tuple(_feature(item) for item in content["features"])
        return cls(
            features=features,
            missing=tuple(content["missing"]),
            ignored=tuple(content["ignored"]),
        )


def fit(feature: Feature, column: Column) -> Feature:
    """The feature with what must be learned from train rows: the categories, sorted."""
    if feature.kind not in KINDS:
        raise ValueError(f'feature "{feature.name}" is {feature.kind}; allowed: {", ".join(KINDS)}')
    if feature.kind != "categorical":
        return feature
    seen = {value for value in column.tolist() if isinstance(value, str)}
    return Feature(feature.name, feature.kind, categories=tuple(sorted(seen)))


def _feature(item: dict[str, Any]) -> Feature:
    words = {key: tuple(item[key]) for key in ("categories", "true", "false")}
    return Feature(item["name"], item["kind"], **words)


def _encode_column(feature: Feature, column: Column) -> npt.NDArray[np.float32]:
    if feature.kind == "categorical":
        codes = {category: float(code) for code, category in enumerate(feature.categories)}
        known = [codes.get(value, math.nan) for value in column.tolist()]
        return np.array(known, dtype=np.float32)
    with np.errstate(over="ignore"):
        narrowed = column.astype(np.float32)
    beyond = np.flatnonzero(np.isinf(narrowed))
    if beyond.size:
        raise CellError(
            f'column "{feature.name}", row {beyond[0] + 1}: {column[beyond[0]]} is not a finite'
            " 32-bit number"
        )
    return narrowed


def _read_number(feature: Feature, cell: object) -> float:
    number = math.nan
    if isinstance(cell, str) and NUMBER.match(cell):
        number = float(cell)
    elif isinstance(cell, int | float) and not isinstance(cell, bool):
        # An integer of 400 digits is valid JSON, and beyond any float.
        number = float(cell) if abs(cell) < sys.float_info.max else math.nan
    if not math.isfinite(number):
        raise ValueError("a number")
    return number


def _read_category(feature: Feature, cell: object) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(cell)
    raise ValueError("a text")


def _read_boolean(feature: Feature, cell: object) -> float:
    if isinstance(cell, bool):
        return float(cell)
    text = str(cell).lower()
    if text in (word.lower() for word in feature.true):
        return 1.0
    if text in (word.lower() for word in feature.false):
        return 0.0
    raise ValueError(f"one of {', '.join((*feature.true, *feature.false))}")


def _read_timestamp(feature: Feature, cell: object) -> float:
    """Seconds since 1970 in UTC; a time without an offset is taken as UTC."""
    try:
        moment = datetime.fromisoformat(str(cell))
    except ValueError:
        raise ValueError("an ISO 8601 time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_READERS = {
    "numeric": _read_number,
    "categorical": _read_category,
    "boolean": _read_boolean,
    "timestamp": _read_timestamp,
}
