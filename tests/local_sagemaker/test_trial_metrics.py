"""Metrics of trial components, through boto3's sagemaker-metrics."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.config import client_environment
from tests.local_sagemaker import pipelining, training


@pytest.fixture
def metrics(local: Any) -> Any:
    return local.client("sagemaker-metrics")


@pytest.fixture
def component(sagemaker: Any) -> str:
    return str(sagemaker.create_trial_component(TrialComponentName="fit")["TrialComponentArn"])


def put(metrics: Any, *values: float, name: str = "loss", component: str = "fit") -> Any:
    """Values at steps 0, 1, ..., half a minute apart."""
    data = [
        {
            "MetricName": name,
            "Timestamp": datetime.fromtimestamp(1_699_999_980 + 30 * step, UTC),
            "Step": step,
            "Value": value,
        }
        for step, value in enumerate(values)
    ]
    return metrics.batch_put_metrics(TrialComponentName=component, MetricData=data)


def read(metrics: Any, arn: str, **changes: Any) -> Any:
    query = {
        "MetricName": "loss",
        "ResourceArn": arn,
        "MetricStat": "Max",
        "Period": "OneMinute",
        "XAxisType": "Timestamp",
    }
    answer = metrics.batch_get_metrics(MetricQueries=[query | changes])
    (result,) = answer["MetricQueryResults"]
    return result


def test_what_was_put_is_shown_by_the_component(
    sagemaker: Any, metrics: Any, component: str
) -> None:
    assert "Errors" not in put(metrics, 4.0, 1.0, 1.0)
    put(metrics, 9.0, name="other")
    found = sagemaker.describe_trial_component(TrialComponentName="fit")["Metrics"]
    loss = {each["MetricName"]: each for each in found}["loss"]
    shown = [loss[each] for each in ("Min", "Max", "Last", "Avg", "Count", "SourceArn")]
    assert shown == [1.0, 4.0, 1.0, 2.0, 3, component]
    assert loss["StdDev"] == pytest.approx(2**0.5)
    assert loss["TimeStamp"] == datetime.fromtimestamp(1_700_000_040, UTC)


@pytest.mark.parametrize(
    ("changes", "axis", "values"),
    [
        ({}, [1_699_999_980, 1_700_000_040], [4.0, 3.0]),
        ({"MetricStat": "Count"}, [1_699_999_980, 1_700_000_040], [2.0, 1.0]),
        ({"Period": "OneHour", "MetricStat": "Min"}, [1_699_999_200], [1.0]),
        ({"Period": "OneHour", "MetricStat": "Last"}, [1_699_999_200], [3.0]),
        ({"Start": 1_700_000_000, "MetricStat": "Min"}, [1_699_999_980, 1_700_000_040], [1.0, 3.0]),
        ({"End": 1_700_000_039}, [1_699_999_980], [4.0]),
        ({"Period": "IterationNumber", "XAxisType": "IterationNumber"}, [0, 1, 2], [4.0, 1.0, 3.0]),
        (
            {"Period": "IterationNumber", "XAxisType": "IterationNumber", "Start": 1, "End": 1},
            [1],
            [1.0],
        ),
        ({"MetricName": "none"}, [], []),
    ],
)
def test_values_are_read_by_time_and_by_step(
    metrics: Any, component: str, changes: dict[str, Any], axis: list[int], values: list[float]
) -> None:
    put(metrics, 4.0, 1.0, 3.0)
    found = read(metrics, component, **changes)
    assert found["Status"] == "Complete", found
    assert (found["XAxisValues"], found["MetricValues"]) == (axis, values)


def test_a_query_that_cannot_be_answered_says_why(metrics: Any, component: str) -> None:
    found = read(metrics, component, Period="IterationNumber")
    assert found["Status"] == "ValidationError"
    assert "IterationNumber" in found["Message"]
    found = read(metrics, f"{component}x")
    assert (found["Status"], "no trial component" in found["Message"]) == ("ValidationError", True)


def test_what_is_no_number_is_named_by_its_index(
    local: Any, sagemaker: Any, component: str
) -> None:
    point = {"MetricName": "loss", "Timestamp": 1, "Value": 1}
    wrong = ({"Value": 2e400}, {"Timestamp": 2e400}, {"Step": 1 << 70})
    values = [point, *({**point, **each} for each in wrong), point]
    body = json.dumps({"TrialComponentName": "fit", "MetricData": values})
    connection = http.client.HTTPConnection(local.url.removeprefix("http://"))
    connection.request("PUT", "/BatchPutMetrics", body)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert answer["Errors"] == [
        {"Code": "VALIDATION_ERROR", "MetricIndex": index} for index in (1, 2, 3)
    ]
    (metric,) = sagemaker.describe_trial_component(TrialComponentName="fit")["Metrics"]
    assert metric["Count"] == 2


def test_an_unknown_component_and_a_malformed_request_are_refused(metrics: Any) -> None:
    with pytest.raises(ClientError) as caught:
        put(metrics, 1.0, component="none")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFound"
    with pytest.raises(ClientError) as caught:
        put(metrics, 1.0, component="UPPER")
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "trialComponentName" in caught.value.response["Error"]["Message"]


def test_metrics_go_with_their_component(sagemaker: Any, metrics: Any, component: str) -> None:
    put(metrics, 1.0)
    sagemaker.delete_trial_component(TrialComponentName="fit")
    sagemaker.create_trial_component(TrialComponentName="fit")
    assert sagemaker.describe_trial_component(TrialComponentName="fit")["Metrics"] == []


def test_a_job_may_put_metrics_of_its_own(local: Any, sagemaker: Any, metrics: Any) -> None:
    script = """
import boto3
point = {"MetricName": "auc", "Timestamp": 1700000000, "Step": 1, "Value": 0.75}
boto3.client("sagemaker-metrics").batch_put_metrics(
    TrialComponentName="count-aws-processing-job", MetricData=[point])
"""
    inputs = pipelining.reads(local.put("code/put.py", script), "code")
    step = pipelining.processing(
        "count", "python3 /opt/ml/processing/code/put.py", arguments=inputs
    )["Arguments"]
    sagemaker.create_processing_job(ProcessingJobName="count", **step)
    row = local.until("processing-job", "count")
    assert row["ProcessingJobStatus"] == "Completed", row
    found = sagemaker.describe_trial_component(TrialComponentName="count-aws-processing-job")
    (metric,) = found["Metrics"]
    assert (metric["Last"], metric["SourceArn"]) == (0.75, row["ProcessingJobArn"])
    answer = read(
        metrics,
        row["ProcessingJobArn"],
        MetricName="auc",
        Period="IterationNumber",
        XAxisType="IterationNumber",
    )
    assert answer["MetricValues"] == [0.75]


def test_metrics_of_a_log_have_figures_and_no_single_values(
    local: Any, sagemaker: Any, metrics: Any
) -> None:
    request = training.request(local, {"num_round": "2", "objective": "reg:squarederror"})
    sagemaker.create_training_job(**request)
    arn = local.until("training-job", "job")["TrainingJobArn"]
    found = read(metrics, arn, MetricName="train:rmse")
    assert found["Status"] == "ValidationError"
    assert "DescribeTrialComponent" in found["Message"]


def test_env_says_where_the_metrics_go(local: Any) -> None:
    variables = client_environment(local.plane.config)
    assert variables["AWS_ENDPOINT_URL_SAGEMAKER_METRICS"] == local.url
