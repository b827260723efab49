"""What invocations measure: in memory at once, in CloudWatch a little later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.engine import host_metrics, measures, publishing
from tests.local_sagemaker.conftest import Local, new_client
from tests.local_sagemaker.hosting import ADDER, ask, create_model, deploy, variant


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(host_metrics, "INTERVAL_SECONDS", 0.2)


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


def statistics(
    cloudwatch: Any, metric: str, namespace: str = "AWS/SageMaker", **dimensions: str
) -> dict[str, float]:
    """Of the last minutes, all together; {} while there is nothing."""
    now = datetime.now(UTC)
    found = cloudwatch.get_metric_statistics(
        Namespace=namespace,
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


def put_alarm(cloudwatch: Any, name: str, endpoint: str, threshold: float) -> Callable[[], str]:
    """An alarm on the errors of an endpoint; what tells its state."""
    of = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": key, "Value": value} for key, value in of.items()],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=threshold,
        ComparisonOperator="GreaterThanThreshold",
    )

    def state() -> str:
        [found] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(found["StateValue"])

    return state


def test_an_alarm_on_errors_goes_off_after_failing_requests_and_no_other_does(
    local: Local, runtime: Any, endpoint: str, cloudwatch: Any
) -> None:
    state = put_alarm(cloudwatch, f"errors-{endpoint}", endpoint, 0)
    more = put_alarm(cloudwatch, f"more-errors-{endpoint}", endpoint, 1)
    other = put_alarm(cloudwatch, f"other-{endpoint}", f"other-{endpoint}", 0)
    ask(runtime, name=endpoint)
    local.until_true(lambda: state() == "OK", timeout=5)
    fail(runtime, endpoint)
    local.until_true(lambda: state() == "ALARM", timeout=5)
    assert (more(), other()) == ("OK", "INSUFFICIENT_DATA")


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


def test_every_instance_tells_what_it_uses(
    local: Local, runtime: Any, endpoint: str, cloudwatch: Any
) -> None:
    of = {"EndpointName": endpoint, "VariantName": "AllTraffic"}

    def found(metric: str) -> dict[str, float]:
        return statistics(cloudwatch, metric, host_metrics.NAMESPACE, **of)

    def is_busy() -> bool:
        ask(runtime, name=endpoint)
        return found("CPUUtilization").get("Sum", 0) > 0

    local.until_true(is_busy)
    for metric in ("MemoryUtilization", "DiskUtilization"):
        assert 0 < found(metric)["Average"] < 100
        assert found(metric)["Unit"] == "Percent"


@pytest.fixture
def logs(s3_endpoint: str) -> Iterator[Any]:
    client = new_client("logs", s3_endpoint)
    yield client
    client.close()


def test_the_log_of_an_instance_is_in_the_endpoints_log_group(
    local: Local, sagemaker: Any, logs: Any
) -> None:
    name = f"e-{local.bucket}"
    code = ADDER.replace(
        'if body == "pid"', 'print("asked", body, flush=True)\n    if body == "pid"'
    )
    deploy(local, sagemaker, variant(create_model(local, sagemaker, code=code)), name=name)
    ask(local.client("sagemaker-runtime"), "1,2", name)
    group = f"/aws/sagemaker/Endpoints/{name}"

    def messages() -> list[str]:
        try:
            found = logs.filter_log_events(logGroupName=group)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [each["message"] for each in found]

    local.until_true(lambda: "asked 1,2" in messages(), timeout=15)
    [stream] = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"].startswith("AllTraffic/AllTraffic-1-")
