"""An input object -> records -> mini-batches, without ever holding more than one of each.

A record of SplitType Line is a line without its end; lines of white space alone hold no record.
SplitType None makes the whole object one record; its size is checked before (check_size).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

Records = list[bytes]
Batch = tuple[Records, Records]  # the records as they were, and as they are sent
MEGABYTE = 1 << 20


class RecordTooLargeError(Exception):
    """A record does not fit into a request; the message says which and what to do."""


def records(file: BinaryIO, split_type: str, limit_bytes: int) -> Iterator[bytes]:
    """The records of an object, in order. Raises RecordTooLargeError."""
    if split_type == "None":
        yield file.read()
        return
    number = 0
    # Two more than fit: a line's end is no part of its record.
    while line := file.readline(limit_bytes + 2):
        number += 1
        record = line.removesuffix(b"\n").removesuffix(b"\r")
        check_size(len(record), number, limit_bytes)
        if not record.isspace() and record:
            yield record


def batches(
    given: Iterator[tuple[bytes, bytes]], limit_bytes: int | None, many: bool
) -> Iterator[Batch]:
    """Records as (original, what is sent) -> mini-batches: as many as fit, or one by one."""
    limit = float("inf") if limit_bytes is None else limit_bytes
    originals: Records = []
    sent: Records = []
    size = 0
    for original, record in given:
        if sent and (not many or size + len(record) > limit):
            yield originals, sent
            originals, sent, size = [], [], 0
        originals.append(original)
        sent.append(record)
        size += len(record) + 1
    if sent:
        yield originals, sent


def check_size(size: int, number: int, limit_bytes: int) -> None:
    """Raises RecordTooLargeError."""
    if size > limit_bytes:
        raise RecordTooLargeError(
            f"record {number} is larger than MaxPayloadInMB = {limit_bytes // MEGABYTE} allows; "
            "raise MaxPayloadInMB, or split the input (SplitType Line)"
        )
