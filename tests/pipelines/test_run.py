"""`python -m pipelines.run` from arguments to exit code, with AWS's part played by scripts."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipelines import cost, definition, run, run_pipeline, settings
from pipelines.definition import Compiled
from pipelines.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
TELCO = PROJECT / "config" / "telco_churn.yaml"
ARN = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/telco-churn/execution/p4jn9xou8a8s"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEFINITION = {
    "Parameters": [{"Name": "GateChurn", "Type": "Float", "DefaultValue": 0.8}],
    "Steps": [{"Name": name, "Type": "Processing"} for name in ("Validate", "Prepare", "Evaluate")],
}
GATE = {"metric": "auc", "direction": "min", "threshold": 0.8, "value": 0.86, "passed": True}
EVALUATION = {
    "models": {
        "churn": {
            "metrics": {
                "auc": {"value": 0.86, "standard_deviation": 0.01, "low": 0.84, "high": 0.88}
            },
            "gate": GATE,
            "fairness_limits": {
                "demographic_parity_difference": {
                    "facet": "gender",
                    "value": 0.1,
                    "direction": "max",
                    "limit": 0.3,
                    "passed": True,
                }
            },
        }
    }
}
OUTPUTS = {
    "validate": {"validation": {"data_docs/index.html": b"<html>"}},
    "prepare": {"test": {"rows.csv": b""}},
    "evaluate": {
        "evaluation": {
            "evaluation.json": json.dumps(EVALUATION).encode(),
            "report.html": b"<html>",
        }
    },
}


def step(name: str, status: str = "Succeeded", **more: Any) -> dict[str, Any]:
    return {
        "StepName": name,
        "StepStatus": status,
        "StartTime": NOW,
        "EndTime": NOW,
        "Metadata": {"ProcessingJob": {"Arn": f"arn:x:processing-job/{name.lower()}"}},
    } | more


REGISTERED = {"RegisterModel": {"Arn": "arn:x:model-package/telco-churn/3"}}
SUCCEEDED = [
    step("Validate", CacheHitResult={"SourcePipelineExecutionArn": "x"}),
    step("Prepare"),
    step("Evaluate"),
    step("Register", Metadata=REGISTERED),
    step("Endpoint", Metadata={"Endpoint": {"Arn": "arn:x:endpoint/telco-churn"}}),
]


class SageMaker:
    """The control plane: one pipeline that is new, and one execution that has ended."""

    def __init__(self, status: str, steps: list[dict[str, Any]], reason: str = "") -> None:
        self.status, self.steps, self.reason = status, steps, reason
        self.approval = "Approved"
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def describe_pipeline(self, **_: Any) -> dict[str, Any]:
        raise ClientError(
            {"Error": {"Code": "ResourceNotFound", "Message": ""}}, "DescribePipeline"
        )

    def start_pipeline_execution(self, **request: Any) -> dict[str, Any]:
        self.asked.append(("start", request))
        return {"PipelineExecutionArn": ARN}

    def describe_pipeline_execution(self, **_: Any) -> dict[str, Any]:
        return {"PipelineExecutionStatus": self.status, "FailureReason": self.reason}

    def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
        return {"PipelineExecutionSteps": self.steps}

    def describe_processing_job(self, **request: Any) -> dict[str, Any]:
        name = request["ProcessingJobName"]
        outputs = [
            {"OutputName": output, "S3Output": {"S3Uri": f"s3://a-bucket/out/{name}/{output}"}}
            for output in OUTPUTS.get(name, {})
        ]
        return {"ProcessingOutputConfig": {"Outputs": outputs}, "ExitMessage": f"{name} said why"}

    def describe_model_package(self, **_: Any) -> dict[str, Any]:
        return {
            "ModelPackageGroupName": "telco-churn",
            "ModelPackageVersion": 3,
            "ModelApprovalStatus": self.approval,
        }

    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        return {"EndpointStatus": "InService"}

    def stop_pipeline_execution(self, **request: Any) -> None:
        self.asked.append(("stop", request))

    def create_pipeline(self, **request: Any) -> None:
        self.asked.append(("create", request))


class S3:
    """A bucket whose outputs are there, and which takes everything."""

    def __init__(self, header: str, row: str) -> None:
        rows = {"out/prepare/test/rows.csv": f"{header}\n{row}\n".encode()}
        self.objects = rows | {
            f"out/{job}/{output}/{name}": body
            for job, outputs in OUTPUTS.items()
            for output, files in outputs.items()
            for name, body in files.items()
            if name != "rows.csv"
        }
        self.put: dict[str, bytes] = {}

    def head_bucket(self, **_: Any) -> None: ...

    def head_object(self, **_: Any) -> None:
        raise ClientError({"Error": {"Code": "404", "Message": ""}}, "HeadObject")

    def put_object(self, **request: Any) -> None:
        self.put[request["Key"]] = request["Body"]

    def upload_file(self, path: str, bucket: str, key: str) -> None:
        self.put[key] = Path(path).read_bytes()

    def get_object(self, **request: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[request["Key"]])}

    def get_paginator(self, _: str) -> "S3":
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        keys = [key for key in self.objects if key.startswith(request["Prefix"])]
        return [{"Contents": [{"Key": key} for key in keys]}]

    def download_file(self, bucket: str, key: str, path: str) -> None:
        Path(path).write_bytes(self.objects[key])


class Runtime:
    """An endpoint that says 0.25, and keeps what it was asked."""

    def __init__(self) -> None:
        self.request: dict[str, Any] = {}

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        self.request = request
        body = {"predictions": [{"churn": 0.25}], "model_version": "v"}
        return {"Body": io.BytesIO(json.dumps(body).encode())}


Play = Callable[..., tuple[SageMaker, S3, Runtime]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, place: Settings, tmp_path: Path, telco: Any) -> Play:
    """Plays AWS, in an empty folder with a data file customers.csv."""
    header = ",".join(column.name for column in telco.columns)
    row = ",".join("?" if c.name == "tenure" else f"{c.name}-1" for c in telco.columns)
    monkeypatch.chdir(tmp_path)
    Path("customers.csv").write_text(f"{header}\n{row}\n")

    def start(
        status: str = "Succeeded", steps: Any = SUCCEEDED, reason: str = ""
    ) -> tuple[SageMaker, S3, Runtime]:
        aws = SageMaker(status, steps, reason), S3(header, row.replace("?", "")), Runtime()
        monkeypatch.setattr(settings, "resolve", lambda *_, **__: place)
        monkeypatch.setattr(settings, "sagemaker", lambda _: aws[0])
        monkeypatch.setattr(settings, "s3", lambda _: aws[1])
        monkeypatch.setattr(settings, "sagemaker_runtime", lambda _: aws[2])
        compiled = Compiled("telco-churn", json.dumps(DEFINITION))
        monkeypatch.setattr(definition, "compile_ours", lambda *_: compiled)
        return aws

    return start


COMMAND = ["--config", str(TELCO), "--data", "customers.csv"]


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_a_run_ends_with_what_it_made(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    sagemaker, s3, _ = play()
    assert run.main([*COMMAND, "--param", "GateChurn=0.5", "--parallel", "2", "--json"]) == 0
    said = document(capsys)
    assert (said["status"], said["pipeline_change"]) == ("Succeeded", "created")
    assert said["reused"] == ["Validate"]
    assert said["models"][0]["value"] == 0.86
    assert said["models"][0]["limits"]["demographic_parity_difference"]["limit"] == 0.3
    assert said["model_package"]["version"] == 3
    assert said["endpoint"] == {"name": "telco-churn", "status": "InService"}
    assert said["prediction"]["answer"] == {"churn": 0.25}
    assert said["prediction"]["truth"] == {"churn": "Churn-1"}
    assert Path(said["report"]["report"]).read_bytes() == b"<html>"
    assert Path(said["report"]["data_docs"]).exists()
    assert "make down" in said["stop"]
    started = dict(sagemaker.asked)["start"]
    assert started["PipelineParameters"] == [{"Name": "GateChurn", "Value": "0.5"}]
    assert started["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 2}
    assert any(key.endswith("/customers.csv") for key in s3.put)
    assert any(key.endswith("/job-code.tar") for key in s3.put)


def test_the_endpoint_is_asked_about_features_alone(play: Play, telco: Any) -> None:
    _, _, runtime = play()
    assert run.main([*COMMAND, "--json"]) == 0
    header, row = runtime.request["Body"].decode().splitlines()
    assert header.split(",") == [feature.name for feature in telco.features]
    assert "Churn" not in header.split(",")
    assert row.split(",")[header.split(",").index("tenure")] == ""


def test_people_get_a_summary(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    play()
    assert run.main(COMMAND) == 0
    said = capsys.readouterr().out
    for words in (
        "Validate                 Succeeded (reused)",
        "churn",
        "0.86",
        "at least 0.8",
        "Registered  telco-churn version 3, Approved",
        "Endpoint    telco-churn, InService",
        "One answer",
        "build/report-telco-churn/evaluation/report.html",
        "1 of 5 steps reused: Validate",
        "To stop it: make down",
        "python -m deploy.endpoint status",
    ):
        assert words in said


def test_a_failed_step_is_exit_1_with_its_reason(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    play("Failed", [step("Validate", "Failed")], "Step failure")
    assert run.main(COMMAND) == 1
    said = capsys.readouterr().out
    assert "Validate: validate said why" in said
    assert "python -m local_sagemaker logs validate" in said
    assert "Step failure" in said


def test_a_failed_gate_is_exit_1_with_its_numbers(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "Gates failed: churn: auc 0.71 is below 0.8"
    failed = step("GatesFailed", "Failed", Metadata={"Fail": {"ErrorMessage": message}})
    play("Failed", [step("Evaluate"), failed], message)
    assert run.main([*COMMAND, "--json"]) == 1
    said = document(capsys)
    assert said["reason"] == message
    assert said["model_package"] is None
    assert said["endpoint"] is None


def test_a_pending_version_is_not_served_and_the_next_command_says_how(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    sagemaker, _, _ = play(steps=SUCCEEDED[:-1])
    sagemaker.approval = "PendingManualApproval"
    assert run.main([*COMMAND, "--json"]) == 0
    said = document(capsys)
    assert said["prediction"] is None
    assert any("deploy.registry approve --version 3" in command for command in said["next"])


def test_no_wait_returns_the_execution(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    play("Executing", [])
    assert run.main([*COMMAND, "--no-wait", "--json"]) == 0
    assert document(capsys)["execution"] == ARN


def test_a_dry_run_prints_the_definition_and_sends_nothing(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    sagemaker, s3, _ = play()
    assert run.main([*COMMAND, "--dry-run"]) == 0
    assert document(capsys) == DEFINITION
    assert (sagemaker.asked, s3.put) == ([], {})


PAID = {
    "Parameters": [],
    "Steps": [
        {
            "Name": "Prepare",
            "Type": "Processing",
            "Arguments": {
                "ProcessingResources": {
                    "ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1}
                }
            },
        },
        {"Name": "Ask", "Type": "Lambda", "Arguments": {}},
    ],
}


@pytest.fixture
def billed(play: Play, monkeypatch: pytest.MonkeyPatch, place: Settings) -> SageMaker:
    """The place is AWS, and the pipeline has one job that costs 0.02 USD."""
    sagemaker, _, _ = play("Executing", [])
    monkeypatch.setattr(settings, "resolve", lambda *_, **__: replace(place, target="aws"))
    compiled = Compiled("telco-churn", json.dumps(PAID))
    monkeypatch.setattr(definition, "compile_ours", lambda *_: compiled)
    monkeypatch.setattr(cost, "measured", lambda *_: {})
    return sagemaker


def test_a_run_above_the_budget_is_not_started(
    billed: SageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([*COMMAND, "--target", "aws", "--budget", "0.01", "--json"]) == 1
    assert "above the budget of 0.01 USD; nothing was started" in document(capsys)["reason"]
    assert billed.asked == []


def test_a_run_within_the_budget_says_what_the_budget_does_not_count(
    billed: SageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([*COMMAND, "--target", "aws", "--budget", "0.02", "--no-wait"]) == 0
    assert "warning: the budget does not count Ask" in capsys.readouterr().err
    assert "start" in dict(billed.asked)


def test_the_problems_budget_holds_where_none_is_given(
    billed: SageMaker, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "telco.yaml"
    config.write_text(TELCO.read_text() + "\n")
    text = config.read_text().replace("deploy: {", "deploy: {budget: 0.01, ")
    config.write_text(text)
    words = ["--config", str(config), "--data", "customers.csv", "--no-wait"]
    assert run.main([*words, "--json"]) == 1
    assert "above the budget" in document(capsys)["reason"]
    assert run.main([*words, "--budget", "1"]) == 0


def test_a_laptop_costs_nothing(play: Play) -> None:
    play("Executing", [])
    assert run.main([*COMMAND, "--budget", "0.01", "--no-wait"]) == 0


def test_ctrl_c_says_that_the_execution_goes_on(
    play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play("Executing", [])

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.execution.watch.__defaults__", (interrupted,), raising=False)
    assert run.main(COMMAND) == 130
    assert f"To stop it: python -m pipelines.run --stop {ARN}" in capsys.readouterr().err


def test_a_templates_module_runs_by_the_templates_command(
    play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker, s3, _ = play(steps=[step("Validate")])
    module = ModuleType("a_template")
    pipeline = SimpleNamespace(name="abalone", definition=lambda: json.dumps(DEFINITION))
    module.get_pipeline = lambda region, role=None: pipeline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_template", module)
    tags = "[{'Key': 'team', 'Value': 'growth'}]"
    assert run_pipeline.main(["-n", "a_template", "-role-arn", "r", "-tags", tags, "--json"]) == 0
    assert document(capsys)["pipeline"] == "abalone"
    assert dict(sagemaker.asked)["create"]["Tags"] == [{"Key": "team", "Value": "growth"}]
    assert s3.put == {}


def test_stop_stops_that_execution(play: Play) -> None:
    sagemaker, _, _ = play()
    assert run.main(["--stop", ARN]) == 0
    assert sagemaker.asked == [("stop", {"PipelineExecutionArn": ARN})]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--config", "nope.yaml"], "nope.yaml"),
        (["--config", str(TELCO)], "needs data: give --data"),
        (["--config", str(TELCO), "--data", "nope.csv"], "nope.csv cannot be read"),
        ([*COMMAND, "--param", "X=1"], "--param X: allowed names: GateChurn"),
        ([*COMMAND, "--kwargs", "[1]"], "--kwargs is [1]"),
    ],
)
def test_bad_usage_is_exit_2_with_one_message(
    play: Play, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    play()
    assert run.main([*argv, "--json"]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert said in json.loads(out)["reason"]


def test_what_aws_refuses_is_exit_1(
    play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker, _, _ = play()

    def denied(**_: Any) -> None:
        error = {"Error": {"Code": "AccessDeniedException", "Message": "not you"}}
        raise ClientError(error, "CreatePipeline")

    monkeypatch.setattr(sagemaker, "create_pipeline", denied)
    assert run.main(COMMAND) == 1
    assert "not you" in capsys.readouterr().err
