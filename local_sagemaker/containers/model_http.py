"""The HTTP side of a model server, as SageMaker asks of a container: one function behind a port.

    GET /ping   GET /execution-parameters   POST /invocations   keep-alive, one thread a connection

What an invocation means is the caller's; standard library only, because every import costs a model
server time and memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Headers = Mapping[str, str] | Message
Answer = tuple[int, str, bytes]  # status, content type, body
Invoke = Callable[[bytes, Headers], Answer]
JSON = "application/json"
PLAIN = "text/plain"
LOOPBACK = "127.0.0.1"
PAYLOAD_MB = 6
CHUNK_BYTES = 1 << 20


def serve(port: int, invoke: Invoke, largest_bytes: int | None = None) -> None:
    """Answer until the process ends; a body of more than `largest_bytes` is refused with 413."""
    functions = {"invoke": staticmethod(invoke), "largest_bytes": largest_bytes}
    Server((LOOPBACK, port), type("ModelHandler", (Handler,), functions)).serve_forever()


def execution_parameters(largest_bytes: int | None) -> dict[str, object]:
    """What a batch transform asks before its first request."""
    megabytes = PAYLOAD_MB if largest_bytes is None else largest_bytes >> 20
    return {
        "MaxConcurrentTransforms": os.cpu_count() or 1,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": megabytes,
    }


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one segment an answer
    invoke: Invoke
    largest_bytes: int | None

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._send((200, PLAIN, b""))
        elif self.path == "/execution-parameters":
            body = execution_parameters(self.largest_bytes)
            self._send((200, JSON, json.dumps(body).encode()))
        else:
            self._send((404, PLAIN, f"GET {self.path} is not served".encode()))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.largest_bytes is not None and length > self.largest_bytes:
            self._discard(length)
            said = f"the body has {length} bytes, more than MAX_CONTENT_LENGTH {self.largest_bytes}"
            self._send((413, PLAIN, said.encode()))
            return
        body = self.rfile.read(length)
        if self.path == "/invocations":
            self._send(type(self).invoke(body, self.headers))
        else:
            self._send((404, PLAIN, f"POST {self.path} is not served".encode()))

    def _discard(self, length: int) -> None:
        """Read a body that is refused: a client still writing it would not see the answer."""
        while length > 0:
            length -= len(self.rfile.read(min(length, CHUNK_BYTES))) or length

    def _send(self, result: Answer) -> None:
        status, content_type, body = result
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """One thread a connection, loopback only."""

    daemon_threads = True
    request_queue_size = 256
