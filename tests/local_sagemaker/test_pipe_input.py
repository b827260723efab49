"""Pipe input: named pipes, one an epoch, fed from S3 while the training job runs."""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker import test_training_jobs as training
from tests.local_sagemaker.test_job_data import trained
from tests.local_sagemaker.test_training_jobs import source_of
from tests.local_sagemaker.training import request as algorithm_job

PIPE = "/opt/ml/input/data/train"
OUT = "/opt/ml/model"


def a_job(local: Any, script: str, count: int = 1, **channel: Any) -> dict[str, Any]:
    """A job whose channel `train` is a pipe of three objects."""
    wanted: dict[str, Any] = training.request(local, f"set -e; {script}")
    for name in ("a", "b", "c"):
        local.put(f"pipe/{name}", f"{name}\n")
    wanted["InputDataConfig"][0].update(InputMode="Pipe", **channel)
    source_of(wanted)["S3Uri"] = f"s3://{local.bucket}/pipe/"
    wanted["ResourceConfig"]["InstanceCount"] = count
    return wanted


def failed(local: Any, wanted: dict[str, Any]) -> str:
    local.client().create_training_job(**wanted)
    job = local.until("training-job", "job")
    assert job["TrainingJobStatus"] == "Failed"
    return str(job["FailureReason"])


def test_every_epoch_is_a_pipe_with_all_objects_in_order(local: Any) -> None:
    script = f"test -p {PIPE}_0; for n in 0 1 2; do cat {PIPE}_$n > {OUT}/$n; done"
    script += f"; ls -d {PIPE}* > {OUT}/files; cp /opt/ml/input/config/*.json {OUT}/"
    model = trained(local, a_job(local, script))
    assert [model[name] for name in "012"] == [b"a\nb\nc\n"] * 3
    assert model["files"].decode().split() == [f"{PIPE}_{number}" for number in range(4)]
    assert json.loads(model["inputdataconfig.json"])["train"]["TrainingInputMode"] == "Pipe"


def test_the_jobs_mode_is_that_of_a_channel_without_one(local: Any) -> None:
    wanted = a_job(local, f"cat {PIPE}_0 > {OUT}/m")
    del wanted["InputDataConfig"][0]["InputMode"]
    wanted["AlgorithmSpecification"]["TrainingInputMode"] = "Pipe"
    assert trained(local, wanted) == {"m": b"a\nb\nc\n"}


def test_an_epoch_that_is_closed_early_is_over(local: Any) -> None:
    wanted = a_job(local, f"head -c 1 {PIPE}_0 > {OUT}/0; tail -c 2 {PIPE}_1 > {OUT}/1")
    local.put("pipe/b", "x" * 3_000_000)
    assert trained(local, wanted) == {"0": b"a", "1": b"c\n"}


def test_a_job_that_never_reads_its_pipe_ends(local: Any) -> None:
    assert trained(local, a_job(local, f"echo 1 > {OUT}/m")) == {"m": b"1\n"}


def test_a_job_that_waits_for_data_can_be_stopped(local: Any, sagemaker: Any) -> None:
    sagemaker.create_training_job(**a_job(local, f"exec 3< {PIPE}_0; touch {OUT}/on; sleep 60"))
    local.put("pipe/b", "x" * 3_000_000)
    workspace = local.plane.config.home / "jobs/training-job/job"
    local.until_true((workspace / "model/on").exists)
    sagemaker.stop_training_job(TrainingJobName="job")
    assert local.until("training-job", "job")["TrainingJobStatus"] == "Stopped"


def test_gzip_is_undone_on_the_way_however_many_members_an_object_has(local: Any) -> None:
    wanted = a_job(local, f"cat {PIPE}_0 > {OUT}/m", CompressionType="Gzip")
    source_of(wanted)["S3Uri"] = f"s3://{local.bucket}/zipped/"
    for name, parts in (("a", (b"1" * 9, b"2\n")), ("b", (b"3\n",))):
        body = b"".join(gzip.compress(each) for each in parts)
        local.s3.put_object(Bucket=local.bucket, Key=f"zipped/{name}", Body=body)
    assert trained(local, wanted) == {"m": b"1111111112\n3\n"}


def test_an_object_becomes_a_recordio_record_where_asked(local: Any) -> None:
    wanted = a_job(local, f"cat {PIPE}_0 > {OUT}/m", RecordWrapperType="RecordIO")
    record = struct.pack("<II", 0xCED7230A, 2)
    assert trained(local, wanted)["m"] == b"".join(
        record + name + b"\n\0\0" for name in (b"a", b"b", b"c")
    )


def test_shuffling_is_another_order_in_every_epoch_and_the_same_for_a_seed(local: Any) -> None:
    script = f"for n in 0 1 2 3 4 5; do cat {PIPE}_$n | tr -d '\\n' > {OUT}/$n; done"
    orders = []
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        wanted = a_job(local, script, ShuffleConfig={"Seed": seed}) | {"TrainingJobName": name}
        model = trained(local, wanted)
        orders.append([model[str(number)] for number in range(6)])
    assert {bytes(sorted(each)) for order in orders for each in order} == {b"abc"}
    assert orders[0] == orders[1] != orders[2]
    assert len(set(orders[0])) > 1


def test_hosts_share_what_is_sharded(local: Any) -> None:
    host = "$(grep -o 'algo-.' /opt/ml/input/config/resourceconfig.json | head -1)"
    wanted = a_job(local, f"cat {PIPE}_0 > {OUT}/{host}", count=2)
    source_of(wanted)["S3DataDistributionType"] = "ShardedByS3Key"
    assert trained(local, wanted) == {"algo-1": b"a\nc\n", "algo-2": b"b\n"}


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("FullyReplicated", {"algo-1": b"c\na\nb\n", "algo-2": b"c\na\nb\n"}),
        ("ShardedByS3Key", {"algo-1": b"a\nc\n", "algo-2": b"b\n"}),
    ],
)
def test_a_manifest_is_read_in_its_order_and_dealt_out_by_key(
    local: Any, distribution: str, expected: dict[str, bytes]
) -> None:
    host = "$(grep -o 'algo-.' /opt/ml/input/config/resourceconfig.json | head -1)"
    wanted = a_job(local, f"cat {PIPE}_0 > {OUT}/{host}", count=2)
    manifest = json.dumps([{"prefix": f"s3://{local.bucket}/pipe/"}, "c", "a", "b"])
    uri = local.put("lists/plain.manifest", manifest)
    source_of(wanted).update(
        S3DataType="ManifestFile", S3Uri=uri, S3DataDistributionType=distribution
    )
    assert trained(local, wanted) == expected


def augmented(local: Any, wanted: dict[str, Any], *lines: str) -> dict[str, Any]:
    uri = local.put("lists/m.manifest", "\n".join(lines))
    names = ["image-ref", "label"]
    source_of(wanted).update(S3DataType="AugmentedManifestFile", S3Uri=uri, AttributeNames=names)
    return wanted


def test_an_augmented_manifest_gives_its_attributes_in_order(local: Any) -> None:
    wanted = a_job(local, f"cat {PIPE}_0 > {OUT}/m")
    line = '{"image-ref": "s3://%s/pipe/%s", "label": %s, "other": 1}'
    texts = [line % (local.bucket, name, label) for name, label in (("b", '"cat"'), ("a", "0"))]
    assert trained(local, augmented(local, wanted, *texts)) == {"m": b"b\ncata\n0"}


@pytest.mark.parametrize("line", ["no json", "{}", "[]", '{"image-ref": "x", "label": 1}'])
def test_a_line_of_an_augmented_manifest_that_is_wrong_is_named(local: Any, line: str) -> None:
    reason = failed(local, augmented(local, a_job(local, "true"), line))
    assert reason.startswith("ClientError: line 1 of s3://")
    assert "attributes image-ref, label" in reason


def test_data_that_cannot_be_had_while_it_is_read_fails_the_job(local: Any) -> None:
    """The job waits for its next epoch when the first one breaks off."""
    line = f'{{"image-ref": "s3://{local.bucket}/gone", "label": 1}}'
    wanted = augmented(local, a_job(local, f"cat {PIPE}_0; cat {PIPE}_1"), line)
    reason = failed(local, wanted)
    assert reason.startswith("ClientError: Data download failed: NoSuchKey")
    assert f"s3://{local.bucket}/gone" in reason


def test_what_is_not_gzip_fails_the_job(local: Any) -> None:
    assert "Data download failed" in failed(
        local, a_job(local, f"cat {PIPE}_0; sleep 60", CompressionType="Gzip")
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CompressionType": "Gzip"}, "CompressionType Gzip needs InputMode Pipe; it is File"),
        ({"RecordWrapperType": "RecordIO"}, "RecordIO needs InputMode Pipe"),
    ],
)
def test_what_goes_with_pipes_alone_is_refused_elsewhere(
    local: Any, sagemaker: Any, changes: dict[str, str], words: str
) -> None:
    wanted = a_job(local, "true")
    wanted["InputDataConfig"][0].update(changes, InputMode="File")
    with pytest.raises(ClientError, match=words):
        sagemaker.create_training_job(**wanted)


def test_attributes_and_augmented_manifests_go_together(local: Any, sagemaker: Any) -> None:
    wanted = augmented(local, a_job(local, "true"), "{}")
    wanted["InputDataConfig"][0]["InputMode"] = "FastFile"
    with pytest.raises(ClientError, match="AugmentedManifestFile needs InputMode Pipe"):
        sagemaker.create_training_job(**wanted)
    wanted["InputDataConfig"][0]["InputMode"] = "Pipe"
    source_of(wanted)["S3DataType"] = "ManifestFile"
    with pytest.raises(ClientError, match="AttributeNames go with S3DataType"):
        sagemaker.create_training_job(**wanted)


def test_xgboosts_own_algorithm_does_not_read_pipes_here(local: Any, sagemaker: Any) -> None:
    wanted = algorithm_job(local, {"num_round": "1"})
    wanted["InputDataConfig"][0]["InputMode"] = "Pipe"
    with pytest.raises(ClientError, match="Pipe input is not supported by the algorithm of sage"):
        sagemaker.create_training_job(**wanted)


def test_a_processing_job_has_no_pipes(local: Any, sagemaker: Any) -> None:
    from tests.local_sagemaker import test_processing_jobs as processing

    inputs = [processing.an_input("data", f"s3://{local.bucket}/x", S3InputMode="Pipe")]
    with pytest.raises(ClientError, match="S3InputMode = 'Pipe' is not supported"):
        sagemaker.create_processing_job(
            **processing.request(local, "true", ProcessingInputs=inputs)
        )
