"""requirements.txt beside a model's inference.py: installed before the program is imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from tests.local_sagemaker.hosting import XGBOOST, archive, ask, deploy, variant
from tests.local_sagemaker.pipelining import ROLE
from tests.local_sagemaker.wheels import a_wheel, wheel_name

PROGRAM = """
import tinytool

def model_fn(model_dir):
    return tinytool.VALUE

def transform_fn(model, body, content_type, accept):
    return str(model), accept
"""


def deployed(local: Any, asked: str) -> Any:
    files = {"code/inference.py": PROGRAM, "code/requirements.txt": f"--no-index\n{asked}\n"}
    local.s3.put_object(Bucket=local.bucket, Key="model.tar.gz", Body=archive(files))
    client = local.client()
    container = {"Image": XGBOOST, "ModelDataUrl": f"s3://{local.bucket}/model.tar.gz"}
    container["Environment"] = {"SAGEMAKER_PROGRAM": "inference.py"}
    client.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return deploy(local, client, variant("m"))


def test_a_models_requirements_are_installed_into_an_overlay(local: Any, tmp_path: Path) -> None:
    (tmp_path / wheel_name("tinytool")).write_bytes(a_wheel("tinytool"))
    row = deployed(local, f"--find-links {tmp_path}\ntinytool")
    assert row["EndpointStatus"] == "InService", row.get("FailureReason")
    assert ask(local.client("sagemaker-runtime")) == "42"
    assert importlib.util.find_spec("tinytool") is None
    assert len([each for each in local.plane.config.home.glob("overlays/*") if each.is_dir()]) == 1


def test_requirements_that_cannot_be_had_fail_the_endpoint(local: Any) -> None:
    row = deployed(local, "no-such-library==1")
    assert row["EndpointStatus"] == "Failed"
    assert "requirements.txt cannot be installed" in row["FailureReason"]
