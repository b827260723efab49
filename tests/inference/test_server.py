"""server: the container contract over real HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from inference import model, server

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def running(bundle_folder: Path) -> Iterator[server.Server]:
    made = server.Server(("127.0.0.1", 0), model.load(bundle_folder))
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def connection(running: server.Server) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=10)
    yield made
    made.close()


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: str | None = None,
    **headers: str,
) -> tuple[int, str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body.encode() if body is not None else None, named)
    response = connection.getresponse()
    return response.status, response.headers["Content-Type"], response.read().decode()


def test_ping_is_200(connection: http.client.HTTPConnection) -> None:
    assert _ask(connection, "GET", "/ping") == (200, "application/json", "{}")


def test_an_invocation_answers_every_model(connection: http.client.HTTPConnection) -> None:
    body = json.dumps({"instances": [{"age": 30}, {"age": 70, "city": "Rio"}]})
    status, media_type, text = _ask(
        connection, "POST", "/invocations", body, Content_Type="application/json"
    )
    answer = json.loads(text)
    assert (status, media_type) == (200, "application/json")
    assert answer["model_version"] == "abc123"
    assert [list(row) for row in answer["predictions"]] == [["score", "left", "pick"]] * 2


def test_csv_in_csv_out(connection: http.client.HTTPConnection) -> None:
    status, media_type, text = _ask(
        connection,
        "POST",
        "/invocations",
        "30,Rio,Yes,\n70,,No,2020-01-01\n",
        Content_Type="text/csv",
        Accept="text/csv",
    )
    assert (status, media_type) == (200, "text/csv")
    assert [len(line.split(",")) for line in text.splitlines()] == [3, 3]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "said"),
    [
        ("POST", "/invocations", "x", {"Content_Type": "text/x"}, 415, "is not read"),
        ("POST", "/invocations", "x,,,", {"Content_Type": "text/csv"}, 400, '"x" is not a number'),
        (
            "POST",
            "/invocations",
            "1,,,",
            {"Content_Type": "text/csv", "Accept": "image/png"},
            406,
            "ask for",
        ),
        ("GET", "/models", None, {}, 404, "/models is not served; use /ping, /invocations"),
        ("GET", "/invocations", None, {}, 405, "use POST"),
        ("POST", "/ping", "", {}, 405, "use GET"),
        ("PUT", "/invocations", "", {}, 501, "Unsupported method"),
    ],
)
def test_a_bad_request_is_a_json_error(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: str | None,
    headers: dict[str, str],
    status: int,
    said: str,
) -> None:
    found = _ask(connection, method, path, body, **headers)
    assert found[:2] == (status, "application/json")
    assert said in json.loads(found[2])["error"]


def test_a_connection_is_kept_through_good_and_bad_requests(
    connection: http.client.HTTPConnection,
) -> None:
    connection.connect()
    first = connection.sock
    for body in ("1,,,", "x,,,", "2,,,"):
        _ask(connection, "POST", "/invocations", body, Content_Type="text/csv")
        assert connection.sock is first


def test_a_body_over_6_mb_is_413_without_being_read(running: server.Server) -> None:
    head = f"POST /invocations HTTP/1.1\r\nContent-Length: {6 * 1024**2 + 1}\r\n\r\n"
    assert b" 413 " in _raw(running, head.encode())


@pytest.mark.parametrize("header", ["", "Transfer-Encoding: chunked\r\n", "Content-Length: -1\r\n"])
def test_a_body_of_unknown_length_is_411(running: server.Server, header: str) -> None:
    answer = _raw(running, f"POST /invocations HTTP/1.1\r\n{header}\r\n".encode())
    assert b" 411 " in answer
    assert b"Content-Length" in answer


def test_nonsense_on_the_wire_is_400(running: server.Server) -> None:
    assert b" 400 " in _raw(running, b"what is this\r\n\r\n")


def test_a_failing_model_is_500_and_the_next_request_is_answered(
    running: server.Server,
    connection: http.client.HTTPConnection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(model.Bundle, "predict", fail)
        found = _ask(connection, "POST", "/invocations", "1,,,", Content_Type="text/csv")
        assert found[0] == 500
        assert "ZeroDivisionError" in json.loads(found[2])["error"]
        assert "ZeroDivisionError" in caplog.text
    assert _ask(connection, "GET", "/ping")[0] == 200


def test_requests_side_by_side_get_their_own_answers(running: server.Server) -> None:
    def ask(age: int) -> Any:
        made = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=10)
        try:
            body = json.dumps({"age": age})
            text = _ask(made, "POST", "/invocations", body, Content_Type="application/json")[2]
            return json.loads(text)["predictions"]
        finally:
            made.close()

    ages = list(range(20, 70))
    alone = [ask(age) for age in ages]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, ages)) == alone


@pytest.fixture
def process(bundle_folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The server as a container starts it, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = subprocess.Popen(
        [sys.executable, "-m", "inference.server", "--model-dir", str(bundle_folder)],
        cwd=PROJECT,
        env={**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert made.stderr is not None
    line = made.stderr.readline()
    assert f"port={port} models=score,left,pick" in line, line
    yield made, port
    made.kill()
    made.wait()
    made.stderr.close()


def test_sigterm_stops_it_although_a_connection_is_open(
    process: tuple[subprocess.Popen[str], int],
) -> None:
    started, port = process
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert _ask(connection, "GET", "/ping")[0] == 200
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=3) == 0
    connection.close()


def test_serving_imports_neither_sklearn_nor_pandas(
    process: tuple[subprocess.Popen[str], int],
) -> None:
    maps = Path(f"/proc/{process[0].pid}/maps")
    if not maps.exists():
        pytest.skip("needs /proc to look into another process")
    loaded = maps.read_text()
    assert "xgboost" in loaded
    assert "pandas" not in loaded
    assert "sklearn" not in loaded


def test_a_folder_without_a_bundle_is_said_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.main(["--model-dir", str(tmp_path), "--port", "0"]) == 1
    assert "bundle.json cannot be read" in capsys.readouterr().err


def test_a_port_in_use_is_said_and_exits_1(
    running: server.Server, bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(running.server_port)
    told = ["--model-dir", str(bundle_folder), "--host", "127.0.0.1", "--port", port]
    assert server.main(told) == 1
    assert f"127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def _raw(running: server.Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", running.server_port), timeout=10) as made:
        made.sendall(request)
        made.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: made.recv(65536), b""))
