"""MonitorBatchTransformStep of the SDK v3, as it compiles it, really runs.

The analyzers are scripts of these tests, mapped to AWS's image names in images.yaml, that read
what AWS's containers read and write what they write.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker.config import client_environment
from tests.local_sagemaker.hosting import create_model
from tests.local_sagemaker.pipelining import ROLE, listed, rerun
from tests.local_sagemaker.test_transform_jobs import LINES

PROGRAM = Path(__file__).with_name("sdk_monitored_transform.py")
# Model Monitor's contract: paths and formats in the environment, files by name in output_path.
QUALITY = """\
import json, os
env = os.environ
layout = json.loads(env["dataset_format"])["csv"]
assert layout == {"header": False, "output_columns_position": "START"}, layout
assert env["publish_cloudwatch_metrics"] == "Disabled"
source, out = env["dataset_source"], env["output_path"]
assert source == "/opt/ml/processing/input/baseline_dataset_input"
assert out == "/opt/ml/processing/output"
rows = [line for name in sorted(os.listdir(source)) for line in open(os.path.join(source, name))]
values = [float(row.split(",")[0]) for row in rows]
def write(name, value):
    with open(os.path.join(out, name), "w") as file:
        json.dump({"version": 0.0, **value}, file)
write("statistics.json", {"dataset": {"item_count": len(rows)}})
write("constraints.json", {"features": [{"name": "_c0", "most": max(values)}]})
most = json.load(open(env["baseline_constraints"]))["features"][0]["most"]
above = [value for value in values if value > most]
write("constraint_violations.json", {"violations": [
    {"feature_name": "_c0", "constraint_check_type": "data_type_check",
     "description": f"{len(above)} values are above {most}"}] if above else []})
with open("/opt/ml/output/message", "w") as file:
    file.write("CompletedWithViolations: Job completed successfully with 1 violations.")
"""
# Clarify's: a configuration and the data at fixed places.
CLARIFY = """\
import json, os
root = "/opt/ml/processing"
config = json.load(open(f"{root}/input/config/analysis_config.json"))
assert config["predictor"]["model_name"] == "one", config["predictor"]
assert os.listdir(f"{root}/input/data")
assert "explanations" in json.load(open(os.environ["baseline_constraints"]))
with open(f"{root}/output/analysis.json", "w") as file:
    json.dump({"version": "1.0", "explanations": config["methods"]}, file)
"""
IMAGES = """\
sagemaker-model-monitor-analyzer:
  process: [python3, {folder}/quality.py]
sagemaker-clarify-processing:
  process: [python3, {folder}/clarify.py]
"""


@pytest.fixture
def analyzing(start: Callable[..., Any], tmp_path: Path) -> Any:
    """A server whose user has analyzers of their own."""
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "quality.py").write_text(QUALITY)
    (tmp_path / "clarify.py").write_text(CLARIFY)
    (home / "images.yaml").write_text(IMAGES.format(folder=tmp_path))
    return start(home, slots=2)


def compiled(local: Any, folder: Path) -> dict[str, Any]:
    """The definition that the user's program makes."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **client_environment(local.plane.config),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, str(PROGRAM), local.bucket]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(local: Any, folder: Path, most: float) -> dict[str, Any]:
    """The steps of an execution; the baseline has no value above `most`."""
    sagemaker = local.client()
    create_model(local, sagemaker, "one", LINES)
    local.put("in/a.csv", "1,2\n3,4\n")
    constraints = {"version": 0.0, "features": [{"name": "_c0", "most": most}]}
    local.put("baseline/constraints.json", json.dumps(constraints))
    local.put("baseline/statistics.json", "{}")
    local.put("baseline/analysis.json", json.dumps({"explanations": {}}))
    text = json.dumps(compiled(local, folder))
    sagemaker.create_pipeline(PipelineName="p", RoleArn=ROLE, PipelineDefinition=text)
    return listed(sagemaker, rerun(local, sagemaker))


def test_transforms_are_monitored_as_the_sdk_compiles_it(analyzing: Any, tmp_path: Path) -> None:
    steps = run(analyzing, tmp_path, 3)
    assert {name: step["StepStatus"] for name, step in steps.items()} == {
        f"{name}-{part}": "Succeeded"
        for name in ("Before", "Strict", "After")
        for part in ("transform", "monitoring")
    }, [step.get("FailureReason") for step in steps.values()]
    before, after = steps["Before-monitoring"], steps["After-monitoring"]
    assert before["EndTime"] <= steps["Before-transform"]["StartTime"]
    assert after["StartTime"] >= steps["After-transform"]["EndTime"]
    shown = before["Metadata"]["QualityCheck"]
    place = f"s3://{analyzing.bucket}/checks"
    assert shown["CheckType"] == "DATA_QUALITY"
    assert shown["CalculatedBaselineStatistics"] == f"{place}/Before/statistics.json"
    assert "ViolationReport" not in shown
    shown = after["Metadata"]["ClarifyCheck"]
    assert shown["CheckType"] == "MODEL_EXPLAINABILITY"
    assert shown["CalculatedBaselineConstraints"] == f"{place}/After/analysis.json"
    assert analyzing.keys("out/") == [
        f"out/{name}/a.csv.out" for name in ("After", "Before", "Strict")
    ]
    assert len(analyzing.keys("captured/")) == 6


def test_violations_fail_the_monitoring_unless_it_is_told_not_to(
    analyzing: Any, tmp_path: Path
) -> None:
    steps = run(analyzing, tmp_path, 2)
    strict, lenient = steps["Strict-monitoring"], steps["Before-monitoring"]
    assert strict["StepStatus"] == "Failed"
    assert "1 values are above 2" in strict["FailureReason"]
    assert steps["Strict-transform"]["StepStatus"] == "Succeeded"
    assert (lenient["StepStatus"], steps["Before-transform"]["StepStatus"]) == ("Succeeded",) * 2
    report = lenient["Metadata"]["QualityCheck"]["ViolationReport"]
    assert report == f"s3://{analyzing.bucket}/checks/Before/constraint_violations.json"


def test_without_an_analyzer_the_check_fails_and_says_what_is_missing(
    local: Any, tmp_path: Path
) -> None:
    steps = run(local, tmp_path, 3)
    step = steps["Before-monitoring"]
    assert step["StepStatus"] == "Failed"
    assert "sagemaker-model-monitor-analyzer" in step["FailureReason"]
    assert "is not supported yet" in step["FailureReason"]
    assert "Before-transform" not in steps  # it would have come after its check
