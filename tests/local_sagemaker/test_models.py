"""Models through boto3: their containers, from images or approved model packages."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.hosting import ROLE, XGBOOST, create_model

PACKAGE = {"ModelPackageGroupName": "group"}


def register(local: Any, sagemaker: Any, status: str, count: int = 1) -> str:
    """A version of a package group; its ARN."""
    containers = [
        {
            "Image": XGBOOST,
            "ModelDataUrl": "s3://b/model.tar.gz",
            "Environment": {"A": "1", "B": "1"},
        }
    ] * count
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


def create_pipeline(sagemaker: Any, *containers: dict[str, Any], **more: Any) -> Any:
    return sagemaker.create_model(
        ModelName="m", Containers=list(containers), ExecutionRoleArn=ROLE, **more
    )


def test_an_inference_pipeline_is_described_as_it_was_created(sagemaker: Any) -> None:
    containers = [{"Image": XGBOOST, "ContainerHostname": name} for name in ("first", "second")]
    create_pipeline(sagemaker, *containers, InferenceExecutionConfig={"Mode": "Direct"})
    found = sagemaker.describe_model(ModelName="m")
    assert found["Containers"] == containers
    assert found["InferenceExecutionConfig"] == {"Mode": "Direct"}
    assert "PrimaryContainer" not in found


def test_a_package_of_several_containers_becomes_a_pipeline(local: Any, sagemaker: Any) -> None:
    arn = register(local, sagemaker, "Approved", count=2)
    create_pipeline(sagemaker, {"ModelPackageName": arn})
    runs = local.plane.store.get("model", "m")["LocalContainers"]
    assert [each["Hostname"] for each in runs] == ["container-1", "container-2"]
    assert [each["Environment"] for each in runs] == [{"A": "1", "B": "1"}] * 2
    with pytest.raises(ClientError, match="cannot be one of several Containers"):
        create_pipeline(sagemaker, {"ModelPackageName": arn}, {"Image": XGBOOST})
    with pytest.raises(ClientError, match=r"Environment is not supported .* several containers"):
        create_pipeline(sagemaker, {"ModelPackageName": arn, "Environment": {"A": "2"}})


@pytest.mark.parametrize(
    ("containers", "mode", "word"),
    [
        ([], None, "PrimaryContainer or Containers, one of them"),
        ([{"Image": XGBOOST}] * 16, None, "length less than or equal to 15"),
        ([{"Image": XGBOOST}, {}], None, r"Containers\[1\] needs Image or ModelPackageName"),
        ([{"Image": XGBOOST}, {"Image": "mine:1"}], None, "not in the table of images"),
        (
            [{"Image": XGBOOST, "ContainerHostname": "a"}, {"Image": XGBOOST}],
            None,
            "for every container or for none",
        ),
        ([{"Image": XGBOOST, "ContainerHostname": "a"}] * 2, None, "must be unique"),
        ([{"Image": XGBOOST}] * 2, "Direct", "Direct needs several Containers, each with its"),
        ([{"Image": XGBOOST, "ContainerHostname": "a"}], "Direct", "needs several Containers"),
        ([{"Image": XGBOOST, "Mode": "MultiModel"}] * 2, None, "Mode.*MultiModel"),
    ],
)
def test_containers_that_make_no_model_are_refused(
    sagemaker: Any, containers: list[dict[str, Any]], mode: str | None, word: str
) -> None:
    more = {"InferenceExecutionConfig": {"Mode": mode}} if mode else {}
    with pytest.raises(ClientError, match=word) as refused:
        create_pipeline(sagemaker, *containers, **more)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_model_has_a_primary_container_or_containers_but_not_both(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="PrimaryContainer or Containers, one of them"):
        create_pipeline(sagemaker, {"Image": XGBOOST}, PrimaryContainer={"Image": XGBOOST})
