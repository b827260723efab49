"""The logs of jobs in CloudWatch Logs, as boto3 reads them there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker.engine import shipping
from tests.local_sagemaker import test_processing_jobs as processing
from tests.local_sagemaker import test_training_jobs as training
from tests.local_sagemaker.conftest import new_client

TRAINING, PROCESSING = "/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"


@pytest.fixture
def logs(s3_endpoint: str) -> Iterator[Any]:
    client = new_client("logs", s3_endpoint)
    yield client
    client.close()


def read(logs: Any, group: str, job: str) -> dict[str, list[str]]:
    """stream -> messages of a job; {} while there are none."""
    try:
        found = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")
    except logs.exceptions.ResourceNotFoundException:
        return {}
    return {
        stream["logStreamName"]: [
            event["message"]
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]
        for stream in found["logStreams"]
    }


def test_a_training_jobs_log_is_read_with_get_log_events(local: Any, logs: Any) -> None:
    name = f"job-{local.bucket}"
    local.client().create_training_job(
        **training.request(local, "echo one; echo; echo 'two  x'; printf end", name)
    )
    local.until("training-job", name)
    local.until_true(lambda: read(logs, TRAINING, name) != {})
    ((stream, messages),) = read(logs, TRAINING, name).items()
    assert stream.startswith(f"{name}/algo-1-")
    assert stream.rpartition("-")[2].isdigit()
    assert messages == ["one", "two  x", "end"]


def test_a_log_can_be_read_while_the_job_runs(local: Any, logs: Any) -> None:
    name = f"job-{local.bucket}"
    client = local.client()
    client.create_training_job(**training.request(local, "echo on; exec sleep 60", name))
    local.until_true(lambda: list(read(logs, TRAINING, name).values()) == [["on"]])
    client.stop_training_job(TrainingJobName=name)
    local.until("training-job", name)


def test_every_host_has_its_stream(local: Any, logs: Any) -> None:
    name = f"job-{local.bucket}"
    wanted = processing.request(local, "echo hello", name)
    wanted["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2
    local.client().create_processing_job(**wanted)
    local.until("processing-job", name)
    local.until_true(lambda: len(read(logs, PROCESSING, name)) == 2)
    streams = [each.rpartition("-")[0] for each in read(logs, PROCESSING, name)]
    assert sorted(streams) == [f"{name}/algo-1", f"{name}/algo-2"]


def test_jobs_run_where_nothing_takes_their_logs(
    start: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    local = start(tmp_path / "home", slots=1)
    nowhere = new_client("logs", "http://127.0.0.1:9")
    monkeypatch.setattr(shipping, "_client", lambda plane: nowhere)
    local.client().create_training_job(**training.request(local, "echo on"))
    assert local.until("training-job", "job")["TrainingJobStatus"] == "Completed"
    local.until_true(lambda: "was not sent to CloudWatch Logs" in caplog.text)


def test_batches_keep_what_put_log_events_allows() -> None:
    many = list(shipping.batches(b"x\n" * 10_001, 5))
    assert [len(batch) for batch in many] == [10_000, 1]
    large = list(shipping.batches(b"\n".join([b"y" * 80_000] * 20), 5))
    sizes = [sum(len(e["message"]) + 26 for e in batch) for batch in large]
    assert max(sizes) <= 1 << 20
    assert sum(len(batch) for batch in large) == 20
    (long,) = shipping.batches("é".encode() * 200_000, 5)
    assert all(len(event["message"].encode()) <= shipping.EVENT_BYTES for event in long)
