"""InvokeEndpointWithResponseStream: the model's answer as it comes, in AWS's event stream.

    model server -> parts as they arrive -> PayloadPart frames | a ModelStreamError frame

A frame is: length of all, length of its headers, CRC of both, headers, payload, CRC of all. What
goes wrong before the first part is a RoutingError, as of any invocation.
"""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Generator, Mapping, Sequence
from http.client import HTTPException, HTTPResponse

from local_sagemaker.engine.routing import (
    FORWARDED,
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

CONTENT_TYPE = "application/vnd.amazon.eventstream"
PREFIX = "X-Amzn-SageMaker-"
PART_BYTES = 64 << 10
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


def answer(response: HTTPResponse, target: Target, over: contextlib.ExitStack) -> Streamed:
    """As the runtime API gives it; the end of the stream closes `over`."""
    given = chosen(dict(response.getheaders()), RETURNED)
    content_type = given.pop("Content-Type", "application/octet-stream")
    headers = {
        "Content-Type": CONTENT_TYPE,
        f"{PREFIX}Content-Type": content_type,
        "x-Amzn-Invoked-Production-Variant": target.variant,
    }
    return 200, {**headers, **given}, _frames(response, over)


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


def _frames(response: HTTPResponse, over: contextlib.ExitStack) -> Pieces:
    part = {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }
    with over:
        try:
            while content := response.read1(PART_BYTES):
                yield frame(part, content)
        except TimeoutError:
            yield _broken("ModelInvocationTimeExceeded", "the model took too long to go on")
            return
        except (OSError, HTTPException):
            yield _broken("StreamBroken", "the model ended the connection within its answer")
            return
        if response.length:
            yield _broken("StreamBroken", "the model ended the connection within its answer")


def _broken(code: str, said: str) -> bytes:
    headers = {
        ":message-type": "exception",
        ":exception-type": "ModelStreamError",
        ":content-type": "application/json",
    }
    return frame(headers, json.dumps({"Message": said, "ErrorCode": code}).encode())
