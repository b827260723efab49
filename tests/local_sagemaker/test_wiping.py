"""POST /_reset: a test suite begins anew without starting the server again."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.local_sagemaker import test_command_line
from tests.local_sagemaker.conftest import Local
from tests.local_sagemaker.hosting import ADDER, ROLE, archive
from tests.local_sagemaker.test_command_line import CommandLine, long_job, until

cli = test_command_line.cli


def post(url: str, path: str = "/_reset", **headers: str) -> tuple[int, str]:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    connection.request("POST", path, headers={"Content-Length": "0", **headers})
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    return answer.status, said


def endpoint(cli: CommandLine) -> str:
    return str(json.loads(cli.run("status", "--json").out)["endpoint"])


def deploy(client: Any, s3: Any) -> None:
    s3.create_bucket(Bucket="models")
    body = archive({"word.txt": "one", "code/inference.py": ADDER})
    s3.put_object(Bucket="models", Key="model.tar.gz", Body=body)
    container = {
        "Image": test_command_line.IMAGE,
        "ModelDataUrl": "s3://models/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
    }
    client.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}
    client.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[{**variant, "InitialInstanceCount": 1}]
    )
    client.create_endpoint(EndpointName="e", EndpointConfigName="c")
    status = "EndpointStatus"
    until(lambda: client.describe_endpoint(EndpointName="e")[status] != "Creating")
    assert client.describe_endpoint(EndpointName="e").get("FailureReason") is None


def test_everything_is_forgotten_and_the_server_goes_on(cli: CommandLine) -> None:
    cli.up("--allow-reset")
    client, s3 = cli.client("sagemaker"), cli.client("s3")
    deploy(client, s3)
    long_job(client, "job")
    log = cli.home / "logs/training-job/job.log"
    until(lambda: log.exists() and "started" in log.read_text())
    before = {each.pid for each in cli.processes()}
    sleeping = [each for each in cli.processes() if each.name() == "sleep"]
    assert post(endpoint(cli)) == (200, '{"reset": "ok"}')

    assert test_command_line.gone(sleeping)
    assert client.list_training_jobs()["TrainingJobSummaries"] == []
    assert client.list_endpoints()["Endpoints"] == client.list_models()["Models"] == []
    assert s3.list_buckets()["Buckets"] == []
    assert not log.exists()
    long_job(client, "job")  # the same name: nothing is left of the first
    until(lambda: log.exists() and "started" in log.read_text())
    record = json.loads(cli.run("status", "--json").out)
    assert {record["pid"], record["ministack_pid"]} <= before
    assert record["events"] == "on"


def test_without_leave_it_is_refused(local: Local, sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    status, said = post(local.url)
    assert status == 404
    assert "up --allow-reset" in said
    assert len(sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]) == 1


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_a_page_in_a_browser_cannot_do_it(
    start: Any, tmp_path: Path, headers: dict[str, str]
) -> None:
    local = start(tmp_path / "home", slots=1, allow_reset=True)
    local.client().create_model_package_group(ModelPackageGroupName="g")
    assert post(local.url, **headers)[0] == 403
    assert local.plane.store.rows("model-package-group")
