"""The HTTP edge: hosts, sizes, unknown operations, errors on the wire, idempotency."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import operations, wire

ROLE = "arn:aws:iam::000000000000:role/local"


def post(local: Any, target: str, body: bytes, **headers: str) -> tuple[int, Any, dict[str, str]]:
    """One raw POST; status, JSON body, headers."""
    connection = http.client.HTTPConnection("127.0.0.1", local.plane.config.port, timeout=10)
    connection.request("POST", "/", body, {"X-Amz-Target": target, **headers})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content, dict(answer.getheaders())


def test_errors_have_awss_shape(local: Any) -> None:
    status, body, headers = post(
        local, "SageMaker.DescribeTrainingJob", b'{"TrainingJobName": "nobody"}'
    )
    assert (status, body["__type"]) == (400, "ValidationException")
    assert body["message"] == "Requested resource not found."
    assert headers["x-amzn-ErrorType"] == "ValidationException"
    assert headers["x-amzn-RequestId"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CreateAutoMLJobV2", "CreateAutoMLJobV2 is not supported by the local SageMaker"),
        ("CreateNonsense", "CreateNonsense is no operation of SageMaker"),
    ],
)
def test_an_operation_that_is_not_there_is_named(local: Any, name: str, says: str) -> None:
    status, body, _ = post(local, f"SageMaker.{name}", b"{}")
    assert (status, body["__type"]) == (400, "UnknownOperationException")
    assert says in body["message"]
    assert "python -m local_sagemaker operations" in body["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"x"', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_serialization_error(local: Any, body: bytes) -> None:
    status, answer, _ = post(local, "SageMaker.ListTrainingJobs", body)
    assert (status, answer["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1:1", "localhost", ""])
def test_other_hosts_are_refused(local: Any, host: str) -> None:
    status, body, _ = post(
        local, "SageMaker.ListTrainingJobs", b"{}", Host=host.format(port=local.plane.config.port)
    )
    assert (status, body["__type"]) == (403, "AccessDeniedException")


def test_localhost_is_us(local: Any) -> None:
    host = f"localhost:{local.plane.config.port}"
    status, _, _ = post(local, "SageMaker.ListTrainingJobs", b"{}", Host=host)
    assert status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": str(1 << 40)}, 413),
        ({"Content-Length": "-1"}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_bodies_without_an_honest_size_are_not_read(
    local: Any, headers: dict[str, str], status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", local.plane.config.port, timeout=10)
    connection.putrequest("POST", "/")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == status
    assert answer.getheader("Connection") == "close"
    connection.close()


def test_a_bug_is_an_internal_failure_with_a_trace_in_the_log_only(
    local: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(local.plane.store, "get", broken)
    status, body, _ = post(local, "SageMaker.DescribeTrainingJob", b'{"TrainingJobName": "x"}')
    assert (status, body["__type"]) == (500, "InternalFailure")
    assert "secret" not in json.dumps(body)
    assert "ZeroDivisionError: secret" in caplog.text


def test_the_same_token_and_body_give_the_same_answer_and_one_resource(
    local: Any, sagemaker: Any
) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    wanted = {"ModelPackageGroupName": "g", "ClientToken": "token-of-this-request"}
    first = sagemaker.create_model_package(**wanted)["ModelPackageArn"]
    assert sagemaker.create_model_package(**wanted)["ModelPackageArn"] == first
    assert len(local.plane.store.rows("model-package")) == 1
    with pytest.raises(ClientError, match="was used before with another") as caught:
        sagemaker.create_model_package(**wanted, Domain="OTHER")
    assert caught.value.response["Error"]["Code"] == "ConflictException"


def test_health_tells_where_home_is(local: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", local.plane.config.port, timeout=10)
    connection.request("GET", "/_local/health")
    facts = json.loads(connection.getresponse().read())
    connection.close()
    assert facts["home"] == str(local.plane.config.home)


def test_every_supported_member_exists_in_the_model() -> None:
    with pytest.raises(ValueError, match="no member 'TrainingJobNam'"):
        operations.operation("CreateTrainingJob", ("TrainingJobNam",))
    with pytest.raises(ValueError, match="no operation 'CreateTraining'"):
        operations.operation("CreateTraining")
    assert wire.is_operation("CreateTrainingJob")


def test_a_token_that_we_did_not_give_is_refused(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="was not given for this request"):
        sagemaker.list_training_jobs(NextToken="bm9uc2Vuc2U=")
