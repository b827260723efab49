"""HTTP in, HTTP out: the whole road of a request is the list REQUEST_PATH, read top-down.

Threads, keep-alive, loopback only. A step either answers the exchange or leaves it to the next one.
Errors become HTTP here and nowhere else: an ApiError as AWS shapes it, anything else as
InternalFailure with its traceback logged.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import unquote

from local_sagemaker import boot, operations, wiping, wire
from local_sagemaker.api import runtime, trial_metrics
from local_sagemaker.errors import ApiError
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)

# The largest modelled body is an InvokeEndpoint payload: 25 MB.
LARGEST_BODY_BYTES = 26 << 20
INVOCATIONS = re.compile(r"/endpoints/([^/]+)/([a-z-]*invocations[a-z-]*)")
INVOKE = {
    "invocations": runtime.invoke_endpoint,
    "async-invocations": runtime.invoke_endpoint_async,
    "invocations-response-stream": runtime.stream_endpoint,
}
HEALTH = "/_local/health"
JSON = {"Content-Type": wire.CONTENT_TYPE}


# Status, headers, body: all of it, or piece by piece as it comes.
Answer = tuple[int, dict[str, str], bytes | Generator[bytes, None, None]]


@dataclass
class Exchange:
    """One request on its road, and its answer once there is one."""

    plane: Plane
    method: str
    path: str
    headers: Message[str, str]
    read: Callable[[int], bytes]
    reset: Callable[[], None]
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    body: bytes = b""
    answer: Answer | None = None


def refuse_foreign_hosts(x: Exchange) -> None:
    """A page in a browser must not reach us through a name of its own that points at 127.0.0.1."""
    port = x.plane.config.port
    allowed = {f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]")}
    host = x.headers.get("Host", "")
    if host not in allowed:
        names = ", ".join(sorted(allowed))
        message = f"Host {host!r} is not this server; use one of: {names}"
        raise ApiError("AccessDeniedException", message, 403)


def read_body(x: Exchange) -> None:
    length = x.headers.get("Content-Length", "0")
    if "Transfer-Encoding" in x.headers or not length.isdigit():
        raise ApiError("ValidationException", "a request needs a Content-Length", 411)
    if int(length) > LARGEST_BODY_BYTES:
        text = f"the body has {length} bytes, more than the {LARGEST_BODY_BYTES} that are allowed"
        raise ApiError("RequestEntityTooLarge", text, 413)
    x.body = x.read(int(length))


def answer_health(x: Exchange) -> None:
    if (x.method, x.path) == ("GET", HEALTH):
        facts = {"status": "ok", "pid": os.getpid(), "home": str(x.plane.config.home)}
        x.answer = (200, {"Content-Type": "application/json"}, json.dumps(facts).encode())


def forget_everything(x: Exchange) -> None:
    """For test suites, and only where the user has allowed it."""
    if (x.method, x.path) != ("POST", wiping.PATH):
        return
    if not x.plane.config.allow_reset:
        message = (
            f"POST {wiping.PATH} forgets everything and is off; it is for test suites: start with "
            "`python -m local_sagemaker up --allow-reset`, or LOCAL_SAGEMAKER_ALLOW_RESET=1"
        )
        raise ApiError("AccessDeniedException", message, 404)
    if "Origin" in x.headers:  # a page in a browser needs no leave to send a plain POST
        raise ApiError("AccessDeniedException", "a page in a browser may not reset", 403)
    x.reset()
    x.answer = (200, {"Content-Type": "application/json"}, b'{"reset": "ok"}')


def invoke_endpoint(x: Exchange) -> None:
    """sagemaker-runtime, rest-json: the body is the payload, everything else stands in headers."""
    found = INVOCATIONS.fullmatch(x.path)
    if x.method == "POST" and found and found[2] in INVOKE:
        name = unquote(found[1])
        headers = cast("Mapping[str, str]", x.headers)  # its `get` knows no case
        x.answer = INVOKE[found[2]](x.plane, name, headers, x.body)


def call_metrics(x: Exchange) -> None:
    """sagemaker-metrics, rest-json: the path names the operation, the body is its request."""
    name = x.path.removeprefix("/")
    if x.method == trial_metrics.METHODS.get(name):
        answer = trial_metrics.call(x.plane, name, wire.read_json(x.body))
        x.answer = (200, {"Content-Type": "application/json"}, wire.encode(answer))


def call_operation(x: Exchange) -> None:
    """sagemaker and application-autoscaling, JSON 1.1: X-Amz-Target names the operation."""
    target = x.headers.get("X-Amz-Target")
    if x.method == "POST" and target is not None:
        service, name, request = wire.decode(target, x.body)
        answer = operations.call(x.plane, name, request, service)
        x.answer = (200, dict(JSON), wire.encode(answer))


def refuse_the_rest(x: Exchange) -> None:
    raise ApiError(
        "UnknownOperationException",
        f"{x.method} {x.path} is not served here; SageMaker's API is POST / with X-Amz-Target, "
        f"its runtime POST /endpoints/<name>/<{' | '.join(INVOKE)}>, its metrics PUT "
        "/BatchPutMetrics and POST /BatchGetMetrics",
        404,
    )


REQUEST_PATH: tuple[Callable[[Exchange], None], ...] = (
    refuse_foreign_hosts,
    read_body,
    answer_health,
    forget_everything,
    invoke_endpoint,
    call_metrics,
    call_operation,
    refuse_the_rest,
)


def respond(x: Exchange) -> Answer:
    """Walk the road until somebody answers; errors are translated here, once."""
    try:
        for step in REQUEST_PATH:
            step(x)
            if x.answer is not None:
                return x.answer
    except ApiError as error:
        headers = {**JSON, "x-amzn-ErrorType": error.code}
        return error.status, headers, wire.error_body(error)
    except Exception:
        log.exception("a request failed request_id=%s path=%s", x.request_id, x.path)
    text = f"the local SageMaker failed; its log names the request {x.request_id}"
    failure = ApiError("InternalFailure", text, 500)
    return 500, {**JSON, "x-amzn-ErrorType": failure.code}, wire.error_body(failure)


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive; all thinking is done by `respond`."""

    protocol_version = "HTTP/1.1"
    server_version = "local-sagemaker"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # one segment an answer
    timeout = 75  # seconds of silence after which a kept-alive connection ends
    server: Server

    def _serve(self) -> None:
        self.server.settled.wait()
        x = Exchange(
            self.server.plane,
            self.command,
            self.path,
            self.headers,
            self.rfile.read,
            self.server.reset,
        )
        status, headers, body = respond(x)
        if status in (403, 411, 413):  # the body was not read: the connection cannot go on
            self.close_connection = True
            headers["Connection"] = "close"
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("x-amzn-RequestId", x.request_id)
        if isinstance(body, bytes):
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self._stream(body)

    def _stream(self, pieces: Generator[bytes, None, None]) -> None:
        """Each piece at once, as a chunk of HTTP."""
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.closing(pieces):
            for piece in pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        log.debug(format, *args)


class Server(ThreadingHTTPServer):
    """The listening socket; one thread a connection."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.settled = threading.Event()  # not while everything is being forgotten
        self.settled.set()
        self._resetting = threading.Lock()
        super().__init__((plane.config.host, plane.config.port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle is no news; anything else is."""
        log.debug("a connection broke client=%s", client_address, exc_info=True)

    def reset(self) -> None:
        """Another plane, which knows nothing; who asks meanwhile waits and asks that one."""
        with self._resetting:
            self.settled.clear()
            try:
                self.plane, problem = wiping.anew(self.plane)
            finally:
                self.settled.set()
        if problem:
            raise ApiError("ServiceUnavailable", problem, 503)

    def take_down(self) -> None:
        """The end of the plane, and of resets: the lock is never given back."""
        self._resetting.acquire()
        boot.shut_down(self.plane)

    def serve_in_background(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.05,), name="http", daemon=True).start()
