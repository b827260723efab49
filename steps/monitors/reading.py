"""The data set as a stream of record batches, whatever its format."""

import csv
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from steps.monitors import capture, scripts
from steps.monitors.environment import MonitorError, Settings

BLOCK = 8 << 20
ROWS = 10_000


def batches(settings: Settings) -> Iterator[pa.RecordBatch]:
    """Every row below dataset_source. Raises MonitorError naming the file."""
    files = sorted(
        path for path in settings.source.rglob("*") if path.is_file() and path.name[0] not in "._"
    )
    if settings.preprocessor and settings.kind != "sagemakerCaptureJson":
        raise MonitorError("record_preprocessor_script is supported for captured data only")
    if settings.kind == "sagemakerCaptureJson":
        handler = scripts.preprocessor(settings.preprocessor) if settings.preprocessor else None
        yield from _grouped(capture.records(files, settings, handler))
    elif settings.kind == "json":
        yield from _grouped(_json_lines(files))
    else:
        for file in files:
            yield from _csv(file, settings) if settings.kind == "csv" else _parquet(file)


def _csv(file: Path, settings: Settings) -> Iterator[pa.RecordBatch]:
    with file.open(newline="", encoding="utf-8") as lines:
        first = next(csv.reader(lines), None)
    if not first:
        return
    header = bool(settings.options.get("header"))
    names = first if header else [f"_c{place}" for place in range(len(first))]
    try:
        yield from pacsv.open_csv(
            file,
            read_options=pacsv.ReadOptions(
                column_names=names, skip_rows=int(header), block_size=BLOCK, use_threads=False
            ),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise MonitorError(f"{file} is not CSV with {len(names)} columns: {error}") from error


def _parquet(file: Path) -> Iterator[pa.RecordBatch]:
    try:
        yield from pq.ParquetFile(file).iter_batches(65_536)
    except pa.ArrowInvalid as error:
        raise MonitorError(f"{file} is not Parquet: {error}") from error


def _json_lines(files: list[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    if line.strip():
                        yield capture.flat(json.loads(line))
                except ValueError as error:
                    raise MonitorError(f"{file}, line {number} is not JSON: {error}") from error


def _grouped(records: Iterable[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    stream = iter(records)
    while rows := list(itertools.islice(stream, ROWS)):
        names = list(dict.fromkeys(name for row in rows for name in row))
        yield pa.record_batch(
            {name: pa.array([_text(row.get(name)) for row in rows], pa.string()) for name in names}
        )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
