"""A captured record: a JSON line of data capture, decoded whatever its encoding. Pure.

record(line) -> Captured          bytes of request and answer, ids, time
rows(record) -> one row for each row of the request: its input columns, its output
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

# How a JSON body may wrap its rows.
WRAPPERS = ("predictions", "instances", "outputs", "inputs", "rows", "data")
TEXT = ("CSV", "JSON")


class CaptureError(Exception):
    """A line that is no captured record; the text says what is wrong with it."""


@dataclass(frozen=True)
class Side:
    """What was sent, or answered."""

    content_type: str
    data: bytes


@dataclass(frozen=True)
class Captured:
    """One request and its answer; a side that was not captured is None."""

    event_id: str
    inference_id: str
    time: datetime
    request: Side | None
    answer: Side | None

    @property
    def key(self) -> str:
        """What ground truth is joined by."""
        return self.inference_id or self.event_id


def record(line: str | bytes) -> Captured:
    """The record of one line; CaptureError for anything else."""
    try:
        found = json.loads(line)
        data, about = found["captureData"], found["eventMetadata"]
        moment = datetime.fromisoformat(about["inferenceTime"])
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return Captured(
            about["eventId"],
            about.get("inferenceId", ""),
            moment,
            _side(data.get("endpointInput")),
            _side(data.get("endpointOutput")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        text = line if isinstance(line, str) else line.decode("utf-8", errors="replace")
        raise CaptureError(f"no captured record ({error!r}): {text[:120]}") from error


def _side(found: dict[str, Any] | None) -> Side | None:
    if found is None:
        return None
    encoding, data = found["encoding"], found["data"]
    if encoding == "BASE64":
        content = base64.b64decode(data, validate=True)
    elif encoding in TEXT:
        content = data.encode()
    else:
        raise ValueError(f"encoding is {encoding!r}; allowed: BASE64, {', '.join(TEXT)}")
    return Side(found.get("observedContentType", ""), content)


def values(side: Side | None) -> list[Any]:
    """The rows of a body: dicts, lists or single values; [text] of what is neither CSV nor JSON.

    The content type decides; without a known one, what the body looks like does.
    """
    if side is None:
        return []
    kind = side.content_type.partition(";")[0].strip().lower()
    try:
        text = side.data.decode()
    except UnicodeDecodeError:
        return [f"<{len(side.data)} bytes of {kind or 'unknown type'}>"]
    if "jsonlines" in kind or "ndjson" in kind:
        return [each for line in text.splitlines() if line.strip() for each in _json(line)]
    if "json" in kind or text.lstrip()[:1] in ("{", "["):
        return _json(text)
    try:
        # newline="": the reader itself knows which ends of lines stand in a quoted cell.
        return [_csv_row(cells) for cells in csv.reader(io.StringIO(text, newline="")) if cells]
    except csv.Error:
        return [text]


def _json(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return [text]
    for wrapper in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), list):
            found = found[wrapper]
    return found if isinstance(found, list) else [found]


def _csv_row(cells: Sequence[str]) -> Any:
    found = [_number(cell) for cell in cells]
    return found[0] if len(found) == 1 else found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def rows(
    found: Captured, variant: str = "", columns: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """One for each row of the request: who and when, its columns, its output as text.

    `columns` names the cells of a row that brings no names, when there are as many.
    """
    sent, answered = values(found.request), values(found.answer)
    about = {
        "inference_id": found.key,
        "time": found.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "variant": variant,
    }
    for cells, output in zip_longest(sent, answered):
        named = _named(cells, columns)
        yield {**about, **named, "output": "" if output is None else _cell(output)}


def _named(cells: Any, columns: Sequence[str]) -> dict[str, str]:
    if cells is None:
        return {}
    if isinstance(cells, dict):
        return {str(name): _cell(value) for name, value in cells.items()}
    cells = cells if isinstance(cells, list) else [cells]
    fits = len(columns) == len(cells)
    names = columns if fits else [f"column_{index}" for index in range(len(cells))]
    return {name: _cell(value) for name, value in zip(names, cells, strict=True)}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
