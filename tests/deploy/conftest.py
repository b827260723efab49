"""Real boto3 clients whose answers are scripted: botocore checks every request and response. The
Parameter Store is the exception: it remembers what was put.
"""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from pipelines import settings
from pipelines.settings import Settings

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}


class Parameters:
    """SSM's Parameter Store, in memory."""

    def __init__(self) -> None:
        self.meta = boto3.client("ssm", region_name="us-east-1", **KEYS).meta
        self.values: dict[str, str] = {}

    def get_parameter(self, **request: Any) -> dict[str, Any]:
        name = request["Name"]
        if name not in self.values:
            error = {"Code": "ParameterNotFound", "Message": name}
            raise ClientError({"Error": error}, "GetParameter")  # type: ignore[typeddict-item]
        return {"Parameter": {"Name": name, "Value": self.values[name]}}

    def delete_parameter(self, **request: Any) -> dict[str, Any]:
        del self.values[request["Name"]]
        return {}

    def put_parameter(self, **request: Any) -> dict[str, Any]:
        self.values[request["Name"]] = request["Value"]
        return {"Version": 1}


class Scaling:
    """Application Auto Scaling, which is only asked what there is."""

    def __init__(self) -> None:
        self.targets: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def get_paginator(self, operation: str) -> "Scaling":
        self.asked.append(operation)
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        yield {"ScalableTargets": self.targets, "ScalingPolicies": [], "ScheduledActions": []}


@pytest.fixture
def scaling() -> Scaling:
    return Scaling()


@pytest.fixture
def parameters() -> Parameters:
    return Parameters()


@pytest.fixture
def neighbours(
    parameters: Parameters, scaling: Scaling, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """Service -> the stub of its client; a service that no test scripts answers nothing."""
    clients: dict[str, Any] = {"ssm": parameters, "application-autoscaling": scaling}
    stubs: dict[str, Any] = {}
    clients["cloudwatch"] = boto3.client("cloudwatch", region_name="us-east-1", **KEYS)
    stubs["cloudwatch"] = Stubber(clients["cloudwatch"])
    stubs["cloudwatch"].activate()
    monkeypatch.setattr(settings, "client", lambda _, service: clients[service])
    yield stubs
    for each in stubs.values():
        each.assert_no_pending_responses()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, neighbours: dict[str, Any]) -> Iterator[Stubber]:
    place = Settings("local", "us-east-1", "", "arn:aws:iam::000000000000:role/r", "b", {})
    client = boto3.client("sagemaker", region_name="us-east-1", **KEYS)
    monkeypatch.setattr(settings, "resolve", lambda *_, **__: place)
    monkeypatch.setattr(settings, "sagemaker", lambda _: client)
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()
