"""Pipe input: a channel that a training job reads from named pipes, one an epoch, while it runs.

    S3 --thread of the channel--> /opt/ml/input/data/<channel>_<epoch> --> whoever reads it

The pipe of the first epoch is there when the job starts, that of the next one as soon as an epoch
is opened; how many there are is the reader's choice. An epoch that is closed early is over. Nothing
is kept on disk, and of an object one chunk in memory, or all of it as a RecordIO record.
"""

from __future__ import annotations

import json
import os
import random
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from local_sagemaker.engine import inputs, workspace
from local_sagemaker.engine.job_type import Input, JobFailure, Pipe
from local_sagemaker.plane import Plane
from local_sagemaker.storage import Location, StorageError, parse

RECORDIO_MAGIC, LARGEST_RECORD = 0xCED7230A, (1 << 29) - 1
GZIP_WINDOW = 31  # of zlib: gzip, and no other format
UNBLOCK_SECONDS = 0.05
# What one epoch is made of: objects of S3, or values out of an augmented manifest.
Part = Location | bytes


class Pipes:
    """Every piped channel of a job, on every host; a context in which they are fed."""

    def __init__(
        self,
        plane: Plane,
        wanted: Iterable[Input],
        roots: Sequence[Path],
        give_up: Callable[[], None],
    ) -> None:
        """Finds the data and makes the first pipes; `give_up` ends a job that would wait for data
        that cannot be had. Raises StorageError, JobFailure, OSError.
        """
        self._feeders = [
            _Feeder(plane, channel, give_up, workspace.at(root, channel.path), rank, len(roots))
            for channel in (_Channel.of(plane, each) for each in wanted if each.pipe)
            for rank, root in enumerate(roots)
        ]

    def __enter__(self) -> None:
        for each in self._feeders:
            each.start()

    def __exit__(
        self, kind: type | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._feeders:
            each.stop()

    def check(self) -> None:
        """After the job: was it given all that it asked for? Raises JobFailure."""
        for each in self._feeders:
            if each.problem:
                raise JobFailure(f"ClientError: Data download failed: {each.problem}"[:1024])


@dataclass(frozen=True)
class _Channel:
    """What a piped input is made of, in its own order."""

    path: str
    pipe: Pipe
    sharded: bool
    records: list[list[Part]]

    @classmethod
    def of(cls, plane: Plane, wanted: Input) -> _Channel:
        assert wanted.pipe is not None  # noqa: S101 - the caller has looked
        if wanted.pipe.attributes:
            records = _augmented(plane, wanted, wanted.pipe.attributes)
        else:
            records = [[each.place] for each in inputs.found(plane, wanted)]
        return cls(wanted.path, wanted.pipe, wanted.sharded, records)

    def epoch(self, number: int, rank: int, hosts: int) -> Iterator[Part]:
        """One host's share of an epoch. Shuffled over all hosts, another way in every epoch."""
        records = list(self.records)
        if self.pipe.seed is not None:
            random.Random(f"{self.pipe.seed} {number}").shuffle(records)  # noqa: S311 - an order
        for record in records[rank::hosts] if self.sharded else records:
            yield from record


class _Feeder(threading.Thread):
    """Writes one channel of one host, epoch after epoch."""

    def __init__(
        self,
        plane: Plane,
        channel: _Channel,
        give_up: Callable[[], None],
        path: Path,
        rank: int,
        hosts: int,
    ) -> None:
        super().__init__(name="pipe", daemon=True)
        self._storage = plane.storage
        self._channel = channel
        self._path = path
        self._place = (rank, hosts)
        self._give_up = give_up
        self._over = threading.Event()
        self.problem = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self._pipe(0))

    def run(self) -> None:
        number = 0
        while not self._over.is_set():
            with self._pipe(number).open("wb", buffering=0) as pipe:  # waits for a reader
                os.mkfifo(self._pipe(number + 1))
                try:
                    self._feed(pipe, number)
                except BrokenPipeError:  # it was closed early: the next epoch, if it wants one
                    pass
                except (StorageError, JobFailure, zlib.error) as problem:
                    self.problem = str(problem)
            if self.problem:
                self._give_up()
                return
            number += 1

    def stop(self) -> None:
        """Until the thread has ended: one that waits for a reader gets one, which goes again."""
        self._over.set()
        while self.is_alive():
            pipes = list(self._path.parent.glob(f"{self._path.name}_*"))
            readers = [os.open(each, os.O_RDONLY | os.O_NONBLOCK) for each in pipes]
            self.join(UNBLOCK_SECONDS)
            for each in readers:
                os.close(each)

    def _pipe(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}_{number}")

    def _feed(self, pipe: Any, number: int) -> None:
        for part in self._channel.epoch(number, *self._place):
            for chunk in self._chunks(part):
                left = memoryview(chunk)
                while left:
                    if self._over.is_set():
                        return
                    left = left[pipe.write(left) :]

    def _chunks(self, part: Part) -> Iterator[bytes]:
        if isinstance(part, bytes):
            chunks: Iterable[bytes] = [part]
        else:
            chunks = self._storage.chunks(part)
            chunks = _unzipped(chunks) if self._channel.pipe.gzip else chunks
        return _recordio(chunks) if self._channel.pipe.recordio else iter(chunks)


def _augmented(plane: Plane, wanted: Input, names: Sequence[str]) -> list[list[Part]]:
    """The named attributes of every line: `-ref` is an object, anything else its own text."""
    found = []
    for number, line in enumerate(plane.storage.read_text(wanted.uri).splitlines(), 1):
        try:
            entry = json.loads(line)
            found.append([_attribute(name, entry[name]) for name in names])
        except (ValueError, KeyError, TypeError, StorageError) as cause:
            raise JobFailure(
                f"ClientError: line {number} of {wanted.uri} of channel {wanted.name!r} is no JSON "
                f"object with the attributes {', '.join(names)}: {cause}"
            ) from cause
    return found


def _attribute(name: str, value: Any) -> Part:
    if name.endswith("-ref"):
        return parse(value)
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def _unzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Of one object, which may be several gzip files one after the other. Raises zlib.error."""
    unzip = zlib.decompressobj(GZIP_WINDOW)
    for chunk in chunks:
        while chunk:
            yield unzip.decompress(chunk)
            chunk = unzip.unused_data
            if unzip.eof:
                unzip = zlib.decompressobj(GZIP_WINDOW)


def _recordio(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One object as one record: magic, length, content, padding to four bytes."""
    content = b"".join(chunks)
    if len(content) > LARGEST_RECORD:
        raise JobFailure(f"an object of {len(content)} bytes is too large for a RecordIO record")
    yield struct.pack("<II", RECORDIO_MAGIC, len(content))
    yield content
    yield b"\0" * (-len(content) % 4)
