"""Logs to CloudWatch Logs (MiniStack's, or whatever answers there), under AWS's names.

A log is a file first: `python -m local_sagemaker logs` reads that. One thread of the server
reads on in the files of what runs and sends what is new, in batches; nobody waits for it.
A log that CloudWatch Logs does not take is given up after a few tries, which the server's log says.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)
GROUPS = {
    "training-job": "/aws/sagemaker/TrainingJobs",
    "processing-job": "/aws/sagemaker/ProcessingJobs",
    "transform-job": "/aws/sagemaker/TransformJobs",
}
INTERVAL_SECONDS = 1.0
# PutLogEvents: 10,000 events and 1 MiB a call, 26 bytes of it for each event; 256 KiB an event.
BATCH_EVENTS, BATCH_BYTES = 10_000, 1 << 20
EVENT_OVERHEAD, EVENT_BYTES = 26, (1 << 18) - 26
READ_BYTES = 1 << 22
CONNECT_SECONDS = 2
TRIES = 3

Event = dict[str, Any]


@dataclass(eq=False)
class Stream:
    """One host's log on its way: what of the file has been sent."""

    group: str
    name: str
    path: Path
    offset: int = 0
    created: bool = False
    failures: int = 0
    over: threading.Event = field(default_factory=threading.Event)


class Shipper:
    """The thread, and the streams that are open."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._streams: list[Stream] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._client: Any = None

    def open(self, kind: str, name: str, path: Path) -> Stream:
        """Follow a job's log from its end as it is now."""
        return self.follow(GROUPS[kind], name, path, path.stat().st_size if path.exists() else 0)

    def follow(self, group: str, name: str, path: Path, offset: int) -> Stream:
        """Send what comes after the offset to a stream of its own."""
        stream = Stream(group, name, path, offset)
        with self._lock:
            if not self._closed:
                self._streams.append(stream)
                self._start()
        return stream

    def finish(self, stream: Stream) -> None:
        """Nothing more comes; what there is, is sent soon."""
        stream.over.set()
        self._wake.set()

    def close(self) -> None:
        """Send what there is and end."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if self._client is not None:
            self._client.close()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        self._client = _client(self._plane)
        while not self._closed:
            self._ship()
            self._plane.clock.wait(self._wake, INTERVAL_SECONDS)
            self._wake.clear()
        self._ship()

    def _ship(self) -> None:
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            over = stream.over.is_set()  # before reading: what came before the end is not lost
            if (self._sent(stream, over) and over) or stream.failures == TRIES:
                with self._lock:
                    self._streams.remove(stream)

    def _sent(self, stream: Stream, over: bool) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            _send(self._client, stream, int(self._plane.clock.now() * 1000), over)
        except (BotoCoreError, ClientError, OSError) as problem:
            stream.failures += 1
            log.warning("a log was not sent to CloudWatch Logs log=%s: %s", stream.path, problem)
            return False
        stream.failures = 0
        return True


_SHIPPERS: weakref.WeakKeyDictionary[Plane, Shipper] = weakref.WeakKeyDictionary()
_SHIPPERS_LOCK = threading.Lock()


def of(plane: Plane) -> Shipper:
    """The one shipper of a plane."""
    with _SHIPPERS_LOCK:
        return _SHIPPERS.setdefault(plane, Shipper(plane))


def _client(plane: Plane) -> Any:
    import boto3
    from botocore.config import Config as ClientConfig

    return boto3.client(
        "logs",
        endpoint_url=plane.config.s3_endpoint,
        region_name=plane.config.region,
        aws_access_key_id=plane.config.access_key,
        aws_secret_access_key=plane.config.secret_key,
        config=ClientConfig(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=CONNECT_SECONDS * 5,
            retries={"max_attempts": 2, "mode": "standard"},
        ),
    )


def _send(client: Any, stream: Stream, timestamp: int, over: bool) -> None:
    """All lines that are complete; at the end also a last one without its newline."""
    if not stream.path.exists():
        return
    with stream.path.open("rb") as file:
        file.seek(stream.offset)
        while data := file.read(READ_BYTES):
            end = data.rfind(b"\n") + 1
            if (over and len(data) < READ_BYTES) or (end == 0 and len(data) == READ_BYTES):
                end = len(data)
            if end == 0:
                return
            _create(client, stream)
            for batch in batches(data[:end], timestamp):
                client.put_log_events(
                    logGroupName=stream.group, logStreamName=stream.name, logEvents=batch
                )
            stream.offset += end
            file.seek(stream.offset)


def batches(data: bytes, timestamp: int) -> Iterator[list[Event]]:
    """The lines as log events, in as few calls as PutLogEvents allows; empty lines are none."""
    batch: list[Event] = []
    size = 0
    for message in _messages(data):
        cost = len(message.encode()) + EVENT_OVERHEAD
        if batch and (size + cost > BATCH_BYTES or len(batch) == BATCH_EVENTS):
            yield batch
            batch, size = [], 0
        batch.append({"timestamp": timestamp, "message": message})
        size += cost
    if batch:
        yield batch


def _messages(data: bytes) -> Iterator[str]:
    for line in data.split(b"\n"):
        # A byte that is no UTF-8 becomes a character of three.
        for start in range(0, len(line), EVENT_BYTES // 3):
            yield line[start : start + EVENT_BYTES // 3].decode(errors="replace")


def _create(client: Any, stream: Stream) -> None:
    if stream.created:
        return
    present = client.exceptions.ResourceAlreadyExistsException
    for create, names in (
        (client.create_log_group, {"logGroupName": stream.group}),
        (client.create_log_stream, {"logGroupName": stream.group, "logStreamName": stream.name}),
    ):
        try:
            create(**names)
        except present:
            log.debug("it is there already: %s", names)
    stream.created = True
