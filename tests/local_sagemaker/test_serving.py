"""Traffic shares, kept connections, and the script-mode program of AWS's framework images."""

from __future__ import annotations

import json
import socket
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.config import Config
from local_sagemaker.containers import script_server
from local_sagemaker.engine import model_servers
from local_sagemaker.engine.routing import (
    Connections,
    Hop,
    ModelGoneError,
    ModelTimeoutError,
    RoutingError,
    Target,
    choose,
    forward,
)
from local_sagemaker.processes import Processes, ProcessSpec

TARGET = Target("/aws/sagemaker/Endpoints/e", "A", "000000000000", "us-east-1")


@dataclass
class Weight:
    name: str
    weight: float


@given(
    weights=st.lists(st.floats(0, 1000), min_size=1, max_size=6).filter(lambda w: sum(w) > 1e-6),
    point=st.floats(0, 1, exclude_max=True),
)
def test_every_point_has_an_owner_and_weight_0_owns_nothing(
    weights: list[float], point: float
) -> None:
    variants = [Weight(str(i), w) for i, w in enumerate(weights)]
    assert weights[choose(variants, point)] > 0


def test_shares_are_the_weights() -> None:
    variants = [Weight("A", 80), Weight("B", 0), Weight("C", 20)]
    owners = [variants[choose(variants, i / 1000)].name for i in range(1000)]
    assert (owners.count("A"), owners.count("B"), owners.count("C")) == (800, 0, 200)


def test_all_weights_0_is_an_error() -> None:
    with pytest.raises(ValueError, match="weight 0"):
        choose([Weight("A", 0)], 0.5)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_a_silent_model_is_a_model_error_of_status_0(listening: socket.socket) -> None:
    connections = Connections(listening.getsockname()[1], timeout_seconds=0.05)
    with pytest.raises(RoutingError, match="Your invocation timed out") as failed:
        forward([Hop("primary", connections)], TARGET, {}, b"x")
    assert (failed.value.code, failed.value.status) == ("ModelError", 424)
    assert failed.value.members["OriginalStatusCode"] == 0
    cause = failed.value.__cause__
    assert cause is not None
    assert isinstance(cause.__cause__, ModelTimeoutError)


def test_a_kept_connection_that_was_closed_is_replaced_once(listening: socket.socket) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def serve() -> None:
        for _ in range(2):  # one request a connection, then it hangs up
            peer, _ = listening.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    connections = Connections(listening.getsockname()[1])
    assert [connections.ask("GET", "/", {}, b"")[2] for _ in range(2)] == [b"ok", b"ok"]
    thread.join(10)
    listening.close()
    with pytest.raises((ModelGoneError, ConnectionRefusedError)):
        connections.ask("GET", "/", {}, b"")
    connections.close()


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[model_servers.ModelServer]:
    """A process that never answers /ping."""
    processes = Processes(Config(home=tmp_path))
    log = tmp_path / "log"
    command = ["bash", "-c", "echo still loading; exec sleep 60"]
    process = processes.start(ProcessSpec("e/A-1", command, {}, tmp_path, log))
    port = model_servers.free_port()
    yield model_servers.ModelServer(process, port, Connections(port), tmp_path, log, 0)
    processes.close()


def test_a_model_that_is_not_healthy_in_time_fails_with_its_last_words(
    idle: model_servers.ModelServer,
) -> None:
    message = r"variant of e/A-1 did not pass the ping health check .* still loading"
    with pytest.raises(model_servers.InstanceError, match=message):
        model_servers.wait_until_healthy(idle, 0.3, threading.Event())


def program(**functions: Any) -> types.ModuleType:
    module = types.ModuleType("inference")
    vars(module).update({"model_fn": lambda _: None, **functions})
    return module


def answered(
    module: types.ModuleType, body: bytes, accept: str = "", kind: str = "text/csv"
) -> Any:
    headers = Message()
    headers["Content-Type"] = kind
    if accept:
        headers["Accept"] = accept
    transform = script_server.transformer(module, 10)
    return script_server.answer(transform, body, headers, "application/json")


def parts(**changes: Any) -> types.ModuleType:
    functions = {
        "input_fn": lambda body, kind: [float(each) for each in body.split(",")],
        "predict_fn": lambda data, model: [each * model for each in data],
    }
    return program(**{**functions, **changes})


def test_input_predict_and_output_follow_each_other_with_defaults() -> None:
    assert answered(parts(), b"1,2") == (200, "application/json", b"[10.0, 20.0]")
    assert answered(parts(), b"1,2", "*/*")[1] == "application/json"
    assert answered(parts(), b"1,2", "text/csv") == (200, "text/csv", b"10.0\n20.0\n")
    mine = parts(output_fn=lambda prediction, accept: (str(prediction), "x/y"))
    assert answered(mine, b"1") == (200, "x/y", b"[10.0]")


def test_the_default_output_fn_refuses_what_it_cannot_write() -> None:
    status, _, said = answered(parts(), b"1", "application/x-npy")
    assert status == 406
    assert b"application/x-npy" in said


def test_text_types_come_as_str_and_all_others_as_bytes() -> None:
    seen = program(transform_fn=lambda model, body, kind, accept: type(body).__name__)
    assert answered(seen, b"1", kind="application/json")[2] == b"str"
    assert answered(seen, b"1", kind="application/octet-stream")[2] == b"bytes"


def test_what_the_program_raises_is_a_500_with_its_message() -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("column 'age'")

    status, _, said = answered(program(transform_fn=broken), b"")
    assert status == 500
    assert b"age" in said
    assert answered(program(transform_fn=lambda *_: 3), b"")[0] == 500


class UnsupportedFormatError(Exception):
    """As sagemaker_containers and sagemaker_inference call theirs."""


class BaseInferenceToolkitError(Exception):
    status_code = 507


class OutOfRoomError(BaseInferenceToolkitError):
    """A program's own, of the toolkit's family."""


class AlienError(Exception):
    status_code = 418


def raising(problem: Exception) -> Any:
    def broken(*_: Any) -> Any:
        raise problem

    return broken


@pytest.mark.parametrize(
    ("functions", "status"),
    [
        ({"input_fn": raising(UnsupportedFormatError("no image/png here"))}, 415),
        ({"predict_fn": raising(UnsupportedFormatError("no image/png here"))}, 415),
        ({"output_fn": raising(UnsupportedFormatError("no image/png here"))}, 406),
        ({"input_fn": raising(OutOfRoomError("no image/png here"))}, 507),
        ({"input_fn": raising(AlienError("no image/png here"))}, 500),
        ({"output_fn": raising(ValueError("no image/png here"))}, 500),
    ],
)
def test_what_a_toolkits_errors_mean_is_the_status(functions: Any, status: int) -> None:
    assert answered(parts(**functions), b"1") == (status, "text/plain", b"no image/png here")


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("", "no model_fn"),
        ("model_fn = predict_fn = print", "neither input_fn nor transform_fn"),
        ("model_fn = transform_fn = output_fn = print", "keep one way"),
    ],
)
def test_a_program_without_the_needed_functions_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, word: str
) -> None:
    (tmp_path / "made_up_program.py").write_text(code)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "made_up_program", raising=False)
    environ = {
        "SAGEMAKER_SUBMIT_DIRECTORY": str(tmp_path),
        "SAGEMAKER_PROGRAM": "made_up_program.py",
    }
    with pytest.raises(script_server.SetupError, match=word):
        script_server.load_program(script_server.settings(environ))
    sys.modules.pop("made_up_program", None)


def test_a_program_on_s3_or_nowhere_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script_server.main({"SAGEMAKER_SUBMIT_DIRECTORY": "s3://b/code.tar.gz"}) == 1
    assert "s3://b/code.tar.gz" in capsys.readouterr().err
    assert script_server.main({"SAGEMAKER_BASE_DIR": str(tmp_path)}) == 1
    assert "code/inference.py" in capsys.readouterr().err


def test_predictions_that_are_arrays_are_written_as_lists() -> None:
    class Array:
        def tolist(self) -> list[list[float]]:
            return [[1.0, 2.0], [3.0, 4.0]]

    assert json.loads(script_server.default_output_fn(Array(), "application/json")[0]) == [
        [1.0, 2.0],
        [3.0, 4.0],
    ]
    assert script_server.default_output_fn(Array(), "text/csv")[0] == "1.0,2.0\n3.0,4.0\n"
