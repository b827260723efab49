"""The lineage classes and the LineageStep of the SageMaker SDK v3, unpatched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker.config import client_environment
from tests.local_sagemaker.pipelining import EXECUTION, listed
from tests.local_sagemaker.test_pipeline_executions import training
from tests.local_sagemaker.training import channel

PROGRAM = Path(__file__).with_name("sdk_lineage_program.py")


def test_the_sdk_s_lineage_runs_unpatched(local: Any, sagemaker: Any, tmp_path: Path) -> None:
    pytest.importorskip("sagemaker.core.utils.install_requirements")
    uri = local.put("data/train.csv", "1,2")
    job = training("", "echo m > /opt/ml/model/m", local.bucket)["Arguments"]
    sagemaker.create_training_job(
        TrainingJobName="job", InputDataConfig=[channel("train", uri)], **job
    )
    local.until("training-job", "job")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **client_environment(local.plane.config),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, str(PROGRAM), uri]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    execution = found.pop("execution")
    assert found == {
        "models": [f"s3://{local.bucket}/models/job/output/model.tar.gz"],
        "properties": {"b": "2"},
        "listed": ["code"],
        "edges": ["AssociatedWith", "ContributedTo"],
        "vertices": ["s3://b/team", "s3://b/review", "s3://b/code"],
        "left": [],
    }
    local.until(EXECUTION, execution, "Succeeded", "Failed")
    shown = listed(sagemaker, execution)["Record"]
    assert shown["StepStatus"] == "Succeeded", shown
    assert list(shown["Metadata"]["Lineage"]["ArtifactArns"]) == ["made"]
