"""Batch transform through the user's door: boto3, a tiny script-mode model, objects in S3."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.engine import jobs
from tests.local_sagemaker.hosting import ROLE, XGBOOST, create_model

# Answers each line with its length and the environment it was asked for; and what some words ask.
LINES = """
import json, os, threading, time

calls = {"count": 0}

def model_fn(model_dir):
    return open(os.path.join(model_dir, "word.txt")).read()

def input_fn(body, content_type):
    return body if isinstance(body, str) else body.decode()

def predict_fn(body, model):
    calls["count"] += 1
    if "boom" in body:
        raise ValueError("no such row")
    if "die" in body:
        os._exit(3)
    if "flaky" in body and calls["count"] < 3:
        raise ValueError("not yet")
    if "wait" in body:
        open(body.split()[1], "w").close()
        time.sleep(60)
    return body

def output_fn(body, accept):
    if accept == "text/x-body":
        return f"<{body}>", accept
    if accept == "text/x-env":
        names = ("BATCH", "BATCH_STRATEGY", "MAX_PAYLOAD_IN_MB", "MAX_CONCURRENT_TRANSFORMS")
        told = {name: os.environ.get("SAGEMAKER_" + name) for name in names}
        return json.dumps({**told, "MINE": os.environ.get("MINE")}), accept
    if accept == "text/csv":
        return "".join(f"{line.count(',') + 1}\\n" for line in body.splitlines()), accept
    documents = [json.loads(line) for line in body.splitlines()]
    return "\\n".join(json.dumps({"n": len(each)}) for each in documents), accept
"""


@pytest.fixture
def model(local: Any, sagemaker: Any) -> str:
    return create_model(local, sagemaker, "one", LINES)


def request(local: Any, name: str = "job", **changes: Any) -> dict[str, Any]:
    """A job over s3://bucket/in/ by lines of CSV; members of input and output go where they are."""
    wanted = {
        "TransformJobName": name,
        "ModelName": "one",
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{local.bucket}/in/"}
            },
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{local.bucket}/out",
            "Accept": "text/csv",
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    for member, value in changes.items():
        places = {"ContentType": "Input", "SplitType": "Input", "CompressionType": "Input"}
        places |= {"Accept": "Output", "AssembleWith": "Output"}
        if member in places:
            wanted[f"Transform{places[member]}"][member] = value
        else:
            wanted[member] = value
    return wanted


def run(local: Any, sagemaker: Any, **changes: Any) -> Any:
    sagemaker.create_transform_job(**request(local, **changes))
    return local.until("transform-job", changes.get("name", "job"))


def out(local: Any, name: str = "a.csv") -> str:
    return str(local.read(f"out/{name}.out").decode())


def test_every_object_below_the_prefix_gets_its_out(local: Any, sagemaker: Any, model: str) -> None:
    local.put("in/a.csv", "1,2\n3,4,5\n")
    local.put("in/deep/er/b.csv", "6")
    local.put("in/", "")
    row = run(local, sagemaker)
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert local.keys("out/") == ["out/a.csv.out", "out/deep/er/b.csv.out"]
    assert (out(local), out(local, "deep/er/b.csv")) == ("2\n3\n", "1\n")
    found = sagemaker.describe_transform_job(TransformJobName="job")
    assert found["TransformStartTime"] <= found["TransformEndTime"]
    assert found["TransformInput"]["SplitType"] == "Line"
    assert "LocalContainers" not in found
    story = [status for _, status, _ in local.plane.store.story("transform-job", "job")]
    assert story == ["InProgress", "Completed"]


def test_one_object_as_prefix_lands_under_its_own_name(
    local: Any, sagemaker: Any, model: str
) -> None:
    uri = local.put("in/a.csv", "1,2\n")
    local.put("in/b.csv", "1\n")
    wanted = request(local)
    wanted["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = uri
    sagemaker.create_transform_job(**wanted)
    assert local.until("transform-job", "job")["TransformJobStatus"] == "Completed"
    assert local.keys("out/") == ["out/a.csv.out"]


@pytest.mark.parametrize(
    ("split", "strategy", "assemble", "wanted"),
    [
        ("Line", "SingleRecord", "Line", "<1>\n<2>\n<3>\n"),
        ("Line", "SingleRecord", "None", "<1><2><3>"),
        ("Line", "MultiRecord", "Line", "<1\n2\n3>\n"),
        ("None", "MultiRecord", "None", "<1\n2\r\n\n3>"),
        ("None", "SingleRecord", "Line", "<1\n2\r\n\n3>\n"),
    ],
)
def test_split_strategy_and_assembly(
    local: Any, sagemaker: Any, model: str, split: str, strategy: str, assemble: str, wanted: str
) -> None:
    local.put("in/a.csv", "1\n2\r\n\n3")
    row = run(
        local,
        sagemaker,
        SplitType=split,
        BatchStrategy=strategy,
        AssembleWith=assemble,
        Accept="text/x-body",
    )
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert out(local) == wanted


def test_mini_batches_are_as_large_as_the_payload_allows_and_in_order(
    local: Any, sagemaker: Any, model: str
) -> None:
    lines = [f"{number},{'x' * 100_000}" for number in range(45)]
    local.put("in/a.csv", "\n".join(lines))
    row = run(
        local,
        sagemaker,
        MaxPayloadInMB=1,
        MaxConcurrentTransforms=4,
        Accept="text/x-body",
        AssembleWith="None",
    )
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    batches = out(local)[1:-1].split("><")
    assert [line for batch in batches for line in batch.split("\n")] == lines
    assert [batch.count("\n") + 1 for batch in batches] == [10, 10, 10, 10, 5]


def test_the_container_is_told_of_the_batch_and_its_settings(
    local: Any, sagemaker: Any, model: str
) -> None:
    local.put("in/a.csv", "1\n")
    run(
        local,
        sagemaker,
        Accept="text/x-env",
        BatchStrategy="SingleRecord",
        MaxPayloadInMB=2,
        MaxConcurrentTransforms=3,
        Environment={"MINE": "yes"},
    )
    assert json.loads(out(local)) == {
        "BATCH": "true",
        "BATCH_STRATEGY": "SINGLE_RECORD",
        "MAX_PAYLOAD_IN_MB": "2",
        "MAX_CONCURRENT_TRANSFORMS": "3",
        "MINE": "yes",
    }


def test_what_is_not_asked_for_the_container_proposes(
    local: Any, sagemaker: Any, model: str, tmp_path: Path
) -> None:
    local.put("in/a.csv", "1\n")
    run(local, sagemaker)
    (log,) = (local.plane.config.home / "logs" / "transform-job").glob("job.log")
    assert "MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD" in log.read_text()


def test_csv_is_filtered_joined_and_filtered(local: Any, sagemaker: Any, model: str) -> None:
    local.put("in/a.csv", 'id1,"a,b",2\nid2,c,3\n')
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    row = run(local, sagemaker, DataProcessing=processing)
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert out(local) == "id1,3\nid2,2\n"  # the model counts commas: 2 of "a,b",2


def test_csv_left_whole_is_joined_by_line(local: Any, sagemaker: Any, model: str) -> None:
    local.put("in/a.csv", "id1,a,2\nid2,3")
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input"}
    row = run(local, sagemaker, DataProcessing=processing, SplitType="None", AssembleWith="None")
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert out(local) == "id1,a,2,2\nid2,3,1\n"


def test_json_lines_are_joined_as_a_member(local: Any, sagemaker: Any, model: str) -> None:
    local.put("in/a.jsonl", '{"id": 1, "f": [7, 8]}\n{"id": 2, "f": [9]}\n')
    row = run(
        local,
        sagemaker,
        ContentType="application/jsonlines",
        Accept="application/jsonlines",
        DataProcessing={
            "InputFilter": "$.f",
            "JoinSource": "Input",
            "OutputFilter": "$['id','SageMakerOutput']",
        },
    )
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    assert [json.loads(line) for line in out(local, "a.jsonl").splitlines()] == [
        {"id": 1, "SageMakerOutput": {"n": 2}},
        {"id": 2, "SageMakerOutput": {"n": 1}},
    ]


def test_json_that_is_no_object_is_joined_beside(local: Any, sagemaker: Any, model: str) -> None:
    local.put("in/a.json", "[1, 2, 3]")
    run(
        local,
        sagemaker,
        ContentType="application/json",
        Accept="application/json",
        SplitType="None",
        AssembleWith="None",
        DataProcessing={"JoinSource": "Input"},
    )
    assert json.loads(out(local, "a.json")) == {
        "SageMakerInput": [1, 2, 3],
        "SageMakerOutput": {"n": 3},
    }


def test_a_failing_record_takes_its_object_along_and_no_other(
    local: Any, sagemaker: Any, model: str
) -> None:
    local.put("in/a.csv", "1\n")
    local.put("in/bad.csv", "1\nboom\n2\n")
    local.put("in/c.csv", "1\n")
    config = {"InvocationsMaxRetries": 0}
    row = run(local, sagemaker, BatchStrategy="SingleRecord", ModelClientConfig=config)
    assert row["TransformJobStatus"] == "Failed"
    assert row["FailureReason"] == (
        f"AlgorithmError: s3://{local.bucket}/in/bad.csv: the model answered 500: no such row "
        "(1 of 3 objects failed; the job's log names each)"
    )
    assert local.keys("out/") == ["out/a.csv.out", "out/c.csv.out"]
    assert "TransformEndTime" in row


@pytest.mark.parametrize(("retries", "status"), [(1, "Failed"), (2, "Completed")])
def test_a_request_that_fails_is_tried_again(
    local: Any, sagemaker: Any, model: str, retries: int, status: str
) -> None:
    local.put("in/a.csv", "flaky\n")
    row = run(local, sagemaker, ModelClientConfig={"InvocationsMaxRetries": retries})
    assert row["TransformJobStatus"] == status


def test_a_model_that_is_too_slow_fails_the_object(
    local: Any, sagemaker: Any, model: str, tmp_path: Path
) -> None:
    local.put("in/a.csv", f"wait {tmp_path / 'here'}")
    config = {"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 0}
    row = run(local, sagemaker, ModelClientConfig=config)
    assert "a.csv: the model did not answer in InvocationsTimeoutInSeconds" in row["FailureReason"]


def test_a_model_server_that_ends_fails_the_job_with_its_exit_code(
    local: Any, sagemaker: Any, model: str
) -> None:
    local.put("in/a.csv", "die")
    row = run(local, sagemaker)
    assert "AlgorithmError: the model server ended with exit code 3" in row["FailureReason"]


def test_a_model_that_does_not_come_up_fails_the_job_with_its_last_words(
    local: Any, sagemaker: Any
) -> None:
    create_model(local, sagemaker, "one", "def model_fn(d): raise OSError('no weights')")
    local.put("in/a.csv", "1")
    reason = run(local, sagemaker)["FailureReason"]
    assert reason.startswith("AlgorithmError: ")
    assert "inference.py" in reason


@pytest.mark.parametrize(
    ("changes", "content", "word"),
    [
        ({"SplitType": "None"}, "x" * (1 << 20) + "y", "record 1 is larger than MaxPayloadInMB"),
        ({}, "1\n" + "x" * (1 << 20) + "y", "record 2 is larger than MaxPayloadInMB = 1"),
        ({"DataProcessing": {"OutputFilter": "$[3]"}}, "1,2", r"path \$\[3\] is not in the record"),
    ],
)
def test_a_record_that_cannot_be_sent_or_written_is_named(
    local: Any, sagemaker: Any, model: str, changes: Any, content: str, word: str
) -> None:
    local.put("in/a.csv", content)
    row = run(local, sagemaker, MaxPayloadInMB=1, **changes)
    with pytest.raises(RuntimeError, match=word):
        raise RuntimeError(row["FailureReason"])
    assert local.keys("out/") == []


def test_nothing_below_the_prefix_fails_the_job(local: Any, sagemaker: Any, model: str) -> None:
    assert "no S3 objects found" in run(local, sagemaker)["FailureReason"]


def test_an_empty_object_has_an_empty_out(local: Any, sagemaker: Any, model: str) -> None:
    local.put("in/a.csv", "")
    assert run(local, sagemaker)["TransformJobStatus"] == "Completed"
    assert out(local) == ""


def test_a_stopped_job_ends_its_model_server(
    local: Any, sagemaker: Any, model: str, tmp_path: Path
) -> None:
    local.put("in/a.csv", f"wait {tmp_path / 'here'}")
    sagemaker.create_transform_job(**request(local))
    local.until_true((tmp_path / "here").exists)
    sagemaker.stop_transform_job(TransformJobName="job")
    row = local.until("transform-job", "job")
    assert (row["TransformJobStatus"], local.keys("out/")) == ("Stopped", [])
    with pytest.raises(ClientError, match="the transform job is in status Stopped"):
        sagemaker.stop_transform_job(TransformJobName="job")


def test_a_job_that_is_stopped_while_its_model_loads_is_stopped(
    local: Any, sagemaker: Any, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    slow = f"import time\ndef model_fn(d):\n open({str(here)!r}, 'w').close()\n time.sleep(60)\n"
    create_model(local, sagemaker, "one", f"{slow}transform_fn = print\n")
    local.put("in/a.csv", "1")
    sagemaker.create_transform_job(**request(local))
    local.until_true(here.exists)
    sagemaker.stop_transform_job(TransformJobName="job")
    row = local.until("transform-job", "job")
    assert (row["TransformJobStatus"], "FailureReason" in row) == ("Stopped", False)


def test_a_job_of_a_server_that_was_killed_is_failed_at_the_next_start(
    local: Any, sagemaker: Any, model: str, tmp_path: Path
) -> None:
    local.put("in/a.csv", f"wait {tmp_path / 'here'}")
    sagemaker.create_transform_job(**request(local))
    local.until_true((tmp_path / "here").exists)
    jobs.recover(local.plane)
    row = local.plane.store.get("transform-job", "job")
    assert row["TransformJobStatus"] == "Failed"
    assert row["FailureReason"].startswith("InternalServerError: the local SageMaker was stopped")


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("MaxPayloadInMB = 0", lambda r: r.update(MaxPayloadInMB=0)),
        (
            "S3DataType",
            lambda r: r["TransformInput"]["DataSource"]["S3DataSource"].update(
                S3DataType="AugmentedManifestFile"
            ),
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    local: Any, sagemaker: Any, model: str, word: str, change: Callable[[Any], None]
) -> None:
    wanted = request(local)
    change(wanted)
    with pytest.raises(ClientError, match=f"{word}.* is not supported by the local SageMaker"):
        sagemaker.create_transform_job(**wanted)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"MaxPayloadInMB": 50, "MaxConcurrentTransforms": 3}, "is 150 MB; it may be at most 100"),
        ({"DataProcessing": {"InputFilter": "$..a"}}, r"InputFilter: path '\$\.\.a'"),
        ({"DataProcessing": {"JoinSource": "Input"}, "Accept": "application/json"}, "must be"),
        ({"DataProcessing": {"JoinSource": "Input"}, "AssembleWith": "None"}, "AssembleWith"),
        (
            {"DataProcessing": {"InputFilter": "$[1:]"}, "ContentType": "image/png"},
            "ContentType = 'image/png' cannot be filtered",
        ),
        ({"ModelName": "nobody"}, "Could not find model .*model/nobody"),
    ],
)
def test_what_cannot_be_is_refused_when_the_job_is_created(
    local: Any, sagemaker: Any, model: str, changes: Any, word: str
) -> None:
    with pytest.raises(ClientError, match=word):
        sagemaker.create_transform_job(**request(local, **changes))


def test_listing_names_and_the_words_for_nobody(local: Any, sagemaker: Any, model: str) -> None:
    local.put("in/a.csv", "1\n")
    for name in ("one", "two"):
        run(local, sagemaker, name=name)
    listed = sagemaker.list_transform_jobs()["TransformJobSummaries"]
    assert [job["TransformJobName"] for job in listed] == ["two", "one"]
    assert {"TransformJobArn", "TransformEndTime", "LastModifiedTime"} < set(listed[0])
    assert not sagemaker.list_transform_jobs(StatusEquals="Failed")["TransformJobSummaries"]
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName="one", WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    with pytest.raises(ClientError, match="Could not find requested job with name: nobody"):
        sagemaker.describe_transform_job(TransformJobName="nobody")
    with pytest.raises(ClientError, match="must be unique") as caught:
        sagemaker.create_transform_job(**request(local, "One"))
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


def test_a_real_xgboost_model_without_a_script(local: Any, sagemaker: Any) -> None:
    import numpy as np

    from local_sagemaker.containers.xgboost_serve import import_xgboost

    xgboost = import_xgboost()
    rows = np.arange(24, dtype=np.float32).reshape(8, 3)
    data = xgboost.DMatrix(rows, rows[:, 0])
    booster = xgboost.train({"nthread": 1}, data, 3)
    raw, buffer = bytes(booster.save_raw("ubj")), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("xgboost-model")
        info.size = len(raw)
        tar.addfile(info, io.BytesIO(raw))
    local.s3.put_object(Bucket=local.bucket, Key="m/model.tar.gz", Body=buffer.getvalue())
    container = {"Image": XGBOOST, "ModelDataUrl": f"s3://{local.bucket}/m/model.tar.gz"}
    sagemaker.create_model(ModelName="one", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    local.put("in/a.csv", "".join(f"id{n},{','.join(map(str, r))}\n" for n, r in enumerate(rows)))
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    row = run(local, sagemaker, DataProcessing=processing)
    assert row["TransformJobStatus"] == "Completed", row.get("FailureReason")
    wanted = [f"id{n},{float(each)}" for n, each in enumerate(booster.predict(data))]
    assert out(local).splitlines() == wanted
