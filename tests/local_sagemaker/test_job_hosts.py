"""Jobs of several instances: what each sees, how data is dealt out, how all end together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_sagemaker import logs
from tests.local_sagemaker import test_processing_jobs as processing
from tests.local_sagemaker import test_training_jobs as training
from tests.local_sagemaker.test_processing_jobs import HOME, an_input

HOST = "$(grep -o 'algo-.' {} | head -1)"  # current_host comes first
TRAINING_HOST = HOST.format("/opt/ml/input/config/resourceconfig.json")
PROCESSING_HOST = HOST.format("/opt/ml/config/resourceconfig.json")


def a_processing_job(local: Any, script: str, count: int = 2, **changes: Any) -> dict[str, Any]:
    wanted = processing.request(local, f"set -e; host={PROCESSING_HOST}; {script}", **changes)
    wanted["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = count
    return wanted


def a_training_job(local: Any, script: str, count: int = 2, **changes: Any) -> dict[str, Any]:
    wanted = training.request(local, f"set -e; host={TRAINING_HOST}; {script}", **changes)
    wanted["ResourceConfig"]["InstanceCount"] = count
    return wanted


def run(local: Any, sagemaker: Any, wanted: dict[str, Any]) -> Any:
    if "TrainingJobName" in wanted:
        sagemaker.create_training_job(**wanted)
        local.until("training-job", "job")
        return sagemaker.describe_training_job(TrainingJobName="job")
    sagemaker.create_processing_job(**wanted)
    local.until("processing-job", "job")
    return sagemaker.describe_processing_job(ProcessingJobName="job")


def test_every_host_of_a_processing_job_knows_itself_and_all(local: Any, sagemaker: Any) -> None:
    script = f"cp /opt/ml/config/resourceconfig.json {HOME}/output/$host"
    job = run(local, sagemaker, a_processing_job(local, script, 3))
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    seen = [json.loads(local.read(key)) for key in local.keys("out/")]
    names = ["algo-1", "algo-2", "algo-3"]
    assert seen == [{"current_host": name, "hosts": names} for name in names]


def test_sharded_input_is_dealt_out_in_key_order(local: Any, sagemaker: Any) -> None:
    for name in "abcde":
        uri = local.put(f"in/{name}", name)
    prefix = uri.removesuffix("e")
    inputs = [
        an_input("parts", prefix, S3DataDistributionType="ShardedByS3Key"),
        an_input("whole", prefix, S3DataDistributionType="FullyReplicated"),
    ]
    script = f"cd {HOME}/input; (ls parts; echo '|'; ls whole) > {HOME}/output/$host"
    run(local, sagemaker, a_processing_job(local, script, ProcessingInputs=inputs))
    assert local.read("out/algo-1").decode().split() == [*"ace", "|", *"abcde"]
    assert local.read("out/algo-2").decode().split() == [*"bd", "|", *"abcde"]


def test_of_one_key_from_several_hosts_the_last_hosts_stays(local: Any, sagemaker: Any) -> None:
    script = (
        f"echo $host > {HOME}/output/same; mkdir {HOME}/output/in; touch {HOME}/output/in/$host"
    )
    run(local, sagemaker, a_processing_job(local, script))
    assert local.read("out/same") == b"algo-2\n"
    assert local.keys("out/in/") == ["out/in/algo-1", "out/in/algo-2"]


def test_the_messages_of_all_hosts_are_joined(local: Any, sagemaker: Any) -> None:
    job = run(local, sagemaker, a_processing_job(local, "echo $host > /opt/ml/output/message"))
    assert job["ExitMessage"] == "algo-1\nalgo-2"


def test_one_failing_host_fails_the_job_and_stops_the_others(local: Any, sagemaker: Any) -> None:
    script = "if [ $host = algo-2 ]; then exit 9; fi; exec sleep 60"
    job = run(local, sagemaker, a_processing_job(local, script, 3))
    assert job["ProcessingJobStatus"] == "Failed"
    assert "exit code: 9" in job["FailureReason"]


def test_stopping_a_job_stops_every_host(local: Any, sagemaker: Any) -> None:
    wanted = a_processing_job(local, "echo on; exec sleep 60")
    sagemaker.create_processing_job(**wanted)
    folder = local.plane.config.home / "logs/processing-job"
    logs = [folder / "job.log", folder / "job.algo-2.log"]
    local.until_true(lambda: all(each.exists() and "on" in each.read_text() for each in logs))
    sagemaker.stop_processing_job(ProcessingJobName="job")
    assert local.until("processing-job", "job")["ProcessingJobStatus"] == "Stopped"


def test_the_time_is_up_for_every_host(local: Any, sagemaker: Any) -> None:
    wanted = a_training_job(
        local,
        "if [ $host = algo-2 ]; then exec sleep 60; fi",
        StoppingCondition={"MaxRuntimeInSeconds": 1},
    )
    assert run(local, sagemaker, wanted)["SecondaryStatus"] == "MaxRuntimeExceeded"


def test_the_models_of_all_hosts_become_one_and_the_first_hosts_files_stay(
    local: Any, sagemaker: Any
) -> None:
    script = (
        "echo $host > /opt/ml/model/same; touch /opt/ml/model/$host /opt/ml/output/data/$host; "
        "echo auc=0.$(echo $host | tail -c 2)"
    )
    wanted = a_training_job(local, script)
    wanted["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "auc", "Regex": "auc=(.*)"}]
    job = run(local, sagemaker, wanted)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = training.members(local.read("out/job/output/model.tar.gz"))
    assert model == {"algo-1": b"", "algo-2": b"", "same": b"algo-1\n"}
    data = training.members(local.read("out/job/output/output.tar.gz"))
    assert sorted(data) == ["algo-1", "algo-2"]
    assert job["FinalMetricDataList"][0]["Value"] == pytest.approx(0.1)


def test_the_failure_of_the_host_that_failed_is_the_jobs(local: Any, sagemaker: Any) -> None:
    script = (
        "trap 'echo me too > /opt/ml/output/failure; exit 1' TERM; "
        "if [ $host = algo-2 ]; then echo disk full > /opt/ml/output/failure; exit 4; fi; "
        "sleep 60 & wait"
    )
    job = run(local, sagemaker, a_training_job(local, script))
    assert job["FailureReason"] == "AlgorithmError: disk full, exit code: 4"


def test_the_log_of_another_host_is_followed_to_the_jobs_end(local: Any, sagemaker: Any) -> None:
    run(local, sagemaker, a_processing_job(local, "echo I am $host"))
    home, seen = local.plane.config.home, []
    logs.follow(home, logs.find(home, "job.algo-2"), seen.append)
    assert seen[-1] == "I am algo-2\n"
