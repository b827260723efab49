"""Targets and predictions of a model-quality job, as columns of texts, whatever their file.

An attribute is a column's name, its place (0 is the first), or a JSON path. In merged capture a
place counts the columns of the endpoint's output, and the target is the record's groundTruthData.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.monitors import capture, ground_truth, reading
from steps.monitors.environment import MonitorError, Settings, instant

Texts = list[str]
Floats = npt.NDArray[np.float64]


def columns(
    settings: Settings, truth: str | None, attributes: Sequence[str]
) -> tuple[Texts, list[Texts]]:
    """The targets, and a column per attribute; no targets when truth is None. Raises MonitorError
    naming what is missing."""
    labelled = truth is not None
    if settings.kind == "sagemakerCaptureJson":
        rows = _captured(settings, labelled, attributes)
    elif truth == "":
        raise MonitorError("ground_truth_attribute is not set; give it in the job's Environment")
    else:
        rows = _rows(settings, (truth, *attributes) if truth else attributes)
    found = list(zip(*rows, strict=True)) or [()] * (len(attributes) + labelled)
    texts = [list(column) for column in found]
    return (texts[0], texts[1:]) if labelled else ([], texts)


def _rows(settings: Settings, attributes: Sequence[str]) -> Iterator[Texts]:
    number = 0
    for batch in reading.batches(settings):
        names = [_named(attribute, batch.schema.names) for attribute in attributes]
        for cells in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
            number += 1
            yield [_cell(c, n, f"row {number}") for c, n in zip(cells, names, strict=True)]


def _captured(settings: Settings, labelled: bool, attributes: Sequence[str]) -> Iterator[Texts]:
    for where, event in ground_truth.read(settings.source):
        try:
            moment = instant(event["eventMetadata"]["inferenceTime"])
            records = capture.joined(event["captureData"], ("endpointOutput",))
            truths = _truths(event) if labelled else [[] for _ in records]
        except (KeyError, TypeError, ValueError) as error:
            wanted = "captured record with groundTruthData" if labelled else "captured record"
            merge = "; merge the labels first (steps.monitors.ground_truth)" if labelled else ""
            raise MonitorError(f"{where} is not a {wanted}: {error!r}{merge}") from error
        if not capture.inside(moment, settings):
            continue
        if len(truths) != len(records):
            raise MonitorError(f"{where} has {len(records)} predictions and {len(truths)} labels")
        for truth, record in zip(truths, records, strict=True):
            names = [_named(attribute, list(record)) for attribute in attributes]
            cells = [_cell(record[name], name, where) for name in names]
            yield [_cell(label, "groundTruthData", where) for label in truth] + cells


def _truths(event: Mapping[str, Any]) -> list[list[Any]]:
    return [[row[0]] for row in capture.rows(event["groundTruthData"])]


def _named(attribute: str, names: Sequence[str]) -> str:
    path = attribute.removeprefix("$.").removeprefix("$")
    if path in names:
        return path
    if path.isdecimal() and int(path) < len(names):
        return names[int(path)]
    raise MonitorError(f"attribute {attribute!r} is not one of the columns {', '.join(names)}")


def _cell(value: Any, name: str, where: str) -> str:
    text = "" if value is None else str(value).strip()
    if not text:
        raise MonitorError(f"{where}: {name} is empty; leave out rows without it")
    return text


def numbers(texts: Texts, name: str) -> Floats:
    """Finite numbers (n,)."""
    try:
        values = np.array([float(text) for text in texts])
    except ValueError as error:
        raise MonitorError(f"{name}: {error}; it must be a number") from error
    if not np.isfinite(values).all():
        raise MonitorError(f"{name}: {values[~np.isfinite(values)][0]} is not finite")
    return values


def decisions(texts: Texts, name: str) -> list[int]:
    """0 and 1 from 0, 1, 0.0, 1.0, true and false."""
    try:
        return [DECISIONS[text.lower()] for text in texts]
    except KeyError as error:
        raise MonitorError(f"{name} is {error}; use one of {', '.join(DECISIONS)}") from None


DECISIONS: Mapping[str, int] = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


def classes(texts: Texts) -> Texts:
    """The same class in the same letters: 1.0 is 1 where it is a number."""
    return [text[:-2] if text.endswith(".0") and text[:-2].isdecimal() else text for text in texts]


def attribute(variables: Mapping[str, str], name: str) -> str:
    if not variables.get(name):
        raise MonitorError(f"{name} is not set; give it in the job's Environment")
    return variables[name]


def threshold(variables: Mapping[str, str]) -> float:
    text = attribute(variables, "probability_threshold_attribute")
    try:
        return float(text)
    except ValueError:
        raise MonitorError(
            f"probability_threshold_attribute is {text!r}; it must be a number"
        ) from None
