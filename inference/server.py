"""The model server: SageMaker's container contract over the standard library's HTTP server.

    GET /ping   200 once the bundle is loaded      POST /invocations   rows in, answers out

`python -m inference.server` loads /opt/ml/model and listens on SAGEMAKER_BIND_TO_PORT or 8080. A
thread a connection, kept alive; SIGTERM finishes what is in flight and exits. Errors are JSON,
{"error": text}. What a body means is `codecs.py`, what is answered `model.py`.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

from inference import codecs, model

BODY_LIMIT_BYTES = 6 * 1024 * 1024  # what SageMaker lets through for one real-time request
IDLE_SECONDS = 65
DRAIN_SECONDS = 5
METHODS = {"/ping": "GET", "/invocations": "POST"}

log = logging.getLogger("inference.server")


class Handler(BaseHTTPRequestHandler):
    """One connection: routes its requests and writes their answers."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    # A request line that cannot be parsed is answered with a head too, unlike in HTTP/0.9.
    default_request_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # Head and body leave as one packet; else Nagle and delayed ACK add 40 ms to every answer.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        with self.server.in_flight():
            try:
                self._answer(HTTPStatus.OK, *self._route())
            except codecs.RequestError as error:
                self._answer(HTTPStatus(error.status), codecs.JSON, _error(str(error)))
            except (ConnectionError, TimeoutError):
                self.close_connection = True
            except Exception as error:
                log.exception("cannot answer path=%s", self.path)
                text = f"the model failed: {type(error).__name__}; see the server's log"
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, codecs.JSON, _error(text))

    def _route(self) -> tuple[str, bytes]:
        path = self.path.partition("?")[0]
        body = self._body()
        if path not in METHODS:
            raise codecs.RequestError(404, f"{path} is not served; use {', '.join(METHODS)}")
        if METHODS[path] != self.command:
            raise codecs.RequestError(405, f"{self.command} {path}: use {METHODS[path]}")
        return (codecs.JSON, b"{}") if path == "/ping" else self._invoke(body)

    def _invoke(self, body: bytes) -> tuple[str, bytes]:
        bundle = self.server.bundle
        media_type = codecs.answer_type(self.headers.get("Accept"))
        features = codecs.decode(bundle.transform, body, self.headers.get("Content-Type"))
        return media_type, codecs.encode(bundle.predict(features), bundle.version, media_type)

    def _body(self) -> bytes:
        """The request's body, read whole. A body left unread would be taken for a next request."""
        length = self.headers.get("Content-Length", "" if self.command == "POST" else "0")
        if self.headers.get("Transfer-Encoding") or not length.isdecimal():
            self.close_connection = True
            raise codecs.RequestError(411, "send the body with a Content-Length, not chunked")
        if int(length) > BODY_LIMIT_BYTES:
            self.close_connection = True
            raise codecs.RequestError(
                413, f"the body has {length} bytes; at most {BODY_LIMIT_BYTES} are read: split it"
            )
        return self.rfile.read(int(length))

    def _answer(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses (a malformed head, an unknown method), as JSON."""
        self.close_connection = True
        self._answer(HTTPStatus(code), codecs.JSON, _error(message or HTTPStatus(code).phrase))

    def version_string(self) -> str:
        return "inference"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  named by http.server
        log.debug(format, *args)


class Server(ThreadingHTTPServer):
    """The listening socket, the bundle, and the count of requests being answered."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], bundle: model.Bundle) -> None:
        super().__init__(address, Handler)
        self.bundle = bundle
        self._requests = 0
        self._changed = threading.Condition()

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def drain(self, seconds: float) -> bool:
        """Wait until no request is being answered; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: self._requests == 0, seconds)

    def _count(self, change: int) -> None:
        with self._changed:
            self._requests += change
            self._changed.notify_all()


def serve(server: Server) -> None:
    """Answer until SIGTERM or SIGINT, then finish what is in flight."""

    def stop(signum: int, frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever, which runs in this very thread.
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    if not server.drain(DRAIN_SECONDS):
        log.warning("stopped with requests unanswered after seconds=%s", DRAIN_SECONDS)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        bundle = model.load(arguments.model_dir)
    except model.BundleError as error:
        return _fail(str(error))
    try:
        server = Server((arguments.host, arguments.port), bundle)
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        return _fail(f"cannot listen on {where}: {error.strerror}; choose another with --port")
    names = ",".join(m.name for m in bundle.models)
    log.info("serving port=%s models=%s version=%s", server.server_port, names, bundle.version)
    serve(server)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inference.server",
        description="Serve a bundle: GET /ping, POST /invocations.",
        epilog="example: python -m inference.server --model-dir /opt/ml/model --port 8080",
    )
    parser.add_argument("--model-dir", type=Path, default=Path("/opt/ml/model"))
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104  a container is reached from outside
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
    parser.add_argument("--port", type=int, default=port, help="0 picks a free one; see the log")
    return parser


def _fail(reason: str) -> int:
    print(f"inference.server: {reason}", file=sys.stderr)
    return 1


def _error(message: str) -> bytes:
    return json.dumps({"error": message}, ensure_ascii=False).encode()


if __name__ == "__main__":
    sys.exit(main())
