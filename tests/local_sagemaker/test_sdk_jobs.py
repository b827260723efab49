"""Jobs of the SageMaker SDK v3, as it makes them, really run: ModelTrainer, processors, @step.

One program (sdk_program.py) submits them all, because importing the SDK costs seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker.config import client_environment
from tests.local_sagemaker.test_training_jobs import members
from tests.local_sagemaker.wheels import a_wheel, wheel_name

SECONDS = 240.0  # the SDK is slow to import on a busy machine
PROGRAM = Path(__file__).with_name("sdk_program.py")
TRAIN = """\
import argparse, json, os
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int)
model = {"depth": parser.parse_args().depth, "channels": os.environ["SM_CHANNELS"]}
try:
    import tinytool
    model["tool"] = tinytool.VALUE
except ImportError:
    pass
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.json"), "w") as file:
    json.dump(model, file, sort_keys=True)
"""
PROCESS = """\
import sys
try:
    import tinytool
    found = "tinytool"
except ImportError:
    found = "nothing"
with open("/opt/ml/processing/output/seen", "w") as file:
    file.write("|".join([*sys.argv[1:], found]))
"""


def write_sources(folder: Path) -> None:
    for name, script in (("train", TRAIN), ("process", PROCESS)):
        (folder / name).mkdir()
        (folder / name / f"{name}.py").write_text(script)
        (folder / name / wheel_name("tinytool")).write_bytes(a_wheel("tinytool"))
        requirements = f"--no-index\n./{wheel_name('tinytool')}\n"
        (folder / name / "requirements.txt").write_text(requirements)
    (folder / "train" / "train.sh").write_text('#!/bin/sh\npython3 train.py "$@"\n')


def run_program(local: Any, folder: Path) -> dict[str, str]:
    """label -> job name (or execution ARN), as the user's program printed them."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **client_environment(local.plane.config),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, str(PROGRAM), local.bucket]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.count(" ") == 1)


def test_every_kind_of_sdk_job_runs_unpatched(local: Any, tmp_path: Path) -> None:
    pytest.importorskip("sagemaker.core.utils.install_requirements")
    write_sources(tmp_path)
    jobs = run_program(local, tmp_path)
    channels = '"channels": "[\\"code\\", \\"sm_drivers\\"]", "depth": '
    expected = {
        "script": f"{{{channels}4}}",
        "shell": f"{{{channels}4}}",
        "command": f"{{{channels}7}}",
        "requirements": f'{{{channels}4, "tool": 42}}',
    }
    for label, model in expected.items():
        row = local.until("training-job", jobs[label], timeout=SECONDS)
        assert row["TrainingJobStatus"] == "Completed", (label, row.get("FailureReason"))
        archive = local.read(f"models/{jobs[label]}/output/model.tar.gz")
        assert members(archive)["model.json"].decode() == model
    for label, found in (("script-processor", "nothing"), ("framework-processor", "tinytool")):
        row = local.until("processing-job", jobs[label], timeout=SECONDS)
        assert row["ProcessingJobStatus"] == "Completed", (label, row.get("FailureReason"))
        assert local.read(f"{label}/seen").decode() == f"a|b c|{found}"
    execution = local.until(
        "pipeline-execution", jobs["pipeline"], "Succeeded", "Failed", timeout=SECONDS
    )
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    logs = (local.plane.config.home / "logs/training-job").glob("pipelines-*-ten-*.log")
    assert "the answer is 20" in next(logs).read_text()
