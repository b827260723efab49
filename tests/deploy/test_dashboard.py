"""`python -m deploy.dashboard`: alarms, topic and dashboard of an endpoint that really serves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy import dashboard, rules, watch
from deploy.watch import Limits, Watched
from pipelines.settings import Settings
from tests.deploy import real
from tests.local_sagemaker import hosting
from tests.local_sagemaker.conftest import Local, new_client

s3_endpoint, s3, bucket, start = real.s3_endpoint, real.s3, real.bucket, real.start
local, sagemaker, here = real.local, real.sagemaker, real.here

NAME = "e"
LIMITS = Limits(p50_ms=500, p99_ms=2000, error_percent=5, client_errors=50, drift=0.1)
TOPIC = "arn:aws:sns:us-east-1:000000000000:e-alerts"
DRIFT = {
    "MetricName": "feature_baseline_drift_age",
    "Dimensions": [
        {"Name": "Endpoint", "Value": NAME},
        {"Name": "MonitoringSchedule", "Value": "hourly"},
    ],
}

Client = Callable[[str], Any]


@pytest.fixture
def client(s3_endpoint: str) -> Iterator[Client]:
    made: list[Any] = []

    def make(service: str) -> Any:
        made.append(new_client(service, s3_endpoint))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def endpoint(local: Local, sagemaker: Any, here: Settings) -> Iterator[None]:
    hosting.deploy(local, sagemaker, name=NAME)
    yield
    assert run("remove") == 0


def run(*words: str) -> int:
    return dashboard.main([*words, "--name", NAME])


def changes(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    capsys.readouterr()
    assert run(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)["parts"]
    return {f"{each['kind']} {each['name']}": each["change"] for each in found}


def watched(**changed: Any) -> Watched:
    facts: dict[str, Any] = {
        "endpoint": NAME,
        "region": "us-east-1",
        "variants": ["A", "B"],
        "serverless": False,
        "expressions": True,
        "topic": TOPIC,
        "drift": [],
        "custom": [],
    }
    return Watched(**facts | changed)


def named(alarms: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(each for each in alarms if each["AlarmName"] == name)


def test_latencies_are_watched_in_microseconds_of_each_variant() -> None:
    found = watch.alarms(watched(), LIMITS)
    for variant in ("A", "B"):
        p99 = named(found, f"e-{variant}-latency-p99")
        assert (p99["MetricName"], p99["ExtendedStatistic"]) == ("ModelLatency", "p99")
        assert p99["Threshold"] == 2_000_000
        assert {"Name": "VariantName", "Value": variant} in p99["Dimensions"]
    assert named(found, "e-A-latency-p50")["Threshold"] == 500_000


def test_the_error_rate_is_errors_by_invocations_where_there_is_metric_math() -> None:
    alarm = named(watch.alarms(watched(), LIMITS), "e-A-error-rate")
    rate, errors, invocations = alarm["Metrics"]
    assert rate["Expression"] == "100 * errors / invocations"
    assert (alarm["Threshold"], "MetricName" in alarm) == (5, False)
    assert errors["MetricStat"]["Metric"]["MetricName"] == "Invocation5XXErrors"
    assert invocations["MetricStat"]["Metric"]["MetricName"] == "Invocations"
    assert not errors["ReturnData"]


def test_without_metric_math_it_is_the_average_of_0_and_1() -> None:
    alarm = named(watch.alarms(watched(expressions=False), LIMITS), "e-A-error-rate")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("Invocation5XXErrors", "Average")
    assert alarm["Threshold"] == 0.05


@pytest.mark.parametrize("serverless", [False, True])
@pytest.mark.parametrize("expressions", [False, True])
def test_no_alarm_breaks_a_rule(serverless: bool, expressions: bool) -> None:
    for each in watch.alarms(watched(serverless=serverless, expressions=expressions), LIMITS):
        assert rules.broken([rules.Request("cloudwatch", "put_metric_alarm", each)]) == []


def test_a_serverless_variant_is_watched_for_throttling() -> None:
    names = {each["AlarmName"] for each in watch.alarms(watched(serverless=True), LIMITS)}
    assert {"e-A-throttling", "e-B-throttling"} <= names


def test_a_feature_that_is_compared_has_an_alarm_and_a_place_on_the_dashboard() -> None:
    found = watched(drift=[DRIFT])
    alarm = named(watch.alarms(found, LIMITS), "e-drift-age")
    assert (alarm["Namespace"], alarm["Period"]) == (watch.DRIFT, 3600)
    assert alarm["Dimensions"] == DRIFT["Dimensions"]
    titles = [each["properties"]["title"] for each in watch.dashboard(found, LIMITS, [])["widgets"]]
    assert "Drift of the features from their baselines" in titles


def test_everything_is_made_once_and_shown(
    endpoint: None, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    first = changes(capsys, "apply", "--email", "ada@example.com")
    assert first.pop("e-mail ada@example.com") == "asked to confirm"
    assert set(first.values()) == {"created"}
    assert set(changes(capsys, "apply", "--email", "ada@example.com").values()) == {"unchanged"}
    assert run("apply", "--email", "ada@example.com", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["requests"] == []
    assert run("show", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["dashboard"]
    assert shown["emails"] == ["ada@example.com"]
    assert {each["name"] for each in shown["alarms"]} == {
        f"e-AllTraffic-{each}" for each in ("latency-p50", "latency-p99", "error-rate", "4xx")
    }
    body = client("cloudwatch").get_dashboard(DashboardName=NAME)["DashboardBody"]
    titles = [each["properties"]["title"] for each in json.loads(body)["widgets"]]
    assert {"Invocations by variant", "Model latency, microseconds"} <= set(titles)


def test_the_names_are_said_for_rollbacks_and_that_there_is_no_metric_math(
    endpoint: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("apply") == 0
    out = capsys.readouterr().out
    assert "For rollbacks: e-AllTraffic-latency-p50 e-AllTraffic-latency-p99 " in out
    assert "This CloudWatch has no metric math" in out


def test_an_alarm_rings_when_requests_fail(
    endpoint: None, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("apply", "--client-errors", "1") == 0
    datum = {
        "MetricName": "Invocation4XXErrors",
        "Dimensions": [
            {"Name": "EndpointName", "Value": NAME},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        "Timestamp": datetime.now(UTC),
        "Value": 2.0,
    }
    cloudwatch = client("cloudwatch")
    cloudwatch.put_metric_data(Namespace=watch.NAMESPACE, MetricData=[datum])
    found = cloudwatch.describe_alarms(AlarmNames=["e-AllTraffic-4xx"])["MetricAlarms"]
    capsys.readouterr()
    assert run("show") == 0
    assert found[0]["StateValue"] == "ALARM"
    assert "ALARM" in capsys.readouterr().out


def test_another_threshold_changes_that_alarm_alone_and_the_dashboard(
    endpoint: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("apply") == 0
    found = changes(capsys, "apply", "--p99-ms", "100")
    changed = {name for name, change in found.items() if change == "updated"}
    assert changed == {"alarm e-AllTraffic-latency-p99", "dashboard e"}


def test_alarms_of_a_variant_that_is_gone_go_too_and_others_stay(
    endpoint: None, client: Client, local: Local, sagemaker: Any, capsys: Any
) -> None:
    assert run("apply") == 0
    foreign = {"AlarmName": "e-mine", "Namespace": "N", "MetricName": "M", "Statistic": "Sum"}
    more = {"Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0}
    operator = "GreaterThanThreshold"
    cloudwatch = client("cloudwatch")
    cloudwatch.put_metric_alarm(**foreign, **more, ComparisonOperator=operator)
    hosting.create_config(sagemaker, "e-2", hosting.variant("one", "Other"))
    sagemaker.update_endpoint(EndpointName=NAME, EndpointConfigName="e-2")
    local.until("endpoint", NAME, "InService")
    found = changes(capsys, "apply")
    assert found["alarm e-AllTraffic-4xx"] == "removed"
    assert found["alarm e-Other-4xx"] == "created"
    assert "alarm e-mine" not in found
    assert run("remove") == 0
    left = cloudwatch.describe_alarms(AlarmNamePrefix="e-")["MetricAlarms"]
    assert [each["AlarmName"] for each in left] == ["e-mine"]
    cloudwatch.delete_alarms(AlarmNames=["e-mine"])


def test_drift_and_custom_metrics_are_found(
    endpoint: None, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudwatch = client("cloudwatch")
    cloudwatch.put_metric_data(Namespace=watch.DRIFT, MetricData=[{**DRIFT, "Value": 0.3}])
    custom = {"MetricName": "InferenceLatency", "Value": 12.0, "Unit": "Milliseconds"}
    cloudwatch.put_metric_data(Namespace=watch.CUSTOM, MetricData=[custom])
    assert changes(capsys, "apply")["alarm e-drift-age"] == "created"
    body = cloudwatch.get_dashboard(DashboardName=NAME)["DashboardBody"]
    assert "MLInference InferenceLatency" in body


def test_a_dry_run_sends_nothing_and_removing_twice_is_no_error(
    endpoint: None, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    found = changes(capsys, "apply", "--dry-run", "--email", "ada@example.com")
    assert found["dashboard e"] == "created"
    assert client("cloudwatch").describe_alarms(AlarmNamePrefix="e-A")["MetricAlarms"] == []
    assert run("remove") == 0
    assert "Nothing was there." in capsys.readouterr().out


def test_a_threshold_that_is_surely_meant_in_another_unit_is_refused(
    endpoint: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("apply", "--p99-ms", "2") == 2
    assert "ModelLatency is in microseconds" in capsys.readouterr().err


def test_without_an_endpoint_it_says_how_to_get_one(
    here: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("apply") == 1
    assert "There is no endpoint e; first `python -m deploy.endpoint" in capsys.readouterr().err
