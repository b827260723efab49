"""Objects through a model server: read, cut, send with several requests under way, put together in
order, upload.

    object -> file -> records -> mini-batches -> window of requests -> file -> <name>.out

The window runs over the ends of objects, so that many small ones are sent side by side too. Nothing
is held longer than the window: an object may be of any size.
"""

from __future__ import annotations

import gzip
import shutil
import threading
import zlib
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from local_sagemaker.engine import joining, splitting
from local_sagemaker.engine.job_type import JobFailure
from local_sagemaker.engine.joining import RecordError
from local_sagemaker.engine.model_servers import ModelServer
from local_sagemaker.engine.routing import Hop, NoAnswerError, through
from local_sagemaker.engine.splitting import Batch, RecordFormatError, RecordTooLargeError
from local_sagemaker.plane import Plane
from local_sagemaker.storage import Found, StorageError

FIRST_PAUSE_SECONDS = 0.05
DYING_SECONDS = 1.0  # from a broken connection to the news that the server's process ended


class RequestError(Exception):
    """A mini-batch that the model did not answer; the message begins with AWS's word for whose
    fault it is.
    """


@dataclass(frozen=True)
class Work:
    """All that the objects of one job have in common."""

    plane: Plane
    processing: joining.Processing
    split_type: str
    assemble_with: str
    concurrent: int
    limit_bytes: int
    many: bool
    headers: dict[str, str]
    retries: int
    compressed: bool
    target: str
    servers: dict[str, ModelServer]
    hops: list[Hop]
    log: Path
    stop: threading.Event
    spool: Path

    @property
    def glue(self) -> bytes:
        """What stands between the records of one request."""
        return b"" if self.split_type in splitting.BINARY else b"\n"

    def say(self, what: str) -> None:
        """A line in the job's log, as AWS's own have it."""
        now = datetime.fromtimestamp(self.plane.clock.now(), UTC)
        with self.log.open("a") as file:
            file.write(f"{now.isoformat(timespec='milliseconds')}:[sagemaker logs]: {what}\n")


@dataclass(eq=False)
class Item:
    """One object on its way; `failure` is the first thing that went wrong with it."""

    uri: str
    target: str
    given: Path
    result: Path
    failure: str = ""


Failures = dict[str, str]  # URI of an object -> what went wrong with it
# What was sent and is not yet written, in order: a mini-batch, or (twice None) an object's end.
Window = deque[tuple[Item, Batch | None, Future[bytes] | None]]


def transform(work: Work, objects: list[Found]) -> Failures:
    """Every object of a host, until the job is stopped; what failed. Raises JobFailure when the
    model server is gone.
    """
    failures: Failures = {}
    window: Window = deque()
    pool = ThreadPoolExecutor(work.concurrent, thread_name_prefix="transform")
    try:
        for number, each in enumerate(objects):
            _send(work, _item(work, each, number), window, pool, failures)
            if work.stop.is_set():
                break
        while window and not work.stop.is_set():
            _settle(work, window, failures)
    finally:
        pool.shutdown(cancel_futures=True)
    return failures


def target(path: str, found: Found) -> str:
    """Where the result of an object goes below S3OutputPath."""
    return f"{path.rstrip('/')}/{found.name}.out"


def _item(work: Work, found: Found, number: int) -> Item:
    return Item(
        found.place.uri,
        target(work.target, found),
        work.spool / f"{number}.in",
        work.spool / f"{number}.out",
    )


def _send(
    work: Work, item: Item, window: Window, pool: ThreadPoolExecutor, failures: Failures
) -> None:
    """Put an object's mini-batches into the window, making room by writing the oldest."""
    try:
        work.plane.storage.download_object(item.uri, item.given)
        if work.compressed:
            _decompress(item.given)
        item.result.touch()
        with closing(_batches(work, item.given)) as cut:
            for batch in cut:
                _make_room(work, window, failures)
                if item.failure or work.stop.is_set():
                    break
                future = pool.submit(ask, work, work.glue.join(batch[1]))
                window.append((item, batch, future))
    except (
        StorageError,
        RecordError,
        RecordFormatError,
        RecordTooLargeError,
        UnicodeDecodeError,
    ) as problem:
        item.failure = item.failure or f"ClientError: {problem}"
    _make_room(work, window, failures)
    window.append((item, None, None))


def _decompress(path: Path) -> None:
    """In place, through a second file. Raises RecordFormatError."""
    plain = path.with_suffix(".plain")
    try:
        with gzip.open(path) as packed, plain.open("wb") as file:
            shutil.copyfileobj(packed, file, splitting.MEGABYTE)
        plain.replace(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as cause:
        plain.unlink(missing_ok=True)
        raise RecordFormatError(f"it is not gzip, as CompressionType says: {cause}") from cause


def _batches(work: Work, given: Path) -> Generator[Batch]:
    whole = work.split_type == "None"
    lines = work.processing.reads_lines
    if whole:
        splitting.check_size(given.stat().st_size, 1, work.limit_bytes)
    cut = work.split_type if not whole else "Line" if lines else "None"
    with given.open("rb") as file:
        found = splitting.records(file, cut, work.limit_bytes, framed=work.many)
        pairs = ((record, work.processing.outgoing(record)) for record in found)
        limit = None if whole else work.limit_bytes
        yield from splitting.batches(pairs, limit, whole or work.many)


def _make_room(work: Work, window: Window, failures: Failures) -> None:
    """Twice what is under way: the next request is at hand when one ends."""
    while len(window) >= 2 * work.concurrent and not work.stop.is_set():
        _settle(work, window, failures)


def _settle(work: Work, window: Window, failures: Failures) -> None:
    """Write down the oldest entry of the window once it is answered."""
    item, batch, future = window.popleft()
    if batch is None or future is None:
        _finish(work, item, failures)
        return
    try:
        content = future.result()
        if not item.failure:
            out = joining.assembled(work.processing, batch[0], content, work.assemble_with)
            with item.result.open("ab") as file:
                file.write(out)
    except RequestError as problem:
        item.failure = item.failure or str(problem)
    except (RecordError, UnicodeDecodeError) as problem:
        item.failure = item.failure or f"ClientError: {problem}"


def _finish(work: Work, item: Item, failures: Failures) -> None:
    """An object's end: its `.out`, or its failure."""
    try:
        if not item.failure:
            work.plane.storage.upload(item.result, item.target)
    except StorageError as problem:
        item.failure = f"ClientError: {problem}"
    finally:
        item.given.unlink(missing_ok=True)
        item.result.unlink(missing_ok=True)
    if item.failure:
        whose, _, what = item.failure.partition(": ")
        failures[item.uri] = f"{whose}: {item.uri}: {what}"
        work.say(f"{item.uri.removeprefix('s3://')}: {item.failure}")


def ask(work: Work, body: bytes) -> bytes:
    """The model's answer to one mini-batch. Raises RequestError, or JobFailure when the server is
    gone.
    """
    pause = FIRST_PAUSE_SECONDS
    for attempt in range(work.retries + 1):
        try:
            return _ask_once(work, body)
        except RequestError as problem:
            final = str(problem).startswith("ClientError") or attempt == work.retries
            if final or work.plane.clock.wait(work.stop, pause):
                raise
            pause *= 2
    raise AssertionError("the last attempt returns or raises")


def _ask_once(work: Work, body: bytes) -> bytes:
    try:
        hostname, (status, _, content) = through(work.hops, work.headers, body)
    except NoAnswerError as problem:
        if problem.timed_out:
            raise RequestError(
                "AlgorithmError: the model did not answer in InvocationsTimeoutInSeconds"
            ) from problem
        server = work.servers[problem.hostname]
        if server.process.ended.wait(DYING_SECONDS):
            raise JobFailure(
                f"AlgorithmError: the model server ended with exit code {server.process.exit_code}."
                f" Its last lines: {server.last_words()}"[:1024]
            ) from problem
        raise RequestError("AlgorithmError: the model closed the connection") from problem
    if 200 <= status < 300:
        return content
    whose = "ClientError" if status < 500 else "AlgorithmError"
    who = "the model" if len(work.hops) == 1 else f"the model's {hostname}"
    said = content.decode(errors="replace")
    raise RequestError(f"{whose}: {who} answered {status}: {said}")
