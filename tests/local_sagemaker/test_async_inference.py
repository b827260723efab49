"""InvokeEndpointAsync through boto3: acknowledged at once, answered in S3, told to SNS."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.clock import FakeClock
from local_sagemaker.engine import capture, measures, publishing
from tests.local_sagemaker.conftest import new_client
from tests.local_sagemaker.hosting import ADDER, ask, create_model, deploy, put_model, variant


def configure(local: Any, sagemaker: Any, name: str, model: str = "one", **config: Any) -> str:
    """An endpoint config whose answers go to out/ and failures to bad/ of the test's bucket."""
    topics = config.pop("NotificationConfig", {})
    output = {
        "S3OutputPath": f"s3://{local.bucket}/out",
        "S3FailurePath": f"s3://{local.bucket}/bad/",
        "NotificationConfig": topics,
    }
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[variant(model)],
        AsyncInferenceConfig={"OutputConfig": output, **config},
    )
    return name


def deploy_async(local: Any, sagemaker: Any, code: str = ADDER, **config: Any) -> None:
    create_model(local, sagemaker, "one", code)
    configure(local, sagemaker, "e-1", **config)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="e-1")
    assert local.until("endpoint", "e", "InService", "Failed")["EndpointStatus"] == "InService"


def send(local: Any, body: str = "1,2", **more: Any) -> Any:
    """An invocation with its body inline."""
    return local.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="e", ContentType="text/csv", Accept="text/csv", Body=body, **more
    )


def arrived(local: Any, uri: str) -> str:
    """The text of an object, once it is there."""
    key = uri.removeprefix(f"s3://{local.bucket}/")
    local.until_true(lambda: key in local.keys(key))
    return str(local.read(key).decode())


def resize(local: Any, sagemaker: Any, count: int) -> None:
    wish = {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[wish]
    )
    local.until("endpoint", "e", "InService")


def refusal(call: Callable[..., Any], *args: Any, **more: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(*args, **more)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    return str(refused.value.response["Error"]["Message"])


def latest(local: Any, metric: str, variant_name: str = "") -> float:
    found = measures.of(local.plane).minutes("e", variant_name, metric, 0, 1e12)
    return found[-1].most if found else -1.0


def test_an_invocation_is_acknowledged_and_its_answer_is_in_s3(local: Any, sagemaker: Any) -> None:
    deploy_async(local, sagemaker)
    given = local.put("in/rows.csv", "4,5")
    answer = local.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="e",
        ContentType="text/csv",
        Accept="a/b",
        InputLocation=given,
        InferenceId="me",
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "me"
    assert answer["OutputLocation"].startswith(f"s3://{local.bucket}/out/")
    assert answer["OutputLocation"].endswith(".out")
    assert answer["FailureLocation"].startswith(f"s3://{local.bucket}/bad/")
    assert answer["FailureLocation"].endswith("-error.out")
    assert arrived(local, answer["OutputLocation"]) == "one 9.0"
    key = answer["OutputLocation"].removeprefix(f"s3://{local.bucket}/")
    assert local.s3.head_object(Bucket=local.bucket, Key=key)["ContentType"] == "a/b"
    local.until_true(lambda: local.plane.store.rows("async-invocation") == [])
    assert local.keys("bad/") == []
    local.until_true(lambda: latest(local, "InvocationsProcesssed", "AllTraffic") == 1)


def test_an_invocation_is_counted_and_captured_as_any_other(
    local: Any, sagemaker: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "INTERVAL_SECONDS", 0.05)
    create_model(local, sagemaker)
    name = f"e-{local.bucket}"
    capturing = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{local.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    output = {"OutputConfig": {"S3OutputPath": f"s3://{local.bucket}/out"}}
    deploy(
        local, sagemaker, variant("one"), name=name,
        AsyncInferenceConfig=output, DataCaptureConfig=capturing,
    )  # fmt: skip
    local.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=name, ContentType="text/csv", Accept="text/csv", Body="1,2", InferenceId="me"
    )
    local.until_true(lambda: local.keys("captured/"))
    found = json.loads(local.read(local.keys("captured/")[0]))
    assert found["captureData"]["endpointInput"]["data"] == "1,2"
    assert found["captureData"]["endpointOutput"]["data"] == "one 3.0"
    assert found["eventMetadata"]["inferenceId"] == "me"
    local.until_true(lambda: local.plane.store.rows("async-invocation") == [])
    publishing.of(local.plane).close()
    cloudwatch = new_client("cloudwatch", s3_endpoint)
    dimensions = [{"Name": "EndpointName", "Value": name}]
    metrics = cloudwatch.list_metrics(Namespace="AWS/SageMaker", Dimensions=dimensions)["Metrics"]
    cloudwatch.close()
    shown = {(each["MetricName"], len(each["Dimensions"])) for each in metrics}
    queue = {"ApproximateBacklogSize", "ApproximateAgeOfOldestRequest", "HasBacklogWithoutCapacity"}
    assert {(each, 1) for each in queue} <= shown
    of_variant = {"Invocations", "ModelLatency", "InvocationsProcesssed", "TimeInBacklog"}
    assert {(each, 2) for each in of_variant} <= shown


def test_a_body_comes_with_the_request_and_the_answer_where_it_says(
    local: Any, sagemaker: Any
) -> None:
    deploy_async(local, sagemaker)
    answer = send(local, "1,2", S3OutputPathExtension="team/a", Filename="sum.txt")
    assert answer["OutputLocation"] == f"s3://{local.bucket}/out/team/a/sum.txt"
    assert arrived(local, answer["OutputLocation"]) == "one 3.0"


def test_what_the_model_says_against_it_is_the_failure(local: Any, sagemaker: Any) -> None:
    deploy_async(local, sagemaker)
    answer = send(local, "raise")
    assert arrived(local, answer["FailureLocation"]) == "no such row"
    assert local.keys("out/") == []
    local.until_true(lambda: latest(local, "InvocationFailures", "AllTraffic") == 1)


def test_an_input_that_is_not_there_is_a_failure(local: Any, sagemaker: Any) -> None:
    deploy_async(local, sagemaker)
    answer = local.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="e", InputLocation=f"s3://{local.bucket}/none"
    )
    assert "Could not download input location" in arrived(local, answer["FailureLocation"])
    local.until_true(lambda: latest(local, "RequestDownloadFailures", "AllTraffic") == 1)
    assert latest(local, "InvocationFailures", "AllTraffic") == 1
    assert latest(local, "Invocations", "AllTraffic") == -1  # the model was not asked


def test_an_answer_that_cannot_be_written_is_a_failure(local: Any, sagemaker: Any) -> None:
    create_model(local, sagemaker)
    output = {
        "S3OutputPath": f"s3://none-{uuid.uuid4().hex}/out",
        "S3FailurePath": f"s3://{local.bucket}/bad",
    }
    sagemaker.create_endpoint_config(
        EndpointConfigName="e-1",
        ProductionVariants=[variant("one")],
        AsyncInferenceConfig={"OutputConfig": output},
    )
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="e-1")
    local.until("endpoint", "e", "InService")
    said = arrived(local, send(local)["FailureLocation"])
    assert "Could not upload the response" in said
    local.until_true(lambda: latest(local, "ResponseUploadFailures", "AllTraffic") == 1)


def test_a_model_that_takes_longer_than_the_invocation_may_is_a_failure(
    local: Any, sagemaker: Any, tmp_path: Path
) -> None:
    deploy_async(local, sagemaker)
    gate = tmp_path / "gate"
    answer = send(local, f"wait {gate}", InvocationTimeoutSeconds=1)
    assert "timed out" in arrived(local, answer["FailureLocation"])
    gate.touch()


# Answers how many requests it has had under way at once, at most.
COUNTER = """
import threading, time

lock, now, most = threading.Lock(), 0, 0

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    global now, most
    with lock:
        now += 1
        most = max(most, now)
    time.sleep(0.05)
    with lock:
        now -= 1
        return str(most), accept
"""


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_at_once_than_the_config_allows(local: Any, sagemaker: Any, most: int) -> None:
    client = {"MaxConcurrentInvocationsPerInstance": most}
    deploy_async(local, sagemaker, COUNTER, ClientConfig=client)
    resize(local, sagemaker, 0)
    answers = [send(local) for _ in range(8)]
    resize(local, sagemaker, 1)
    found = {arrived(local, each["OutputLocation"]) for each in answers}
    assert max(found) == str(most)


def test_without_instances_invocations_wait(local: Any, sagemaker: Any) -> None:
    deploy_async(local, sagemaker)
    resize(local, sagemaker, 0)
    shown = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"][0]
    assert (shown["CurrentInstanceCount"], shown["DesiredInstanceCount"]) == (0, 0)
    answer = send(local)
    local.until_true(lambda: latest(local, "HasBacklogWithoutCapacity") == 1)
    assert local.keys("out/") == []
    resize(local, sagemaker, 1)
    assert arrived(local, answer["OutputLocation"]) == "one 3.0"


def test_an_invocation_that_waited_too_long_expires(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    clock = FakeClock()
    local = start(tmp_path / "home", clock=clock)
    sagemaker = local.client()
    deploy_async(local, sagemaker)
    resize(local, sagemaker, 0)
    answer, other = send(local, RequestTTLSeconds=60), send(local)
    clock.advance(61)
    assert "Request expired" in arrived(local, answer["FailureLocation"])
    resize(local, sagemaker, 1)
    assert arrived(local, other["OutputLocation"]) == "one 3.0"


def test_a_restart_goes_on_with_what_was_acknowledged(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    first = start(tmp_path / "home", slots=2)
    deploy_async(first, first.client())
    gate = tmp_path / "gate"
    under_way = send(first, f"wait {gate}")
    first.until_true((tmp_path / "gate.here").exists)
    waiting = [send(first, f"1,{n}") for n in range(3)]
    boot.shut_down(first.plane)
    assert first.keys("bad/") == []
    gate.touch()
    second = start(tmp_path / "home", slots=2)
    assert arrived(second, under_way["OutputLocation"]) == "one"
    for n, each in enumerate(waiting):
        assert arrived(second, each["OutputLocation"]) == f"one {1.0 + n}"
    second.until_true(lambda: second.plane.store.rows("async-invocation") == [])


def test_an_update_loses_nothing(local: Any, sagemaker: Any, tmp_path: Path) -> None:
    deploy_async(local, sagemaker)
    resize(local, sagemaker, 0)
    answer = send(local)
    create_model(local, sagemaker, "two")
    configure(local, sagemaker, "e-2", "two")
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e-2")
    local.until("endpoint", "e", "InService")
    assert arrived(local, answer["OutputLocation"]) == "two 3.0"


def test_a_deleted_endpoint_forgets_its_queue(local: Any, sagemaker: Any) -> None:
    deploy_async(local, sagemaker)
    resize(local, sagemaker, 0)
    send(local)
    sagemaker.delete_endpoint(EndpointName="e")
    local.until_true(lambda: not sagemaker.list_endpoints()["Endpoints"])
    assert local.plane.store.rows("async-invocation") == []
    assert "Endpoint e of account 000000000000 not found" in refusal(send, local)


def test_a_description_shows_the_config(local: Any, sagemaker: Any) -> None:
    deploy_async(local, sagemaker)
    for found in (
        sagemaker.describe_endpoint(EndpointName="e"),
        sagemaker.describe_endpoint_config(EndpointConfigName="e-1"),
    ):
        output = found["AsyncInferenceConfig"]["OutputConfig"]
        assert output["S3OutputPath"] == f"s3://{local.bucket}/out"


@pytest.fixture
def topics(s3_endpoint: str) -> Iterator[Any]:
    """Two topics and the queue that hears of both."""
    sns, sqs = new_client("sns", s3_endpoint), new_client("sqs", s3_endpoint)
    name = f"t-{uuid.uuid4().hex[:12]}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arns = {}
    for member in ("SuccessTopic", "ErrorTopic"):
        arns[member] = sns.create_topic(Name=f"{name}-{member}")["TopicArn"]
        queue = found["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arns[member], Protocol="sqs", Endpoint=queue)

    def heard() -> Any:
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        envelope = json.loads(message["Body"])
        return envelope["TopicArn"], json.loads(envelope["Message"])

    yield arns, heard
    sns.close()
    sqs.close()


def test_a_topic_is_told_of_a_success(local: Any, sagemaker: Any, topics: Any) -> None:
    arns, heard = topics
    deploy_async(local, sagemaker, NotificationConfig=arns)
    given = local.put("in/rows.csv", "4,5")
    answer = local.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="e", ContentType="text/csv", Accept="text/csv", InputLocation=given
    )
    topic, told = heard()
    assert topic == arns["SuccessTopic"]
    assert told.pop("eventTime") >= told.pop("receivedTime")
    assert told == {
        "awsRegion": "us-east-1",
        "invocationStatus": "Completed",
        "requestParameters": {
            "contentType": "text/csv",
            "endpointName": "e",
            "inputLocation": given,
        },
        "responseParameters": {
            "contentType": "text/csv",
            "outputLocation": answer["OutputLocation"],
        },
        "inferenceId": answer["InferenceId"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    assert arrived(local, answer["OutputLocation"]) == "one 9.0"  # it was there before the message


def test_a_topic_is_told_of_a_failure_and_of_what_the_model_said(
    local: Any, sagemaker: Any, topics: Any
) -> None:
    arns, heard = topics
    wanted = {"IncludeInferenceResponseIn": ["ERROR_NOTIFICATION_TOPIC"]}
    deploy_async(local, sagemaker, NotificationConfig={**arns, **wanted})
    answer = send(local, "raise")
    topic, told = heard()
    assert topic == arns["ErrorTopic"]
    assert told["invocationStatus"] == "Failed"
    assert told["failureReason"].startswith("Received server error (500) from primary")
    assert told["responseParameters"]["outputLocation"] == answer["FailureLocation"]
    body = told["responseParameters"]["responseBody"]
    assert body == {"content": "bm8gc3VjaCByb3c=", "encoding": "BASE64"}
    send(local, "1,2")
    topic, told = heard()
    assert topic == arns["SuccessTopic"]
    assert "responseBody" not in told["responseParameters"]


def test_a_topic_that_is_not_there_costs_no_answer(local: Any, sagemaker: Any) -> None:
    nobody = {"SuccessTopic": "arn:aws:sns:us-east-1:000000000000:nobody"}
    deploy_async(local, sagemaker, NotificationConfig=nobody)
    assert arrived(local, send(local)["OutputLocation"]) == "one 3.0"
    local.until_true(lambda: local.plane.store.rows("async-invocation") == [])


@pytest.mark.parametrize(
    ("request_members", "word"),
    [
        ({}, "InputLocation or Body, exactly one"),
        ({"Body": b"1", "InputLocation": "s3://b/k"}, "InputLocation or Body, exactly one"),
        ({"Body": b"1" * 128_001}, "128001 bytes; InvokeEndpointAsync takes at most 128000"),
        ({"InputLocation": "https://b/k"}, "must be s3://"),
        ({"InputLocation": "ftp://b/k"}, "failed to satisfy constraint"),
        ({"Body": b"1", "Filename": "a/b"}, "'filename' failed to satisfy constraint"),
        ({"Body": b"1", "RequestTTLSeconds": 59}, "greater than or equal to 60"),
        ({"Body": b"1", "InvocationTimeoutSeconds": 3601}, "less than or equal to 3600"),
    ],
)
def test_an_invocation_is_checked_before_it_is_acknowledged(
    local: Any, sagemaker: Any, request_members: dict[str, Any], word: str
) -> None:
    deploy_async(local, sagemaker)
    resize(local, sagemaker, 0)
    runtime = new_lenient_client(local)
    try:
        said = refusal(runtime.invoke_endpoint_async, EndpointName="e", **request_members)
    finally:
        runtime.close()
    assert word in said
    assert local.plane.store.rows("async-invocation") == []


def new_lenient_client(local: Any) -> Any:
    """A client that sends what botocore itself would refuse."""
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=local.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=ClientConfig(parameter_validation=False, retries={"max_attempts": 0}),
    )


def test_each_kind_of_endpoint_has_its_own_way_to_be_invoked(local: Any, sagemaker: Any) -> None:
    deploy_async(local, sagemaker)
    assert "use InvokeEndpointAsync" in refusal(ask, local.client("sagemaker-runtime"))
    deploy(local, sagemaker, variant("one"), name="sync")
    runtime = local.client("sagemaker-runtime")
    said = refusal(runtime.invoke_endpoint_async, EndpointName="sync", Body=b"1")
    assert "Endpoint sync is not an asynchronous endpoint" in said


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (
            {"ProductionVariants": [variant("one", "A"), variant("one", "B")]},
            "Asynchronous inference does not support multiple production variants",
        ),
        ({"AsyncInferenceConfig": {"OutputConfig": {}}}, "S3OutputPath is required"),
        (
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "https://b/o"}}},
            "must be s3://",
        ),
    ],
)
def test_what_asynchronous_inference_excludes_is_refused(
    local: Any, sagemaker: Any, changes: dict[str, Any], word: str
) -> None:
    create_model(local, sagemaker)
    request = {
        "EndpointConfigName": "c",
        "ProductionVariants": [variant("one")],
        "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}},
        **changes,
    }
    with pytest.raises(ClientError, match=word):
        sagemaker.create_endpoint_config(**request)


def test_only_an_asynchronous_endpoint_may_have_no_instances(local: Any, sagemaker: Any) -> None:
    put_model(local)
    deploy(local, sagemaker)
    with pytest.raises(ClientError, match="must be 1 or more"):
        resize(local, sagemaker, 0)
