"""Captured requests and answers: JSON lines to records of named texts."""

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from steps.monitors.environment import CAPTURED, MonitorError, Settings, instant

Record = dict[str, Any]
Handler = Callable[[Any], Any]


def records(files: list[Path], settings: Settings, handler: Handler | None) -> Iterator[Record]:
    """The records captured in the window, outputs before inputs."""
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield from _line(line, f"{file}, line {number}", settings, handler)


def _line(line: str, where: str, settings: Settings, handler: Handler | None) -> list[Record]:
    try:
        event = json.loads(line)
        if not inside(instant(event["eventMetadata"]["inferenceTime"]), settings):
            return []
        if handler:
            return _handled(handler(_wrapped(event)), where)
        return joined(event["captureData"], settings.options.get("captureIndexNames", CAPTURED))
    except (KeyError, TypeError, ValueError) as error:
        raise MonitorError(f"{where} is not a captured record: {error!r}") from error


def inside(moment: datetime, settings: Settings) -> bool:
    return not (
        (settings.start and moment < settings.start) or (settings.end and moment >= settings.end)
    )


def joined(data: Mapping[str, Any], names: Any) -> list[Record]:
    """Row i of the outputs beside row i of the inputs; counts that differ are an error."""
    parts = [rows(data[name]) for name in CAPTURED if name in names and name in data]
    if len({len(part) for part in parts}) > 1:
        raise ValueError(f"outputs and inputs have {[len(part) for part in parts]} rows")
    return [_merged(rows) for rows in zip(*parts, strict=True)]


def _merged(rows: tuple[Any, ...]) -> Record:
    record: Record = {}
    for row in rows:
        if isinstance(row, dict):
            record |= row
        else:
            record |= {f"_c{len(record) + place}": value for place, value in enumerate(row)}
    return record


def rows(part: Mapping[str, Any]) -> list[Any]:
    text, encoding = part["data"], part["encoding"]
    if encoding == "BASE64":
        text = base64.b64decode(text).decode("utf-8")
        encoding = "JSON" if "json" in part.get("observedContentType", "") else "CSV"
    if encoding == "CSV":
        return [row for row in csv.reader(io.StringIO(text)) if row]
    if encoding == "JSON":
        return [_flat(json.loads(text))]
    raise ValueError(f"encoding {encoding!r} is not CSV, JSON or BASE64")


def _flat(value: Any, name: str = "") -> Record:
    """{"a": {"b": [1]}} is {"a.b[0]": 1}."""
    if isinstance(value, dict):
        pairs = [(f"{name}.{key}" if name else key, inner) for key, inner in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{name}[{place}]", inner) for place, inner in enumerate(value)]
    else:
        return {name or "_c0": value}
    return {key: leaf for path, inner in pairs for key, leaf in _flat(inner, path).items()}


def flat(value: Any) -> Record:
    return _flat(value)


def _wrapped(event: Mapping[str, Any]) -> SimpleNamespace:
    data, meta = event["captureData"], event["eventMetadata"]

    def part(name: str) -> SimpleNamespace | None:
        found = data.get(name)
        return SimpleNamespace(data=found["data"], encoding=found["encoding"]) if found else None

    return SimpleNamespace(
        endpoint_input=part("endpointInput"),
        endpoint_output=part("endpointOutput"),
        batch_transform_output=part("batchTransformOutput"),
        ground_truth=event.get("groundTruthData"),
        event_metadata=SimpleNamespace(
            event_id=meta.get("eventId"),
            event_time=meta.get("inferenceTime"),
            custom_attribute=meta.get("customAttributes"),
        ),
    )


def _handled(answer: Any, where: str) -> list[Record]:
    rows = answer if isinstance(answer, list) else [answer]
    if not all(isinstance(row, dict) for row in rows):
        raise MonitorError(f"preprocess_handler gave {answer!r} for {where}; return dict or list")
    return rows
