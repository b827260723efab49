"""Models through boto3: one container, from an image or an approved model package."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.hosting import ROLE, XGBOOST, create_model

PACKAGE = {"ModelPackageGroupName": "group"}


def register(local: Any, sagemaker: Any, status: str) -> str:
    """A version of a package group; its ARN."""
    containers = [
        {
            "Image": XGBOOST,
            "ModelDataUrl": "s3://b/model.tar.gz",
            "Environment": {"A": "1", "B": "1"},
        }
    ]
    sagemaker.create_model_package_group(ModelPackageGroupName="group")
    specification = {
        "Containers": containers,
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    made = sagemaker.create_model_package(
        ModelPackageGroupName="group",
        InferenceSpecification=specification,
        ModelApprovalStatus=status,
    )
    return str(made["ModelPackageArn"])


def create(sagemaker: Any, **container: Any) -> Any:
    return sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)


def test_a_model_is_described_as_it_was_created(local: Any, sagemaker: Any) -> None:
    create_model(local, sagemaker, "Churn")
    found = sagemaker.describe_model(ModelName="Churn")
    assert found["ModelArn"] == "arn:aws:sagemaker:us-east-1:000000000000:model/churn"
    assert found["PrimaryContainer"]["Image"] == XGBOOST
    assert "LocalContainers" not in found
    assert [m["ModelName"] for m in sagemaker.list_models()["Models"]] == ["Churn"]


def test_a_second_model_of_the_same_name_is_refused_in_awss_words(sagemaker: Any) -> None:
    create(sagemaker, Image=XGBOOST)
    with pytest.raises(ClientError, match=r'Cannot create already existing model "arn:.*model/m"'):
        create(sagemaker, Image=XGBOOST)


def test_a_deleted_model_is_gone(sagemaker: Any) -> None:
    create(sagemaker, Image=XGBOOST)
    sagemaker.delete_model(ModelName="m")
    for call in (sagemaker.describe_model, sagemaker.delete_model):
        with pytest.raises(ClientError, match=r'Could not find model "arn:.*model/m"'):
            call(ModelName="m")


def test_an_approved_package_becomes_a_model(local: Any, sagemaker: Any) -> None:
    arn = register(local, sagemaker, "Approved")
    create(sagemaker, ModelPackageName=arn, Environment={"B": "2"})
    runs = local.plane.store.get("model", "m")["LocalContainers"][0]
    assert (runs["Image"], runs["ModelDataUrl"]) == (XGBOOST, "s3://b/model.tar.gz")
    assert runs["Environment"] == {"A": "1", "B": "2"}


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_a_package_that_is_not_approved_is_refused(local: Any, sagemaker: Any, status: str) -> None:
    arn = register(local, sagemaker, status)
    with pytest.raises(ClientError, match=f"is {status}; only an Approved version"):
        create(sagemaker, ModelPackageName=arn)


def test_a_package_that_does_not_exist_is_refused(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        create(
            sagemaker,
            ModelPackageName="arn:aws:sagemaker:us-east-1:000000000000:model-package/no/1",
        )


@pytest.mark.parametrize(
    ("container", "word"),
    [
        ({"Image": "1.dkr.ecr.us-east-1.amazonaws.com/mine:1"}, "not in the table of images"),
        ({"Image": XGBOOST, "ModelDataUrl": "s3://b/folder/"}, r"must be s3://.*\.tar\.gz"),
        ({"Image": XGBOOST, "Mode": "MultiModel"}, "Mode.*MultiModel"),
        ({"Environment": {}}, "Image or ModelPackageName"),
    ],
)
def test_what_cannot_be_served_here_is_refused_by_name(
    sagemaker: Any, container: dict[str, Any], word: str
) -> None:
    with pytest.raises(ClientError, match=word) as refused:
        create(sagemaker, **container)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_inference_pipelines_are_refused_by_name(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="Containers"):
        sagemaker.create_model(ModelName="m", Containers=[{"Image": XGBOOST}] * 2)
