"""InvokeEndpointWithResponseStream: the model's answer as it comes, in AWS's event stream.

    model server -> parts as they arrive -> PayloadPart frames | a ModelStreamError frame

A frame is: length of all, length of its headers, CRC of both, headers, payload, CRC of all. What
goes wrong before the first part is a RoutingError, as of any invocation. The witnesses of the
invocation (witnesses.py) are told at the end of the stream.
"""

from __future__ import annotations

import contextlib
import json
import logging
import struct
import zlib
from collections.abc import Generator, Mapping, Sequence
from http.client import HTTPException, HTTPResponse

from local_sagemaker.engine.routing import (
    FORWARDED,
    MAX_PAYLOAD_BYTES,
    RETURNED,
    Hop,
    ModelGoneError,
    ModelTimeoutError,
    NoAnswerError,
    RoutingError,
    Target,
    chosen,
    failed,
    unanswered,
)
from local_sagemaker.engine.witnesses import Watch

log = logging.getLogger(__name__)
CONTENT_TYPE = "application/vnd.amazon.eventstream"
PREFIX = "X-Amzn-SageMaker-"
PART_BYTES = 64 << 10
ENDED = "the model ended the connection within its answer"
STRING = 7  # the type of a header's value
Pieces = Generator[bytes, None, None]
Streamed = tuple[int, dict[str, str], Pieces]


def opened(
    hops: Sequence[Hop],
    target: Target,
    headers: Mapping[str, str],
    body: bytes,
    over: contextlib.ExitStack,
) -> HTTPResponse:
    """The model's answer, of which nothing is read yet; `over` closes it. Raises RoutingError."""
    if len(hops) > 1:
        said = "an inference pipeline does not stream its answer; use InvokeEndpoint."
        raise RoutingError("ValidationError", 400, f"InvokeEndpointWithResponseStream: {said}")
    (hop,) = hops
    passed = {name: headers[name] for name in FORWARDED if headers.get(name)}
    asked = hop.connections.opened("POST", "/invocations", passed, body)
    try:
        response = over.enter_context(asked)
    except ModelTimeoutError as cause:
        raise unanswered(target, NoAnswerError(hop.hostname, timed_out=True)) from cause
    except ModelGoneError as cause:
        raise unanswered(target, NoAnswerError(hop.hostname, timed_out=False)) from cause
    if not 200 <= response.status < 300:
        raise failed(target, hop.hostname, response.status, response.read())
    return response


def answer(
    response: HTTPResponse, target: Target, watch: Watch, over: contextlib.ExitStack
) -> Streamed:
    """As the runtime API gives it; the end of the stream closes `over`, and the watch in it."""
    given = chosen(dict(response.getheaders()), RETURNED)
    content_type = given.pop("Content-Type", "application/octet-stream")
    headers = {
        "Content-Type": CONTENT_TYPE,
        f"{PREFIX}Content-Type": content_type,
        "x-Amzn-Invoked-Production-Variant": target.variant,
    }
    seen = _Seen(target.variant, {"Content-Type": content_type, **given}, watch)
    return 200, {**headers, **given}, _frames(response, seen, over)


class _Seen:
    """What of a stream its watch is told: the whole answer, unless that is too large to keep."""

    def __init__(self, variant: str, headers: dict[str, str], watch: Watch) -> None:
        self._variant = variant
        self._headers = headers
        self._watch = watch
        self._size = 0
        self._parts: list[bytes] = []

    def part(self, content: bytes) -> None:
        self._size += len(content)
        if self._size <= MAX_PAYLOAD_BYTES:
            self._parts.append(content)
        else:
            self._parts.clear()

    def ended(self) -> None:
        if self._size <= MAX_PAYLOAD_BYTES:
            self._watch.answered((200, self._headers, b"".join(self._parts)))
        else:
            log.warning(
                "a stream is too large to be captured variant=%s bytes=%d most=%d",
                self._variant, self._size, MAX_PAYLOAD_BYTES,
            )  # fmt: skip

    def broken(self, status: int, code: str, said: str) -> bytes:
        """The frame that tells the caller."""
        failure = RoutingError("ModelStreamError", 424, said, OriginalStatusCode=status)
        self._watch.broken(failure)
        return _broken(code, said)


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of AWS's event stream."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack("!I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return (
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", STRING, len(text)) + text
    )


def _frames(response: HTTPResponse, seen: _Seen, over: contextlib.ExitStack) -> Pieces:
    part = {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }
    with over:
        try:
            while content := response.read1(PART_BYTES):
                seen.part(content)
                yield frame(part, content)
        except TimeoutError:
            said = "the model took too long to go on"
            yield seen.broken(0, "ModelInvocationTimeExceeded", said)
            return
        except (OSError, HTTPException):
            yield seen.broken(500, "StreamBroken", ENDED)
            return
        if response.length:
            yield seen.broken(500, "StreamBroken", ENDED)
        else:
            seen.ended()


def _broken(code: str, said: str) -> bytes:
    headers = {
        ":message-type": "exception",
        ":exception-type": "ModelStreamError",
        ":content-type": "application/json",
    }
    return frame(headers, json.dumps({"Message": said, "ErrorCode": code}).encode())
