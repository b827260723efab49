"""Batch transform over several instances, manifests, gzip, binary records; and data capture."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import threading
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.engine import splitting, transform
from tests.local_sagemaker.hosting import create_model
from tests.local_sagemaker.test_transform_jobs import LINES, out, request, run

# Answers what it got, and who it is: a process of its own on every host.
SIZES = """
import os

def model_fn(model_dir):
    return os.urandom(8).hex()

def input_fn(body, content_type):
    return body if isinstance(body, bytes) else body.encode()

def predict_fn(body, model):
    if b"boom" in body:
        raise ValueError("no such row")
    if b"die" in body:
        os._exit(3)
    if b"wait" in body:
        import time
        time.sleep(60)
    return f"{body.hex()} {model}"

def output_fn(body, accept):
    return body, accept
"""


@pytest.fixture
def lines(local: Any, sagemaker: Any) -> str:
    return create_model(local, sagemaker, "one", LINES)


@pytest.fixture
def sizes(local: Any, sagemaker: Any) -> str:
    return create_model(local, sagemaker, "one", SIZES)


def cluster(count: int) -> dict[str, Any]:
    return {"TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": count}}


def frame(kind: int, payload: bytes) -> bytes:
    """A part of a RecordIO record."""
    head = struct.pack("<II", splitting.RECORDIO_MAGIC, kind << 29 | len(payload))
    return head + payload + b"\0" * (-len(payload) % 4)


def tf_frame(payload: bytes) -> bytes:
    return struct.pack("<Q", len(payload)) + b"sum1" + payload + b"sum2"


def test_objects_are_dealt_out_to_a_server_on_each_host(
    local: Any, sagemaker: Any, sizes: str
) -> None:
    for name in "abcde":
        local.put(f"in/{name}.csv", name)
    row = run(local, sagemaker, **cluster(2))
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert local.keys("out/") == [f"out/{name}.csv.out" for name in "abcde"]
    servers = [out(local, f"{name}.csv").split()[1] for name in "abcde"]
    assert servers[0] == servers[2] == servers[4] != servers[1] == servers[3]
    logs = local.plane.config.home / "logs" / "transform-job"
    assert sorted(log.name for log in logs.glob("job.*")) == ["job.algo-2.log", "job.log"]


def test_a_host_without_an_object_has_nothing_to_do(local: Any, sagemaker: Any, sizes: str) -> None:
    local.put("in/a.csv", "1")
    assert run(local, sagemaker, **cluster(3))["TransformJobStatus"] == "Completed"
    logs = local.plane.config.home / "logs" / "transform-job"
    assert (logs / "job.log").stat().st_size > 0
    assert not (logs / "job.algo-2.log").exists()


def test_failures_of_all_hosts_are_counted(local: Any, sagemaker: Any, sizes: str) -> None:
    for name, body in {"a": "1", "b": "boom", "c": "boom", "d": "2"}.items():
        local.put(f"in/{name}.csv", body)
    config = {"InvocationsMaxRetries": 0}
    row = run(local, sagemaker, ModelClientConfig=config, **cluster(2))
    assert row["TransformJobStatus"] == "Failed"
    assert "(2 of 4 objects failed" in row["FailureReason"]
    assert local.keys("out/") == ["out/a.csv.out", "out/d.csv.out"]


def test_a_host_whose_server_is_gone_ends_the_others(
    local: Any, sagemaker: Any, sizes: str
) -> None:
    local.put("in/a.csv", "wait")
    local.put("in/b.csv", "die")
    row = run(local, sagemaker, **cluster(2))
    assert row["TransformJobStatus"] == "Failed"
    assert "the model server ended with exit code 3" in row["FailureReason"]


def test_a_host_that_starts_after_another_is_gone_is_ended_too(
    local: Any, sagemaker: Any, sizes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed = threading.Event()
    start, wait = transform.model_servers.start_in, transform.wait

    def late(plane: Any, place: Any, planned: Any) -> Any:
        if place.log.name == "job.log":
            noticed.wait(20)
        return start(plane, place, planned)

    def noticing(*arguments: Any, **options: Any) -> Any:
        ended = wait(*arguments, **options)
        noticed.set()
        return ended

    monkeypatch.setattr(transform.model_servers, "start_in", late)
    monkeypatch.setattr(transform, "wait", noticing)
    test_a_host_whose_server_is_gone_ends_the_others(local, sagemaker, sizes)


def manifest(local: Any, *names: str, prefix: str = "in/") -> dict[str, Any]:
    """A job over what a manifest names."""
    content = json.dumps([{"prefix": f"s3://{local.bucket}/{prefix}"}, *names])
    wanted = request(local)
    wanted["TransformInput"]["DataSource"]["S3DataSource"] = {
        "S3DataType": "ManifestFile",
        "S3Uri": local.put("list.manifest", content),
    }
    return wanted


def test_a_manifest_names_the_objects(local: Any, sagemaker: Any, lines: str) -> None:
    for name in ("a.csv", "b.csv", "deep/c.csv"):
        local.put(f"in/{name}", "1,2\n")
    sagemaker.create_transform_job(**manifest(local, "a.csv", "deep/c.csv"))
    row = local.until("transform-job", "job")
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert local.keys("out/") == ["out/a.csv.out", "out/deep/c.csv.out"]


def test_an_object_that_a_manifest_names_and_that_is_not_there_fails(
    local: Any, sagemaker: Any, lines: str
) -> None:
    local.put("in/a.csv", "1\n")
    sagemaker.create_transform_job(**manifest(local, "a.csv", "gone.csv"))
    row = local.until("transform-job", "job")
    assert f"s3://{local.bucket}/in/gone.csv does not exist" in row["FailureReason"]
    assert local.keys("out/") == ["out/a.csv.out"]


@pytest.mark.parametrize("content", ["1,2", "{}", '[{"prefix": "s3://b/"}]'])
def test_what_is_no_manifest_or_an_empty_one_fails_the_job(
    local: Any, sagemaker: Any, lines: str, content: str
) -> None:
    wanted = manifest(local)
    local.put("list.manifest", content)
    sagemaker.create_transform_job(**wanted)
    row = local.until("transform-job", "job")
    assert re.match("ClientError: .*(is no manifest|names no S3 objects)", row["FailureReason"])


def test_gzip_objects_are_unpacked_on_their_way(local: Any, sagemaker: Any, lines: str) -> None:
    body = gzip.compress(b"1,2\n3,4,5\n")
    local.s3.put_object(Bucket=local.bucket, Key="in/a.csv.gz", Body=body)
    row = run(local, sagemaker, CompressionType="Gzip")
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert out(local, "a.csv.gz") == "2\n3\n"


@pytest.mark.parametrize(
    "body", [b"1,2\n", gzip.compress(b"1,2\n" * 1000)[:-9]], ids=["text", "cut short"]
)
def test_an_object_that_is_not_gzip_fails_by_name(
    local: Any, sagemaker: Any, lines: str, body: bytes
) -> None:
    local.s3.put_object(Bucket=local.bucket, Key="in/a.csv", Body=body)
    reason = run(local, sagemaker, CompressionType="Gzip")["FailureReason"]
    assert "a.csv: it is not gzip, as CompressionType says" in reason


@pytest.mark.parametrize(
    ("split", "framed"),
    [
        ("RecordIO", [frame(0, b"one"), frame(0, b"three")]),
        ("TFRecord", [tf_frame(b"one"), tf_frame(b"three")]),
    ],
)
@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_binary_records_are_sent_bare_one_by_one_or_framed_together(
    local: Any, sagemaker: Any, sizes: str, split: str, framed: list[bytes], strategy: str
) -> None:
    local.s3.put_object(Bucket=local.bucket, Key="in/a.csv", Body=b"".join(framed))
    kind = "application/octet-stream"
    row = run(local, sagemaker, SplitType=split, BatchStrategy=strategy, ContentType=kind)
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    sent = [bytes.fromhex(line.split()[0]) for line in out(local).splitlines()]
    single = [b"one", b"three"]
    assert sent == (single if strategy == "SingleRecord" else [b"".join(framed)])


def test_a_recordio_record_in_parts_is_put_together() -> None:
    """dmlc cuts a record at the magic number it holds, and leaves the number out."""
    magic = struct.pack("<I", splitting.RECORDIO_MAGIC)
    content = frame(1, b"abcd") + frame(2, b"ef") + frame(3, b"g") + frame(0, b"")
    found = splitting.records(io.BytesIO(content), "RecordIO", 100)
    assert list(found) == [magic.join([b"abcd", b"ef", b"g"]), b""]


@pytest.mark.parametrize(
    ("split", "content"),
    [
        ("RecordIO", b"1,2,3,4,5"),
        ("RecordIO", b"1"),
        ("RecordIO", frame(0, b"abcd")[:-1]),
        ("RecordIO", frame(2, b"abcd")),
        ("RecordIO", frame(1, b"abcd")),
        ("RecordIO", frame(1, b"abcd") + frame(0, b"abcd")),
        ("TFRecord", tf_frame(b"abcd")[:-1]),
        ("TFRecord", b"1"),
    ],
)
def test_an_object_that_is_not_what_its_split_type_says_is_named(
    split: str, content: bytes
) -> None:
    with pytest.raises(splitting.RecordFormatError, match=f"record 1 is not {split}"):
        list(splitting.records(io.BytesIO(content), split, 1000))


@pytest.mark.parametrize("split", splitting.BINARY)
def test_a_binary_record_that_is_too_large_is_named(split: str) -> None:
    content = frame(0, b"x" * 50) if split == "RecordIO" else tf_frame(b"x" * 50)
    with pytest.raises(splitting.RecordTooLargeError, match="record 1 is larger"):
        list(splitting.records(io.BytesIO(content), split, 10))


def test_binary_records_cannot_be_filtered(local: Any, sagemaker: Any, lines: str) -> None:
    wanted = request(local, SplitType="RecordIO", DataProcessing={"InputFilter": "$[1:]"})
    with pytest.raises(ClientError, match="SplitType RecordIO: DataProcessing and Generate"):
        sagemaker.create_transform_job(**wanted)


def captured(local: Any, row: Any) -> tuple[Any, Any]:
    """The manifests of both sides, by the hour in which the job started."""
    from datetime import datetime

    hour = datetime.fromtimestamp(row["TransformStartTime"], UTC).strftime("%Y/%m/%d/%H")
    found = []
    for side in ("input", "output"):
        (key,) = local.keys(f"captured/{side}/{hour}/")
        found.append(json.loads(local.read(key)))
    return found[0], found[1]


def capture(local: Any, **more: Any) -> dict[str, Any]:
    place = f"s3://{local.bucket}/captured"
    return {"DataCaptureConfig": {"DestinationS3Uri": place, **more}}


def test_captured_data_are_manifests_of_what_went_in_and_came_out(
    local: Any, sagemaker: Any, lines: str
) -> None:
    for name in ("a.csv", "deep/b.csv"):
        local.put(f"in/{name}", "1,2\n")
    row = run(local, sagemaker, **capture(local), **cluster(2))
    assert captured(local, row) == (
        [{"prefix": f"s3://{local.bucket}/in/"}, "a.csv", "deep/b.csv"],
        [{"prefix": f"s3://{local.bucket}/out/"}, "a.csv.out", "deep/b.csv.out"],
    )
    assert out(local) == "2\n"


def test_what_failed_is_not_captured(local: Any, sagemaker: Any, lines: str) -> None:
    local.put("in/a.csv", "1,2\n")
    local.put("in/b.csv", "boom\n")
    config = {"InvocationsMaxRetries": 0}
    row = run(local, sagemaker, ModelClientConfig=config, **capture(local))
    assert row["TransformJobStatus"] == "Failed"
    given, made = captured(local, row)
    assert (given[1:], made[1:]) == (["a.csv"], ["a.csv.out"])


def test_csv_records_get_an_inference_id_and_the_job_s_start(
    local: Any, sagemaker: Any, lines: str
) -> None:
    local.put("in/a.csv", "1,2\n3\n")
    run(local, sagemaker, **capture(local, GenerateInferenceId=True))
    rows = [line.split(",") for line in out(local).splitlines()]
    assert [row[0] for row in rows] == ["2", "1"]
    assert len({row[1] for row in rows}) == 2
    assert all(re.fullmatch(r"[0-9a-f-]{36}", row[1]) for row in rows)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[2]) for row in rows)


def test_json_records_get_them_as_members(local: Any, sagemaker: Any, lines: str) -> None:
    local.put("in/a.jsonl", '{"id": 1, "f": [7, 8]}\n{"id": 2, "f": [9]}\n')
    kind = "application/jsonlines"
    row = run(
        local,
        sagemaker,
        ContentType=kind,
        Accept=kind,
        DataProcessing={
            "InputFilter": "$.f",
            "JoinSource": "Input",
            "OutputFilter": "$['id','SageMakerOutput']",
        },
        **capture(local, GenerateInferenceId=True),
    )
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    found = [json.loads(line) for line in out(local, "a.jsonl").splitlines()]
    assert [set(each) - {"id", "SageMakerOutput"} for each in found] == [
        {"SageMakerInferenceId", "SageMakerInferenceTime"}
    ] * 2
    assert [each["id"] for each in found] == [1, 2]


def test_an_inference_id_needs_records_that_can_hold_it(
    local: Any, sagemaker: Any, lines: str
) -> None:
    wanted = request(local, Accept="image/png", **capture(local, GenerateInferenceId=True))
    with pytest.raises(ClientError, match=r"Accept = 'image/png' cannot be .*inference id"):
        sagemaker.create_transform_job(**wanted)
    wrong = {"DataCaptureConfig": {"DestinationS3Uri": "https://b/k"}}
    with pytest.raises(ClientError, match="DestinationS3Uri: 'https://b/k' is no S3 URI"):
        sagemaker.create_transform_job(**request(local, **wrong))


def test_a_stopped_job_stops_all_its_hosts(
    local: Any, sagemaker: Any, lines: str, tmp_path: Path
) -> None:
    for name in "ab":
        local.put(f"in/{name}.csv", f"wait {tmp_path / name}")
    sagemaker.create_transform_job(**request(local, **cluster(2)))
    local.until_true(lambda: all((tmp_path / name).exists() for name in "ab"))
    sagemaker.stop_transform_job(TransformJobName="job")
    row = local.until("transform-job", "job")
    assert (row["TransformJobStatus"], "FailureReason" in row) == ("Stopped", False)
    assert local.keys("captured/") == []
