"""`python -m deploy.cost`: guide, compare, run, endpoint, bill."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.stub import ANY, Stubber

from deploy import cost
from pipelines import settings
from pipelines.prices import TABLE
from tests.deploy.conftest import KEYS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:111122223333:"
LOAD = ["--requests-per-month", "1e7", "--latency-ms", "100", "--payload-kb", "2"]
DEFINITION = {
    "Parameters": [{"Name": "Type", "Type": "String", "DefaultValue": "ml.m5.xlarge"}],
    "Steps": [
        {
            "Name": "Prepare",
            "Type": "Processing",
            "Arguments": {
                "ProcessingResources": {
                    "ClusterConfig": {
                        "InstanceType": {"Get": "Parameters.Type"},
                        "InstanceCount": 1,
                    }
                }
            },
        }
    ],
}
CAPTURE = {
    "EnableCapture": True,
    "CaptureStatus": "Started",
    "CurrentSamplingPercentage": 50,
    "DestinationS3Uri": "s3://b/capture",
    "KmsKeyId": "k",
}


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_the_guide_tells_types_that_serve_from_those_that_only_run_jobs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cost.main(["guide", "--json"]) == 0
    rows = {row["instance_type"]: row for row in document(capsys)["instances"]}
    assert "hosting" not in rows["ml.t3.medium"]["uses"]
    assert "hosting" in rows["ml.t2.medium"]["uses"]
    assert "processing" in rows["ml.t3.medium"]["uses"]
    assert rows["ml.inf1.xlarge"]["uses"] == ["hosting"]
    assert cost.main(["guide"]) == 0
    said = capsys.readouterr().out
    assert "check before you rely on it" in said
    assert next(line for line in said.splitlines() if "t3.medium" in line).split()[5] == "no"


def test_the_recommendation_is_a_row_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["compare", *LOAD]) == 0
    said = capsys.readouterr().out
    marked = [line for line in said.splitlines() if line.startswith("->")]
    assert len(marked) == 1
    assert "Recommended: serverless on 2 GB." in said
    assert marked[0].split()[1:4] == ["serverless", "2", "GB"]
    assert {line.split()[0] for line in said.splitlines()[1:6]} >= {"batch", "real-time"}


def test_answers_that_may_come_once_a_day_cost_least(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["compare", *LOAD, "--memory-gb", "8", "--batch", "--json"]) == 0
    said = document(capsys)
    assert said["recommended"]["kind"] == "batch"
    assert said["recommended"] in said["options"]


def test_only_the_types_that_are_asked_for_are_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cost.main(["compare", *LOAD, "--instance-type", "ml.g4dn.xlarge", "--json"]) == 0
    found = document(capsys)["options"]
    assert {each["instance_type"] for each in found} == {"2 GB", "ml.g4dn.xlarge"}


def test_all_shows_every_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["compare", *LOAD, "--all"]) == 0
    said = capsys.readouterr().out
    assert said.count("real-time") == len(yaml.safe_load(TABLE.read_text())["instances"]) - 1


def test_a_load_that_nothing_carries_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["compare", *LOAD, "--memory-gb", "500"]) == 1
    assert "Nothing carries it." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["compare", *LOAD, "--utilisation", "2"], 2, "--utilisation is at most 1"),
        (["compare", *LOAD, "--instance-type", "ml.huge"], 1, "no price of ml.huge"),
        (["guide", "--prices", "nope.yaml"], 2, "nope.yaml cannot be read"),
        (["bill", "magic=1"], 2, "no price of 'magic'"),
        (["bill", "athena_tb"], 2, "write it as NAME=VALUE"),
        (["bill", "athena_tb=much"], 2, "'much' is no number above 0"),
        (["run", "--definition", "nope.json"], 2, "nope.json cannot be read"),
        (["run", "--definition", "README.md"], 2, "That is no pipeline definition"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    argv: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cost.main(argv) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["compare"],
        ["compare", *LOAD, "--min-instances", "0"],
        ["compare", *LOAD, "--memory-gb", "-1"],
        ["compare", *LOAD, "--batch", "--answer-within", "5"],
    ],
)
def test_bad_usage_exits_with_two(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cost.main(argv)
    assert caught.value.code == 2


def test_a_bill_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    items = ["claude_sonnet_input_token=50000", "claude_sonnet_output_token=10000"]
    assert cost.main(["bill", *items, "--json"]) == 0
    assert document(capsys)["total"] == pytest.approx(0.30)
    assert cost.main(["bill"]) == 0
    assert "transition of Step Functions" in capsys.readouterr().out


def test_a_run_is_told_from_a_file_without_asking_anybody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(DEFINITION))
    words = ["run", "--definition", str(path), "--minutes", "Prepare=60"]
    assert cost.main([*words, "--param", "Type=ml.c5.xlarge", "--json"]) == 0
    assert document(capsys)["run"] == pytest.approx(0.204)
    assert cost.main([*words, "--budget", "0.2"]) == 1
    assert "above the budget" in capsys.readouterr().err


def test_a_run_is_told_from_the_pipeline_and_its_newest_execution(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    execution = f"{ARN}pipeline/telco/execution/{'a' * 12}"
    summaries = {"PipelineExecutionSummaries": [{"PipelineExecutionArn": execution}]}
    aws.add_response("list_pipeline_executions", summaries)
    for operation, answer in steps_of_30_minutes():
        aws.add_response(operation, answer)
    described = {"PipelineDefinition": json.dumps(DEFINITION)}
    aws.add_response("describe_pipeline", described, {"PipelineName": "telco"})
    assert cost.main(["run", "--pipeline", "telco", "--json"]) == 0
    said = document(capsys)
    assert (said["jobs"][0]["known"], said["run"]) == ("measured", 0.115)


def steps_of_30_minutes() -> list[tuple[str, dict[str, Any]]]:
    step = {
        "StepName": "Prepare",
        "StepStatus": "Succeeded",
        "StartTime": NOW,
        "EndTime": NOW.replace(minute=30),
    }
    return [
        ("describe_pipeline_execution", {"PipelineExecutionStatus": "Succeeded"}),
        ("list_pipeline_execution_steps", {"PipelineExecutionSteps": [step]}),
    ]


def up(aws: Stubber, *variants: dict[str, Any], **more: Any) -> None:
    """The endpoint "engagement" with these variants, of which three instances each are up."""
    endpoint = {
        "EndpointName": "engagement",
        "EndpointArn": f"{ARN}endpoint/engagement",
        "EndpointConfigName": "c",
        "EndpointStatus": "InService",
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        "ProductionVariants": [
            {"VariantName": each["VariantName"], "CurrentInstanceCount": 3} for each in variants
        ],
        **more,
    }
    config = {
        "EndpointConfigName": "c",
        "EndpointConfigArn": f"{ARN}endpoint-config/c",
        "CreationTime": NOW,
        "ProductionVariants": [{"ModelName": "m", **each} for each in variants],
    }
    model = {"ModelName": "m", "CreationTime": NOW, "ModelArn": f"{ARN}model/m"}
    aws.add_response("describe_endpoint", endpoint, {"EndpointName": "engagement"})
    aws.add_response("describe_endpoint_config", config)
    for _ in variants:
        aws.add_response("describe_model", model)
    aws.add_response("describe_endpoint", endpoint)
    aws.add_response("describe_endpoint_config", config)


INSTANCES = {"VariantName": "A", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


def test_an_endpoint_costs_the_instances_that_are_up_now(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    up(aws, INSTANCES, DataCaptureConfig=CAPTURE)
    words = ["--requests-per-month", "1e6", "--payload-kb", "3", "--json"]
    assert cost.main(["endpoint", *words]) == 0
    said = document(capsys)
    assert (said["hour"], said["month"]) == (pytest.approx(0.345), pytest.approx(251.85))
    gb = 0.5e6 * (2 * 3 * 4 / 3 + 0.5) / 1024**2
    assert said["capture"] == {
        "sampling_percent": 50,
        "gb": pytest.approx(gb),
        "month": pytest.approx(gb * 0.023),
    }


def test_a_serverless_variant_costs_nothing_by_the_hour_and_says_what_a_second_costs(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    serverless = {"MemorySizeInMB": 6144, "MaxConcurrency": 5, "ProvisionedConcurrency": 1}
    up(aws, {"VariantName": "A", "ServerlessConfig": serverless})
    assert cost.main(["endpoint", "--requests-per-month", "1"]) == 0
    said = capsys.readouterr().out
    assert "0.0001200 USD for each second that it works, and its provisioned concurrency" in said
    assert "Together 0.0000 USD an hour" in said


def test_the_load_of_the_last_day_is_taken_for_a_months(
    aws: Stubber, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    up(aws, INSTANCES, DataCaptureConfig=CAPTURE)
    cloudwatch = boto3.client("cloudwatch", region_name="us-east-1", **KEYS)
    monkeypatch.setattr(settings, "client", lambda *_: cloudwatch)
    asked = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocations",
        "Dimensions": [
            {"Name": "EndpointName", "Value": "engagement"},
            {"Name": "VariantName", "Value": "A"},
        ],
        "StartTime": ANY,
        "EndTime": ANY,
        "Period": 86400,
        "Statistics": ["Sum"],
    }
    with Stubber(cloudwatch) as metrics:
        points = [{"Timestamp": NOW, "Sum": 60.0}, {"Timestamp": NOW, "Sum": 40.0}]
        metrics.add_response("get_metric_statistics", {"Datapoints": points}, asked)
        assert cost.main(["endpoint", "--json"]) == 0
    assert document(capsys)["requests_per_month"] == 3000


def test_an_endpoint_that_is_not_there_costs_nothing(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.add_client_error("describe_endpoint", "ValidationException", "Could not find endpoint")
    assert cost.main(["endpoint", "--name", "gone"]) == 1
    assert "There is no endpoint gone" in capsys.readouterr().err
