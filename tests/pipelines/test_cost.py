"""What a run costs: which steps are paid, for how long, and when the budget says no."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipelines import cost, prices
from pipelines.prices import CostError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXECUTION = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/telco/execution/{}"
TABLE = prices.load()


def get(name: str) -> dict[str, str]:
    return {"Get": f"Parameters.{name}"}


def processing(name: str, count: Any = 1) -> dict[str, Any]:
    cluster = {"InstanceType": get("Type"), "InstanceCount": count}
    arguments = {"ProcessingResources": {"ClusterConfig": cluster}}
    return {"Name": name, "Type": "Processing", "Arguments": arguments}


def resources(name: str, kind: str, member: str, **more: Any) -> dict[str, Any]:
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 2}
    return {"Name": name, "Type": kind, "Arguments": {member: cluster, **more}}


CONFIG = {
    "Name": "Config",
    "Type": "EndpointConfig",
    "Arguments": {
        "ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}],
        "ShadowProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}],
    },
}
TUNING = {
    "Name": "Tune",
    "Type": "Tuning",
    "Arguments": {
        "HyperParameterTuningJobConfig": {
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 10, "MaxParallelTrainingJobs": 2}
        },
        "TrainingJobDefinition": resources("", "", "ResourceConfig")["Arguments"],
    },
}


def told(*steps: dict[str, Any], **more: Any) -> cost.RunCost:
    definition = {
        "Parameters": [{"Name": "Type", "Type": "String", "DefaultValue": "ml.m5.xlarge"}],
        "Steps": list(steps),
    }
    options = {"chosen": {}, "prices": TABLE, "measured": {}, **more}
    return cost.estimate(json.dumps(definition), **options)


def test_every_branch_is_paid_and_what_runs_no_machine_is_not() -> None:
    branch = {"IfSteps": [processing("Package"), CONFIG], "ElseSteps": [processing("Other")]}
    found = told(
        processing("Prepare"),
        {"Name": "Gates", "Type": "Condition", "Arguments": branch},
        {"Name": "Endpoint", "Type": "Endpoint", "Arguments": {}},
    )
    assert [job.step for job in found.jobs] == ["Prepare", "Package", "Other"]
    assert found.run == pytest.approx(3 * 0.23 * 5 / 60)
    assert found.endpoint_month == pytest.approx(3 * 0.115 * 730)
    assert found.total == found.run + found.endpoint_month
    assert found.untold == ()


def test_a_parameter_of_this_run_is_what_is_paid() -> None:
    chosen = {"Type": "ml.c5.xlarge"}
    assert told(processing("Prepare", 3), chosen=chosen, assumed=60).run == pytest.approx(0.612)


def test_given_minutes_go_before_measured_ones_before_assumed_ones() -> None:
    steps = [processing(name) for name in ("A", "B", "C")]
    found = told(*steps, given={"A": 1}, measured={"A": 2, "B": 2}, assumed=3)
    assert [(j.minutes, j.known) for j in found.jobs] == [
        (1, "given"),
        (2, "measured"),
        (3, "assumed"),
    ]


@pytest.mark.parametrize(
    ("step", "instances"),
    [
        (resources("Train", "Training", "ResourceConfig"), 2),
        (resources("Score", "Transform", "TransformResources"), 2),
        (TUNING, 20),
    ],
)
def test_each_kind_of_job_is_paid_on_its_instances(step: dict[str, Any], instances: int) -> None:
    found = told(step, assumed=60)
    assert found.run == pytest.approx(0.115 * instances)


def test_a_measured_tuning_step_is_paid_for_the_jobs_that_go_on_at_once() -> None:
    assert told(TUNING, measured={"Tune": 60}).run == pytest.approx(0.115 * 2 * 2)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"Name": "Ask", "Type": "Lambda", "Arguments": {}}, "Ask: a Lambda step has no price"),
        (processing("A", {"Get": "Steps.B.Count"}), "A: its InstanceCount is known only when"),
        ({"Name": "T", "Type": "Training"}, "T: its InstanceType is known only when"),
        (
            {
                "Name": "C",
                "Type": "EndpointConfig",
                "Arguments": {"ProductionVariants": [{"ServerlessConfig": {}}]},
            },
            "C: a serverless variant is paid by request",
        ),
    ],
)
def test_what_cannot_be_told_is_named(step: dict[str, Any], why: str) -> None:
    found = told(step)
    assert found.untold[0].startswith(why)
    assert f"not counted: {why}" in found.text()


def test_minutes_of_a_step_that_is_not_there_are_bad_usage() -> None:
    with pytest.raises(CostError, match="--minutes B: there is no such step; allowed: A"):
        told(processing("A"), given={"B": 1})


def test_a_budget_is_kept_with_the_table_as_the_reason() -> None:
    found = told(processing("Prepare"), CONFIG)
    cost.check_budget(found, found.total)
    with pytest.raises(CostError, match=r"above the budget of 10\.00 USD") as caught:
        cost.check_budget(found, 10)
    assert caught.value.exit_code == 1
    assert "Prepare                    ml.m5.xlarge       1        5.0" in str(caught.value)


@pytest.fixture
def aws() -> Iterator[Stubber]:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("sagemaker", region_name="us-east-1", **keys)
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def ran(aws: Stubber, minutes: dict[str, int], **more: Any) -> None:
    steps = [
        {
            "StepName": name,
            "StepStatus": "Succeeded",
            "StartTime": NOW,
            "EndTime": NOW + timedelta(minutes=count),
            **more,
        }
        for name, count in minutes.items()
    ]
    aws.add_response("describe_pipeline_execution", {"PipelineExecutionStatus": "Succeeded"})
    aws.add_response("list_pipeline_execution_steps", {"PipelineExecutionSteps": steps})


def listed(aws: Stubber, count: int) -> None:
    summaries = [{"PipelineExecutionArn": EXECUTION.format("a" * 12)}] * count
    aws.add_response("list_pipeline_executions", {"PipelineExecutionSummaries": summaries})


def test_each_step_is_measured_in_the_newest_execution_that_ran_it(aws: Stubber) -> None:
    listed(aws, 3)
    reused = {"CacheHitResult": {"SourcePipelineExecutionArn": EXECUTION.format("b" * 12)}}
    ran(aws, {"Prepare": 0}, **reused)
    ran(aws, {"Prepare": 3})
    ran(aws, {"Prepare": 9, "Train": 7})
    assert cost.measured(aws.client, "telco") == {"Prepare": 3.0, "Train": 7.0}


def test_a_failed_step_measures_nothing(aws: Stubber) -> None:
    listed(aws, 1)
    ran(aws, {"Prepare": 3}, StepStatus="Failed")
    assert cost.measured(aws.client, "telco") == {}


def test_a_pipeline_that_is_not_there_yet_was_never_measured(aws: Stubber) -> None:
    aws.add_client_error("list_pipeline_executions", "ResourceNotFound", "no such pipeline")
    assert cost.measured(aws.client, "telco") == {}
