"""What invocations measure: in memory at once, in CloudWatch a little later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.engine import measures, publishing
from tests.local_sagemaker.conftest import Local, new_client
from tests.local_sagemaker.hosting import ask, create_model, deploy, variant


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "INTERVAL_SECONDS", 0.05)


@pytest.fixture
def cloudwatch(s3_endpoint: str) -> Iterator[Any]:
    client = new_client("cloudwatch", s3_endpoint)
    yield client
    client.close()


@pytest.fixture
def endpoint(local: Local, sagemaker: Any) -> str:
    """One with two instances, of a name that no other test has."""
    name = f"e-{local.bucket}"
    model = create_model(local, sagemaker)
    deploy(local, sagemaker, variant(model, InitialInstanceCount=2), name=name)
    return name


@pytest.fixture
def runtime(local: Local, endpoint: str) -> Any:
    return local.client("sagemaker-runtime")


def fail(runtime: Any, name: str, body: str = "raise") -> None:
    with pytest.raises(ClientError):
        ask(runtime, body, name)


def total(local: Local, name: str, metric: str, variant: str = "AllTraffic") -> tuple[float, int]:
    """The sum and the number of the values in memory."""
    now = time.time()
    found = measures.of(local.plane).minutes(name, variant, metric, now - 300, now + 60)
    return sum(each.total for each in found), sum(each.count for each in found)


def statistics(cloudwatch: Any, metric: str, **dimensions: str) -> dict[str, float]:
    """Of the last minutes, all together; {} while there is nothing."""
    now = datetime.now(UTC)
    found = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=10),
        Period=3600,
        Statistics=["Sum", "Average", "SampleCount"],
        ExtendedStatistics=["p99"],
    )["Datapoints"]
    return {} if not found else {**found[0], **found[0].get("ExtendedStatistics", {})}


def test_every_request_counts_once_and_for_its_part_of_an_instance(
    local: Local, runtime: Any, endpoint: str
) -> None:
    for _ in range(3):
        ask(runtime, name=endpoint)
    assert total(local, endpoint, "Invocations") == (3, 3)
    assert total(local, endpoint, "InvocationsPerInstance") == (1.5, 3)
    assert total(local, endpoint, "Invocation5XXErrors") == (0, 3)
    assert total(local, endpoint, "InvocationModelErrors") == (0, 3)


def test_an_error_of_the_model_is_one_of_the_server_and_of_the_model(
    local: Local, runtime: Any, endpoint: str
) -> None:
    fail(runtime, endpoint)
    ask(runtime, name=endpoint)
    for metric in ("Invocation5XXErrors", "InvocationModelErrors"):
        assert total(local, endpoint, metric) == (1, 2)
    assert total(local, endpoint, "Invocation4XXErrors") == (0, 2)


def test_what_was_refused_as_wrong_is_no_invocation(
    local: Local, runtime: Any, endpoint: str
) -> None:
    for wrong in ({"TargetVariant": "none"}, {"TargetContainerHostname": "none"}):
        with pytest.raises(ClientError, match="ValidationError"):
            ask(runtime, name=endpoint, **wrong)
    assert total(local, endpoint, "Invocations") == (0, 0)


def test_cloudwatch_has_sum_average_and_percentile_under_awss_names(
    local: Local, runtime: Any, endpoint: str, cloudwatch: Any
) -> None:
    for _ in range(9):
        ask(runtime, name=endpoint)
    fail(runtime, endpoint)
    of = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    local.until_true(
        lambda: statistics(cloudwatch, "Invocations", **of).get("Sum") == 10, timeout=5
    )
    assert statistics(cloudwatch, "Invocation5XXErrors", **of)["Average"] == pytest.approx(0.1)
    latency = statistics(cloudwatch, "ModelLatency", **of)
    assert latency["Unit"] == "Microseconds"
    assert latency["Sum"] == total(local, endpoint, "ModelLatency")[0]
    assert latency["Average"] < latency["p99"] < latency["Sum"]
    assert statistics(cloudwatch, "OverheadLatency", **of)["SampleCount"] == 10
    config = statistics(cloudwatch, "Invocations", **of, EndpointConfigName=f"{endpoint}-1")
    assert config["Sum"] == 10


def test_an_alarm_on_errors_goes_off_after_failing_requests(
    local: Local, runtime: Any, endpoint: str, cloudwatch: Any
) -> None:
    of = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    name = f"errors-{endpoint}"
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": key, "Value": value} for key, value in of.items()],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )

    def state() -> str:
        [found] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(found["StateValue"])

    fail(runtime, endpoint)
    local.until_true(lambda: state() == "ALARM", timeout=5)


def test_what_was_not_sent_yet_is_sent_when_the_server_ends(
    local: Local, runtime: Any, endpoint: str, cloudwatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = publishing.of(local.plane)
    monkeypatch.setattr(publisher._flusher, "_seconds", 3600)
    ask(runtime, name=endpoint)
    publisher.close()
    of = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    assert statistics(cloudwatch, "Invocations", **of)["Sum"] == 1


def test_a_call_carries_no_more_values_than_cloudwatch_takes() -> None:
    dimensions = ((("EndpointName", "e"),),)
    notes = [("n", dimensions, 60.0 + i / 1000, {"ModelLatency": i % 400}) for i in range(800)]
    [(namespace, datums)] = publishing.calls(notes)
    assert namespace == "n"
    assert [len(each["Values"]) for each in datums] == [150, 150, 100]
    assert all(count == 2 for each in datums for count in each["Counts"])
    assert {each["Timestamp"] for each in datums} == {60.799}


def test_what_cloudwatch_cannot_be_told_is_kept_and_told_later(
    local: Local, runtime: Any, endpoint: str, cloudwatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(publishing.Publisher, "_send", unreachable)
        ask(runtime, name=endpoint)
        local.until_true(lambda: bool(publishing.of(local.plane)._unsent), timeout=5)
    of = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    local.until_true(lambda: statistics(cloudwatch, "Invocations", **of) != {}, timeout=5)
    assert publishing.of(local.plane).lost == 0


def unreachable(*_: Any) -> None:
    raise ConnectionRefusedError("nobody there")


def test_a_request_does_not_fail_by_what_is_kept_of_it(
    runtime: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(measures.Measures, "add", unreachable)
    assert ask(runtime, name=endpoint) == "one 3.0"
    assert "an invocation was not accounted for" in caplog.text
