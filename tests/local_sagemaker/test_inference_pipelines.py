"""Models of several containers through boto3: in turn (Serial), or each for itself (Direct)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from tests.local_sagemaker.hosting import (
    ROLE,
    XGBOOST,
    ask,
    attach,
    deploy,
    deploy_empty,
    put_model,
    servers,
    variant,
)
from tests.local_sagemaker.pipelining import listed, run, status

# Appends "|<word> <content type> <accept>" to the request; and what a few words ask for.
STAGE = """
import os

def model_fn(model_dir):
    return open(os.path.join(model_dir, "word.txt")).read()

def transform_fn(model, body, content_type, accept):
    if body.startswith("raise " + model):
        raise ValueError("no such row")
    if body.startswith("exit " + model):
        os._exit(3)
    return f"{body}|{model} {content_type} {accept}", accept
"""
BOTH = "x|one text/csv application/json|two application/json text/csv"


@pytest.fixture
def runtime(local: Any) -> Any:
    return local.client("sagemaker-runtime")


def stages(local: Any, *words: str) -> list[dict[str, Any]]:
    """Containers that append their word."""
    return [
        {
            "Image": XGBOOST,
            "ModelDataUrl": put_model(local, word, STAGE),
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
        }
        for word in words
    ]


def create_chain(local: Any, sagemaker: Any, *words: str) -> str:
    sagemaker.create_model(
        ModelName="chain", Containers=stages(local, *words), ExecutionRoleArn=ROLE
    )
    return "chain"


def create_direct(local: Any, sagemaker: Any) -> str:
    named = [
        {**container, "ContainerHostname": name}
        for container, name in zip(stages(local, "one", "two"), ("first", "second"), strict=True)
    ]
    sagemaker.create_model(
        ModelName="direct",
        Containers=named,
        InferenceExecutionConfig={"Mode": "Direct"},
        ExecutionRoleArn=ROLE,
    )
    return "direct"


def test_each_answer_is_the_next_containers_request(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy(local, sagemaker, variant(create_chain(local, sagemaker, "one", "two", "three")))
    third = "|three application/json text/csv"
    second = "|two application/json application/json"
    assert ask(runtime, "x") == "x|one text/csv application/json" + second + third
    (only,) = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
    assert len(only["DeployedImages"]) == 3
    logs = local.plane.config.home / "logs" / "endpoints"
    assert sorted(log.name for log in logs.iterdir()) == [
        f"e-AllTraffic-1-container-{number}.log" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(("word", "number"), [("one", 1), ("two", 2)])
def test_the_container_that_refuses_or_ends_is_named(
    local: Any, sagemaker: Any, runtime: Any, word: str, number: int
) -> None:
    deploy(local, sagemaker, variant(create_chain(local, sagemaker, "one", "two")))
    with pytest.raises(runtime.exceptions.ModelError) as failed:
        ask(runtime, f"raise {word}")
    said = failed.value.response["Error"]["Message"]
    assert f'Received server error (500) from container-{number} with message "' in said
    assert "no such row" in said
    with pytest.raises(runtime.exceptions.ModelError, match=f"container-{number}.* server ended"):
        ask(runtime, f"exit {word}")


def test_a_container_that_does_not_come_up_is_named(local: Any, sagemaker: Any) -> None:
    broken = put_model(local, "bad", "raise RuntimeError('this model is broken')")
    containers = stages(local, "one", "two")
    containers[1]["ModelDataUrl"] = broken
    sagemaker.create_model(ModelName="chain", Containers=containers, ExecutionRoleArn=ROLE)
    row = deploy(local, sagemaker, variant("chain"))
    assert row["EndpointStatus"] == "Failed"
    assert "e/AllTraffic-1/container-2 ended" in row["FailureReason"]
    assert "this model is broken" in row["FailureReason"]
    assert servers(local) == []


def test_a_dead_container_is_replaced_and_the_others_go_on(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy(local, sagemaker, variant(create_direct(local, sagemaker)))
    first, second = sorted(servers(local), key=lambda each: (each.create_time(), each.pid))
    os.kill(second.pid, signal.SIGKILL)
    psutil.wait_procs([second], timeout=10)
    assert _answers(runtime, "first")
    local.until_true(lambda: _answers(runtime, "second"))
    assert first in servers(local)
    assert len(servers(local)) == 2


def _answers(runtime: Any, hostname: str) -> bool:
    try:
        return bool(ask(runtime, "x", TargetContainerHostname=hostname))
    except (runtime.exceptions.ServiceUnavailable, runtime.exceptions.ModelError):
        return False


def test_in_direct_mode_the_named_container_alone_answers(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy(local, sagemaker, variant(create_direct(local, sagemaker)))
    for name, word in (("first", "one"), ("second", "two")):
        answer = ask(runtime, "x", TargetContainerHostname=name)
        assert answer == f"x|{word} text/csv text/csv"
    with pytest.raises(ClientError, match=r"needs TargetContainerHostname; .* first, second"):
        ask(runtime, "x")
    with pytest.raises(ClientError, match="has no container 'third'; it has: first, second") as no:
        ask(runtime, "x", TargetContainerHostname="third")
    assert no.value.response["Error"]["Code"] == "ValidationError"


def test_a_pipeline_takes_no_target_container(local: Any, sagemaker: Any, runtime: Any) -> None:
    deploy(local, sagemaker, variant(create_chain(local, sagemaker, "one", "two")))
    with pytest.raises(ClientError, match="its containers are not in mode Direct"):
        ask(runtime, "x", TargetContainerHostname="container-1")


def test_an_inference_component_runs_all_containers_of_its_model(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_chain(local, sagemaker, "one", "two"))
    assert ask(runtime, "x", InferenceComponentName="c") == BOTH


def test_a_pipeline_comes_back_after_a_restart(start: Callable[..., Any], tmp_path: Path) -> None:
    first = start(tmp_path / "home", slots=2)
    deploy(first, first.client(), variant(create_chain(first, first.client(), "one", "two")))
    boot.shut_down(first.plane)
    second = start(tmp_path / "home", slots=2)
    second.until("endpoint", "e", "InService")
    assert ask(second.client("sagemaker-runtime"), "x") == BOTH


def transform_request(local: Any, model: str) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{local.bucket}/in/"}}
    return {
        "TransformJobName": "job",
        "ModelName": model,
        "TransformInput": {"DataSource": source, "ContentType": "text/csv"},
        "TransformOutput": {"S3OutputPath": f"s3://{local.bucket}/out", "Accept": "text/csv"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "ModelClientConfig": {"InvocationsMaxRetries": 0},
    }


def test_a_batch_goes_through_all_containers(local: Any, sagemaker: Any) -> None:
    local.put("in/a.csv", "x")
    model = create_chain(local, sagemaker, "one", "two")
    sagemaker.create_transform_job(**transform_request(local, model))
    row = local.until("transform-job", "job")
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert local.read("out/a.csv.out").decode() == BOTH
    assert servers(local) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise two", "the model's container-2 answered 500: no such row"),
        ("exit two", "the model server ended with exit code 3"),
    ],
)
def test_a_batch_names_the_container_that_fails(
    local: Any, sagemaker: Any, body: str, reason: str
) -> None:
    local.put("in/a.csv", body)
    model = create_chain(local, sagemaker, "one", "two")
    sagemaker.create_transform_job(**transform_request(local, model))
    row = local.until("transform-job", "job")
    assert row["TransformJobStatus"] == "Failed"
    assert reason in row["FailureReason"]
    assert servers(local) == []


def test_a_batch_refuses_a_model_in_direct_mode(local: Any, sagemaker: Any) -> None:
    local.put("in/a.csv", "x")
    request = transform_request(local, create_direct(local, sagemaker))
    with pytest.raises(ClientError, match="Mode Direct; a batch transform goes through all"):
        sagemaker.create_transform_job(**request)


def test_steps_register_and_create_a_pipeline_model(local: Any, sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="group")
    registered = {
        "ModelPackageGroupName": "group",
        "ModelApprovalStatus": "Approved",
        "InferenceSpecification": {
            "Containers": stages(local, "one", "two"),
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    }
    package = {"ModelPackageName": {"Get": "Steps.Register.ModelPackageArn"}}
    local.put("in/a.csv", "x")
    request = transform_request(local, "")
    del request["TransformJobName"]
    arn = run(
        local,
        sagemaker,
        {"Name": "Register", "Type": "RegisterModel", "Arguments": registered},
        {
            "Name": "Model",
            "Type": "Model",
            "Arguments": {"Containers": [package], "ExecutionRoleArn": ROLE},
        },
        {
            "Name": "Score",
            "Type": "Transform",
            "Arguments": {**request, "ModelName": {"Get": "Steps.Model.ModelName"}},
        },
    )
    assert status(sagemaker, arn) == ("Succeeded", None), listed(sagemaker, arn)
    assert local.read("out/a.csv.out").decode() == BOTH
