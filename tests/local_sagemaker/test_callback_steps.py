"""Callback steps with MiniStack's queues: the message, the answer, stopping and restarting."""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.engine import callbacks, services, steps
from tests.local_sagemaker.conftest import new_client
from tests.local_sagemaker.test_pipeline_executions import (
    EXECUTION,
    create,
    listed,
    processing,
    run,
    status,
)
from tests.local_sagemaker.test_pipeline_executions import start as begin

CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}


@dataclass
class Queue:
    sqs: Any
    url: str

    def message(self) -> Any:
        """The next message, waited for."""
        found = self.sqs.receive_message(QueueUrl=self.url, WaitTimeSeconds=10)["Messages"][0]
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=found["ReceiptHandle"])
        return json.loads(found["Body"])

    def is_empty(self) -> bool:
        return not self.sqs.receive_message(QueueUrl=self.url).get("Messages")


@pytest.fixture
def queue(s3_endpoint: str) -> Any:
    client = new_client("sqs", s3_endpoint)
    yield Queue(client, client.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"])
    client.close()


def callback(url: Any, *outputs: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {
        "Name": "Ask",
        "Type": "Callback",
        "SqsQueueUrl": url,
        "Arguments": more.pop("arguments", {}),
        "OutputParameters": [{"OutputName": n, "OutputType": kind} for n, kind in outputs],
        **more,
    }


def say(*names: str) -> dict[str, Any]:
    values = [{"Get": f"Steps.Ask.OutputParameters['{name}']"} for name in names]
    message = {"Std:Join": {"On": " ", "Values": ["said", *values]}}
    return {"Name": "Say", "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def succeed(sagemaker: Any, token: str, **outputs: str) -> Any:
    given = [{"Name": name, "Value": value} for name, value in outputs.items()]
    return sagemaker.send_pipeline_execution_step_success(
        CallbackToken=token, OutputParameters=given
    )


def refusal(send: Callable[..., Any], *args: Any, **outputs: str) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        send(*args, **outputs)
    said = refused.value.response["Error"]
    return said["Code"], said["Message"]


def test_a_message_asks_and_its_token_answers(local: Any, sagemaker: Any, queue: Queue) -> None:
    parameters = [{"Name": "Limit", "Type": "Float", "DefaultValue": 0.8}]
    arguments = {"limit": {"Get": "Parameters.Limit"}, "what": "model"}
    step = callback(queue.url, ("ok", "Boolean"), ("n", "Integer"), arguments=arguments)
    create(sagemaker, step, say("ok", "n"), Parameters=parameters)
    execution = begin(sagemaker)
    message = queue.message()
    token = message["token"]
    assert re.fullmatch("[A-Za-z0-9]{10}", token)
    assert message == {
        "token": token,
        "pipelineExecutionArn": execution,
        "arguments": {"limit": 0.8, "what": "model"},
        "status": "Executing",
    }
    local.until_true(lambda: "Metadata" in listed(sagemaker, execution)["Ask"])
    shown = listed(sagemaker, execution)["Ask"]
    assert shown["StepStatus"] == "Executing"
    assert shown["Metadata"]["Callback"] == {
        "CallbackToken": token,
        "SqsQueueUrl": queue.url,
        "OutputParameters": [],
    }
    assert succeed(sagemaker, token, ok="True", n="3")["PipelineExecutionArn"] == execution
    local.until(EXECUTION, execution, "Failed")
    assert status(sagemaker, execution)[1] == "said true 3"
    shown = listed(sagemaker, execution)["Ask"]
    assert shown["StepStatus"] == "Succeeded"
    assert shown["Metadata"]["Callback"]["OutputParameters"] == [
        {"Name": "ok", "Value": "True"},
        {"Name": "n", "Value": "3"},
    ]


def test_a_failure_fails_the_step_with_its_reason(local: Any, sagemaker: Any, queue: Queue) -> None:
    create(sagemaker, callback(queue.url))
    execution = begin(sagemaker)
    sagemaker.send_pipeline_execution_step_failure(
        CallbackToken=queue.message()["token"], FailureReason="nobody approved"
    )
    local.until(EXECUTION, execution, "Failed")
    step = listed(sagemaker, execution)["Ask"]
    assert (step["StepStatus"], step["FailureReason"]) == ("Failed", "ClientError: nobody approved")


def test_a_queue_that_is_not_there_fails_the_step(local: Any, sagemaker: Any, queue: Queue) -> None:
    execution = run(local, sagemaker, callback(f"{queue.url}-no"))
    reason = listed(sagemaker, execution)["Ask"]["FailureReason"]
    assert reason.startswith("ClientError: ")
    assert f"SQS queue {queue.url}-no" in reason


def test_a_token_is_used_once_and_in_its_own_case(local: Any, sagemaker: Any, queue: Queue) -> None:
    create(sagemaker, callback(queue.url))
    execution = begin(sagemaker)
    token = queue.message()["token"]
    assert refusal(succeed, sagemaker, token.swapcase())[0] == "ResourceNotFound"
    succeed(sagemaker, token)
    local.until(EXECUTION, execution, "Succeeded")
    code, message = refusal(succeed, sagemaker, token)
    assert code == "ValidationException"
    assert f"'{token}' has been used already: its step has succeeded" in message
    failing = sagemaker.send_pipeline_execution_step_failure
    with pytest.raises(ClientError, match="used already"):
        failing(CallbackToken=token, FailureReason="late")


def test_an_unknown_token_is_not_found(sagemaker: Any) -> None:
    code, message = refusal(succeed, sagemaker, "a" * 10)
    assert (code, message) == ("ResourceNotFound", "Callback token 'aaaaaaaaaa' does not exist.")


def test_outputs_that_are_not_declared_or_not_of_their_type_are_refused(
    local: Any, sagemaker: Any, queue: Queue
) -> None:
    create(sagemaker, callback(queue.url, ("rows", "Integer")))
    execution = begin(sagemaker)
    token = queue.message()["token"]
    code, message = refusal(succeed, sagemaker, token, row="1")
    assert code == "ValidationException"
    assert "output 'row' is not declared by the step; did you mean 'rows'?" in message
    assert "is Integer, which cannot be 'x'" in refusal(succeed, sagemaker, token, rows="x")[1]
    assert listed(sagemaker, execution)["Ask"]["StepStatus"] == "Executing"
    succeed(sagemaker, token, rows="1")
    local.until(EXECUTION, execution, "Succeeded")


def test_a_declared_output_that_was_not_sent_fails_what_needs_it(
    local: Any, sagemaker: Any, queue: Queue
) -> None:
    create(sagemaker, callback(queue.url, ("rows", "Integer")), say("rows"))
    execution = begin(sagemaker)
    succeed(sagemaker, queue.message()["token"])
    local.until(EXECUTION, execution, "Failed")
    steps = listed(sagemaker, execution)
    assert steps["Ask"]["StepStatus"] == "Succeeded"
    assert "['rows']' has no value" in steps["Say"]["FailureReason"]


def test_stopping_tells_the_queue_and_waits_for_the_answer(
    local: Any, sagemaker: Any, queue: Queue
) -> None:
    after = {**processing("After", "true"), "DependsOn": ["Ask"]}
    create(sagemaker, callback(queue.url, arguments={"a": 1}), after)
    execution = begin(sagemaker)
    first = queue.message()
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    assert queue.message() == {**first, "status": "Stopping"}
    assert status(sagemaker, execution)[0] == "Stopping"
    assert listed(sagemaker, execution)["Ask"]["StepStatus"] == "Stopping"
    succeed(sagemaker, first["token"])
    local.until(EXECUTION, execution, "Stopped")
    assert "After" not in listed(sagemaker, execution)


def test_a_callback_waits_over_a_restart(
    start: Callable[..., Any], tmp_path: Path, queue: Queue
) -> None:
    first = start(tmp_path / "home", slots=2)
    sagemaker = first.client()
    create(sagemaker, callback(queue.url, ("n", "Integer")), say("n"))
    execution = begin(sagemaker)
    token = queue.message()["token"]
    first.until_true(lambda: listed(sagemaker, execution)["Ask"]["StepStatus"] == "Executing")
    boot.shut_down(first.plane)
    second = start(tmp_path / "home", slots=2)
    succeed(second.client(), token, n="7")
    second.until(EXECUTION, execution, "Failed")
    assert status(second.client(), execution)[1] == "said 7"
    assert queue.is_empty()  # it was not asked again


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_stopping_tells_the_queue_once_whenever_the_server_is_killed(
    start: Callable[..., Any], tmp_path: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise SystemExit

    first = start(tmp_path / "home")
    sagemaker = first.client()
    create(sagemaker, callback(queue.url))
    execution = begin(sagemaker)
    message = queue.message()
    with monkeypatch.context() as here:
        here.setattr(steps, "stop", killed)
        sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
        first.until_true(lambda: listed(sagemaker, execution)["Ask"]["StepStatus"] == "Stopping")
        boot.shut_down(first.plane)
    second = start(tmp_path / "home")
    assert queue.message() == {**message, "status": "Stopping"}
    boot.shut_down(second.plane)
    third = start(tmp_path / "home")
    succeed(third.client(), message["token"])
    third.until(EXECUTION, execution, "Stopped")
    assert queue.is_empty()


@pytest.fixture
def unsent(local: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of a callback whose message was not sent before the server was killed."""
    request = {"CallbackToken": "a1b2c3d4e5", "SqsQueueUrl": queue.url, "Payload": {}}
    execution = {"PipelineArn": "arn:p", "PipelineExecutionArn": "arn:p/execution/e"}

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as here:
        here.setattr(services, "client", killed)
        with pytest.raises(KeyboardInterrupt):
            callbacks.begin(local.plane, {**request, "OutputParameters": []}, execution)
    return request["CallbackToken"]


def test_a_message_that_a_kill_prevented_is_sent_once_after_the_restart(
    local: Any, queue: Queue, unsent: str
) -> None:
    callbacks.resume(local.plane, unsent)
    assert queue.message()["token"] == unsent
    callbacks.resume(local.plane, unsent)
    assert queue.is_empty()


def test_a_queue_that_went_with_the_kill_fails_the_step(
    local: Any, queue: Queue, unsent: str
) -> None:
    queue.sqs.delete_queue(QueueUrl=queue.url)
    callbacks.resume(local.plane, unsent)
    row = callbacks.find(local.plane, unsent)
    assert row["Status"] == "Failed"
    assert queue.url in row["FailureReason"]


def test_an_answer_is_reused_when_the_step_says_so(
    local: Any, sagemaker: Any, queue: Queue
) -> None:
    create(sagemaker, callback(queue.url, ("n", "Integer"), **CACHE), say("n"))
    first = begin(sagemaker)
    succeed(sagemaker, queue.message()["token"], n="7")
    local.until(EXECUTION, first, "Failed")
    second = begin(sagemaker)
    local.until(EXECUTION, second, "Failed")
    assert listed(sagemaker, second)["Ask"]["CacheHitResult"]["SourcePipelineExecutionArn"] == first
    assert status(sagemaker, second)[1] == "said 7"


def test_deleting_the_pipeline_forgets_its_tokens(local: Any, sagemaker: Any, queue: Queue) -> None:
    create(sagemaker, callback(queue.url))
    execution = begin(sagemaker)
    token = queue.message()["token"]
    succeed(sagemaker, token)
    local.until(EXECUTION, execution, "Succeeded")
    sagemaker.delete_pipeline(PipelineName="p")
    assert refusal(succeed, sagemaker, token)[0] == "ResourceNotFound"


def test_a_step_without_a_queue_is_refused(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="step 'Ask': SqsQueueUrl must be a text, not None"):
        create(sagemaker, callback(None))
