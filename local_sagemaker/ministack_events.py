"""Run inside MiniStack's own environment: its EventBridge takes SageMaker's events from us.

As AWS does, MiniStack refuses PutEvents whose source begins with `aws.`. What carries our header is
taken, for the source `aws.sagemaker` alone and with the time it says. Reaches into MiniStack's
private functions, so it stands only for the version it was written for, tries itself out before
MiniStack serves, and is left out, MiniStack unchanged, when anything is not as expected. Whether it
stands is asked over HTTP: a PutEvents with our header and no entries (forwarding.py). Imports
nothing of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import importlib
import importlib.metadata
import json
from collections.abc import Iterator
from typing import Any

VERSION = "1.5.33"
HEADER = "x-local-sagemaker-events"
SOURCE = "aws.sagemaker"
PUT_EVENTS = "AWSEvents.PutEvents"

Answer = tuple[int, dict[str, str], bytes]


class DoorError(Exception):
    """MiniStack is not what this was written for; the message says in what."""


def open_door() -> None:
    """From now on events of ours are taken. Raises DoorError, and then nothing is changed."""
    found = importlib.metadata.version("ministack")
    if found != VERSION:
        raise DoorError(f"MiniStack is {found}; events are known to work with {VERSION}")
    eventbridge = importlib.import_module("ministack.services.eventbridge")
    kept = {name: getattr(eventbridge, name) for name in ("handle_request", "_now_ts")}
    try:
        _install(eventbridge)
        _try_out(eventbridge)
    except Exception as problem:
        for name, value in kept.items():
            setattr(eventbridge, name, value)
        raise DoorError(f"MiniStack {found}: {type(problem).__name__}: {problem}") from problem


def _install(eventbridge: Any) -> None:
    serve, put, now = eventbridge.handle_request, eventbridge._put_events, eventbridge._now_ts
    moment: contextvars.ContextVar[float | None] = contextvars.ContextVar("moment", default=None)

    def put_one(entry: dict[str, Any]) -> dict[str, Any]:
        given = entry.get("Time")
        moment.set(float(given) if isinstance(given, int | float) else None)
        allowed = entry.get("Source") == SOURCE
        _, _, body = put({"Entries": [entry]}, allow_aws_source=allowed)
        moment.set(None)
        answer: dict[str, Any] = json.loads(body)["Entries"][0]
        return answer

    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Answer:
        if HEADER not in headers or headers.get("x-amz-target") != PUT_EVENTS:
            answered: Answer = await serve(method, path, headers, body, query)
            return answered
        eventbridge._ensure_default_bus()
        entries = [put_one(each) for each in json.loads(body)["Entries"]]
        # MiniStack only ever adds to this list; it would grow for as long as we run.
        eventbridge._events_log_list().clear()
        failed = sum("ErrorCode" in each for each in entries)
        facts = {"FailedEntryCount": failed, "Entries": entries, "TakesEventsOf": SOURCE}
        said = json.dumps(facts)
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, said.encode()

    eventbridge.handle_request = handle_request
    eventbridge._now_ts = lambda: now() if moment.get() is None else moment.get()


def _try_out(eventbridge: Any) -> None:
    """Put events through it; nothing is left of them. Raises when it does not work."""
    with _nobody_told(eventbridge) as told:
        entry = {"Source": SOURCE, "DetailType": "t", "Detail": '{"a": 1}', "Time": 86400}
        marked = {HEADER: "1", "x-amz-target": PUT_EVENTS}
        taken = _put(eventbridge, marked, entry)
        other = _put(eventbridge, marked, {**entry, "Source": "aws.s3"})
        unmarked = _put(eventbridge, {"x-amz-target": PUT_EVENTS}, entry)
        refused = "NotAuthorizedForSourceException"
        if "ErrorCode" in taken or [other["ErrorCode"], unmarked["ErrorCode"]] != [refused] * 2:
            raise DoorError(f"PutEvents answered {taken}, {other}, {unmarked}")
        envelopes = [eventbridge._pattern_event_view(each).event_with_detail() for each in told]
        said = [(e["source"], e["time"], e["detail"]) for e in envelopes]
        when = datetime.datetime.fromtimestamp(86400, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if said != [(SOURCE, when, {"a": 1})]:
            raise DoorError(f"the event was told as {said}")


def _put(eventbridge: Any, headers: dict[str, str], entry: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"Entries": [entry]}).encode()
    _, _, said = asyncio.run(eventbridge.handle_request("POST", "/", headers, body, {}))
    answer: dict[str, Any] = json.loads(said)["Entries"][0]
    return answer


@contextlib.contextmanager
def _nobody_told(eventbridge: Any) -> Iterator[list[dict[str, Any]]]:
    """While this lasts events reach the list and no rule, no archive."""
    told: list[dict[str, Any]] = []
    kept = (eventbridge._dispatch_event, eventbridge._archive_event)
    eventbridge._dispatch_event = lambda event, view=None: told.append(event)
    eventbridge._archive_event = lambda event, view=None: None
    try:
        yield told
    finally:
        eventbridge._dispatch_event, eventbridge._archive_event = kept
