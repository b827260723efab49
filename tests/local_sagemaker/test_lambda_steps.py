"""Lambda steps with MiniStack's functions, which really run."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.engine import lambdas
from tests.local_sagemaker.conftest import new_client
from tests.local_sagemaker.test_pipeline_executions import (
    EXECUTION,
    ROLE,
    create,
    listed,
    processing,
    run,
    status,
)
from tests.local_sagemaker.test_pipeline_executions import (
    start as begin,
)

CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}
Function = Callable[..., str]


@pytest.fixture
def aws_lambda(s3_endpoint: str) -> Any:
    client = new_client("lambda", s3_endpoint)
    yield client
    client.close()


def zipped(body: str) -> bytes:
    code = f"import pathlib, time\n\ndef handler(event, context):\n    {body}\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("main.py", code)
    return archive.getvalue()


@pytest.fixture
def function(aws_lambda: Any) -> Function:
    """Make a function of one line; its ARN."""

    def make(body: str, timeout: int = 20) -> str:
        made = aws_lambda.create_function(
            FunctionName=f"f-{uuid.uuid4().hex[:8]}",
            Runtime="python3.11",
            Handler="main.handler",
            Role=ROLE,
            Code={"ZipFile": zipped(body)},
            Timeout=timeout,
        )
        return str(made["FunctionArn"])

    return make


def invoke(name: str, arn: Any, *outputs: tuple[str, str], **more: Any) -> dict[str, Any]:
    declared = [{"OutputName": each, "OutputType": kind} for each, kind in outputs]
    return {
        "Name": name,
        "Type": "Lambda",
        "FunctionArn": arn,
        "Arguments": more.pop("arguments", {}),
        "OutputParameters": declared,
        **more,
    }


def output(step: str, name: str) -> dict[str, str]:
    return {"Get": f"Steps.{step}.OutputParameters['{name}']"}


def say(*values: Any) -> dict[str, Any]:
    message = {"Std:Join": {"On": " ", "Values": ["said", *values]}}
    return {"Name": "Say", "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def test_a_function_gets_the_arguments_and_its_outputs_are_typed(
    local: Any, sagemaker: Any, function: Function
) -> None:
    arn = function('return {**event, "twice": event["rows"] * 2, "more": [1, {"a": None}]}')
    parameters = [{"Name": "Rows", "Type": "Integer", "DefaultValue": 21}]
    arguments = {"rows": {"Get": "Parameters.Rows"}, "name": "churn", "share": 0.5, "ok": True}
    declared = (
        ("twice", "Integer"),
        ("share", "Float"),
        ("ok", "Boolean"),
        ("name", "String"),
        ("more", "String"),
    )
    exactly = {"Type": "Equals", "LeftValue": output("F", "twice"), "RightValue": 42}
    truly = {"Type": "Equals", "LeftValue": output("F", "ok"), "RightValue": True}
    branch = {"Conditions": [exactly, truly], "IfSteps": [], "ElseSteps": []}
    said = say(output("F", "name"), output("F", "share"), output("F", "more"))
    branch["IfSteps"] = [said]
    execution = run(
        local,
        sagemaker,
        invoke("F", arn, *declared, arguments=arguments),
        {"Name": "C", "Type": "Condition", "Arguments": branch},
        Parameters=parameters,
    )
    assert status(sagemaker, execution) == ("Failed", 'said churn 0.5 [1, {"a": null}]')
    step = listed(sagemaker, execution)["F"]
    assert step["StepStatus"] == "Succeeded"
    assert step["Metadata"]["Lambda"]["Arn"] == arn
    assert step["Metadata"]["Lambda"]["OutputParameters"][:3] == [
        {"Name": "twice", "Value": "42"},
        {"Name": "share", "Value": "0.5"},
        {"Name": "ok", "Value": "true"},
    ]


def test_a_step_without_outputs_does_not_mind_what_is_returned(
    local: Any, sagemaker: Any, function: Function
) -> None:
    execution = run(local, sagemaker, invoke("F", function("return None")))
    assert status(sagemaker, execution)[0] == "Succeeded"


@pytest.mark.parametrize(
    ("body", "outputs", "reason"),
    [
        ("raise ValueError('no such table')", [], "no such table"),
        ("return {'rows': 1}", [("row", "String")], "no 'row', which is an output of the step"),
        ("return {'rows': 'many'}", [("rows", "Integer")], "is Integer, which cannot be 'many'"),
        ("return [1]", [("rows", "Integer")], "returned [1], which is no JSON object"),
        ("return {'t': 'x' * 1025}", [("t", "String")], "has 1025 characters; 1024 may be"),
    ],
)
def test_what_a_function_does_wrong_fails_the_step(
    local: Any,
    sagemaker: Any,
    function: Function,
    body: str,
    outputs: list[tuple[str, str]],
    reason: str,
) -> None:
    execution = run(local, sagemaker, invoke("F", function(body), *outputs))
    step = listed(sagemaker, execution)["F"]
    assert step["StepStatus"] == "Failed"
    assert step["FailureReason"].startswith("ClientError: Lambda function arn:aws:lambda:")
    assert reason in step["FailureReason"]


def test_a_function_that_is_not_there_fails_the_step(local: Any, sagemaker: Any) -> None:
    arn = "arn:aws:lambda:us-east-1:000000000000:function:nobody"
    reason = listed(sagemaker, run(local, sagemaker, invoke("F", arn)))["F"]["FailureReason"]
    assert reason.startswith("ClientError: ResourceNotFoundException")
    assert arn in reason


def test_a_function_that_takes_longer_than_its_own_timeout_fails_the_step(
    local: Any, sagemaker: Any, function: Function
) -> None:
    arn = function("time.sleep(30)", timeout=1)
    reason = listed(sagemaker, run(local, sagemaker, invoke("F", arn)))["F"]["FailureReason"]
    assert reason.startswith(lambdas.TIMED_OUT)


def test_a_function_that_takes_longer_than_a_step_may_fails_it(
    local: Any, sagemaker: Any, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lambdas, "STEP_SECONDS", 0.3)
    arn = function("time.sleep(5)")
    reason = listed(sagemaker, run(local, sagemaker, invoke("F", arn)))["F"]["FailureReason"]
    assert reason.startswith(f"{lambdas.TIMED_OUT}: {arn} did not answer")


@dataclass
class Waiting:
    """A function that says that it runs, and ends when it may."""

    folder: Path

    @property
    def body(self) -> str:
        return (
            f"here = pathlib.Path({str(self.folder)!r}); (here / 'began').touch()\n"
            "    while not (here / 'go').exists():\n"
            "        time.sleep(0.02)\n"
            "    return {'done': 'yes'}"
        )

    def runs(self) -> bool:
        return (self.folder / "began").exists()

    def let_go(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    (tmp_path / "signs").mkdir()
    made = Waiting(tmp_path / "signs")
    yield made
    made.let_go()


def test_stopping_waits_for_the_function(
    local: Any, sagemaker: Any, function: Function, waiting: Waiting
) -> None:
    after = {**processing("After", "true"), "DependsOn": ["F"]}
    create(sagemaker, invoke("F", function(waiting.body), ("done", "String")), after)
    execution = begin(sagemaker)
    local.until_true(waiting.runs)
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    local.until_true(lambda: listed(sagemaker, execution)["F"]["StepStatus"] == "Stopping")
    assert status(sagemaker, execution)[0] == "Stopping"
    waiting.let_go()
    local.until(EXECUTION, execution, "Stopped")
    steps = listed(sagemaker, execution)
    assert steps["F"]["StepStatus"] == "Succeeded"
    assert steps["F"]["Metadata"]["Lambda"]["OutputParameters"] == [
        {"Name": "done", "Value": "yes"}
    ]
    assert "After" not in steps


def test_a_stopped_execution_whose_function_times_out_is_failed(
    local: Any, sagemaker: Any, function: Function, waiting: Waiting
) -> None:
    create(sagemaker, invoke("F", function(waiting.body, timeout=2)))
    execution = begin(sagemaker)
    local.until_true(waiting.runs)
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    local.until(EXECUTION, execution, "Failed")
    assert listed(sagemaker, execution)["F"]["StepStatus"] == "Failed"


def test_a_function_that_ran_when_the_server_went_fails_its_step(
    start: Callable[..., Any], tmp_path: Path, function: Function, waiting: Waiting
) -> None:
    first = start_server(start, tmp_path)
    sagemaker = first.client()
    create(sagemaker, invoke("F", function(waiting.body)))
    execution = begin(sagemaker)
    first.until_true(waiting.runs)
    boot.shut_down(first.plane)
    second = start_server(start, tmp_path)
    second.until(EXECUTION, execution, "Failed")
    reason = listed(second.client(), execution)["F"]["FailureReason"]
    assert reason.startswith("InternalServerError: the local SageMaker was stopped while")


def start_server(start: Callable[..., Any], tmp_path: Path) -> Any:
    return start(tmp_path / "home", slots=2)


def test_a_step_is_reused_until_its_arguments_or_its_code_change(
    local: Any, sagemaker: Any, function: Function, aws_lambda: Any
) -> None:
    arn = function("return {'n': event['n']}")

    def hit(n: int) -> bool:
        step = invoke("F", arn, ("n", "Integer"), arguments={"n": n}, **CACHE)
        text = json.dumps({"Steps": [step, say(output("F", "n"))]})
        sagemaker.update_pipeline(PipelineName="p", RoleArn=ROLE, PipelineDefinition=text)
        execution = begin(sagemaker)
        local.until(EXECUTION, execution, "Failed")
        assert status(sagemaker, execution)[1] == f"said {n}"
        return "CacheHitResult" in listed(sagemaker, execution)["F"]

    create(sagemaker, invoke("F", arn))
    assert not hit(1)
    assert hit(1)
    assert not hit(2)
    changed = zipped("return {'n': 0 + event['n']}")
    aws_lambda.update_function_code(FunctionName=arn, ZipFile=changed)
    assert not hit(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"FunctionArn": None}, "FunctionArn must be a text, not None"),
        ({"Arguments": {"a": {"b": 1}}}, "Arguments: 'a' must be a text, a number"),
        ({"OutputParameters": [{"OutputName": "x"}]}, "must be an OutputName and an OutputType"),
        (
            {"OutputParameters": [{"OutputName": "x", "OutputType": "List"}]},
            "OutputType 'List'; allowed is String, Integer, Float, Boolean",
        ),
        (
            {"OutputParameters": [{"OutputName": "x", "OutputType": "String"}] * 2},
            "output 'x' is declared twice",
        ),
        ({"SqsQueueUrl": "http://x"}, "SqsQueueUrl is not supported on a step of type Lambda"),
        ({"FunctionArn": {"Get": "Parameters.No"}}, "parameter 'No' is not declared"),
    ],
)
def test_a_step_that_cannot_run_is_refused(
    sagemaker: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match="step 'F'") as refused:
        create(sagemaker, {**invoke("F", "arn:aws:lambda:us-east-1:0:function:f"), **change})
    assert message in refused.value.response["Error"]["Message"]


def test_only_declared_outputs_may_be_referred_to(sagemaker: Any) -> None:
    step = invoke("F", "arn:aws:lambda:us-east-1:0:function:f", ("rows", "Integer"))
    with pytest.raises(ClientError, match=r"exposes only OutputParameters\.rows"):
        create(sagemaker, step, say(output("F", "row")))
