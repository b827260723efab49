"""Deployment guardrails through boto3: shares, statuses, alarms and ways back, and no request is
dropped.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.clock import FakeClock
from tests.local_sagemaker.hosting import ask, create_config, create_model, servers, variant
from tests.local_sagemaker.rollouts import (
    BROKEN,
    Load,
    blue_green,
    guarded,
    instances,
    pending,
    rolling,
    set_alarm,
    shares,
    sized,
    two_versions,
    until_says,
    update,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def local(start: Callable[..., Any], tmp_path: Path, clock: FakeClock) -> Any:
    """A server whose bakes end when the test says so."""
    return start(tmp_path / "home", slots=2, clock=clock)


@pytest.fixture
def runtime(local: Any) -> Any:
    return local.client("sagemaker-runtime")


@pytest.fixture
def alarm(local: Any) -> str:
    """An alarm of this test's own, in state OK."""
    name = f"errors-{uuid.uuid4().hex[:8]}"
    set_alarm(local, name, "OK")
    return name


def until_over(local: Any) -> Any:
    return local.until("endpoint", "e", "InService", "Failed", "UpdateRollbackFailed")


def test_a_canary_gets_its_share_and_then_everything(
    local: Any, sagemaker: Any, runtime: Any, clock: FakeClock
) -> None:
    two_versions(local, sagemaker)
    config = blue_green("CANARY", 300, 120, CanarySize=instances(1))
    with Load(runtime) as load:
        update(sagemaker, config)
        until_says(
            local,
            sagemaker,
            "Baking for 300 seconds (WaitIntervalInSeconds) with traffic enabled on canary "
            "capacity of 1 instance(s).",
        )
        assert 60 < shares(runtime)["two"] < 140, "half of the traffic is the canary's"
        now = pending(sagemaker)
        assert (now["CurrentInstanceCount"], now["DesiredInstanceCount"]) == (1, 2)
        assert now["VariantStatus"][0]["Status"] == "Baking"
        clock.advance(300)
        until_says(
            local,
            sagemaker,
            "Baking for 120 seconds (TerminationWaitInSeconds) with traffic enabled on full "
            "capacity of 2 instance(s).",
        )
        assert set(shares(runtime, 40)) == {"two"}
        assert len(servers(local)) == 4, "the old fleet is there until the termination wait is over"
        clock.advance(120)
        row = until_over(local)
    assert not load.failures
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", "c2")
    local.until_true(lambda: len(servers(local)) == 2)


def test_while_it_bakes_describe_shows_both_fleets_and_changes_are_refused(
    local: Any, sagemaker: Any, clock: FakeClock
) -> None:
    two_versions(local, sagemaker, count=1)
    config = blue_green("ALL_AT_ONCE", termination=60)
    update(sagemaker, config)
    until_says(local, sagemaker, "Baking for 60 seconds (TerminationWaitInSeconds)")
    found = sagemaker.describe_endpoint(EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Updating", "e-1")
    image = found["ProductionVariants"][0]["DeployedImages"][0]["SpecifiedImage"]
    assert image.endswith("sagemaker-xgboost:3.2-0")
    assert found["PendingDeploymentSummary"]["EndpointConfigName"] == "c2"
    assert found["LastDeploymentConfig"] == config
    busy = 'Cannot update in-progress endpoint "arn:.*endpoint/e"'
    weights = [{"VariantName": "AllTraffic", "DesiredWeight": 2}]
    for change in (
        lambda: update(sagemaker, None),
        lambda: sagemaker.delete_endpoint(EndpointName="e"),
        lambda: sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="e", DesiredWeightsAndCapacities=weights
        ),
    ):
        with pytest.raises(ClientError, match=busy):
            change()
    clock.advance(60)
    until_over(local)
    found = sagemaker.describe_endpoint(EndpointName="e")
    assert "PendingDeploymentSummary" not in found
    assert found["LastDeploymentConfig"] == config


def test_linear_steps_shift_part_by_part(
    local: Any, sagemaker: Any, runtime: Any, clock: FakeClock
) -> None:
    two_versions(local, sagemaker)
    with Load(runtime, threads=1) as load:
        update(sagemaker, blue_green("LINEAR", 60, 30, LinearStepSize=sized(40)))
        until_says(local, sagemaker, "linear step capacity of 1 instance(s).")
        until_says(local, sagemaker, "Baking")
        assert 45 < shares(runtime)["two"] < 115
        clock.advance(60)
        until_says(local, sagemaker, "linear step capacity of 2 instance(s).")
        until_says(local, sagemaker, "Baking")
        assert 125 < shares(runtime)["two"] < 190
        clock.advance(60)
        until_says(local, sagemaker, "Baking for 30 seconds (TerminationWaitInSeconds)")
        assert set(shares(runtime, 40)) == {"two"}
        clock.advance(30)
        assert until_over(local)["EndpointConfigName"] == "c2"
    assert not load.failures


def test_rolling_batches_replace_the_old_fleet(
    local: Any, sagemaker: Any, runtime: Any, clock: FakeClock
) -> None:
    two_versions(local, sagemaker)
    with Load(runtime) as load:
        update(sagemaker, rolling(instances(1), wait=60))
        until_says(local, sagemaker, "Baking for 60 seconds (WaitIntervalInSeconds)")
        assert 60 < shares(runtime)["two"] < 140
        assert len(servers(local)) == 3
        clock.advance(60)
        until_says(local, sagemaker, "full capacity of 2 instance(s).")
        until_says(local, sagemaker, "Baking")
        local.until_true(lambda: len(servers(local)) == 3)
        (old,) = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
        assert old["CurrentInstanceCount"] == 1
        clock.advance(60)
        row = until_over(local)
    assert not load.failures
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", "c2")
    assert set(shares(runtime, 10)) == {"two"}
    local.until_true(lambda: len(servers(local)) == 2)


@pytest.mark.parametrize(
    ("config", "baking"),
    [
        (blue_green("CANARY", 300, 120, CanarySize=instances(1)), "canary capacity of 1"),
        (blue_green("ALL_AT_ONCE", termination=120), "full capacity of 2"),
        (rolling(instances(1), 60, RollbackMaximumBatchSize=instances(1)), "batch capacity of 1"),
    ],
    ids=["canary", "all-at-once", "rolling"],
)
def test_an_alarm_in_the_bake_brings_all_traffic_back_to_the_old_fleet(
    local: Any,
    sagemaker: Any,
    runtime: Any,
    alarm: str,
    clock: FakeClock,
    config: dict[str, Any],
    baking: str,
) -> None:
    two_versions(local, sagemaker)
    with Load(runtime) as load:
        update(sagemaker, config | guarded(alarm))
        until_says(local, sagemaker, baking)
        until_says(local, sagemaker, "Baking")
        set_alarm(local, alarm, "ALARM")
        clock.advance(1)
        row = until_over(local)
    assert not load.failures
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", "e-1")
    assert f"in ALARM: {alarm}" in row["FailureReason"]
    assert set(shares(runtime, 20)) == {"one"}
    assert load.told["two 3.0"], "the new fleet never had traffic"
    local.until_true(lambda: len(servers(local)) == 2)


def test_a_rolling_update_that_is_nearly_over_is_rolled_back_in_its_batches(
    local: Any, sagemaker: Any, runtime: Any, alarm: str, clock: FakeClock
) -> None:
    two_versions(local, sagemaker)
    with Load(runtime) as load:
        config = rolling(instances(1), 60, RollbackMaximumBatchSize=instances(1))
        update(sagemaker, config | guarded(alarm))
        until_says(local, sagemaker, "Baking")
        clock.advance(60)
        until_says(local, sagemaker, "traffic enabled on full capacity")
        set_alarm(local, alarm, "ALARM")
        clock.advance(1)
        row = until_over(local)
    assert not load.failures
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", "e-1")
    (now,) = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
    assert (now["CurrentInstanceCount"], now["DesiredInstanceCount"]) == (2, 2)
    assert set(shares(runtime, 20)) == {"one"}


def test_an_alarm_that_is_on_already_lets_no_request_to_the_new_fleet(
    local: Any, sagemaker: Any, runtime: Any, alarm: str
) -> None:
    two_versions(local, sagemaker, count=1)
    set_alarm(local, alarm, "ALARM")
    with Load(runtime) as load:
        update(sagemaker, blue_green() | guarded(alarm))
        row = until_over(local)
    assert row["EndpointConfigName"] == "e-1"
    assert set(load.told) == {"one 3.0"}


def test_an_alarm_without_data_does_not_trip(local: Any, sagemaker: Any, alarm: str) -> None:
    two_versions(local, sagemaker, count=1)
    set_alarm(local, alarm, "INSUFFICIENT_DATA")
    update(sagemaker, blue_green() | guarded(alarm))
    assert until_over(local)["EndpointConfigName"] == "c2"


def test_an_alarm_that_does_not_exist_is_refused(local: Any, sagemaker: Any) -> None:
    two_versions(local, sagemaker, count=1)
    with pytest.raises(ClientError, match="could not find CloudWatch alarm nobody"):
        update(sagemaker, blue_green() | guarded("nobody"))
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"


def test_a_model_that_does_not_start_is_rolled_back_by_itself(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    two_versions(local, sagemaker, code=BROKEN)
    with Load(runtime, threads=1) as load:
        update(sagemaker, blue_green("CANARY", 300, CanarySize=instances(1)))
        row = until_over(local)
    assert not load.failures
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", "e-1")
    assert "this model is broken" in row["FailureReason"]
    assert set(load.told) == {"one 3.0"}


def test_a_deployment_that_takes_too_long_is_rolled_back(
    local: Any, sagemaker: Any, clock: FakeClock
) -> None:
    two_versions(local, sagemaker, count=1)
    config = blue_green(termination=500, MaximumExecutionTimeoutInSeconds=600)
    update(sagemaker, config)
    until_says(local, sagemaker, "Baking for 500 seconds")
    clock.advance(601)
    row = until_over(local)
    assert row["EndpointConfigName"] == "e-1"
    assert "MaximumExecutionTimeoutInSeconds (600)" in row["FailureReason"]


def test_when_neither_fleet_can_be_made_whole_both_go_on_until_a_restart_or_the_end(
    start: Callable[..., Any], tmp_path: Path, s3: Any
) -> None:
    from local_sagemaker import boot

    clock = FakeClock()
    first = start(tmp_path / "home", slots=2, clock=clock)
    sagemaker, runtime = first.client(), first.client("sagemaker-runtime")
    alarm = f"errors-{uuid.uuid4().hex[:8]}"
    set_alarm(first, alarm, "OK")
    two_versions(first, sagemaker)
    update(sagemaker, rolling(instances(1), 60) | guarded(alarm))
    until_says(first, sagemaker, "Baking")
    clock.advance(60)
    until_says(first, sagemaker, "traffic enabled on full capacity")
    archive = s3.get_object(Bucket=first.bucket, Key="models/one/model.tar.gz")["Body"].read()
    s3.delete_object(Bucket=first.bucket, Key="models/one/model.tar.gz")
    set_alarm(first, alarm, "ALARM")
    clock.advance(1)
    row = until_over(first)
    assert row["EndpointStatus"] == "UpdateRollbackFailed"
    assert "The rollback failed: " in row["FailureReason"]
    assert set(shares(runtime, 20)) == {"two"}
    s3.put_object(Bucket=first.bucket, Key="models/one/model.tar.gz", Body=archive)
    boot.shut_down(first.plane)
    second = start(tmp_path / "home", slots=2)
    row = second.until("endpoint", "e", "InService", "Failed")
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", "e-1")
    assert set(shares(second.client("sagemaker-runtime"), 10)) == {"one"}


def test_the_last_deployment_config_may_be_used_again(
    local: Any, sagemaker: Any, clock: FakeClock
) -> None:
    two_versions(local, sagemaker, count=1)
    update(sagemaker, blue_green(termination=60))
    until_says(local, sagemaker, "Baking for 60 seconds")
    clock.advance(60)
    until_over(local)
    update(sagemaker, None, "e-1", RetainDeploymentConfig=True)
    until_says(local, sagemaker, "Baking for 60 seconds")
    clock.advance(60)
    assert until_over(local)["EndpointConfigName"] == "e-1"
    with pytest.raises(ClientError, match="RetainDeploymentConfig reuses the last"):
        update(sagemaker, blue_green(), RetainDeploymentConfig=True)


def test_an_endpoint_may_be_created_with_the_deployment_config_of_its_updates(
    local: Any, sagemaker: Any
) -> None:
    create_config(sagemaker, "c", variant(create_model(local, sagemaker)))
    config = blue_green(termination=60)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c", DeploymentConfig=config)
    local.until("endpoint", "e", "InService")
    found = sagemaker.describe_endpoint(EndpointName="e")
    assert found["LastDeploymentConfig"] == config


CANARY: Any = {"CanarySize": sized(10)}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (blue_green("CANARY", CanarySize=sized(51)), "CanarySize of 51%.*less than or equal to 50"),
        (blue_green("CANARY", CanarySize=instances(2)), "CanarySize of 2 of 2 instance"),
        (blue_green("LINEAR", LinearStepSize=sized(9)), "LinearStepSize of 9%.*10-50%"),
        (rolling(sized(4)), "MaximumBatchSize of 4%.*between 5% to 50%"),
        (rolling(instances(2)), "MaximumBatchSize of 2 of 2 instance"),
        (
            rolling(instances(1), RollbackMaximumBatchSize=instances(3)),
            "RollbackMaximumBatchSize of 3 of 2",
        ),
        (blue_green("CANARY"), "CanarySize must be specified"),
        (blue_green("LINEAR", **CANARY), "must not be specified"),
        (blue_green() | rolling(instances(1)), "only one update policy"),
        (
            blue_green("CANARY", 500, 100, **CANARY, MaximumExecutionTimeoutInSeconds=600),
            r"MaximumExecutionTimeoutInSeconds \(600\) must be larger .*\(600\)",
        ),
        (guarded("a", "a"), "names an alarm twice"),
    ],
)
def test_what_aws_refuses_is_refused_and_changes_nothing(
    local: Any, sagemaker: Any, config: dict[str, Any], words: str
) -> None:
    two_versions_without_servers(local, sagemaker)
    with pytest.raises(ClientError, match=words) as refused:
        update(sagemaker, config)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert local.plane.store.get("endpoint", "e")["EndpointStatus"] == "InService"


@pytest.mark.parametrize(
    ("config", "names", "words"),
    [
        (rolling(sized(50)), ("A", "B"), "multiple production variants"),
        (blue_green("CANARY", **CANARY), ("X",), r"\(X\) must be those of the endpoint"),
    ],
)
def test_variants_that_cannot_be_shifted_in_parts_are_refused(
    local: Any, sagemaker: Any, config: dict[str, Any], names: tuple[str, ...], words: str
) -> None:
    two_versions_without_servers(local, sagemaker)
    create_config(sagemaker, "c3", *(variant("one", name) for name in names))
    with pytest.raises(ClientError, match=words):
        update(sagemaker, config, "c3")


def two_versions_without_servers(local: Any, sagemaker: Any) -> None:
    """As two_versions, but the endpoint only says that it is in service: enough for refusals."""
    from local_sagemaker.engine import variants
    from local_sagemaker.engine.serving import PLAN

    model = create_model(local, sagemaker)
    for name in ("e-1", "c2"):
        create_config(sagemaker, name, variant(model, InitialInstanceCount=2))
    plan = variants.plan(local.plane, variants.config_row(local.plane, "e-1"))
    row = {
        "EndpointName": "e",
        "EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e",
        "EndpointStatus": "InService",
        "EndpointConfigName": "e-1",
        "CreationTime": 0.0,
        "LastModifiedTime": 0.0,
        PLAN: plan,
    }
    local.plane.store.insert("endpoint", "e", row)


def test_different_variants_go_over_all_at_once(local: Any, sagemaker: Any, runtime: Any) -> None:
    two_versions(local, sagemaker, count=1)
    create_config(sagemaker, "c3", variant("two", "X"))
    with Load(runtime) as load:
        update(sagemaker, blue_green(), "c3")
        assert until_over(local)["EndpointConfigName"] == "c3"
    assert not load.failures
    assert ask(runtime, TargetVariant="X") == "two 3.0"


def test_a_bake_is_shorter_by_the_time_scale_and_tells_awss_seconds(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    local = start(tmp_path / "scaled", slots=2, time_scale=3600.0)
    sagemaker = local.client()
    two_versions(local, sagemaker, count=1)
    update(sagemaker, blue_green(termination=1800))
    until_says(local, sagemaker, "Baking for 1800 seconds (TerminationWaitInSeconds)")
    assert until_over(local)["EndpointConfigName"] == "c2"


@pytest.mark.parametrize("over", ["update", "rollback"])
def test_what_a_shutdown_interrupted_ends_with_one_fleet(
    start: Callable[..., Any], tmp_path: Path, over: str
) -> None:
    from local_sagemaker import boot
    from local_sagemaker.engine.serving import ROLLBACK

    first = start(tmp_path / "home", slots=2)
    sagemaker = first.client()
    two_versions(first, sagemaker, count=1)
    update(sagemaker, blue_green("CANARY", 3600, CanarySize=sized(50)))
    until_says(first, sagemaker, "Baking for 3600 seconds")
    if over == "rollback":
        first.plane.store.edit("endpoint", "e", lambda row: {**row, ROLLBACK: "an alarm"})
    boot.shut_down(first.plane)
    clock = FakeClock()
    second = start(tmp_path / "home", slots=2, clock=clock)
    sagemaker = second.client()
    if over == "update":
        until_says(second, sagemaker, "Baking for 3600 seconds")
        clock.advance(3600)
    row = until_over(second)
    expected = {"update": "c2", "rollback": "e-1"}[over]
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", expected)
    assert row["FailureReason"] == {"update": None, "rollback": "an alarm"}[over]
    second.until_true(lambda: len(servers(second)) == 1)
    word = {"update": "two", "rollback": "one"}[over]
    assert ask(second.client("sagemaker-runtime")) == f"{word} 3.0"
