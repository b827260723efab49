"""Training jobs through boto3: what the container sees, what is delivered, how jobs end."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot

ROLE = "arn:aws:iam::000000000000:role/local"
OUTSIDE = {"S3Uri": "s3://b/c", "LocalPath": "/c"}
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"


def request(local: Any, script: str, name: str = "job", **changes: Any) -> dict[str, Any]:
    """A training job that runs a shell script, with a channel `train` of one object."""
    uri = local.put("data/train/rows.csv", "1,2\n")
    wanted = {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash", "-c"],
            "ContainerArguments": [script],
        },
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "ContentType": "text/csv",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri.rsplit("/", 1)[0]}
                },
            }
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{local.bucket}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    return wanted | changes


def source_of(wanted: dict[str, Any]) -> dict[str, Any]:
    source: dict[str, Any] = wanted["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    return source


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = [item for item in tar if item.isfile()]
        return {item.name: tar.extractfile(item).read() for item in files}  # type: ignore[union-attr]


def test_a_job_sees_opt_ml_and_delivers_its_model(local: Any, sagemaker: Any) -> None:
    script = (
        "cp -r /opt/ml/input /opt/ml/model/seen; env > /opt/ml/model/env; "
        "echo more > /opt/ml/output/data/more; echo 'auc=0.5'; echo 'auc=0.75'"
    )
    wanted = request(local, script, HyperParameters={"depth": "5"}, Environment={"MINE": "1"})
    wanted["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "auc", "Regex": "auc=(.*)"}]
    arn = sagemaker.create_training_job(**wanted)["TrainingJobArn"]
    local.until("training-job", "job")

    job = sagemaker.describe_training_job(TrainingJobName="job")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = f"s3://{local.bucket}/out/job/output/model.tar.gz"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == model
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("auc", 0.75)]
    stages = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert stages == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in each for each in job["SecondaryStatusTransitions"])
    assert job["TrainingTimeInSeconds"] >= 1

    seen = members(local.read("out/job/output/model.tar.gz"))
    assert seen["seen/data/train/rows.csv"] == b"1,2\n"
    assert json.loads(seen["seen/config/hyperparameters.json"]) == {"depth": "5"}
    channels = json.loads(seen["seen/config/inputdataconfig.json"])
    assert channels["train"]["ContentType"] == "text/csv"
    assert json.loads(seen["seen/config/resourceconfig.json"])["hosts"] == ["algo-1"]
    environment = dict(
        line.split("=", 1) for line in seen["env"].decode().splitlines() if "=" in line
    )
    assert environment["TRAINING_JOB_NAME"] == "job"
    assert environment["TRAINING_JOB_ARN"] == arn
    assert environment["MINE"] == "1"
    assert environment["AWS_ENDPOINT_URL_SAGEMAKER"] == local.url
    assert members(local.read("out/job/output/output.tar.gz")) == {"more": b"more\n"}


def test_a_failing_job_tells_why_in_its_own_words(local: Any, sagemaker: Any) -> None:
    script = "echo 'no such column: age' > /opt/ml/output/failure; touch /opt/ml/model/m; exit 7"
    sagemaker.create_training_job(**request(local, script))
    local.until("training-job", "job")

    job = sagemaker.describe_training_job(TrainingJobName="job")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no such column: age, exit code: 7"
    assert "ModelArtifacts" not in job
    assert local.keys("out/") == []


def test_a_long_failure_keeps_its_exit_code(local: Any, sagemaker: Any) -> None:
    script = "printf 'x%.0s' {1..3000} > /opt/ml/output/failure; exit 3"
    sagemaker.create_training_job(**request(local, script))
    reason = local.until("training-job", "job")["FailureReason"]
    assert len(reason) == 1024
    assert reason.endswith("x, exit code: 3")


def test_stopping_gives_the_job_a_chance_and_keeps_its_model(local: Any, sagemaker: Any) -> None:
    script = (
        "trap 'echo half > /opt/ml/model/m; exit 0' TERM; "
        "echo started > /opt/ml/output/data/started; sleep 60 & wait"
    )
    sagemaker.create_training_job(**request(local, script))
    started = local.plane.config.home / "jobs/training-job/job/output/data/started"
    local.until_true(started.exists)
    sagemaker.stop_training_job(TrainingJobName="job")
    local.until("training-job", "job")

    job = sagemaker.describe_training_job(TrainingJobName="job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "Stopping" in [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert members(local.read("out/job/output/model.tar.gz")) == {"m": b"half\n"}
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName="job")


def test_a_job_may_not_run_longer_than_it_said(local: Any, sagemaker: Any) -> None:
    wanted = request(local, "exec sleep 60", StoppingCondition={"MaxRuntimeInSeconds": 1})
    sagemaker.create_training_job(**wanted)
    job = local.until("training-job", "job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_missing_data_fails_the_job_and_names_the_uri(local: Any, sagemaker: Any) -> None:
    wanted = request(local, "true")
    source = wanted["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    source["S3Uri"] = f"s3://{local.bucket}/nothing/here"
    sagemaker.create_training_job(**wanted)
    reason = local.until("training-job", "job")["FailureReason"]
    assert reason.startswith("ClientError: Data download failed")
    assert source["S3Uri"] in reason


def test_a_missing_bucket_fails_the_upload_and_names_it(local: Any, sagemaker: Any) -> None:
    wanted = request(local, "true", OutputDataConfig={"S3OutputPath": "s3://nobodys-bucket/out"})
    sagemaker.create_training_job(**wanted)
    reason = local.until("training-job", "job")["FailureReason"]
    assert reason.startswith("ClientError: Data upload failed: NoSuchBucket")
    assert "s3://nobodys-bucket/out/job/output/model.tar.gz" in reason


def test_a_full_disk_fails_the_job_with_a_reason(
    local: Any, sagemaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(objects: Any, directory: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local.plane.storage, "fetch", full)
    sagemaker.create_training_job(**request(local, "true"))
    reason = local.until("training-job", "job")["FailureReason"]
    assert reason.startswith("ClientError: no space left on device")
    assert str(local.plane.config.home) in reason


def test_what_watches_a_job_at_aws_is_kept_and_its_absence_is_said(
    local: Any, sagemaker: Any
) -> None:
    """The SDK v2 adds a profiler to every job."""
    rule = {"RuleConfigurationName": "ProfilerReport", "RuleEvaluatorImage": "rules:latest"}
    place = {"S3OutputPath": f"s3://{local.bucket}/out"}
    watched = {
        "ProfilerConfig": place,
        "ProfilerRuleConfigurations": [rule],
        "DebugHookConfig": place,
    }
    sagemaker.create_training_job(**request(local, "true", **watched))
    local.until("training-job", "job")
    found = sagemaker.describe_training_job(TrainingJobName="job")
    assert {name: found[name] for name in watched} == watched
    log = (local.plane.config.home / "logs/training-job/job.log").read_text()
    assert "there is no profiler here" in log
    assert "DebugHookConfig saves no tensors" in log


def test_a_profiler_that_is_off_is_not_missed(local: Any, sagemaker: Any) -> None:
    off = {"ProfilerConfig": {"DisableProfiler": True}}
    sagemaker.create_training_job(**request(local, "true", **off))
    local.until("training-job", "job")
    log = (local.plane.config.home / "logs/training-job/job.log").read_text()
    assert "profiler" not in log


def test_names_are_given_once(local: Any, sagemaker: Any) -> None:
    sagemaker.create_training_job(**request(local, "true"))
    with pytest.raises(ClientError, match="must be unique within an AWS account") as caught:
        sagemaker.create_training_job(**request(local, "true"))
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


def test_an_unknown_job_is_not_found_in_awss_words(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match=r"Requested resource not found\.") as caught:
        sagemaker.describe_training_job(TrainingJobName="nobody")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("member", "change"),
    [
        (
            "LocalPath",
            lambda r: r.update(CheckpointConfig=OUTSIDE),
        ),
        ("EnableManagedSpotTraining", lambda r: r.update(EnableManagedSpotTraining=True)),
        (
            "DebugRuleConfigurations",
            lambda r: r.update(
                DebugRuleConfigurations=[
                    {"RuleConfigurationName": "r", "RuleEvaluatorImage": "rules:latest"}
                ]
            ),
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    local: Any, sagemaker: Any, member: str, change: Callable[[dict[str, Any]], None]
) -> None:
    wanted = request(local, "true")
    change(wanted)
    with pytest.raises(ClientError, match=f"{member}.* is not supported by the local SageMaker"):
        sagemaker.create_training_job(**wanted)
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_inputs_are_removed_and_the_log_is_kept(local: Any, sagemaker: Any) -> None:
    sagemaker.create_training_job(**request(local, "echo said"))
    local.until("training-job", "job")
    home = local.plane.config.home
    assert (home / "logs/training-job/job.log").read_text().endswith("said\n")
    left = home / "jobs/training-job/job"
    local.until_true(lambda: not (left / "input").exists())
    assert left.stat().st_mode & 0o777 == 0o700


def test_what_a_killed_server_had_not_cleared_is_cleared_at_the_next_start(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    first = start(tmp_path / "home")
    first.client().create_training_job(**request(first, "true"))
    first.until("training-job", "job")
    boot.shut_down(first.plane)
    left = tmp_path / "home/jobs/training-job/job"
    (left / "input/data").mkdir(
        parents=True
    )  # as if it had been killed between status and clearing
    start(tmp_path / "home")
    assert sorted(each.name for each in left.iterdir()) == ["output"]


def test_jobs_run_in_parallel_up_to_the_slots(local: Any, sagemaker: Any) -> None:
    """Each of two jobs waits for the other's file: one after the other they would never end."""
    places = [local.plane.config.home / "jobs/training-job" / n / "output" for n in "ab"]
    for name, other in zip("ab", reversed(places), strict=True):
        script = f"touch /opt/ml/output/here; until [ -e {other}/here ]; do sleep 0.01; done"
        sagemaker.create_training_job(**request(local, script, name))
    for name in "ab":
        assert local.until("training-job", name)["TrainingJobStatus"] == "Completed"


def test_a_job_that_waits_for_a_slot_can_be_stopped(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    local = start(tmp_path / "one", slots=1)
    sagemaker = local.client()
    sagemaker.create_training_job(**request(local, "echo on; exec sleep 60", "first"))
    log = local.plane.config.home / "logs/training-job/first.log"
    local.until_true(lambda: log.exists() and "on" in log.read_text())
    sagemaker.create_training_job(**request(local, "true", "second"))
    sagemaker.stop_training_job(TrainingJobName="second")
    assert local.until("training-job", "second")["TrainingJobStatus"] == "Stopped"
    sagemaker.stop_training_job(TrainingJobName="first")
    local.until("training-job", "first")


def test_a_restarted_server_ends_the_jobs_of_the_last_one_truthfully(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    first = start(tmp_path / "home")
    client = first.client()
    client.create_training_job(**request(first, "touch /opt/ml/output/on; exec sleep 60", "cut"))
    first.until_true((tmp_path / "home/jobs/training-job/cut/output/on").exists)
    boot.shut_down(first.plane)
    second = start(tmp_path / "home")
    job = second.client().describe_training_job(TrainingJobName="cut")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: the local SageMaker was stopped")
