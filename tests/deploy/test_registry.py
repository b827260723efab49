"""`python -m deploy.registry`: list, compare, approve, reject, history."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.stub import Stubber

from deploy import registry
from steps import predictions
from steps.predictions import Said
from tests.deploy import real
from tests.local_sagemaker.conftest import Local
from tests.local_sagemaker.test_model_registry import register

s3_endpoint, s3, bucket, start = real.s3_endpoint, real.s3, real.bucket, real.start
local, sagemaker, here = real.local, real.sagemaker, real.here

ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/churn/{}"
LISTED = {"ModelPackageGroupName": "churn", "SortBy": "CreationTime", "SortOrder": "Descending"}
ROOT = "arn:aws:iam::000000000000:root"
ROWS = 300

Version = Callable[..., int]


def run(command: str, *words: str) -> int:
    return registry.main([command, "--group", "churn", *words])


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


@pytest.fixture
def version(local: Local, sagemaker: Any, here: Any, tmp_path: Path) -> Version:
    """version(noise): register one that predicts the worse the more noise, as the pipeline does;
    without noise one that was never evaluated.
    """
    sagemaker.create_model_package_group(ModelPackageGroupName="churn")

    def make(noise: float | None = None, **more: Any) -> int:
        if noise is not None:
            uri = evaluated(local, tmp_path, noise)
            statistics = {"ContentType": "application/json", "S3Uri": uri}
            more |= {"ModelMetrics": {"ModelQuality": {"Statistics": statistics}}}
        return int(register(sagemaker, "churn", **more).rpartition("/")[2])

    return make


def evaluated(local: Local, folder: Path, noise: float) -> str:
    """What Evaluate leaves in S3; the URI of evaluation.json."""
    draw = np.random.default_rng(3)
    targets = (np.arange(ROWS) % 2).astype(np.float32)
    values = (targets + noise * draw.normal(size=ROWS)).astype(np.float32)
    rows = folder / "rows.csv"
    rows.write_text("id\n" + "\n".join(f"c{each}" for each in range(ROWS)) + "\n")
    predictions.write(folder / predictions.NAME, rows, {"left": Said(targets, values)})
    verdict = {"kind": "binary", "gate": {"metric": "auc", "direction": "min"}, "threshold": None}
    prefix = f"run-{noise}"
    body = io.BytesIO((folder / predictions.NAME).read_bytes())
    local.s3.put_object(Bucket=local.bucket, Key=f"{prefix}/{predictions.NAME}", Body=body)
    return local.put(f"{prefix}/evaluation.json", json.dumps({"models": {"left": verdict}}))


def approval(sagemaker: Any, version: int) -> str:
    found = sagemaker.describe_model_package(ModelPackageName=ARN.format(version))
    return str(found["ModelApprovalStatus"])


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
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Group churn"
    assert lines[2].split()[:2] == ["2", "Rejected"]
    assert lines[2].endswith("churn.auc 0.8612")


def test_the_first_version_is_approved_and_it_is_written_who_and_why(
    version: Version, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    version()
    assert run("approve", "--reason", 'good, "really"', "--by", "Ada") == 0
    said = capsys.readouterr().out
    assert said.startswith("There is no other Approved version to compare with.\n")
    assert said.endswith("churn version 1: PendingManualApproval -> Approved\n")
    found = sagemaker.describe_model_package(ModelPackageName=ARN.format(1))
    assert found["ModelApprovalStatus"] == "Approved"
    assert found["ApprovalDescription"].startswith("Approved by Ada at 20")
    assert found["ApprovalDescription"].endswith(': good, "really"')
    kept = found["CustomerMetadataProperties"]
    assert (kept["approval-by"], kept["approval-caller"]) == ("Ada", ROOT)
    assert kept["approval-reason"] == "good   really "


def test_without_a_name_it_is_who_aws_says(version: Version, sagemaker: Any) -> None:
    version()
    assert run("reject", "--reason", "x" * 2000) == 0
    found = sagemaker.describe_model_package(ModelPackageName=ARN.format(1))
    assert len(found["ApprovalDescription"]) == 1024
    assert found["ApprovalDescription"].startswith(f"Rejected by {ROOT} at ")


def test_a_challenger_that_is_worse_is_refused_with_the_numbers(
    version: Version, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    version(0.3, ModelApprovalStatus="Approved")
    version(1.5)
    assert run("approve", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    left = document["comparison"]["models"]["left"]
    assert left["high"] < 0
    assert (document["refused"], left["metric"]) == (["left"], "auc")
    assert approval(sagemaker, 2) == "PendingManualApproval"
    assert run("approve") == 1
    out = capsys.readouterr().out
    assert "Not approved: version 2 is worse at left." in out
    assert "--force --reason TEXT" in out


def test_it_is_approved_by_force_with_a_reason_and_the_history_says_so(
    version: Version, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    version(0.3, ModelApprovalStatus="Approved")
    version(1.5)
    assert run("approve", "--force") == 2
    assert "--force needs --reason" in capsys.readouterr().err
    assert run("approve", "--force", "--reason", "the law wants it", "--by", "Ada") == 0
    assert approval(sagemaker, 2) == "Approved"
    capsys.readouterr()
    assert run("history", "--json") == 0
    last = json.loads(capsys.readouterr().out)["decisions"][-1]
    assert (last["version"], last["by"], last["why"]) == (2, "Ada", "the law wants it")
    assert last["forced"]
    assert last["comparison"]["models"]["left"]["worse"]


def test_a_challenger_as_good_as_the_newest_other_approved_version_passes(
    version: Version, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    version(0.1, ModelApprovalStatus="Approved")  # better, but no longer the champion
    version(1.5, ModelApprovalStatus="Approved")
    version(1.5)
    assert run("approve") == 0
    assert "against the champion, version 2, on 300 test rows" in capsys.readouterr().out
    assert approval(sagemaker, 3) == "Approved"


def test_what_cannot_be_compared_is_not_approved_without_force(
    version: Version, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    version(0.3, ModelApprovalStatus="Approved")
    version()
    assert run("approve") == 1
    assert "Version 2 names no ModelMetrics.ModelQuality" in capsys.readouterr().err
    assert approval(sagemaker, 2) == "PendingManualApproval"
    assert run("approve", "--force", "--reason", "a hot fix") == 0
    assert approval(sagemaker, 2) == "Approved"


def test_the_history_keeps_every_decision_also_of_a_deleted_version(
    version: Version, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    version()
    assert run("approve", "--reason", "first") == 0
    assert run("reject", "--reason", "second") == 0
    sagemaker.delete_model_package(ModelPackageName=ARN.format(1))
    capsys.readouterr()
    assert run("history") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "PendingManualApproval -> Approved" in lines[2]
    assert lines[2].endswith("first")
    assert "Approved -> Rejected" in lines[3]


def test_a_decision_made_past_the_command_is_in_the_history(
    version: Version, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    version()
    assert run("approve", "--reason", "ours") == 0
    sagemaker.update_model_package(
        ModelPackageArn=ARN.format(1),
        ModelApprovalStatus="Rejected",
        ApprovalDescription="by the console",
    )
    capsys.readouterr()
    assert run("history", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["decisions"]
    assert (first["source"], first["after"]) == ("deploy.registry", "Approved")
    assert (second["source"], second["before"], second["after"]) == (
        "the registry",
        "Approved",
        "Rejected",
    )
    assert second["why"] == "by the console"


def test_two_versions_stand_side_by_side(
    version: Version, local: Local, capsys: pytest.CaptureFixture[str]
) -> None:
    for noise, auc, data in ((0.3, "0.91", "a" * 64), (0.3, "0.93", "b" * 64)):
        metadata = {
            "left.auc": auc,
            "left.gate": "auc min 0.8",
            "data-uri": f"s3://b/churn/data/{data}/rows.csv",
        }
        size = "x" * (1000 if data[0] == "a" else 3000)
        url = local.put(f"{data}/model.tar.gz", size)
        image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
        specification = {
            "Containers": [{"Image": image, "ModelDataUrl": url}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        version(noise, CustomerMetadataProperties=metadata, InferenceSpecification=specification)
    assert run("compare", "1", "2") == 0
    lines = {line.split("  ")[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert lines["left.auc"] == ["left.auc", "0.91", "0.93", "+0.02"]
    assert lines["data"] == ["data", "a" * 12, "b" * 12, "differs"]
    assert lines["left gate"][-1] == "0.8"
    assert lines["size MB"] == ["size", "MB", "0.001", "0.003", "+0.002"]
    assert lines["left"][-2:] == ["not", "worse"]
    assert run("compare", "1", "2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["differences"]["left.auc"] == pytest.approx(0.02)
    assert document["test"]["rows"] == ROWS


@pytest.mark.parametrize(
    ("approval", "flags", "said"),
    [
        ("Approved", [], "is Approved already"),
        ("Rejected", ["--dry-run"], "Would change churn version 1: Rejected -> Approved"),
    ],
)
def test_nothing_is_changed_when_nothing_is_to_be(
    version: Version,
    local: Local,
    sagemaker: Any,
    capsys: pytest.CaptureFixture[str],
    approval: str,
    flags: list[str],
    said: str,
) -> None:
    version(ModelApprovalStatus=approval)
    before = sagemaker.describe_model_package(ModelPackageName=ARN.format(1))
    assert run("approve", *flags) == 0
    assert said in capsys.readouterr().out
    after = sagemaker.describe_model_package(ModelPackageName=ARN.format(1))
    assert after | {"ResponseMetadata": 0} == before | {"ResponseMetadata": 0}
    assert local.keys("churn/audit/") == []


def test_an_unknown_version_names_those_that_exist(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_response("list_model_packages", summaries("Approved", "Approved"), LISTED)
    assert run("approve", "--version", "9") == 2
    assert "has no version 9; it has: 1, 2" in capsys.readouterr().err


def test_an_empty_group_says_how_to_fill_it(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_response("list_model_packages", summaries(), LISTED)
    assert run("approve") == 1
    assert "run python -m pipelines.run first" in capsys.readouterr().err


def test_what_aws_refuses_is_exit_1_without_a_traceback(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_client_error("list_model_packages", "ValidationException", "no group churn")
    assert run("list", "--json") == 1
    out, err = capsys.readouterr()
    assert err == ("error: ListModelPackages was refused: no group churn (ValidationException)\n")
    assert "no group churn" in json.loads(out)["error"]


def test_a_config_that_does_not_exist_is_bad_usage(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    assert registry.main(["list", "--config", "nope.yaml"]) == 2
    assert "nope.yaml" in capsys.readouterr().err
