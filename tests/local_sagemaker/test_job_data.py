"""How data reaches a job and leaves it: FastFile, manifests, checkpoints, Continuous outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker.clock import FakeClock
from local_sagemaker.engine.syncing import INTERVAL_SECONDS
from tests.local_sagemaker import test_processing_jobs as processing
from tests.local_sagemaker import test_training_jobs as training
from tests.local_sagemaker.test_processing_jobs import HOME, an_input
from tests.local_sagemaker.test_training_jobs import source_of


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def timed(start: Callable[..., Any], tmp_path: Path, clock: FakeClock) -> Any:
    """A local SageMaker whose time moves when the test says so."""
    return start(tmp_path / "timed", slots=2, clock=clock)


def trained(local: Any, wanted: dict[str, Any]) -> dict[str, bytes]:
    """What a training job left in its model."""
    local.client().create_training_job(**wanted)
    job = local.until("training-job", wanted["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return training.members(local.read(f"out/{wanted['TrainingJobName']}/output/model.tar.gz"))


@pytest.mark.parametrize("member", ["TrainingInputMode", "InputMode"])
def test_fast_file_input_is_files_that_cannot_be_written(local: Any, member: str) -> None:
    script = (
        "cp /opt/ml/input/config/inputdataconfig.json /opt/ml/model/; "
        "stat -c %A /opt/ml/input/data/train/rows.csv > /opt/ml/model/rights"
    )
    wanted = training.request(local, script)
    part = wanted["AlgorithmSpecification"]
    (part if member in part else wanted["InputDataConfig"][0])[member] = "FastFile"
    model = trained(local, wanted)
    assert model["rights"] == b"-r--r--r--\n"
    assert json.loads(model["inputdataconfig.json"])["train"]["TrainingInputMode"] == "FastFile"


def test_fast_file_wants_a_prefix_that_is_a_folder(local: Any, sagemaker: Any) -> None:
    wanted = training.request(local, "true")
    wanted["AlgorithmSpecification"]["TrainingInputMode"] = "FastFile"
    source_of(wanted)["S3Uri"] = f"s3://{local.bucket}/data/tr"
    sagemaker.create_training_job(**wanted)
    reason = local.until("training-job", "job")["FailureReason"]
    assert reason.startswith(
        "ClientError: channel 'train': FastFile needs an S3Uri that is a folder"
    )


def test_a_manifest_names_the_objects_of_a_channel(local: Any) -> None:
    for key in ("data/a.csv", "data/deep/b.csv", "data/not-wanted.csv"):
        local.put(key, key)
    manifest = [{"prefix": f"s3://{local.bucket}/data/"}, "a.csv", "deep/b.csv"]
    wanted = training.request(local, "cp -r /opt/ml/input/data/train /opt/ml/model/")
    uri = local.put("lists/m.manifest", json.dumps(manifest))
    source_of(wanted).update(S3DataType="ManifestFile", S3Uri=uri)
    assert trained(local, wanted) == {
        "train/a.csv": b"data/a.csv",
        "train/deep/b.csv": b"data/deep/b.csv",
    }


def test_a_manifest_serves_processing_jobs_too(local: Any, sagemaker: Any) -> None:
    local.put("data/a.csv", "a")
    uri = local.put("m", json.dumps([{"prefix": f"s3://{local.bucket}/data/"}, "a.csv"]))
    inputs = [an_input("data", uri, S3DataType="ManifestFile")]
    script = f"cp {HOME}/input/data/* {HOME}/output/"
    sagemaker.create_processing_job(**processing.request(local, script, ProcessingInputs=inputs))
    local.until("processing-job", "job")
    assert local.keys("out/") == ["out/a.csv"]


@pytest.mark.parametrize("text", ["no json", "{}", '["a"]', "[]"])
def test_a_manifest_that_is_none_fails_the_job_and_shows_one(
    local: Any, sagemaker: Any, text: str
) -> None:
    wanted = training.request(local, "true")
    source_of(wanted).update(S3DataType="ManifestFile", S3Uri=local.put("m", text))
    sagemaker.create_training_job(**wanted)
    reason = local.until("training-job", "job")["FailureReason"]
    assert reason.startswith("ClientError: ")
    assert '[{"prefix": "s3://bucket/folder/"}, "name"' in reason


def test_an_object_of_a_manifest_that_is_not_there_is_named(local: Any, sagemaker: Any) -> None:
    wanted = training.request(local, "true")
    manifest = json.dumps([{"prefix": f"s3://{local.bucket}/"}, "gone.csv"])
    source_of(wanted).update(S3DataType="ManifestFile", S3Uri=local.put("m", manifest))
    sagemaker.create_training_job(**wanted)
    assert f"s3://{local.bucket}/gone.csv" in local.until("training-job", "job")["FailureReason"]


def checkpointing(local: Any, script: str, name: str = "job", **more: str) -> dict[str, Any]:
    wanted: dict[str, Any] = training.request(local, script, name)
    return wanted | {"CheckpointConfig": {"S3Uri": f"s3://{local.bucket}/checkpoints"} | more}


@pytest.mark.parametrize("path", ["/opt/ml/checkpoints", "/opt/ml/state/of/mine"])
def test_the_next_job_goes_on_from_the_checkpoints_of_the_last(local: Any, path: str) -> None:
    script = f"echo x >> {path}/epochs; cp {path}/epochs /opt/ml/model/"
    assert trained(local, checkpointing(local, script, "a", LocalPath=path)) == {"epochs": b"x\n"}
    assert local.keys("checkpoints/") == ["checkpoints/epochs"]
    again = checkpointing(local, script, "b", LocalPath=path)
    assert trained(local, again) == {"epochs": b"x\nx\n"}


def test_a_job_finds_its_checkpoint_config(local: Any) -> None:
    script = "cp /opt/ml/input/config/checkpointconfig.json /opt/ml/model/"
    config = json.loads(trained(local, checkpointing(local, script))["checkpointconfig.json"])
    assert config["LocalPath"] == "/opt/ml/checkpoints"


def test_a_folder_whose_name_begins_with_that_of_the_checkpoints_is_another(local: Any) -> None:
    local.put("checkpoints-other/e", "x")
    wanted = checkpointing(local, "ls -A /opt/ml/checkpoints > /opt/ml/model/seen")
    assert trained(local, wanted) == {"seen": b""}


def test_checkpoints_of_a_failing_job_are_kept(local: Any, sagemaker: Any) -> None:
    script = "echo 1 > /opt/ml/checkpoints/e; exit 1"
    sagemaker.create_training_job(**checkpointing(local, script))
    local.until("training-job", "job")
    assert local.read("checkpoints/e") == b"1\n"


def test_checkpoints_go_to_s3_while_the_job_runs(timed: Any, clock: FakeClock) -> None:
    script = "cd /opt/ml/checkpoints; echo 1 > e; touch ../output/data/on; exec sleep 60"
    client = timed.client()
    client.create_training_job(**checkpointing(timed, script))
    timed.until_true((timed.plane.config.home / "jobs/training-job/job/output/data/on").exists)
    assert timed.keys("checkpoints/") == []
    clock.advance(INTERVAL_SECONDS)
    timed.until_true(lambda: timed.keys("checkpoints/") == ["checkpoints/e"])
    client.stop_training_job(TrainingJobName="job")
    timed.until("training-job", "job")


def test_a_continuous_output_goes_to_s3_while_the_job_runs(timed: Any, clock: FakeClock) -> None:
    script = f"cd {HOME}/output; echo 1 > a; touch /opt/ml/output/on; "
    script += "until [ -e /opt/ml/output/go ]; do sleep 0.05; done; echo 22 > a; echo 3 > b"
    wanted = processing.request(timed, script)
    wanted["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3UploadMode"] = "Continuous"
    timed.client().create_processing_job(**wanted)
    output = timed.plane.config.home / "jobs/processing-job/job/output"
    timed.until_true((output / "on").exists)
    assert timed.keys("out/") == []
    clock.advance(INTERVAL_SECONDS)
    timed.until_true(lambda: timed.keys("out/") == ["out/a"])
    (output / "go").touch()
    assert timed.until("processing-job", "job")["ProcessingJobStatus"] == "Completed"
    assert (timed.read("out/a"), timed.read("out/b")) == (b"22\n", b"3\n")
