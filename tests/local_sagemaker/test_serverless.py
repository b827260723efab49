"""Serverless endpoints through boto3: a cold start, MaxConcurrency, and silence that stops them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.clock import FakeClock
from local_sagemaker.engine import measures
from tests.local_sagemaker.hosting import (
    ADDER,
    ROLE,
    XGBOOST,
    ask,
    create_config,
    create_model,
    deploy,
    put_model,
    servers,
    variant,
)

SMALL = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}


def serverless(model: str, name: str = "AllTraffic", **config: Any) -> dict[str, Any]:
    return {"VariantName": name, "ModelName": model, "ServerlessConfig": {**SMALL, **config}}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def local(start: Callable[..., Any], tmp_path: Path, clock: FakeClock) -> Any:
    """After 100 seconds of silence, by a clock that stands still, a variant is stopped."""
    return start(tmp_path / "home", slots=2, clock=clock, serverless_idle_seconds=100.0)


@pytest.fixture
def runtime(local: Any, sagemaker: Any) -> Any:
    deploy(local, sagemaker, serverless(create_model(local, sagemaker)))
    return local.client("sagemaker-runtime")


def error_of(call: Any, *args: Any, **more: Any) -> Any:
    with pytest.raises(ClientError) as refused:
        call(*args, **more)
    return refused.value.response


@contextmanager
def waiting(local: Any, runtime: Any, gate: Path) -> Iterator[None]:
    """While a request is under way."""
    thread = threading.Thread(target=ask, args=(runtime, f"wait {gate}"))
    thread.start()
    local.until_true(gate.with_name(f"{gate.name}.here").exists)
    yield
    gate.touch()
    thread.join()


def shown(sagemaker: Any) -> Any:
    return sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"][0]


def test_the_first_request_starts_it_and_the_next_finds_it_warm(local: Any, runtime: Any) -> None:
    assert servers(local) == []
    assert ask(runtime) == "one 3.0"
    assert len(servers(local)) == 1
    port = ask(runtime, "port")
    assert ask(runtime, "port") == port
    found = measures.of(local.plane).minutes("e", "AllTraffic", "ModelSetupTime", 0, 1e12)
    assert [each.count for each in found] == [1]


def test_silence_stops_it_and_a_request_starts_it_again(
    local: Any, runtime: Any, clock: FakeClock
) -> None:
    port = ask(runtime, "port")
    for _ in range(5):  # never silent for long enough
        clock.advance(60)
        assert ask(runtime, "port") == port
    clock.advance(101)
    local.until_true(lambda: not servers(local))
    assert ask(runtime, "port") != port


def test_it_is_not_stopped_under_a_request(
    local: Any, runtime: Any, clock: FakeClock, tmp_path: Path
) -> None:
    with waiting(local, runtime, tmp_path / "gate"):
        clock.advance(500)
        assert ask(runtime) == "one 3.0"
        assert len(servers(local)) == 1


def test_more_requests_at_once_than_max_concurrency_are_throttled(
    local: Any, runtime: Any, tmp_path: Path
) -> None:
    with waiting(local, runtime, tmp_path / "one"), waiting(local, runtime, tmp_path / "two"):
        found = error_of(ask, runtime)
    assert found["Error"]["Code"] == "ThrottlingException"
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert "2 requests under way" in found["Error"]["Message"]
    assert ask(runtime) == "one 3.0"


def test_more_concurrency_is_given_by_an_update(
    local: Any, sagemaker: Any, runtime: Any, tmp_path: Path
) -> None:
    update = {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 1}}
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[update]
    )
    local.until("endpoint", "e", "InService")
    assert shown(sagemaker)["CurrentServerlessConfig"] == {**SMALL, "MaxConcurrency": 1}
    with waiting(local, runtime, tmp_path / "gate"):
        assert error_of(ask, runtime)["Error"]["Code"] == "ThrottlingException"


def test_provisioned_concurrency_is_warm_from_the_beginning_and_stays(
    local: Any, sagemaker: Any, clock: FakeClock
) -> None:
    model = create_model(local, sagemaker)
    deploy(local, sagemaker, serverless(model, ProvisionedConcurrency=1))
    (server,) = servers(local)
    clock.advance(500)
    assert ask(local.client("sagemaker-runtime")) == "one 3.0"
    assert servers(local) == [server]


def test_an_update_that_cannot_be_started_changes_nothing(local: Any, sagemaker: Any) -> None:
    model = create_model(local, sagemaker, code="raise ValueError('broken program')")
    deploy(local, sagemaker, serverless(model))
    update = {"MaxConcurrency": 5, "ProvisionedConcurrency": 1}
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[
            {"VariantName": "AllTraffic", "ServerlessUpdateConfig": update}
        ],
    )
    assert "broken program" in local.until("endpoint", "e", "InService")["FailureReason"]
    assert shown(sagemaker)["CurrentServerlessConfig"] == SMALL


def test_provisioned_concurrency_that_cannot_be_started_fails_the_endpoint(
    local: Any, sagemaker: Any
) -> None:
    model = create_model(local, sagemaker, code="raise ValueError('broken program')")
    row = deploy(local, sagemaker, serverless(model, ProvisionedConcurrency=1))
    assert row["EndpointStatus"] == "Failed"
    assert "broken program" in row["FailureReason"]


def test_a_model_that_cannot_be_started_is_a_model_error_until_it_is_mended(
    local: Any, sagemaker: Any
) -> None:
    model = create_model(local, sagemaker, code="raise ValueError('broken program')")
    assert deploy(local, sagemaker, serverless(model))["EndpointStatus"] == "InService"
    runtime = local.client("sagemaker-runtime")
    found = error_of(ask, runtime)
    assert found["Error"]["Code"] == "ModelError"
    assert "broken program" in found["OriginalMessage"]
    put_model(local, "one", ADDER)
    assert ask(runtime) == "one 3.0"


def test_a_description_shows_concurrency_and_no_instances(sagemaker: Any, runtime: Any) -> None:
    found = shown(sagemaker)
    assert found["CurrentServerlessConfig"] == found["DesiredServerlessConfig"] == SMALL
    assert found["CurrentInstanceCount"] == 0
    assert "DesiredInstanceCount" not in found


def test_more_than_4_mb_is_refused_with_both_numbers(runtime: Any) -> None:
    found = error_of(ask, runtime, "1" * (4 * 1024 * 1024 + 1))
    assert found["Error"]["Code"] == "ValidationError"
    assert "4194305" in found["Error"]["Message"]
    assert "4194304" in found["Error"]["Message"]


def test_after_a_restart_it_is_cold_again(
    local: Any, runtime: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    ask(runtime)
    boot.shut_down(local.plane)
    again = start(tmp_path / "home")
    again.until("endpoint", "e", "InService")
    assert servers(again) == []
    assert ask(again.client("sagemaker-runtime")) == "one 3.0"


def test_deleting_the_endpoint_stops_it(local: Any, sagemaker: Any, runtime: Any) -> None:
    ask(runtime)
    sagemaker.delete_endpoint(EndpointName="e")
    local.until_true(lambda: not sagemaker.list_endpoints()["Endpoints"])
    assert servers(local) == []


def wish(sagemaker: Any, **members: Any) -> Any:
    return error_of(
        sagemaker.update_endpoint_weights_and_capacities,
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", **members}],
    )["Error"]["Message"]


def test_an_update_speaks_of_what_the_variant_has(local: Any, sagemaker: Any, runtime: Any) -> None:
    assert "is serverless and has no Desired" in wish(sagemaker, DesiredInstanceCount=2)
    update = {"MaxConcurrency": 3, "ProvisionedConcurrency": 4}
    said = wish(sagemaker, ServerlessUpdateConfig=update)
    assert said == "ProvisionedConcurrency 4 must be less than or equal to MaxConcurrency 3"
    create_config(sagemaker, "e-2", variant("one"))
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e-2")
    local.until("endpoint", "e", "InService")
    assert "is not serverless" in wish(sagemaker, ServerlessUpdateConfig={"MaxConcurrency": 3})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}, "has no instances: leave"),
        ({"ServerlessConfig": {**SMALL, "MemorySizeInMB": 1500}}, "must be one of 1024, 2048"),
        ({"ServerlessConfig": {**SMALL, "ProvisionedConcurrency": 3}}, "less than or equal to"),
        ({"ModelName": None}, "needs ModelName"),
    ],
)
def test_a_serverless_variant_is_consistent(
    local: Any, sagemaker: Any, changes: dict[str, Any], word: str
) -> None:
    given = {**serverless(create_model(local, sagemaker)), **changes}
    with pytest.raises(ClientError, match=word):
        create_config(sagemaker, "c", {k: v for k, v in given.items() if v is not None})


VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["s-1"]}


@pytest.mark.parametrize(
    ("container", "config", "word"),
    [
        ({}, {"ProductionVariants": [serverless("m", "A"), variant("m", "B")]}, "multiple prod"),
        ({}, {"VpcConfig": VPC}, "VpcConfig"),
        ({}, {"EnableNetworkIsolation": True}, "network isolation"),
        (
            {},
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}}},
            "AsyncInferenceConfig",
        ),
        ({"Mode": "MultiModel", "ModelDataUrl": "s3://b/many/"}, {}, "multi-model"),
    ],
)
def test_what_serverless_inference_excludes_is_refused(
    sagemaker: Any, container: dict[str, Any], config: dict[str, Any], word: str
) -> None:
    given = {"Image": XGBOOST, **container}
    sagemaker.create_model(ModelName="m", PrimaryContainer=given, ExecutionRoleArn=ROLE)
    request = {
        "EndpointConfigName": "c",
        "ProductionVariants": [serverless("m")],
        "ExecutionRoleArn": ROLE,
        **config,
    }
    with pytest.raises(ClientError, match=word):
        sagemaker.create_endpoint_config(**request)


def test_a_pipeline_of_containers_is_not_serverless(sagemaker: Any) -> None:
    containers = [{"Image": XGBOOST}, {"Image": XGBOOST}]
    sagemaker.create_model(ModelName="m", Containers=containers, ExecutionRoleArn=ROLE)
    with pytest.raises(ClientError, match="Serverless inference does not support inference pipel"):
        create_config(sagemaker, "c", serverless("m"))
