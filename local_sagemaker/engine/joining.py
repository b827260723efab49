"""A batch transform's DataProcessing: filter what is sent, join what comes back, filter what is
written.

Records are texts. A CSV row is an array of its fields, each kept as it was written, quotes
included; JSON and each line of JSON Lines are documents. What a filter does not touch stays byte
for byte as it was.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine import json_paths
from local_sagemaker.engine.json_paths import Path
from local_sagemaker.engine.splitting import BINARY
from local_sagemaker.errors import validation
from local_sagemaker.store import Row

CSV = "text/csv"
JSON_KINDS = ("application/json", "application/jsonlines", "application/x-jsonlines")
KINDS = (CSV, *JSON_KINDS)
LINES = frozenset(KINDS) - {"application/json"}  # one record a line, even in an object left whole
FIELD = re.compile(r'(?:^|,)("(?:[^"]|"")*"[^,]*|[^,]*)')
INPUT, OUTPUT = "SageMakerInput", "SageMakerOutput"
INFERENCE_ID, INFERENCE_TIME = "SageMakerInferenceId", "SageMakerInferenceTime"
NOT_STARTED = "-"  # the stamp while a request is only checked


class RecordError(Exception):
    """A record that cannot be filtered or joined; the message says why."""


@dataclass(frozen=True)
class Processing:
    """What is done with each record; nothing at all when `is_plain`."""

    input_filter: Path
    output_filter: Path
    joins: bool
    input_kind: str
    output_kind: str
    stamp: str = ""  # GenerateInferenceId: the job's start, which goes with the id of each record

    @property
    def is_plain(self) -> bool:
        """Do answers go out as they came?"""
        return self.output_filter.is_whole and not self.joins and not self.stamp

    @property
    def reads_lines(self) -> bool:
        """Must an object be cut into lines for this, though it is sent whole?"""
        works = not self.is_plain or not self.input_filter.is_whole
        return works and self.input_kind in LINES

    def outgoing(self, record: bytes) -> bytes:
        """What the model is sent for a record. Raises RecordError."""
        if self.input_filter.is_whole:
            return record
        return _filtered(self.input_filter, record.decode(), self.input_kind).encode()

    def written(self, record: bytes, answer: str) -> str:
        """What is written for a record and its answer. Raises RecordError."""
        kind = self.input_kind if self.joins else self.output_kind
        if self.joins:
            join = _join_csv if kind == CSV else _join_json
            answer = join(record.decode(), answer)
        text = _filtered(self.output_filter, answer, kind)
        return _stamped(text, kind, self.stamp) if self.stamp else text


def processing(row: Row, stamp: str = "") -> Processing:
    """Of a CreateTransformJob request or row. Raises ApiError for what cannot be done."""
    given = row.get("DataProcessing", {})
    identified = row.get("DataCaptureConfig", {}).get("GenerateInferenceId", False)
    chosen = Processing(
        _path("InputFilter", given),
        _path("OutputFilter", given),
        given.get("JoinSource", "None") == "Input",
        _kind(row["TransformInput"].get("ContentType", "")),
        _kind(row["TransformOutput"].get("Accept", "")),
        (stamp or NOT_STARTED) if identified else "",
    )
    if chosen.joins:
        _check_join(row, chosen)
    if not chosen.input_filter.is_whole or chosen.joins:
        _check_kind("TransformInput.ContentType", chosen.input_kind)
    if not chosen.is_plain:
        _check_kind("TransformOutput.Accept", chosen.output_kind)
    _check_split(row, chosen)
    return chosen


def assembled(
    chosen: Processing, originals: list[bytes], content: bytes, assemble_with: str
) -> bytes:
    """What is written for a mini-batch and its answer. Raises RecordError."""
    if not chosen.is_plain:
        pairs = zip(originals, answers(chosen, content, len(originals)), strict=True)
        end = b"\n" if content.endswith(b"\n") else b""
        content = "\n".join(chosen.written(*pair) for pair in pairs).encode() + end
    if assemble_with == "Line" and not content.endswith(b"\n"):
        return content + b"\n"
    return content


def answers(chosen: Processing, content: bytes, count: int) -> list[str]:
    """The answer for each record of a mini-batch. Raises RecordError when they are not as many."""
    text = content.decode()
    if count == 1 and chosen.output_kind != CSV:
        return [text]  # one document, on however many lines
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if len(lines) != count:
        raise RecordError(
            f"the model answered {len(lines)} lines for {count} records; filters and joins need "
            "one line a record"
        )
    return lines


def _filtered(path: Path, text: str, kind: str) -> str:
    if path.is_whole:
        return text
    parse, write = (_fields, _csv_text) if kind == CSV else (_document, _json_text)
    try:
        return write(path.apply(parse(text)))
    except json_paths.PathError as problem:
        raise RecordError(str(problem)) from problem


def _fields(row: str) -> list[str]:
    return FIELD.findall(row) if '"' in row else row.split(",")


def _csv_text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as problem:
        raise RecordError(f"a record is not JSON: {problem}") from problem


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _join_csv(record: str, answer: str) -> str:
    return f"{record},{answer}"


def _join_json(record: str, answer: str) -> str:
    given, output = _document(record), _document(answer)
    if isinstance(given, dict):
        return _json_text({**given, OUTPUT: output})
    return _json_text({INPUT: given, OUTPUT: output})


def _stamped(text: str, kind: str, stamp: str) -> str:
    """With an id of its own, by which ground truth finds it, and the job's start."""
    identity = str(uuid.uuid4())
    if kind == CSV:
        return f"{text},{identity},{stamp}"
    document = _document(text)
    whole = document if isinstance(document, dict) else {OUTPUT: document}
    return _json_text({**whole, INFERENCE_ID: identity, INFERENCE_TIME: stamp})


def _path(member: str, given: Row) -> Path:
    try:
        return json_paths.parse(given.get(member, "$"))
    except json_paths.PathError as problem:
        raise validation(f"DataProcessing.{member}: {problem}") from problem


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _check_kind(member: str, kind: str) -> None:
    if kind not in KINDS:
        raise validation(
            f"{member} = {kind!r} cannot be filtered or joined by DataProcessing, or given an "
            f"inference id; it may be {', '.join(KINDS)}"
        )


def _check_split(row: Row, chosen: Processing) -> None:
    """Binary records have no fields."""
    split = row["TransformInput"].get("SplitType", "None")
    if split in BINARY and not (chosen.is_plain and chosen.input_filter.is_whole):
        raise validation(
            f"SplitType {split}: DataProcessing and GenerateInferenceId need text records; "
            "SplitType may be None, Line"
        )


def _check_join(row: Row, chosen: Processing) -> None:
    kinds = (chosen.output_kind, chosen.input_kind)
    assembled = row["TransformOutput"].get("AssembleWith", "None")
    cuts = (assembled, row["TransformInput"].get("SplitType", "None"))
    for (ours, theirs), names in (
        (kinds, "TransformOutput.Accept = {!r} must be TransformInput.ContentType = {!r}"),
        (cuts, "TransformOutput.AssembleWith = {!r} must be TransformInput.SplitType = {!r}"),
    ):
        if ours != theirs:
            raise validation(f"JoinSource Input: {names.format(ours, theirs)}")
