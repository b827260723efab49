"""Model package groups and versions through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"


@pytest.fixture
def group(sagemaker: Any) -> str:
    sagemaker.create_model_package_group(ModelPackageGroupName="Churn")
    return "Churn"


def register(sagemaker: Any, group: str, **more: Any) -> str:
    specification = {
        "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://b/model.tar.gz"}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    wanted = {"ModelPackageGroupName": group, "InferenceSpecification": specification}
    return str(sagemaker.create_model_package(**wanted | more)["ModelPackageArn"])


def test_versions_count_up_and_are_never_reused(sagemaker: Any, group: str) -> None:
    first, second = register(sagemaker, group), register(sagemaker, group)
    assert first.endswith(":model-package/churn/1")
    assert second.endswith(":model-package/churn/2")
    sagemaker.delete_model_package(ModelPackageName=second)
    assert register(sagemaker, group).endswith("/3")


def test_a_version_waits_for_approval_unless_it_says_otherwise(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["ModelPackageStatus"] == "Completed"
    assert (found["ModelPackageGroupName"], found["ModelPackageVersion"]) == ("Churn", 1)
    assert found["InferenceSpecification"]["Containers"][0]["Image"] == IMAGE


def test_approving_is_told_and_shown(local: Any, sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    told: list[tuple[str | None, str]] = []
    local.plane.bus.subscribe(
        lambda change: told.append((change.before_status, change.after_status))
    )
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good"
    )
    assert told == [("PendingManualApproval", "Approved")]
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == ("Approved", "good")


def test_metadata_is_merged_and_removed(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group, CustomerMetadataProperties={"a": "1", "b": "2"})
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"b": "3", "c": "4"},
        CustomerMetadataPropertiesToRemove=["a", "not there"],
    )
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    assert found["CustomerMetadataProperties"] == {"b": "3", "c": "4"}


def test_the_latest_approved_version_is_one_question(sagemaker: Any, group: str) -> None:
    arns = [register(sagemaker, group, ModelApprovalStatus="Approved") for _ in range(3)]
    register(sagemaker, group)
    sagemaker.create_model_package_group(ModelPackageGroupName="other")
    register(sagemaker, "other", ModelApprovalStatus="Approved")
    found = sagemaker.list_model_packages(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=1,
    )
    assert [each["ModelPackageArn"] for each in found["ModelPackageSummaryList"]] == [arns[2]]


def test_a_group_is_found_by_its_arn_too(sagemaker: Any, group: str) -> None:
    arn = sagemaker.describe_model_package_group(ModelPackageGroupName=group)[
        "ModelPackageGroupArn"
    ]
    found = sagemaker.describe_model_package_group(ModelPackageGroupName=arn)
    assert found["ModelPackageGroupName"] == group
    assert found["ModelPackageGroupStatus"] == "Completed"
    assert register(sagemaker, arn).endswith("/churn/1")


def test_a_group_is_deleted_only_when_empty(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    with pytest.raises(ClientError, match="still has 1 model package") as caught:
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    assert caught.value.response["Error"]["Code"] == "ConflictException"
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)


def test_what_is_not_there_is_a_validation_error(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="Model Package Group nobody does not exist") as caught:
        register(sagemaker, "nobody")
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    arn = "arn:aws:sagemaker:us-east-1:000000000000:model-package/nobody/1"
    with pytest.raises(ClientError, match=r"ModelPackage .* does not exist"):
        sagemaker.describe_model_package(ModelPackageName=arn)


def test_a_second_group_of_the_same_name_is_refused(sagemaker: Any, group: str) -> None:
    with pytest.raises(ClientError, match="already exists"):
        sagemaker.create_model_package_group(ModelPackageGroupName=group)


def test_groups_are_listed(sagemaker: Any, group: str) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="Aaa")
    found = sagemaker.list_model_package_groups(SortBy="Name")["ModelPackageGroupSummaryList"]
    assert [each["ModelPackageGroupName"] for each in found] == ["Aaa", "Churn"]


def test_tags_are_added_listed_and_deleted(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group, Tags=[{"Key": "team", "Value": "x"}])
    answer = sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert answer["Tags"] == [{"Key": "a", "Value": "1"}, {"Key": "team", "Value": "x"}]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "2"}]


def test_tags_of_nothing_are_refused(sagemaker: Any) -> None:
    arn = "arn:aws:sagemaker:us-east-1:000000000000:model/nobody"
    with pytest.raises(ClientError, match="Could not find the resource"):
        sagemaker.list_tags(ResourceArn=arn)


def test_an_answer_that_cannot_be_remembered_leaves_no_version(
    local: Any, sagemaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local_sagemaker import operations

    sagemaker.create_model_package_group(ModelPackageGroupName="once")
    request = {"ModelPackageGroupName": "once", "ClientToken": "t" * 36}

    def killed(*_: object) -> None:
        raise RuntimeError("the server's end")

    with monkeypatch.context() as patched:
        patched.setattr(operations, "_remember", killed)
        with pytest.raises(ClientError, match="InternalFailure"):
            sagemaker.create_model_package(**request)
    assert (
        sagemaker.list_model_packages(ModelPackageGroupName="once")["ModelPackageSummaryList"] == []
    )
    assert sagemaker.create_model_package(**request)["ModelPackageArn"].endswith("/once/1")
    assert sagemaker.create_model_package(**request)["ModelPackageArn"].endswith("/once/1")


def test_versions_are_described_together_and_missing_ones_have_an_error(sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    one = sagemaker.create_model_package(ModelPackageGroupName="g")["ModelPackageArn"]
    gone = one[:-1] + "7"
    told = sagemaker.batch_describe_model_package(ModelPackageArnList=[one, gone])
    assert told["ModelPackageSummaries"][one]["ModelPackageVersion"] == 1
    assert list(told["ModelPackageSummaries"]) == [one]
    assert list(told["BatchDescribeModelPackageErrorMap"]) == [gone]
    assert "does not exist" in told["BatchDescribeModelPackageErrorMap"][gone]["ErrorResponse"]


def test_the_policy_of_a_group_is_kept_until_it_is_deleted(sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    group = {"ModelPackageGroupName": "g"}
    with pytest.raises(ClientError, match="has no policy"):
        sagemaker.get_model_package_group_policy(**group)
    policy = '{"Version": "2012-10-17", "Statement": []}'
    answer = sagemaker.put_model_package_group_policy(**group, ResourcePolicy=policy)
    assert answer["ModelPackageGroupArn"].endswith(":model-package-group/g")
    assert sagemaker.get_model_package_group_policy(**group)["ResourcePolicy"] == policy
    with pytest.raises(ClientError, match="no JSON policy with a Statement"):
        sagemaker.put_model_package_group_policy(**group, ResourcePolicy="[]")
    sagemaker.delete_model_package_group_policy(**group)
    with pytest.raises(ClientError, match="has no policy"):
        sagemaker.get_model_package_group_policy(**group)
