"""Multi-model endpoints through boto3: a prefix of archives, each loaded when it is first named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.engine import measures
from tests.local_sagemaker.hosting import (
    ADDER,
    ROLE,
    XGBOOST,
    archive,
    ask,
    attach,
    create_model,
    deploy,
    deploy_empty,
    servers,
    variant,
)

SLOW = """
import os, time
while not os.path.exists({gate!r}):
    time.sleep(0.005)
"""


def put(local: Any, name: str, code: str = ADDER) -> None:
    """One of the models below the prefix; it answers with its own name."""
    body = archive({"word.txt": name, "code/inference.py": code})
    local.s3.put_object(Bucket=local.bucket, Key=f"many/{name}.tar.gz", Body=body)


def create_many(local: Any, sagemaker: Any, **changes: Any) -> str:
    container = {
        "Image": XGBOOST,
        "Mode": "MultiModel",
        "ModelDataUrl": f"s3://{local.bucket}/many/",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
        **changes,
    }
    sagemaker.create_model(ModelName="many", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return "many"


@pytest.fixture
def local(start: Callable[..., Any], tmp_path: Path) -> Any:
    """Two models at a time are kept in memory."""
    return start(tmp_path / "home", slots=2, loaded_models=2)


@pytest.fixture
def runtime(local: Any, sagemaker: Any) -> Any:
    for name in ("a", "b", "c"):
        put(local, name)
    deploy(local, sagemaker, variant(create_many(local, sagemaker)))
    return local.client("sagemaker-runtime")


def invoke(runtime: Any, target: str | None, body: str = "1,2") -> str:
    named = {"TargetModel": f"{target}.tar.gz"} if target else {}
    return ask(runtime, body, **named)


def error_of(call: Any, *args: Any) -> Any:
    with pytest.raises(ClientError) as refused:
        call(*args)
    return refused.value.response


def values(local: Any, metric: str) -> float:
    found = measures.of(local.plane).minutes("e", "AllTraffic", metric, 0, 1e12)
    return sum(each.total for each in found)


def test_each_request_is_answered_by_the_model_that_it_names(local: Any, runtime: Any) -> None:
    assert servers(local) == []  # none is loaded before it was named
    assert [invoke(runtime, name) for name in ("a", "b", "a")] == ["a 3.0", "b 3.0", "a 3.0"]
    assert len(servers(local)) == 2
    assert values(local, "ModelCacheHit") == 1.0
    assert values(local, "ModelLoadingTime") > 0


def test_a_stream_loads_the_model_that_its_header_names(local: Any, runtime: Any) -> None:
    # The API's model has no TargetModel for streams: the header is the client's own.
    def name_it(params: Any, **_: Any) -> None:
        params["headers"]["X-Amzn-SageMaker-Target-Model"] = "b.tar.gz"

    asked = "before-call.sagemaker-runtime.InvokeEndpointWithResponseStream"
    runtime.meta.events.register(asked, name_it)
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName="e", ContentType="text/csv", Accept="text/csv", Body="1,2"
    )
    assert [each["PayloadPart"]["Bytes"] for each in answer["Body"]] == [b"b 3.0"]
    assert values(local, "ModelLoadingTime") > 0
    assert values(local, "Invocations") == 1


def test_a_model_that_came_after_the_endpoint_is_served_as_well(local: Any, runtime: Any) -> None:
    put(local, "deep/new")
    assert invoke(runtime, "/deep/new") == "deep/new 3.0"


def test_the_model_that_was_not_asked_for_the_longest_makes_room(local: Any, runtime: Any) -> None:
    first = {name: invoke(runtime, name, "port") for name in ("a", "b")}
    assert invoke(runtime, "a", "port") == first["a"]
    invoke(runtime, "c")
    local.until_true(lambda: len(servers(local)) == 2)
    assert first["b"] not in {each.environ()["SAGEMAKER_BIND_TO_PORT"] for each in servers(local)}
    assert invoke(runtime, "a", "port") == first["a"]
    assert invoke(runtime, "b", "port") != first["b"]
    assert values(local, "ModelUnloadingTime") > 0


def test_first_requests_at_the_same_time_load_a_model_once(local: Any, runtime: Any) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(invoke(runtime, "a", "port")))
        for _ in range(6)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_without_a_cache_a_model_is_loaded_for_every_request(local: Any, sagemaker: Any) -> None:
    put(local, "a")
    model = create_many(local, sagemaker, MultiModelConfig={"ModelCacheSetting": "Disabled"})
    deploy(local, sagemaker, variant(model))
    runtime = local.client("sagemaker-runtime")
    assert invoke(runtime, "a", "port") != invoke(runtime, "a", "port")
    local.until_true(lambda: not servers(local))


def test_a_model_that_is_not_there_is_awss_validation_error(local: Any, runtime: Any) -> None:
    found = error_of(invoke, runtime, "none")
    assert found["Error"]["Code"] == "ValidationError"
    assert (
        f"Failed to download model data(bucket: {local.bucket}, key: many/none.tar.gz)"
        in (found["Error"]["Message"])
    )
    assert servers(local) == []


def test_a_model_that_cannot_be_loaded_is_a_model_error_until_it_is_mended(
    local: Any, runtime: Any
) -> None:
    put(local, "bad", "raise ValueError('broken program')")
    found = error_of(invoke, runtime, "bad")
    assert found["Error"]["Code"] == "ModelError"
    assert "broken program" in found["OriginalMessage"]
    put(local, "bad")
    assert invoke(runtime, "bad") == "bad 3.0"


def test_a_request_without_a_model_is_refused(runtime: Any) -> None:
    found = error_of(invoke, runtime, None)
    assert found["Error"]["Code"] == "ValidationError"
    assert "is missing a target model header" in found["Error"]["Message"]


def test_a_model_is_for_multi_model_endpoints_only(local: Any, sagemaker: Any) -> None:
    deploy(local, sagemaker)
    said = error_of(invoke, local.client("sagemaker-runtime"), "a")["Error"]["Message"]
    assert said == (
        "Endpoint e is not a multi-model endpoint and does not support target model header."
    )


def test_who_waits_too_long_for_a_model_is_told_so_and_the_loading_goes_on(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    local = start(tmp_path / "home2", loading_seconds=0.05)
    sagemaker, runtime = local.client(), local.client("sagemaker-runtime")
    gate = tmp_path / "gate"
    put(local, "slow", SLOW.format(gate=str(gate)) + ADDER)
    deploy(local, sagemaker, variant(create_many(local, sagemaker)))
    found = error_of(invoke, runtime, "slow")
    assert found["Error"]["Code"] == "ModelNotReadyException"
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 429
    gate.touch()
    local.until_true(lambda: answers(runtime, "slow"))


def answers(runtime: Any, target: str) -> bool:
    try:
        return invoke(runtime, target) == f"{target} 3.0"
    except ClientError as error:
        if error.response["Error"]["Code"] != "ModelNotReadyException":
            raise
        return False


def test_deleting_the_endpoint_unloads_every_model(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    for name in ("a", "b", "c"):
        invoke(runtime, name)
    sagemaker.delete_endpoint(EndpointName="e")
    local.until_true(lambda: not sagemaker.list_endpoints()["Endpoints"])
    assert servers(local) == []


@pytest.mark.parametrize(
    ("container", "word"),
    [
        ({"Mode": "MultiModel", "ModelDataUrl": "s3://b/m/model.tar.gz"}, "must be the S3 prefix"),
        ({"Mode": "MultiModel"}, "must be the S3 prefix"),
        ({"ModelDataUrl": "s3://b/m/"}, "key>.tar.gz"),
        ({"MultiModelConfig": {"ModelCacheSetting": "Enabled"}}, "only for a container of Mode"),
    ],
)
def test_a_multi_model_needs_a_prefix(sagemaker: Any, container: Any, word: str) -> None:
    given = {"Image": XGBOOST, **container}
    with pytest.raises(ClientError, match=word):
        sagemaker.create_model(ModelName="m", PrimaryContainer=given, ExecutionRoleArn=ROLE)


def test_only_an_endpoint_serves_a_multi_model(local: Any, sagemaker: Any) -> None:
    model = create_many(local, sagemaker)
    deploy_empty(local, sagemaker)
    with pytest.raises(ClientError, match="'many' is a multi-model; an inference component"):
        attach(local, sagemaker, model)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}
    with pytest.raises(ClientError, match="many is a multi-model; a transform job"):
        sagemaker.create_transform_job(
            TransformJobName="t",
            ModelName=model,
            TransformInput={"DataSource": source},
            TransformOutput={"S3OutputPath": "s3://b/out"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )


def test_another_config_may_serve_one_model_instead(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    invoke(runtime, "a")
    config = {
        "EndpointConfigName": "e-2",
        "ProductionVariants": [variant(create_model(local, sagemaker))],
    }
    sagemaker.create_endpoint_config(**config)
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e-2")
    local.until("endpoint", "e", "InService")
    assert ask(runtime) == "one 3.0"
