"""Files below a prefix by the UTC hour, as data capture and ground truth lie: listed and streamed.

<prefix>/yyyy/mm/dd/hh/<file>.jsonl
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from deploy.captured import Captured, record
from deploy.commands import DeployError

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Window:
    """From `start` until before `end`, both with a time zone."""

    start: datetime
    end: datetime

    def hours(self) -> Iterator[str]:
        hour = self.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        while hour < self.end:
            yield f"{hour:%Y/%m/%d/%H}"
            hour += HOUR


def moment(text: str, option: str, now: datetime) -> datetime:
    """An ISO time (UTC unless it says otherwise), or how long ago: 30m, 6h, 2d."""
    units = {"m": 60, "h": 3600, "d": 86400}
    if text[-1:] in units and text[:-1].isdigit():
        return now - timedelta(seconds=int(text[:-1]) * units[text[-1]])
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DeployError(
            f"{option} is {text!r}; allowed: an ISO time such as 2026-01-31T12:00, or 30m, 6h, 2d "
            "ago.",
            2,
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix without a slash at its end."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise DeployError(f"{uri!r} is no S3 URI; allowed: s3://bucket/prefix.", 2)
    return bucket, prefix.rstrip("/")


def objects(s3: Any, uri: str, window: Window) -> Iterator[dict[str, Any]]:
    """What lies under the hours of a window, in the order of their keys; with its `Bucket`."""
    bucket, prefix = split_uri(uri)
    pages = s3.get_paginator("list_objects_v2")
    for hour in window.hours():
        under = f"{prefix}/{hour}/".lstrip("/")
        for page in pages.paginate(Bucket=bucket, Prefix=under):
            for found in page.get("Contents", ()):
                yield {**found, "Bucket": bucket}


def lines(s3: Any, found: dict[str, Any]) -> Iterator[bytes]:
    """The lines of an object, one at a time in memory; of one that has just gone, none."""
    try:
        body = s3.get_object(Bucket=found["Bucket"], Key=found["Key"])["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return
        raise
    yield from (line for line in body.iter_lines(chunk_size=65536) if line.strip())


def records(s3: Any, uri: str, window: Window) -> Iterator[Captured]:
    """The captured records of a window below one variant's prefix, file by file."""
    for found in objects(s3, uri, window):
        for line in lines(s3, found):
            each = record(line)
            if window.start <= each.time < window.end:
                yield each


def destination(endpoint: dict[str, Any]) -> str:
    """Where an endpoint's records lie, without the variant; DeployError when it never captured."""
    found = endpoint.get("DataCaptureConfig", {}).get("DestinationS3Uri", "")
    if not found:
        name = endpoint["EndpointName"]
        raise DeployError(
            f"Endpoint {name} captures nothing; `python -m deploy.capture on --name {name}`."
        )
    return f"{found.rstrip('/')}/{endpoint['EndpointName']}"
