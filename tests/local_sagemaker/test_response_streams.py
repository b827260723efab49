"""InvokeEndpointWithResponseStream through boto3: an answer that is read while it is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from local_sagemaker.engine import capture, measures, response_streams
from tests.local_sagemaker.hosting import ROLE, ask, create_model, deploy, variant

# A model server that streams "one ", and "two " once the file that the request names is there.
STREAMER = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if asked == "raise":
            self.send_response(400)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"no")
            return
        self.send_response(200)
        self.send_header("Content-Type", self.headers["Accept"])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.part(b"one ")
        if asked == "exit":
            os._exit(3)
        while not os.path.exists(asked):
            time.sleep(0.005)
        self.part(b"two ")
        self.wfile.write(b"0\\r\\n\\r\\n")

    def part(self, text):
        self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(text), text))
        self.wfile.flush()

port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def local(start: Callable[..., Any], tmp_path: Path) -> Any:
    program = tmp_path / "streamer.py"
    program.write_text(STREAMER)
    home = tmp_path / "home"
    home.mkdir()
    (home / "images.yaml").write_text(f"streamer:\n  serve: [{sys.executable}, {program}]\n")
    return start(home, slots=2)


@pytest.fixture
def runtime(local: Any, sagemaker: Any) -> Any:
    return serve(local, sagemaker)


def serve(local: Any, sagemaker: Any, **config: Any) -> Any:
    """The streamer behind an endpoint; its client."""
    container = {"Image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/streamer:1"}
    sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert deploy(local, sagemaker, variant("m"), **config)["EndpointStatus"] == "InService"
    return local.client("sagemaker-runtime")


def stream(runtime: Any, body: str, **more: Any) -> Any:
    return runtime.invoke_endpoint_with_response_stream(
        EndpointName="e", ContentType="text/csv", Accept="text/x", Body=body, **more
    )


def text(event: Any) -> str:
    return str(event["PayloadPart"]["Bytes"].decode())


def test_the_first_part_is_there_before_the_last_is_written(runtime: Any, tmp_path: Path) -> None:
    answer = stream(runtime, str(tmp_path / "gate"))
    assert answer["ContentType"] == "text/x"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    parts = iter(answer["Body"])
    assert text(next(parts)) == "one "
    (tmp_path / "gate").touch()
    assert [text(each) for each in parts] == ["two "]
    assert ask_again(runtime, tmp_path) == ["one ", "two "]


def ask_again(runtime: Any, tmp_path: Path) -> list[str]:
    return [text(each) for each in stream(runtime, str(tmp_path / "gate"))["Body"]]


def test_an_answer_that_is_not_a_stream_comes_as_one(local: Any, sagemaker: Any) -> None:
    create_model(local, sagemaker)
    deploy(local, sagemaker, variant("one"))
    runtime = local.client("sagemaker-runtime")
    assert [text(each) for each in stream(runtime, "1,2")["Body"]] == ["one 3.0"]
    assert ask(runtime) == "one 3.0"


def test_a_model_that_ends_within_its_answer_breaks_the_stream(runtime: Any) -> None:
    body = stream(runtime, "exit")["Body"]
    parts = iter(body)
    assert text(next(parts)) == "one "
    with pytest.raises(EventStreamError, match="ended the connection within its answer") as broken:
        next(parts)
    assert broken.value.response["Error"]["Code"] == "ModelStreamError"
    body.close()


def test_what_goes_wrong_before_the_first_part_is_an_error_as_ever(runtime: Any) -> None:
    with pytest.raises(ClientError) as refused:
        stream(runtime, "raise")
    found = refused.value.response
    assert found["Error"]["Code"] == "ModelError"
    assert (found["OriginalStatusCode"], found["OriginalMessage"]) == (400, "no")
    with pytest.raises(ClientError, match='Variant "none" of endpoint "e" was not found'):
        stream(runtime, "1", TargetVariant="none")


def test_an_endpoint_that_is_deleted_lets_a_stream_end(
    local: Any, sagemaker: Any, runtime: Any, tmp_path: Path
) -> None:
    parts = iter(stream(runtime, str(tmp_path / "gate"))["Body"])
    assert text(next(parts)) == "one "
    sagemaker.delete_endpoint(EndpointName="e")
    (tmp_path / "gate").touch()
    assert [text(each) for each in parts] == ["two "]
    local.until_true(lambda: not sagemaker.list_endpoints()["Endpoints"])


def test_a_pipeline_does_not_stream(local: Any, sagemaker: Any) -> None:
    image = {"Image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/streamer:1"}
    sagemaker.create_model(ModelName="p", Containers=[image, image], ExecutionRoleArn=ROLE)
    deploy(local, sagemaker, variant("p"))
    with pytest.raises(ClientError, match="an inference pipeline does not stream its answer"):
        stream(local.client("sagemaker-runtime"), "1")


def captured(local: Any) -> Any:
    """A DataCaptureConfig of the test's bucket."""
    return {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{local.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv", "text/x"]},
    }


def counted(local: Any, *metrics: str) -> list[float]:
    """The sums of these metrics."""
    of = measures.of(local.plane)
    found = [of.minutes("e", "AllTraffic", metric, 0, 1e12) for metric in metrics]
    return [sum(each.total for each in minutes) for minutes in found]


ERRORS = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")


def test_a_stream_is_counted_and_captured_once_it_is_over(
    local: Any, sagemaker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "INTERVAL_SECONDS", 0.05)
    runtime = serve(local, sagemaker, DataCaptureConfig=captured(local))
    parts = iter(stream(runtime, str(tmp_path / "gate"), InferenceId="me")["Body"])
    next(parts)
    assert counted(local, "Invocations") == [0]
    (tmp_path / "gate").touch()
    assert len(list(parts)) == 1
    assert counted(local, *ERRORS) == [1, 0, 0, 0]
    assert all(value > 0 for value in counted(local, "ModelLatency", "OverheadLatency"))
    local.until_true(lambda: len(local.keys("captured/")) == 1)
    found = json.loads(local.read(local.keys("captured/")[0]))
    assert found["captureData"]["endpointInput"]["data"] == str(tmp_path / "gate")
    assert found["captureData"]["endpointOutput"]["data"] == "one two "
    assert found["captureData"]["endpointOutput"]["observedContentType"] == "text/x"
    assert found["eventMetadata"]["inferenceId"] == "me"


def test_a_stream_that_breaks_is_an_error_of_the_model(local: Any, runtime: Any) -> None:
    with pytest.raises(ClientError):
        stream(runtime, "raise")
    assert counted(local, *ERRORS) == [1, 1, 0, 1]
    body = stream(runtime, "exit")["Body"]
    with pytest.raises(EventStreamError):
        list(body)
    body.close()
    assert counted(local, *ERRORS) == [2, 1, 1, 2]


def test_a_stream_that_is_too_large_is_counted_and_not_captured(
    local: Any,
    sagemaker: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(response_streams, "MAX_PAYLOAD_BYTES", 7)
    runtime = serve(local, sagemaker, DataCaptureConfig=captured(local))
    (tmp_path / "gate").touch()
    assert ask_again(runtime, tmp_path) == ["one ", "two "]
    assert counted(local, *ERRORS) == [1, 0, 0, 0]
    assert "too large to be captured variant=AllTraffic bytes=8 most=7" in caplog.text
    capture.of(local.plane).close()
    assert local.keys("captured/") == []
