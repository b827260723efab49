"""Script mode of AWS's images through boto3: sagemaker_program out of a sourcedir.tar.gz on S3."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.local_sagemaker.training import (
    SKLEARN,
    XGBOOST,
    artifact,
    channel,
    csv,
    log_of,
    request,
    rows,
    source_dir,
)
from tests.local_sagemaker.wheels import a_wheel, wheel_name

PROGRAM = """
import json, os, sys
import helper
seen = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "helped": helper.NAME}
with open(os.path.join(os.environ["SM_MODEL_DIR"], "seen.json"), "w") as file:
    json.dump(seen, file)
print("auc=0.75")
"""


def run(local: Any, image: str, hyperparameters: dict[str, str]) -> Any:
    client = local.client()
    uri = local.put("data/train.csv", csv(rows(3)))
    algorithm = {
        "TrainingImage": image,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "auc", "Regex": "auc=(.*)"}],
    }
    wanted = request(
        local, hyperparameters, channel("train", uri), AlgorithmSpecification=algorithm
    )
    client.create_training_job(**wanted)
    local.until("training-job", "job")
    return client.describe_training_job(TrainingJobName="job")


@pytest.mark.parametrize("image", [XGBOOST, SKLEARN])
@pytest.mark.parametrize("quoted", [False, True], ids=["as-sdk-v3-writes", "as-sdk-v2-writes"])
def test_the_program_gets_arguments_and_sm_variables(local: Any, image: str, quoted: bool) -> None:
    uri = source_dir(local, {"train.py": PROGRAM, "helper.py": "NAME = 'helper'"})
    given: dict[str, Any] = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": uri,
        "max-depth": 5,
        "kind": "tree",
        "_tuning_objective_metric": "auc",
    }
    text = {n: json.dumps(v) if quoted else str(v) for n, v in given.items()}
    job = run(local, image, text)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("auc", 0.75)]

    seen = json.loads(artifact(local)["seen.json"])
    assert seen["argv"] == ["--kind", "tree", "--max-depth", "5"]
    assert seen["helped"] == "helper"
    environment = seen["env"]
    assert environment["SM_CHANNEL_TRAIN"].endswith("/input/data/train")
    assert environment["SM_CHANNELS"] == '["train"]'
    assert environment["SM_HP_MAX-DEPTH"] == "5"
    assert json.loads(environment["SM_HPS"]) == {"kind": "tree", "max-depth": 5}
    assert environment["SM_MODULE_DIR"] == uri
    assert environment["SM_USER_ENTRY_POINT"] == "train.py"
    assert environment["SM_CURRENT_HOST"] == "algo-1"


def test_a_failing_program_says_why(local: Any) -> None:
    uri = source_dir(local, {"train.py": "raise ValueError('no such column: age')"})
    job = run(local, XGBOOST, {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri})
    assert job["FailureReason"] == ("AlgorithmError: ValueError: no such column: age, exit code: 1")
    assert "Traceback" in log_of(local)


def test_a_programs_own_exit_code_is_kept(local: Any) -> None:
    uri = source_dir(local, {"train.py": "raise SystemExit(7)"})
    job = run(local, XGBOOST, {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri})
    assert job["FailureReason"].endswith("exit code: 7")


def test_a_missing_program_names_what_is_there(local: Any) -> None:
    uri = source_dir(local, {"other.py": ""})
    job = run(local, XGBOOST, {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri})
    assert f"'train.py' is not in {uri}; there is: other.py" in job["FailureReason"]


def test_an_archive_that_leads_outside_is_refused(local: Any) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped.py"))
    local.s3.put_object(Bucket=local.bucket, Key="evil.tar.gz", Body=raw.getvalue())
    uri = f"s3://{local.bucket}/evil.tar.gz"
    job = run(local, XGBOOST, {"sagemaker_program": "x.py", "sagemaker_submit_directory": uri})
    assert "is not a safe tar.gz" in job["FailureReason"]


WANTS = """
import os, tinytool
open(os.path.join(os.environ["SM_MODEL_DIR"], "found"), "w").write(tinytool.__file__)
"""


def with_requirements(local: Any, asked: str) -> dict[str, str]:
    """The hyperparameters of a program that needs tinytool."""
    uri = source_dir(local, {"train.py": WANTS, "requirements.txt": f"--no-index\n{asked}\n"})
    return {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri}


def test_requirements_are_installed_into_an_overlay_that_the_next_job_finds(
    local: Any, tmp_path: Path
) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / wheel_name("tinytool")).write_bytes(a_wheel("tinytool"))
    wanted = with_requirements(local, f"--find-links {tmp_path}/wheels\ntinytool")
    for name in ("first", "second"):
        local.client().create_training_job(**request(local, wanted, TrainingJobName=name))
        job = local.until("training-job", name)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert artifact(local, name)["found"].startswith(b"/opt/ml/tmp/site/")
    assert "installed already" in log_of(local, "second")
    assert importlib.util.find_spec("tinytool") is None


def test_requirements_that_cannot_be_had_are_named(local: Any) -> None:
    job = run(local, XGBOOST, with_requirements(local, "numpy>=1\nno-such-library==1"))
    assert job["TrainingJobStatus"] == "Failed"
    assert "requirements.txt cannot be installed: ERROR" in job["FailureReason"]
    assert "no-such-library==1" in job["FailureReason"]


def test_an_archive_that_is_cut_short_is_refused(local: Any) -> None:
    source_dir(local, {"x.py": "print(1)\n" * 500 + "".join(map(str, range(9999)))}, "cut.tar.gz")
    whole = local.read("cut.tar.gz")
    local.s3.put_object(Bucket=local.bucket, Key="cut.tar.gz", Body=whole[: len(whole) // 2])
    uri = f"s3://{local.bucket}/cut.tar.gz"
    job = run(local, XGBOOST, {"sagemaker_program": "x.py", "sagemaker_submit_directory": uri})
    assert "is not a safe tar.gz" in job["FailureReason"]
