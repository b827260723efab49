"""`python -m deploy.registry`: list, approve, reject."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from deploy import registry

ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/churn/{}"
LISTED = {"ModelPackageGroupName": "churn", "SortBy": "CreationTime", "SortOrder": "Descending"}


def summaries(*approvals: str) -> dict[str, Any]:
    """Versions 1, 2, ... of these approvals, newest first."""
    return {
        "ModelPackageSummaryList": [
            {
                "ModelPackageGroupName": "churn",
                "ModelPackageVersion": version,
                "ModelPackageArn": ARN.format(version),
                "CreationTime": datetime(2026, 1, version, tzinfo=UTC),
                "ModelPackageStatus": "Completed",
                "ModelApprovalStatus": approval,
            }
            for version, approval in reversed(list(enumerate(approvals, start=1)))
        ]
    }


def test_versions_are_listed_newest_first_with_their_metrics(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_response("list_model_packages", summaries("Approved", "Rejected"), LISTED)
    for version in (2, 1):
        described = {
            "ModelPackageName": "churn",
            "ModelPackageArn": ARN.format(version),
            "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": []},
            "CustomerMetadataProperties": {
                "churn.auc": "0.8612345",
                "churn.gate": "auc min 0.8",
                "problem": "churn",
            },
        }
        expected = {"ModelPackageName": ARN.format(version)}
        aws.add_response("describe_model_package", described, expected)
    assert registry.main(["list", "--group", "churn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Group churn"
    assert lines[2].split()[:2] == ["2", "Rejected"]
    assert lines[2].endswith("churn.auc 0.8612")


def test_the_newest_version_is_approved_with_the_reason(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_response("list_model_packages", summaries("Approved", "PendingManualApproval"), LISTED)
    request = {
        "ModelPackageArn": ARN.format(2),
        "ModelApprovalStatus": "Approved",
        "ApprovalDescription": "good",
    }
    aws.add_response("update_model_package", {"ModelPackageArn": ARN.format(2)}, request)
    assert registry.main(["approve", "--group", "churn", "--reason", "good"]) == 0
    said = capsys.readouterr().out
    assert said == "churn version 2: PendingManualApproval -> Approved\n"


def test_an_older_version_is_rejected_by_number(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_response("list_model_packages", summaries("Approved", "Approved"), LISTED)
    request = {"ModelPackageArn": ARN.format(1), "ModelApprovalStatus": "Rejected"}
    aws.add_response("update_model_package", {"ModelPackageArn": ARN.format(1)}, request)
    assert registry.main(["reject", "--group", "churn", "--version", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["after"] == "Rejected"


@pytest.mark.parametrize(
    ("approval", "flags", "said"),
    [
        ("Approved", [], "is Approved already"),
        ("Rejected", ["--dry-run"], "Would change churn version 1: Rejected -> Approved"),
    ],
)
def test_nothing_is_changed_when_nothing_is_to_be(
    aws: Stubber, capsys: pytest.CaptureFixture[str], approval: str, flags: list[str], said: str
) -> None:
    aws.add_response("list_model_packages", summaries(approval), LISTED)
    assert registry.main(["approve", "--group", "churn", *flags]) == 0
    assert said in capsys.readouterr().out


def test_an_unknown_version_names_those_that_exist(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_response("list_model_packages", summaries("Approved", "Approved"), LISTED)
    assert registry.main(["approve", "--group", "churn", "--version", "9"]) == 2
    assert "has no version 9; it has: 1, 2" in capsys.readouterr().err


def test_an_empty_group_says_how_to_fill_it(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_response("list_model_packages", summaries(), LISTED)
    assert registry.main(["approve", "--group", "churn"]) == 1
    assert "run python -m pipelines.run first" in capsys.readouterr().err


def test_what_aws_refuses_is_exit_1_without_a_traceback(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_client_error("list_model_packages", "ValidationException", "no group churn")
    assert registry.main(["list", "--group", "churn", "--json"]) == 1
    out, err = capsys.readouterr()
    assert err == ("error: ListModelPackages was refused: no group churn (ValidationException)\n")
    assert "no group churn" in json.loads(out)["error"]


def test_a_config_that_does_not_exist_is_bad_usage(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    assert registry.main(["list", "--config", "nope.yaml"]) == 2
    assert "nope.yaml" in capsys.readouterr().err
