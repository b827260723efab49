"""Request bodies to feature matrices, predictions to response bodies: text/csv, application/json.

    decode(transform, body, content_type) -> Features      encode(predictions, ...) -> body

Every mistake in a request is a RequestError that carries its HTTP status. What a cell means is
`transform.py`'s business, what a model answers is `model.py`'s.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from inference.transform import CellError, Features, Transform

CSV = "text/csv"
JSON = "application/json"
MEDIA_TYPES = (JSON, CSV)
Prediction = Mapping[str, Any]


class RequestError(Exception):
    """A request that cannot be answered; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def decode(transform: Transform, body: bytes, content_type: str | None) -> Features:
    """The rows of a body -> float32 (rows, features). Raises RequestError (400, 415)."""
    media_type, parameters = _media_type(content_type or "")
    if media_type not in MEDIA_TYPES:
        raise RequestError(
            415, f'Content-Type "{content_type or ""}" is not read; send {" or ".join(MEDIA_TYPES)}'
        )
    text = _text(body, parameters.get("charset", "utf-8"))
    if not text.strip():
        raise RequestError(400, "the body is empty; send at least one row")
    cells = _csv_cells(transform, text) if media_type == CSV else _json_cells(transform, text)
    try:
        return transform.encode(
            {f.name: transform.parse_column(f, cells[f.name]) for f in transform.features}
        )
    except CellError as error:
        raise RequestError(400, str(error)) from None


def answer_type(accept: str | None) -> str:
    """The media type to answer with: the Accept header's favourite. Raises RequestError (406)."""
    favourites = []
    for position, entry in enumerate((accept or "*/*").split(",")):
        media_type, parameters = _media_type(entry)
        favourites.append((-_quality(parameters), position, media_type))
    for quality, _, media_type in sorted(favourites):
        for offered in MEDIA_TYPES:
            if quality < 0 and media_type in (offered, "*/*", offered.split("/")[0] + "/*"):
                return offered
    raise RequestError(
        406, f'Accept "{accept}" cannot be answered; ask for {" or ".join(MEDIA_TYPES)}'
    )


def encode(predictions: Sequence[Prediction], model_version: str, media_type: str) -> bytes:
    """Predictions -> a body. CSV: a line a row, models in bundle order, multiclass as its label."""
    if media_type == JSON:
        answer = {"predictions": predictions, "model_version": model_version}
        return json.dumps(answer, ensure_ascii=False).encode()
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for prediction in predictions:
        writer.writerow(
            value["label"] if isinstance(value, dict) else value for value in prediction.values()
        )
    return lines.getvalue().encode()


def _media_type(header: str) -> tuple[str, dict[str, str]]:
    """'text/csv; charset=utf-8' -> ('text/csv', {'charset': 'utf-8'})."""
    media_type, *parts = header.split(";")
    pairs = (part.partition("=") for part in parts)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    return media_type.strip().lower(), parameters


def _quality(parameters: Mapping[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0


def _text(body: bytes, charset: str) -> str:
    try:
        return body.decode("utf-8-sig" if charset.lower() in ("utf-8", "utf8") else charset)
    except LookupError:
        raise RequestError(415, f'charset "{charset}" is not known; send utf-8') from None
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not {charset}: {error.reason}") from None


def _csv_cells(transform: Transform, text: str) -> dict[str, Sequence[object]]:
    """Cells per feature. A first line made of column names is a header, else order is `names`."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise RequestError(400, f"the body is not CSV: {error}") from None
    header = transform.names
    if _is_header(transform, rows[0]):
        header = [cell.strip() for cell in rows.pop(0)]
        _check_names(transform, header)
        if not rows:
            raise RequestError(400, "the body holds a header and no row; send at least one row")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise RequestError(
                400,
                f"row {number} has {len(row)} cells; {len(header)} are expected: "
                + ", ".join(header),
            )
    columns: dict[str, Sequence[object]] = dict(zip(header, zip(*rows, strict=True), strict=True))
    absent = [None] * len(rows)
    return {name: columns.get(name, absent) for name in transform.names}


def _is_header(transform: Transform, cells: Sequence[str]) -> bool:
    """Whether most cells are column names: one misspelt name must not turn a header into data."""
    known = {*transform.names, *transform.ignored}
    return 2 * sum(cell.strip() in known for cell in cells) > len(cells)


def _json_cells(transform: Transform, text: str) -> dict[str, Sequence[object]]:
    """Cells per feature of {"instances": [{column: value}, ...]} or of one {column: value}."""
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    single = isinstance(content, dict) and "instances" not in content
    instances = [content] if single else content["instances"] if isinstance(content, dict) else None
    if (
        not isinstance(instances, list)
        or not instances
        or not all(isinstance(item, dict) for item in instances)
    ):
        raise RequestError(
            400,
            'the JSON body must be {"instances": [{column: value, ...}, ...]} with at least one'
            " row, or one object {column: value, ...}",
        )
    _check_names(transform, list(dict.fromkeys(name for item in instances for name in item)))
    return {name: [item.get(name) for item in instances] for name in transform.names}


def _check_names(transform: Transform, names: Sequence[str]) -> None:
    unknown = sorted(set(names) - {*transform.names, *transform.ignored})
    if unknown:
        raise RequestError(
            400,
            f"unknown column {', '.join(map(repr, unknown))}; the columns are: "
            + ", ".join(transform.names),
        )
    if len(set(names)) < len(names):
        doubled = next(name for name in names if list(names).count(name) > 1)
        raise RequestError(400, f'the header names column "{doubled}" twice')
    if not set(names) & set(transform.names):
        raise RequestError(400, f"no column given; name some of: {', '.join(transform.names)}")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number; send null for a missing value")
