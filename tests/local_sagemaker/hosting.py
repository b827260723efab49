"""Tiny models and the few calls that bring them behind an endpoint; for the tests of hosting."""

from __future__ import annotations

import contextlib
import io
import tarfile
from typing import Any

import psutil
from botocore.exceptions import ClientError

XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
ROLE = "arn:aws:iam::000000000000:role/local"

# Answers "<word> <sum of the numbers of the request>"; and what a few words in the request ask for.
ADDER = """
import os, sys, time

def model_fn(model_dir):
    return open(os.path.join(model_dir, "word.txt")).read()

def transform_fn(model, body, content_type, accept):
    if body == "exit":
        os._exit(3)
    if body == "raise":
        raise ValueError("no such row")
    if body.startswith("wait "):
        path = body.split()[1]
        open(path + ".here", "w").close()
        while not os.path.exists(path):
            time.sleep(0.005)
        return model, "text/plain"
    if body == "pid":
        return str(os.getpid()), "text/plain"
    if body == "port":
        return os.environ["SAGEMAKER_BIND_TO_PORT"], "text/plain"
    return f"{model} {sum(float(each) for each in body.split(','))}", accept
"""


def archive(files: dict[str, str]) -> bytes:
    """A model.tar.gz of these texts by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def put_model(local: Any, word: str = "one", code: str = ADDER) -> str:
    """A model archive in the test's bucket; its URI."""
    key = f"models/{word}/model.tar.gz"
    body = archive({"word.txt": word, "code/inference.py": code})
    local.s3.put_object(Bucket=local.bucket, Key=key, Body=body)
    return f"s3://{local.bucket}/{key}"


def create_model(local: Any, sagemaker: Any, word: str = "one", code: str = ADDER) -> str:
    """A model named after its word."""
    container = {
        "Image": XGBOOST,
        "ModelDataUrl": put_model(local, word, code),
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
    }
    sagemaker.create_model(ModelName=word, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return word


def variant(model: str, name: str = "AllTraffic", **changes: Any) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        **changes,
    }


def create_config(sagemaker: Any, name: str, *variants: dict[str, Any], **more: Any) -> str:
    given = {"ProductionVariants": list(variants), **more}
    sagemaker.create_endpoint_config(EndpointConfigName=name, **given)
    return name


def deploy(
    local: Any, sagemaker: Any, *variants: dict[str, Any], name: str = "e", **more: Any
) -> Any:
    """An endpoint in service with these variants (default: one of model `one`) and what else its
    config says; its row.
    """
    chosen = variants or (variant(create_model(local, sagemaker)),)
    create_config(sagemaker, f"{name}-1", *chosen, **more)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-1")
    return local.until("endpoint", name, "InService", "Failed")


def ask(runtime: Any, body: str = "1,2", name: str = "e", **more: Any) -> str:
    """What the endpoint answers."""
    answer = runtime.invoke_endpoint(
        EndpointName=name, ContentType="text/csv", Accept="text/csv", Body=body, **more
    )
    return str(answer["Body"].read().decode())


def empty_variant(name: str = "AllTraffic", **changes: Any) -> dict[str, Any]:
    """A variant for inference components: without a model."""
    scaling = {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2}
    return {
        "VariantName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "ManagedInstanceScaling": scaling,
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        **changes,
    }


def deploy_empty(local: Any, sagemaker: Any, *variants: dict[str, Any], name: str = "e") -> Any:
    """An endpoint in service that waits for inference components; its row."""
    sagemaker.create_endpoint_config(
        EndpointConfigName=f"{name}-1",
        ProductionVariants=list(variants) or [empty_variant()],
        ExecutionRoleArn=ROLE,
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-1")
    return local.until("endpoint", name, "InService", "Failed")


def specification(model: str | None, **changes: Any) -> dict[str, Any]:
    needed = {"NumberOfCpuCoresRequired": 1, "MinMemoryRequiredInMb": 256}
    named = {"ModelName": model} if model else {}
    return {**named, "ComputeResourceRequirements": needed, **changes}


def component(model: str | None, name: str = "c", **changes: Any) -> dict[str, Any]:
    """A CreateInferenceComponent request."""
    return {
        "InferenceComponentName": name,
        "EndpointName": "e",
        "VariantName": "AllTraffic",
        "Specification": specification(model),
        "RuntimeConfig": {"CopyCount": 1},
        **changes,
    }


def attach(local: Any, sagemaker: Any, model: str, name: str = "c", copies: int = 1) -> Any:
    """An inference component in service on endpoint e; its row."""
    runtime = {"CopyCount": copies}
    sagemaker.create_inference_component(**component(model, name, RuntimeConfig=runtime))
    return local.until("inference-component", name, "InService", "Failed")


def servers(local: Any) -> list[psutil.Process]:
    """The model servers of this very local SageMaker: their environment names its port."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = each.environ().get("AWS_ENDPOINT_URL_SAGEMAKER") == local.url
            if ours and any("containers" in word for word in each.cmdline()):
                found.append(each)
    return found


def ask_component(runtime: Any, body: str = "1,2", name: str = "c") -> str:
    """What an inference component of endpoint e answers."""
    return ask(runtime, body, InferenceComponentName=name)


def describe_component(sagemaker: Any, name: str = "c") -> Any:
    return sagemaker.describe_inference_component(InferenceComponentName=name)


def current_copies(sagemaker: Any) -> int:
    return int(describe_component(sagemaker)["RuntimeConfig"]["CurrentCopyCount"])


def component_is_gone(sagemaker: Any, name: str = "c") -> bool:
    try:
        describe_component(sagemaker, name)
    except ClientError as error:
        return "Could not find inference component" in str(error)
    return False
