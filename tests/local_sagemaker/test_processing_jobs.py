"""Processing jobs through boto3: inputs, outputs, messages, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/local"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
HOME = "/opt/ml/processing"


def request(local: Any, script: str, name: str = "job", **changes: Any) -> dict[str, Any]:
    """A processing job that runs a shell script, with one output."""
    target = {"S3Uri": f"s3://{local.bucket}/out", "LocalPath": f"{HOME}/output"}
    wanted = {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["/bin/bash", "-c"],
            "ContainerArguments": [script],
        },
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "o", "S3Output": {**target, "S3UploadMode": "EndOfJob"}}]
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "VolumeSizeInGB": 10,
            }
        },
    }
    return wanted | changes


def an_input(name: str, uri: str, **more: str) -> dict[str, Any]:
    source = {
        "S3Uri": uri,
        "LocalPath": f"{HOME}/input/{name}",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    return {"InputName": name, "S3Input": source | more}


def test_inputs_arrive_as_s3_prefixes_mean_and_outputs_go_back(local: Any, sagemaker: Any) -> None:
    for key in ("in/folder/a.csv", "in/folder/deep/b.csv", "in/folder2/c.csv", "in/one.csv"):
        uri = local.put(key, key)
    base = uri.removesuffix("one.csv")
    inputs = [
        an_input("slash", f"{base}folder/"),
        an_input("bare", f"{base}folder"),
        an_input("one", f"{base}one.csv"),
    ]
    script = (
        f"cd {HOME}/input; find . -type f | sort > {HOME}/output/list; "
        f"cp one/one.csv {HOME}/output/"
    )
    sagemaker.create_processing_job(**request(local, script, ProcessingInputs=inputs))
    local.until("processing-job", "job")

    job = sagemaker.describe_processing_job(ProcessingJobName="job")
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert local.read("out/list").decode().split() == [
        "./bare/a.csv",
        "./bare/deep/b.csv",
        "./bare/folder2/c.csv",
        "./one/one.csv",
        "./slash/a.csv",
        "./slash/deep/b.csv",
    ]
    assert local.read("out/one.csv") == b"in/one.csv"


def test_the_job_finds_its_own_request(local: Any, sagemaker: Any) -> None:
    script = f"cp /opt/ml/config/*.json {HOME}/output/; echo -n $MINE > {HOME}/output/mine"
    wanted = request(local, script, Environment={"MINE": "1"})
    arn = sagemaker.create_processing_job(**wanted)["ProcessingJobArn"]
    local.until("processing-job", "job")
    config = json.loads(local.read("out/processingjobconfig.json"))
    assert config["ProcessingJobArn"] == arn
    assert config["AppSpecification"] == wanted["AppSpecification"]
    assert config["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert json.loads(local.read("out/resourceconfig.json"))["current_host"] == "algo-1"
    assert local.read("out/mine") == b"1"


@pytest.mark.parametrize(("code", "status"), [(0, "Completed"), (5, "Failed")])
def test_the_message_is_the_exit_message_in_every_end(
    local: Any, sagemaker: Any, code: int, status: str
) -> None:
    script = f"echo 'rows: 5' > /opt/ml/output/message; exit {code}"
    sagemaker.create_processing_job(**request(local, script))
    local.until("processing-job", "job")
    job = sagemaker.describe_processing_job(ProcessingJobName="job")
    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == (status, "rows: 5")
    assert ("FailureReason" in job) == (code != 0)
    if code:
        assert job["FailureReason"].startswith("AlgorithmError: See job logs")
        assert "exit code: 5" in job["FailureReason"]


def test_a_message_that_is_no_text_fails_the_job(local: Any, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request(local, r"printf '\xff\xfe' > /opt/ml/output/message"))
    job = local.until("processing-job", "job")
    assert job["ProcessingJobStatus"] == "Failed"
    assert "not valid UTF-8" in job["FailureReason"]


def test_a_failed_job_delivers_continuous_outputs_alone(local: Any, sagemaker: Any) -> None:
    wanted = request(local, f"echo x > {HOME}/output/x; echo y > {HOME}/more/y; exit 1")
    more = {"S3Uri": f"s3://{local.bucket}/more", "LocalPath": f"{HOME}/more"}
    wanted["ProcessingOutputConfig"]["Outputs"].append(
        {"OutputName": "more", "S3Output": {**more, "S3UploadMode": "Continuous"}}
    )
    sagemaker.create_processing_job(**wanted)
    local.until("processing-job", "job")
    assert local.keys("out") == []
    assert local.keys("more") == ["more/y"]


def test_symlinks_are_not_followed_out_of_an_output(local: Any, sagemaker: Any) -> None:
    script = f"cd {HOME}/output; ln -s /etc/passwd stolen; ln -s /etc folder; touch x"
    sagemaker.create_processing_job(**request(local, script))
    local.until("processing-job", "job")
    assert local.keys("out") == ["out/x"]


def test_stopping_ends_the_job(local: Any, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request(local, "echo on; exec sleep 60"))
    log = local.plane.config.home / "logs/processing-job/job.log"
    local.until_true(lambda: log.exists() and "on" in log.read_text())
    sagemaker.stop_processing_job(ProcessingJobName="job")
    assert local.until("processing-job", "job")["ProcessingJobStatus"] == "Stopped"
    story = [status for _, status, _ in local.plane.store.story("processing-job", "job")]
    assert story == ["InProgress", "Stopping", "Stopped"]


def test_a_program_that_does_not_exist_fails_with_its_exit_code(local: Any, sagemaker: Any) -> None:
    wanted = request(local, "")
    wanted["AppSpecification"]["ContainerEntrypoint"] = ["/no/such/program"]
    sagemaker.create_processing_job(**wanted)
    assert "exit code: 127" in local.until("processing-job", "job")["FailureReason"]


def test_an_image_without_a_default_command_asks_for_one(local: Any, sagemaker: Any) -> None:
    wanted = request(local, "", AppSpecification={"ImageUri": IMAGE})
    with pytest.raises(ClientError, match=r"AppSpecification\.ContainerEntrypoint"):
        sagemaker.create_processing_job(**wanted)


def test_an_unknown_image_is_refused_when_the_job_is_created(local: Any, sagemaker: Any) -> None:
    application = {"ImageUri": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/nobodys:1"}
    with pytest.raises(ClientError, match="nobodys"):
        sagemaker.create_processing_job(**request(local, "", AppSpecification=application))


@pytest.mark.parametrize("path", ["/opt/ml/input", "/opt/ml/processing/../../etc", "/etc/x"])
def test_local_paths_stay_below_opt_ml_processing(local: Any, sagemaker: Any, path: str) -> None:
    inputs = [an_input("data", f"s3://{local.bucket}/x", LocalPath=path)]
    with pytest.raises(ClientError, match="must start with /opt/ml/processing/"):
        sagemaker.create_processing_job(**request(local, "", ProcessingInputs=inputs))


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("S3InputMode", lambda i, r: i["S3Input"].update(S3InputMode="Pipe")),
        ("S3CompressionType", lambda i, r: i["S3Input"].update(S3CompressionType="Gzip")),
        ("AppManaged", lambda i, r: i.update(AppManaged=True)),
        ("DatasetDefinition", lambda i, r: i.update(DatasetDefinition={"LocalPath": "/x"})),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    local: Any, sagemaker: Any, member: str, change: Callable[[Any, Any], None]
) -> None:
    item = an_input("data", f"s3://{local.bucket}/x")
    wanted = request(local, "true", ProcessingInputs=[item])
    change(item, wanted)
    with pytest.raises(ClientError, match=f"{member}.* is not supported by the local SageMaker"):
        sagemaker.create_processing_job(**wanted)


def test_listing_filters_and_pages(local: Any, sagemaker: Any) -> None:
    for name in ("prep-1", "prep-2", "other", "prep-3"):
        sagemaker.create_processing_job(**request(local, "true", name))
        local.until("processing-job", name)
    pages = sagemaker.get_paginator("list_processing_jobs").paginate(
        NameContains="PREP", SortBy="Name", SortOrder="Descending", MaxResults=2
    )
    found = [[job["ProcessingJobName"] for job in page["ProcessingJobSummaries"]] for page in pages]
    assert found == [["prep-3", "prep-2"], ["prep-1"]]
    done = sagemaker.list_processing_jobs(StatusEquals="Failed")
    assert done["ProcessingJobSummaries"] == []


def test_awss_own_waiter_works(local: Any, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request(local, "true"))
    local.until("processing-job", "job")
    waiter = sagemaker.get_waiter("processing_job_completed_or_stopped")
    waiter.wait(ProcessingJobName="job", WaiterConfig={"Delay": 1, "MaxAttempts": 1})


def test_an_unknown_job_is_not_found_in_awss_words(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="Could not find requested job with name: nobody"):
        sagemaker.describe_processing_job(ProcessingJobName="nobody")


def test_a_name_is_given_once_whatever_its_case(local: Any, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request(local, "true", "Job"))
    with pytest.raises(ClientError, match="must be unique within an AWS account") as caught:
        sagemaker.create_processing_job(**request(local, "true", "job"))
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


@pytest.mark.parametrize(
    "repository", ["sagemaker-model-monitor-analyzer", "sagemaker-clarify-processing:1.0"]
)
def test_an_analyzer_runs_a_program_of_the_users_and_no_other(
    local: Any, sagemaker: Any, repository: str
) -> None:
    wanted = request(local, f"echo mine > {HOME}/output/o")
    wanted["AppSpecification"]["ImageUri"] = f"1.dkr.ecr.us-east-1.amazonaws.com/{repository}"
    sagemaker.create_processing_job(**wanted)
    assert local.until("processing-job", "job")["ProcessingJobStatus"] == "Completed"
    assert local.read("out/o") == b"mine\n"
    del wanted["AppSpecification"]["ContainerEntrypoint"]
    with pytest.raises(ClientError, match=r"is not supported yet; .*ContainerEntrypoint") as caught:
        sagemaker.create_processing_job(**wanted | {"ProcessingJobName": "other"})
    hint = f"`{repository.partition(':')[0]}: {{process: [python3, /my/analyzer.py]}}`"
    assert hint in str(caught.value)
