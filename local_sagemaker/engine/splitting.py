"""An input object -> records -> mini-batches, without ever holding more than one of each.

A record of SplitType Line is a line without its end; lines of white space alone hold no record.
SplitType None makes the whole object one record; its size is checked before (check_size). Of
RecordIO (dmlc's) and TFRecord a record is its payload, or framed as it lies in the file: a
mini-batch of several is again a file of that format.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

Records = list[bytes]
Batch = tuple[Records, Records]  # the records as they were, and as they are sent
MEGABYTE = 1 << 20
BINARY = ("RecordIO", "TFRecord")
RECORDIO_MAGIC = 0xCED7230A
WHOLE, START, MIDDLE, END = range(4)  # parts of a RecordIO record that holds the magic itself
LENGTH_BITS = 29


class RecordFormatError(Exception):
    """An object is not of the format that SplitType says; the message says where."""


class RecordTooLargeError(Exception):
    """A record does not fit into a request; the message says which and what to do."""


def records(
    file: BinaryIO, split_type: str, limit_bytes: int, *, framed: bool = False
) -> Iterator[bytes]:
    """The records of an object, in order. Raises RecordTooLargeError, RecordFormatError."""
    if split_type == "None":
        yield file.read()
    elif split_type == "Line":
        yield from _lines(file, limit_bytes)
    else:
        read = _READERS[split_type]
        number = 0
        while found := read(file, number + 1, limit_bytes):
            number += 1
            check_size(len(found[framed]), number, limit_bytes)
            yield found[framed]


def _lines(file: BinaryIO, limit_bytes: int) -> Iterator[bytes]:
    number = 0
    # Two more than fit: a line's end is no part of its record.
    while line := file.readline(limit_bytes + 2):
        number += 1
        record = line.removesuffix(b"\n").removesuffix(b"\r")
        check_size(len(record), number, limit_bytes)
        if not record.isspace() and record:
            yield record


Frame = tuple[bytes, bytes]  # a record's payload, and all of it as it lies in the file


def _recordio(file: BinaryIO, number: int, limit_bytes: int) -> Frame | None:
    """The next record: magic, kind and length in one word, payload filled up to four bytes."""
    parts: Records = []
    frame = b""
    while head := file.read(8):
        if len(head) < 8:
            raise _malformed("RecordIO", number)
        magic, word = struct.unpack("<II", head)
        kind, length = word >> LENGTH_BITS, word & ((1 << LENGTH_BITS) - 1)
        if magic != RECORDIO_MAGIC or (kind in (WHOLE, START)) == bool(parts) or kind > END:
            raise _malformed("RecordIO", number)
        check_size(len(frame) + length, number, limit_bytes)
        body = _exactly(file, length + -length % 4, "RecordIO", number)
        parts.append(body[:length])
        frame += head + body
        if kind in (WHOLE, END):
            return struct.pack("<I", RECORDIO_MAGIC).join(parts), frame
    if parts:
        raise _malformed("RecordIO", number)
    return None


def _tfrecord(file: BinaryIO, number: int, limit_bytes: int) -> Frame | None:
    """The next record: length, its checksum, payload, its checksum. Checksums are not checked."""
    head = file.read(12)
    if not head:
        return None
    if len(head) < 12:
        raise _malformed("TFRecord", number)
    (length,) = struct.unpack_from("<Q", head)
    check_size(length, number, limit_bytes)
    body = _exactly(file, length + 4, "TFRecord", number)
    return body[:length], head + body


_READERS: dict[str, Callable[[BinaryIO, int, int], Frame | None]] = {
    "RecordIO": _recordio,
    "TFRecord": _tfrecord,
}


def _exactly(file: BinaryIO, size: int, split_type: str, number: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise _malformed(split_type, number)
    return content


def _malformed(split_type: str, number: int) -> RecordFormatError:
    return RecordFormatError(
        f"record {number} is not {split_type}; SplitType must say how the object was written"
    )


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
