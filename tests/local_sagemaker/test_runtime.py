"""InvokeEndpoint through boto3: headers there and back, and AWS's errors."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.api import runtime as api
from local_sagemaker.engine.routing import RoutingError
from tests.local_sagemaker.hosting import ask, create_model, deploy, variant


@pytest.fixture
def runtime(local: Any, sagemaker: Any) -> Any:
    """A client of an endpoint with two variants, A and B."""
    create_model(local, sagemaker, "one")
    create_model(local, sagemaker, "two")
    deploy(local, sagemaker, variant("one", "A"), variant("two", "B"))
    return local.client("sagemaker-runtime")


def error_of(call: Any, *args: Any, **more: Any) -> Any:
    with pytest.raises(ClientError) as refused:
        call(*args, **more)
    return refused.value.response


def test_the_answer_names_its_variant_and_the_target_variant_is_honoured(runtime: Any) -> None:
    for name, word in (("A", "one"), ("B", "two")):
        answer = runtime.invoke_endpoint(
            EndpointName="e", TargetVariant=name, ContentType="text/csv", Accept="a/b", Body="4"
        )
        assert answer["InvokedProductionVariant"] == name
        assert answer["ContentType"] == "a/b"
        assert answer["Body"].read() == f"{word} 4.0".encode()


def test_both_variants_get_their_share(runtime: Any) -> None:
    words = [ask(runtime, "1").split()[0] for _ in range(60)]
    assert 10 < words.count("one") < 50  # 60 fair coins: outside once in a million


def test_an_unknown_endpoint_is_awss_validation_error(local: Any) -> None:
    found = error_of(ask, local.client("sagemaker-runtime"), name="none")
    assert found["Error"]["Code"] == "ValidationError"
    assert found["Error"]["Message"] == "Endpoint none of account 000000000000 not found."
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert found["ErrorCode"] == "NO_SUCH_ENDPOINT" if "ErrorCode" in found else True


def test_an_unknown_variant_is_refused_by_name(runtime: Any) -> None:
    found = error_of(ask, runtime, TargetVariant="C")
    assert found["Error"]["Code"] == "ValidationError"
    assert "it has: A, B" in found["Error"]["Message"]


def test_an_error_of_the_model_is_a_model_error_with_its_words(runtime: Any) -> None:
    found = error_of(ask, runtime, "raise")
    assert found["Error"]["Code"] == "ModelError"
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert found["OriginalStatusCode"] == 500
    assert found["OriginalMessage"] == "no such row"
    assert "/aws/sagemaker/Endpoints/e" in found["LogStreamArn"]
    message = 'Received server error (500) from primary with message "no such row". See https://'
    assert found["Error"]["Message"].startswith(message)


def test_a_model_server_that_dies_under_a_request_is_a_model_error(runtime: Any) -> None:
    assert error_of(ask, runtime, "exit")["OriginalStatusCode"] == 500


def test_more_than_6_mb_is_refused_with_both_numbers(runtime: Any) -> None:
    found = error_of(ask, runtime, "1" * (6 * 1024 * 1024 + 1))
    assert found["Error"]["Code"] == "ValidationError"
    assert "6291457" in found["Error"]["Message"]
    assert "6291456" in found["Error"]["Message"]


@pytest.mark.parametrize(
    "member", ["TargetContainerHostname", "EnableExplanations", "SessionId", "PrefixAwareId"]
)
def test_what_is_not_supported_is_refused_by_name(runtime: Any, member: str) -> None:
    assert member in error_of(ask, runtime, **{member: "x.tar.gz"})["Error"]["Message"]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("CustomAttributes", "x" * 1025),
        ("CustomAttributes", "tab\there"),
        ("InferenceId", "i" * 65),
        ("Accept", "a/" + "b" * 1024),
    ],
)
def test_a_header_that_aws_refuses_is_refused_by_its_name(
    runtime: Any, member: str, value: str
) -> None:
    given = {"ContentType": "text/csv", "Accept": "text/csv", member: value}
    found = error_of(runtime.invoke_endpoint, EndpointName="e", Body="1", **given)
    assert found["Error"]["Code"] == "ValidationError"
    assert member in found["Error"]["Message"]


def test_custom_attributes_of_1024_characters_and_an_inference_id_of_64_are_taken(
    runtime: Any,
) -> None:
    answer = ask(runtime, "3", CustomAttributes="~" * 1024, InferenceId="#" * 64)
    assert answer.endswith(" 3.0")


def test_an_error_carries_awss_header() -> None:
    status, headers, body = api.error_reply(RoutingError("ModelError", 424, "no", Extra=1))
    assert (status, headers["x-amzn-ErrorType"]) == (424, "ModelError:")
    assert body == b'{"Message": "no", "Extra": 1}'
