"""`python -m deploy.variants shadow`: what is asked of SageMaker."""

import json
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from deploy import variants
from tests.deploy.conftest import Parameters
from tests.deploy.test_endpoint import (
    ARN,
    ENDPOINT_ARN,
    HERE,
    NAME,
    NOW,
    approved,
    recorded,
    status,
)

CONFIG_ARN = "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/c"
PROMOTED = "telco-churn-only-0db6ca"
PRODUCTION = {
    "VariantName": "AllTraffic",
    "ModelName": "model-1",
    "InstanceType": "ml.m5.large",
    "InitialInstanceCount": 2,
    "InitialVariantWeight": 1.0,
}
SHADOW = {**PRODUCTION, "VariantName": "shadow-v2", "ModelName": "model-2"}


def live(aws: Stubber, *shadows: dict[str, Any], config: str = "a-config") -> None:
    """Version 1 in production, and these shadows."""
    status(aws, "InService", config=config)
    shadowed = {"ShadowProductionVariants": list(shadows)} if shadows else {}
    answer = {
        "EndpointConfigName": config,
        "EndpointConfigArn": CONFIG_ARN,
        "ProductionVariants": [PRODUCTION],
        "CreationTime": NOW,
        **shadowed,
    }
    aws.add_response("describe_endpoint_config", answer)
    for each in (PRODUCTION, *shadows):
        model = str(each["ModelName"])
        described = {
            "ModelName": model,
            "ModelArn": f"arn:aws:sagemaker:us-east-1:000000000000:model/{model}",
            "PrimaryContainer": {"ModelPackageName": ARN.format(model[-1])},
            "CreationTime": NOW,
        }
        aws.add_response("describe_model", described, {"ModelName": model})


def new_config(aws: Stubber, **members: Any) -> None:
    expected = {"EndpointConfigName": ANY, "Tags": ANY, **members}
    aws.add_response("create_endpoint_config", {"EndpointConfigArn": CONFIG_ARN}, expected)


def test_a_shadow_gets_a_share_of_copies_by_its_weight(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    live(aws)
    approved(aws)
    assert variants.main(["shadow", "on", "--sample", "50", *HERE, "--dry-run", "--json"]) == 0
    requests = json.loads(capsys.readouterr().out)["requests"]
    asked = {each["operation"]: each["parameters"] for each in requests}
    config = asked["create_endpoint_config"]
    assert config["ProductionVariants"] == [PRODUCTION]
    shadow = config["ShadowProductionVariants"]
    model = asked["create_model"]["ModelName"]
    assert shadow == [{**SHADOW, "ModelName": model, "InitialVariantWeight": 0.5}]
    assert asked["update_endpoint"]["EndpointConfigName"] == config["EndpointConfigName"]


def test_the_same_shadow_again_changes_nothing(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    live(aws, {**SHADOW, "InitialVariantWeight": 0.5})
    approved(aws)
    assert variants.main(["shadow", "on", "--sample", "50", *HERE]) == 0
    assert "already; nothing changed" in capsys.readouterr().out


def test_a_promoted_shadow_serves_under_the_name_of_production(
    aws: Stubber, parameters: Parameters, capsys: pytest.CaptureFixture[str]
) -> None:
    live(aws, SHADOW)
    recorded_one(aws)
    new_config(aws, ProductionVariants=[{**PRODUCTION, "ModelName": "model-2"}])
    aws.add_response("update_endpoint", {"EndpointArn": ENDPOINT_ARN})
    for _ in range(2):
        status(aws, "InService", config=PROMOTED)
    recorded(aws)
    assert variants.main(["shadow", "promote", *HERE]) == 0
    assert "version 2, the shadow, serves alone" in capsys.readouterr().out
    assert parameters.values[f"/ml-pipeline/models/{NAME}/active-version"] == "v2"


def test_without_its_shadow_production_stays_as_it_is(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    live(aws, SHADOW)
    recorded_one(aws)
    assert variants.main(["shadow", "off", *HERE, "--dry-run", "--json"]) == 0
    requests = json.loads(capsys.readouterr().out)["requests"]
    config = requests[0]["parameters"]
    assert config["ProductionVariants"] == [PRODUCTION]
    assert "ShadowProductionVariants" not in config


def recorded_one(aws: Stubber) -> None:
    package = {
        "ModelPackageName": NAME,
        "ModelPackageArn": ARN.format(1),
        "CreationTime": NOW,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
    }
    aws.add_response("describe_model_package", package, {"ModelPackageName": ARN.format(1)})


def test_what_serves_already_is_no_shadow(aws: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    live(aws)
    summary = {
        "ModelPackageGroupName": NAME,
        "ModelPackageVersion": 1,
        "ModelPackageArn": ARN.format(1),
        "CreationTime": NOW,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": "Approved",
    }
    aws.add_response("list_model_packages", {"ModelPackageSummaryList": [summary]})
    assert variants.main(["shadow", "on", *HERE]) == 1
    assert "Version 1 serves already" in capsys.readouterr().err


def test_no_shadow_is_no_error_to_take_off_and_one_to_promote(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    live(aws)
    assert variants.main(["shadow", "off", *HERE]) == 0
    live(aws)
    assert variants.main(["shadow", "promote", *HERE]) == 1
    assert "no shadow to promote" in capsys.readouterr().err
