"""Endpoint configs through boto3: instance-based variants, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.hosting import (
    ROLE,
    XGBOOST,
    create_config,
    empty_variant,
    variant,
)


@pytest.fixture
def model(sagemaker: Any) -> str:
    container = {"Image": XGBOOST}
    sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return "m"


def test_a_config_is_described_as_it_was_created(sagemaker: Any, model: str) -> None:
    create_config(sagemaker, "c", variant(model, "A", InitialVariantWeight=3), variant(model, "B"))
    found = sagemaker.describe_endpoint_config(EndpointConfigName="c")
    assert [v["VariantName"] for v in found["ProductionVariants"]] == ["A", "B"]
    assert found["EndpointConfigArn"].endswith(":endpoint-config/c")
    listed = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    assert [c["EndpointConfigName"] for c in listed] == ["c"]


def test_duplicate_and_missing_configs_are_refused_in_awss_words(
    sagemaker: Any, model: str
) -> None:
    create_config(sagemaker, "c", variant(model))
    with pytest.raises(ClientError, match="Cannot create already existing endpoint configuration"):
        create_config(sagemaker, "c", variant(model))
    sagemaker.delete_endpoint_config(EndpointConfigName="c")
    for call in (sagemaker.describe_endpoint_config, sagemaker.delete_endpoint_config):
        with pytest.raises(ClientError, match='Could not find endpoint configuration "arn:'):
            call(EndpointConfigName="c")


def test_a_model_that_does_not_exist_is_refused(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match=r'Could not find model "arn:.*model/none"'):
        create_config(sagemaker, "c", variant("none"))


def test_variant_names_are_unique(sagemaker: Any, model: str) -> None:
    with pytest.raises(ClientError, match="twice: A"):
        create_config(sagemaker, "c", variant(model, "A"), variant(model, "A"))


@pytest.mark.parametrize("member", ["InstanceType", "InitialInstanceCount"])
def test_a_variant_without_instances_is_refused(sagemaker: Any, model: str, member: str) -> None:
    incomplete = variant(model)
    del incomplete[member]
    with pytest.raises(ClientError, match=f"AllTraffic needs {member}"):
        create_config(sagemaker, "c", incomplete)


def test_variants_without_a_model_are_there_for_inference_components(
    sagemaker: Any, model: str
) -> None:
    request = {"EndpointConfigName": "c", "ProductionVariants": [empty_variant()]}
    with pytest.raises(ClientError, match=r"ExecutionRoleArn is required: .* AllTraffic has no"):
        sagemaker.create_endpoint_config(**request)
    mixed = [empty_variant("A"), variant(model, "B")]
    with pytest.raises(ClientError, match="A has no ModelName and others have"):
        sagemaker.create_endpoint_config(
            EndpointConfigName="c", ProductionVariants=mixed, ExecutionRoleArn=ROLE
        )
    sagemaker.create_endpoint_config(**request, ExecutionRoleArn=ROLE)
    found = sagemaker.describe_endpoint_config(EndpointConfigName="c")
    assert found["ExecutionRoleArn"] == ROLE
    assert "ModelName" not in found["ProductionVariants"][0]


def test_managed_scaling_is_for_components_and_has_room_for_the_first_instances(
    sagemaker: Any, model: str
) -> None:
    scaling = {"Status": "ENABLED", "MinInstanceCount": 2, "MaxInstanceCount": 3}
    with pytest.raises(ClientError, match="ManagedInstanceScaling is only supported for inference"):
        create_config(sagemaker, "c", variant(model, ManagedInstanceScaling=scaling))
    with pytest.raises(ClientError, match="InitialInstanceCount 1 of variant AllTraffic must be"):
        sagemaker.create_endpoint_config(
            EndpointConfigName="c",
            ProductionVariants=[empty_variant(ManagedInstanceScaling=scaling)],
            ExecutionRoleArn=ROLE,
        )


CAPTURE = {
    "InitialSamplingPercentage": 10,
    "DestinationS3Uri": "s3://b/c",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"DataCaptureConfig": {**CAPTURE, "DestinationS3Uri": "https://b/c"}}, "https://b/c"),
        ({"DataCaptureConfig": {**CAPTURE, "InitialSamplingPercentage": 101}}, "Percentage"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    sagemaker: Any, model: str, changes: dict[str, Any], word: str
) -> None:
    request = {"EndpointConfigName": "c", "ProductionVariants": [variant(model)], **changes}
    with pytest.raises(ClientError, match=word) as refused:
        sagemaker.create_endpoint_config(**request)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_data_capture_is_described_as_it_was_given(sagemaker: Any, model: str) -> None:
    given = {"EnableCapture": False, "KmsKeyId": "k", **CAPTURE}
    create_config(sagemaker, "c", variant(model), DataCaptureConfig=given)
    found = sagemaker.describe_endpoint_config(EndpointConfigName="c")
    assert found["DataCaptureConfig"] == given
