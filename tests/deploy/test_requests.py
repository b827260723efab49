"""What a deploy command may send: the service's model decides, before anything is sent."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from deploy.commands import DeployError
from deploy.requests import Requests
from tests.deploy.conftest import KEYS


@pytest.fixture
def sagemaker() -> Any:
    return boto3.client("sagemaker", region_name="us-east-1", **KEYS)


def variant(**changes: Any) -> dict[str, Any]:
    return {"VariantName": "A", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1} | changes


def test_a_dry_run_shows_requests_and_sends_none(sagemaker: Any) -> None:
    requests = Requests(dry_run=True)
    with Stubber(sagemaker):  # would refuse any call
        assert requests.send(sagemaker, "delete_model", ModelName="m") == {}
    shown = {"service": "sagemaker", "operation": "delete_model", "parameters": {"ModelName": "m"}}
    assert requests.documents == [shown]
    assert requests.text() == 'sagemaker delete_model {\n  "ModelName": "m"\n}'


def test_a_request_is_sent_and_answered(sagemaker: Any) -> None:
    with Stubber(sagemaker) as stub:
        stub.add_response(
            "create_model",
            {"ModelArn": "arn:aws:sagemaker:us-east-1:0:model/m"},
            {"ModelName": "m"},
        )
        answer = Requests().send(sagemaker, "create_model", ModelName="m")
    assert answer["ModelArn"] == "arn:aws:sagemaker:us-east-1:0:model/m"


@pytest.mark.parametrize(
    ("operation", "parameters", "says"),
    [
        ("delete_model", {}, "ModelName"),
        ("delete_model", {"ModelName": "under_score"}, "ModelName is 'under_score'"),
        ("delete_model", {"ModelName": "m" * 64}, "64 characters; allowed: 0 to 63"),
        (
            "create_endpoint_config",
            {"EndpointConfigName": "c", "ProductionVariants": [variant(InstanceType="ml.huge")]},
            "ProductionVariants[0].InstanceType is 'ml.huge'; allowed: ",
        ),
        (
            "create_endpoint_config",
            {"EndpointConfigName": "c", "ProductionVariants": [variant()] * 11},
            "ProductionVariants has 11 items; at most 10",
        ),
    ],
)
def test_what_the_model_forbids_is_not_sent(
    sagemaker: Any, operation: str, parameters: dict[str, Any], says: str
) -> None:
    requests = Requests()
    with Stubber(sagemaker), pytest.raises(DeployError) as refused:
        requests.send(sagemaker, operation, **parameters)
    assert operation in str(refused.value)
    assert says in str(refused.value)
    assert requests.made == []
