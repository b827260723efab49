"""From an invocation to the model servers of an instance and back: choose a variant, forward
through its containers, name what went wrong.

A model server is asked over kept-alive loopback connections. What the caller gets on failure is a
RoutingError with the runtime API's code; api/runtime.py writes it down as HTTP. Starting and
replacing instances is crew.py's.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Protocol

LOOPBACK = "127.0.0.1"
MODEL_TIMEOUT_SECONDS = 60.0
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
LOG_GROUP = "/aws/sagemaker/Endpoints"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
TARGET_CONTAINER = "X-Amzn-SageMaker-Target-Container-Hostname"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"
FORWARDED = ("Content-Type", "Accept", CUSTOM_ATTRIBUTES, TARGET_MODEL)
RETURNED = ("Content-Type", CUSTOM_ATTRIBUTES)

Reply = tuple[int, dict[str, str], bytes]


class RoutingError(Exception):
    """An invocation that failed: the runtime API's code and status, and further members of its
    body.
    """

    def __init__(self, code: str, status: int, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.members = members


class ModelTimeoutError(Exception):
    """The model server did not answer in time."""


class ModelGoneError(Exception):
    """The model server closed the connection in the middle of an invocation."""


class NoAnswerError(Exception):
    """A container did not answer: it took too long, or its server is gone."""

    def __init__(self, hostname: str, timed_out: bool) -> None:
        super().__init__(hostname)
        self.hostname = hostname
        self.timed_out = timed_out


class Weighted(Protocol):
    """What choosing needs to know of a variant."""

    name: str
    weight: float


@dataclass(frozen=True)
class Target:
    """Where an invocation went; for error texts."""

    log_group: str
    variant: str
    account: str
    region: str

    @property
    def log_url(self) -> str:
        return (
            f"https://{self.region}.console.aws.amazon.com/cloudwatch/home?region={self.region}"
            f"#logEventViewer:group={self.log_group}"
        )


class Connections:
    """Kept-alive connections to one model server; any number of threads."""

    def __init__(self, port: int, timeout_seconds: float = MODEL_TIMEOUT_SECONDS) -> None:
        self._port = port
        self._timeout = timeout_seconds
        self._idle: deque[HTTPConnection] = deque()
        self._closed = False

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """One exchange. A kept connection that turns out to be closed is replaced, once.

        Raises ModelTimeoutError, ModelGoneError, ConnectionRefusedError.
        """
        with suppress(IndexError, ModelGoneError):
            return self._exchange(self._idle.pop(), method, path, headers, body)
        fresh = HTTPConnection(LOOPBACK, self._port, timeout=self._timeout)
        return self._exchange(fresh, method, path, headers, body)

    def patient(self, timeout_seconds: float) -> Connections:
        """Connections of the caller's own to the same server, with another timeout."""
        return Connections(self._port, timeout_seconds)

    @contextmanager
    def opened(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Iterator[HTTPResponse]:
        """One exchange on a connection of its own, whose answer the caller reads as it comes.

        Raises ModelTimeoutError, ModelGoneError.
        """
        with closing(HTTPConnection(LOOPBACK, self._port, timeout=self._timeout)) as connection:
            try:
                connection.request(method, path, body, dict(headers))
                response = connection.getresponse()
            except TimeoutError as cause:
                raise ModelTimeoutError from cause
            except (OSError, HTTPException) as cause:
                raise ModelGoneError(str(cause)) from cause
            yield response

    def close(self) -> None:
        """Close the kept connections; those in use are closed after their exchange."""
        self._closed = True
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def _exchange(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Reply:
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            content = response.read()
        except TimeoutError as cause:
            connection.close()
            raise ModelTimeoutError from cause
        except ConnectionRefusedError:
            connection.close()
            raise
        except (OSError, HTTPException) as cause:
            connection.close()
            raise ModelGoneError(str(cause)) from cause
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        if self._closed:
            self.close()
        return response.status, dict(response.getheaders()), content


@dataclass(frozen=True)
class Hop:
    """One container on the way of a request."""

    hostname: str
    connections: Connections


def choose(variants: Sequence[Weighted], point: float) -> int:
    """The index of the variant that owns `point`, a number in [0, 1): shares are weight / sum of
    weights.

    A variant of weight 0 is never chosen. Raises ValueError when all weights are 0.
    """
    total = sum(each.weight for each in variants)
    if total <= 0:
        raise ValueError("every variant has weight 0")
    reached = 0.0
    last = 0
    for index, each in enumerate(variants):
        if each.weight <= 0:
            continue
        reached += each.weight / total
        last = index
        if point < reached:
            return index
    return last  # rounding left the sum a little below 1


class Dice:
    """A generator of its own, so that no program's seed can steer the traffic."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - traffic shares, no secret
        self._lock = threading.Lock()

    def roll(self) -> float:
        with self._lock:
            return self._random.random()


def through(hops: Sequence[Hop], headers: Mapping[str, str], body: bytes) -> tuple[str, Reply]:
    """Ask one container after the other, each with the answer of the one before, until one refuses;
    the hostname of the last that was asked, and its reply. Raises NoAnswerError.

    Accept is what the caller wants from the last one; those before it answer as they like best.
    """
    passed = dict(headers)
    accept = passed.pop("Accept", None)
    for hop in hops:
        if hop is hops[-1] and accept is not None:
            passed["Accept"] = accept
        status, given, content = _asked(hop, passed, body)
        if hop is hops[-1] or not 200 <= status < 300:
            return hop.hostname, (status, given, content)
        body = content
        passed |= chosen(given, RETURNED)
    raise ValueError("a request goes through one container at least")


def _asked(hop: Hop, headers: Mapping[str, str], body: bytes) -> Reply:
    try:
        return hop.connections.ask("POST", "/invocations", headers, body)
    except ModelTimeoutError as cause:
        raise NoAnswerError(hop.hostname, timed_out=True) from cause
    except (ModelGoneError, ConnectionRefusedError) as cause:
        raise NoAnswerError(hop.hostname, timed_out=False) from cause


def chosen(given: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Of an answer's headers those with these names, whatever their case."""
    lower = {name.lower(): value for name, value in given.items()}
    return {name: lower[name.lower()] for name in names if name.lower() in lower}


def forward(hops: Sequence[Hop], target: Target, headers: Mapping[str, str], body: bytes) -> Reply:
    """Ask the model; its answer as the runtime API gives it. Raises RoutingError."""
    passed = {name: headers[name] for name in FORWARDED if headers.get(name)}
    try:
        hostname, (status, given, content) = through(hops, passed, body)
    except NoAnswerError as problem:
        raise unanswered(target, problem) from problem
    if not 200 <= status < 300:
        raise failed(target, hostname, status, content)
    answer = {**chosen(given, RETURNED), "x-Amzn-Invoked-Production-Variant": target.variant}
    return 200, answer, content


def unanswered(target: Target, problem: NoAnswerError) -> RoutingError:
    if problem.timed_out:
        return _timed_out(target, problem.hostname)
    gone = b"the model server ended before it had answered"
    return failed(target, problem.hostname, 500, gone)


def _timed_out(target: Target, hostname: str) -> RoutingError:
    said = (
        f"Your invocation timed out while waiting for a response from container {hostname}. Review "
        "the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try "
        "again."
    )
    message = f'Received server error (0) from {hostname} with message "{said}"'
    return _model_error(target, 0, said, message)


def failed(target: Target, hostname: str, status: int, content: bytes) -> RoutingError:
    said = content.decode(errors="replace")
    kind = "client" if 400 <= status < 500 else "server"
    message = f'Received {kind} error ({status}) from {hostname} with message "{said}"'
    return _model_error(target, status, said, message)


def _model_error(target: Target, status: int, said: str, message: str) -> RoutingError:
    return RoutingError(
        "ModelError",
        424,
        f"{message}. See {target.log_url} in account {target.account} for more information.",
        OriginalStatusCode=status,
        OriginalMessage=said,
        LogStreamArn=f"arn:aws:logs:{target.region}:{target.account}:log-group:{target.log_group}",
    )
