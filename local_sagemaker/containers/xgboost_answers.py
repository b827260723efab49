"""Predictions of an XGBoost model in algorithm mode -> the body of an answer.

CSV has one line a row. JSON is {"predictions": [{"score": ...}]}, JSON Lines one such object a
line. With SAGEMAKER_INFERENCE_OUTPUT each row holds the chosen keys instead; what the objective
does not give is NaN, as in the image.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"
ACCEPTS = (CSV, JSON, JSON_LINES)
BINARY = ("binary:logistic", "binary:logitraw", "binary:hinge")
REGRESSION = ("reg:squarederror", "reg:logistic", "reg:gamma", "reg:tweedie")
SOFTMAX, SOFTPROB = "multi:softmax", "multi:softprob"
# Above it a row is of class 1.
THRESHOLDS = {"binary:logistic": 0.5, "binary:logitraw": 0.0}
NAN = float("nan")


@dataclass(frozen=True)
class Style:
    """How this container answers: its default Accept, the chosen keys, is it a batch transform."""

    accept: str
    keys: tuple[str, ...]
    batch: bool


def style(environ: Mapping[str, str]) -> Style:
    """Read the container's environment. Raises ValueError for a key that there is not."""
    chosen = environ.get("SAGEMAKER_INFERENCE_OUTPUT", "").replace(" ", "").lower()
    keys = tuple(chosen.split(",")) if chosen else ()
    for key in keys:
        if key not in FIELDS:
            allowed = ", ".join(FIELDS)
            raise ValueError(f"SAGEMAKER_INFERENCE_OUTPUT: {key!r} is none of: {allowed}")
    accept = environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or CSV
    return Style(accept, keys, bool(environ.get("SAGEMAKER_BATCH")))


def accepted(asked: str | None, chosen: Style) -> str:
    """The content type of the answer. Raises ValueError for one that cannot be given."""
    accept = (asked or "*/*").partition(";")[0].strip().lower()
    accept = chosen.accept if accept == "*/*" else accept
    if accept not in ACCEPTS:
        allowed = ", ".join(ACCEPTS)
        raise ValueError(f"Accept type {accept} is not supported; it may be {allowed}")
    return accept


def write(predictions: Any, accept: str, chosen: Style, objective: str, num_class: int) -> str:
    """The body. Raises ValueError for an objective that has no keys to choose from."""
    rows = predictions.tolist()
    if chosen.keys:
        return _records(select(rows, chosen.keys, objective, num_class), accept)
    if accept != CSV:
        return _records([{"score": row} for row in rows], accept)
    return "".join(f"{_line(row, chosen.batch)}\n" for row in rows)


def _line(row: Any, batch: bool) -> str:
    """In a batch transform a row of several numbers keeps Python's brackets, as in the image."""
    return ",".join(map(str, row)) if isinstance(row, list) and not batch else str(row)


def _records(records: list[dict[str, Any]], accept: str) -> str:
    if accept == JSON:
        return json.dumps({"predictions": records})
    if accept == JSON_LINES:
        return "".join(f"{json.dumps(each)}\n" for each in records)
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(each.values() for each in records)
    return buffer.getvalue()


def select(
    rows: list[Any], keys: tuple[str, ...], objective: str, num_class: int
) -> list[dict[str, Any]]:
    """For each row its chosen keys, in their order."""
    known = (*REGRESSION, *BINARY, SOFTMAX, SOFTPROB)
    if objective not in known:
        raise ValueError(
            f"Objective {objective} has no keys for SAGEMAKER_INFERENCE_OUTPUT; those of "
            f"{', '.join(known)} have. Leave the variable out"
        )
    return [{key: FIELDS[key](row, objective, num_class) for key in keys} for row in rows]


def _predicted_score(row: Any, objective: str, _: int) -> Any:
    return row if objective in REGRESSION else NAN


def _predicted_label(row: Any, objective: str, _: int) -> Any:
    if objective == SOFTPROB:
        return max(range(len(row)), key=row.__getitem__)
    if objective in THRESHOLDS:
        return int(row > THRESHOLDS[objective])
    return row if objective in (SOFTMAX, "binary:hinge") else NAN


def _labels(_: Any, objective: str, num_class: int) -> Any:
    if objective in BINARY:
        return [0, 1]
    return list(range(num_class)) if objective in (SOFTMAX, SOFTPROB) else NAN


def _probability(row: Any, objective: str, _: int) -> Any:
    if objective == SOFTPROB:
        return max(row)
    return row if objective == "binary:logistic" else NAN


def _probabilities(row: Any, objective: str, _: int) -> Any:
    if objective == SOFTPROB:
        return row
    return [1.0 - row, row] if objective == "binary:logistic" else NAN


def _raw_score(row: Any, objective: str, _: int) -> Any:
    if objective == SOFTPROB:
        return max(row)
    return NAN if objective in REGRESSION else row


def _raw_scores(row: Any, objective: str, _: int) -> Any:
    if objective == SOFTPROB:
        return row
    return NAN if objective in REGRESSION else [1.0 - row, row]


FIELDS: dict[str, Callable[[Any, str, int], Any]] = {
    "predicted_label": _predicted_label,
    "labels": _labels,
    "probability": _probability,
    "probabilities": _probabilities,
    "raw_score": _raw_score,
    "raw_scores": _raw_scores,
    "predicted_score": _predicted_score,
}
