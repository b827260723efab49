"""A user's own images, mapped to commands in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.own_images import OwnImagesError, load
from tests.local_sagemaker import test_processing_jobs as processing
from tests.local_sagemaker import test_training_jobs as training
from tests.local_sagemaker.conftest import free_port

REGISTRY = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
FILE = """\
churn-trainer:
  train: [bash, -c, "echo untagged $0 $1 > /opt/ml/model/m", train]
churn-trainer:2:
  train: [bash, -c, "echo two > /opt/ml/model/m"]
my-team/tool:
  process: [bash, -c, "echo tool $0 $1 > /opt/ml/processing/output/o"]
"""


@pytest.fixture
def own(start: Callable[..., Any], tmp_path: Path) -> Any:
    home = tmp_path / "own"
    home.mkdir()
    (home / "images.yaml").write_text(FILE)
    return start(home, slots=1)


def trained(own: Any, uri: str, **algorithm: Any) -> bytes:
    wanted = training.request(own, "")
    wanted["AlgorithmSpecification"] = {"TrainingImage": uri, "TrainingInputMode": "File"}
    wanted["AlgorithmSpecification"] |= algorithm
    own.client().create_training_job(**wanted)
    job = own.until("training-job", "job")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return training.members(own.read("out/job/output/model.tar.gz"))["m"]


def test_a_training_job_runs_the_command_of_its_image(own: Any) -> None:
    image = f"{REGISTRY}/churn-trainer:1"
    assert trained(own, image, ContainerArguments=["more"]) == b"untagged train more\n"


def test_an_image_with_a_tag_comes_before_the_one_without(own: Any) -> None:
    assert trained(own, f"{REGISTRY}/churn-trainer:2") == b"two\n"


def test_a_processing_job_gives_its_arguments_to_the_images_command(own: Any) -> None:
    application = {"ImageUri": f"{REGISTRY}/my-team/tool", "ContainerArguments": ["a", "b c"]}
    own.client().create_processing_job(**processing.request(own, "", AppSpecification=application))
    assert own.until("processing-job", "job")["ProcessingJobStatus"] == "Completed"
    assert own.read("out/o") == b"tool a b c\n"


def test_a_name_without_its_team_means_every_teams_image(own: Any) -> None:
    assert trained(own, f"{REGISTRY}/my-team/churn-trainer:2") == b"two\n"


def test_a_command_that_the_file_does_not_give_is_named(own: Any) -> None:
    application = {"ImageUri": f"{REGISTRY}/churn-trainer:1"}
    wanted = processing.request(own, "", AppSpecification=application)
    with pytest.raises(ClientError, match="'churn-trainer' cannot process here") as refused:
        own.client().create_processing_job(**wanted)
    assert "images.yaml gives it no process command" in str(refused.value)


def test_the_images_of_one_server_are_not_anothers(own: Any, local: Any, sagemaker: Any) -> None:
    wanted = training.request(local, "")
    wanted["AlgorithmSpecification"] = {
        "TrainingImage": f"{REGISTRY}/churn-trainer:2",
        "TrainingInputMode": "File",
    }
    with pytest.raises(ClientError, match="'churn-trainer' is not in the table of images"):
        sagemaker.create_training_job(**wanted)


def test_an_unknown_image_says_how_to_map_it(local: Any, sagemaker: Any) -> None:
    wanted = training.request(local, "true")
    wanted["AlgorithmSpecification"]["TrainingImage"] = f"{REGISTRY}/nobodys:1"
    with pytest.raises(
        ClientError, match=r"images\.yaml of LOCAL_SAGEMAKER_HOME.*nobodys: \{train"
    ):
        sagemaker.create_training_job(**wanted)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "cannot be read as YAML"),
        ("[a]", "should map repositories to commands"),
        ("1: {train: [x]}", "1 is no repository"),
        ("1.dkr.ecr.x.amazonaws.com/Tool: {train: [x]}", "without the registry"),
        ("tool: x", "give one or more of train, process, serve, not 'x'"),
        ("tool: {}", "give one or more of train, process, serve"),
        ("tool: {run: [x]}", "'run' is unknown; it may be train, process, serve"),
        ("tool: {train: python3 x.py}", "train should be a list of words"),
        ("tool: {train: []}", "train should be a list of words"),
        ("tool: {train: [x, 1]}", r"not \['x', 1\]"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_place(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "images.yaml").write_text(text)
    with pytest.raises(OwnImagesError, match=words) as refused:
        load(tmp_path / "images.yaml", required=False)
    assert str(tmp_path / "images.yaml") in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LOCAL_SAGEMAKER_IMAGES", "/no/mine.yaml"), ("LOCAL_SAGEMAKER_UNPACKED_BYTES", "much")],
)
def test_up_refuses_a_setting_that_cannot_be_used(
    tmp_path: Path, variable: str, value: str
) -> None:
    environment = {**os.environ, "LOCAL_SAGEMAKER_HOME": str(tmp_path / "home"), variable: value}
    command = [sys.executable, "-m", "local_sagemaker", "up", f"--port={free_port()}"]
    command += ["--s3-endpoint", "http://127.0.0.1:9"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert value in done.stderr
