"""One pipeline with every supported step type, from data to an endpoint that answers."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local_sagemaker.engine import step_types
from tests.local_sagemaker import golden
from tests.local_sagemaker.conftest import new_client
from tests.local_sagemaker.hosting import ask
from tests.local_sagemaker.pipelining import ENDS, EXECUTION, ROLE, listed, status
from tests.local_sagemaker.test_lambda_steps import zipped
from tests.local_sagemaker.test_notebook_jobs import INPUT, notebook


@pytest.fixture
def function(s3_endpoint: str) -> Iterator[str]:
    client = new_client("lambda", s3_endpoint)
    made = client.create_function(
        FunctionName=f"f-{uuid.uuid4().hex[:8]}",
        Runtime="python3.11",
        Handler="main.handler",
        Role=ROLE,
        Code={"ZipFile": zipped("return {'said': f'rmse is {event[\"rmse\"]}'}")},
    )
    yield made["FunctionArn"]
    client.close()


@pytest.fixture
def sqs(s3_endpoint: str) -> Iterator[Any]:
    client = new_client("sqs", s3_endpoint)
    yield client
    client.close()


def answer(sqs: Any, queue: str, sagemaker: Any) -> dict[str, Any]:
    """What a worker behind the queue does; the message's arguments."""
    found = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    message = json.loads(found[0]["Body"])
    sagemaker.send_pipeline_execution_step_success(
        CallbackToken=message["token"], OutputParameters=[{"Name": "answer", "Value": "go"}]
    )
    arguments: dict[str, Any] = message["arguments"]
    return arguments


def ends(sagemaker: Any, arn: str) -> dict[str, tuple[str, str | None]]:
    """How each step stands, with the reason if it has failed."""
    steps = listed(sagemaker, arn).items()
    return {name: (each["StepStatus"], each.get("FailureReason")) for name, each in steps}


def kinds_of(steps: list[dict[str, Any]]) -> set[str]:
    """The types of these steps and of those in their branches and bodies."""
    found = set()
    for each in steps:
        inner = [each["Arguments"].get(key, []) for key in ("IfSteps", "ElseSteps", "ForEachBody")]
        found |= {each["Type"]} | kinds_of([step for part in inner for step in part])
    return found


def test_it_has_every_supported_step_type() -> None:
    assert kinds_of(golden.steps("b", "f", "q")) == set(step_types.supported())


def test_it_runs_green_from_data_to_an_answering_endpoint(
    local: Any, sagemaker: Any, function: str, sqs: Any
) -> None:
    queue = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    for name, content in {"simple.ipynb": notebook("print(x)"), "init.sh": ""}.items():
        local.put(f"{INPUT}/{name}", content)
    text = golden.definition(local.bucket, function, queue)
    sagemaker.create_model_package_group(ModelPackageGroupName="golden")
    sagemaker.create_pipeline(PipelineName="golden", RoleArn=ROLE, PipelineDefinition=text)
    arn = sagemaker.start_pipeline_execution(PipelineName="golden")["PipelineExecutionArn"]
    local.until_true(
        lambda: "Ask" in ends(sagemaker, arn) or status(sagemaker, arn)[0] in ENDS, timeout=60.0
    )
    assert "Ask" in ends(sagemaker, arn), ends(sagemaker, arn)
    assert answer(sqs, queue, sagemaker) == {"said": "rmse is 0.5"}
    local.until(EXECUTION, arn, *ENDS, timeout=60.0)
    steps = ends(sagemaker, arn)
    assert set(steps.values()) == {("Succeeded", None)}, steps
    assert status(sagemaker, arn) == ("Succeeded", None)
    assert "Worse" not in steps
    assert {"Slice-0", "Slice-1"} <= steps.keys()
    assert float(ask(local.client("sagemaker-runtime"), "1,2", "golden")) > 0
    assert float(
        ask(
            local.client("sagemaker-runtime"),
            "1,2",
            "shared",
            InferenceComponentName="golden-component",
        )
    )
    assert not [key for key in local.keys("") if key.endswith("rows.csv")]
