"""Autoscaling of endpoints as a user sees it: boto3's application-autoscaling, real model servers,
and a clock that moves when told to.
"""

from __future__ import annotations

import datetime
import time
import uuid
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.clock import FakeClock
from local_sagemaker.config import client_environment
from local_sagemaker.engine import measures
from tests.local_sagemaker import hosting
from tests.local_sagemaker.conftest import new_client
from tests.local_sagemaker.scaling import (
    COMPONENT,
    VARIANT,
    activities,
    count,
    minute,
    register,
    settled,
    track,
    wait_until_looked,
)


@pytest.fixture
def clock() -> FakeClock:
    """An hour ago, since CloudWatch forgets what is old; 41 seconds into a minute."""
    begin = time.time() - 3600
    return FakeClock(begin - begin % 60 + 41)


@pytest.fixture
def local(start: Callable[..., Any], tmp_path: Path, clock: FakeClock) -> Any:
    return start(tmp_path / "home", slots=2, clock=clock)


@pytest.fixture
def scaling(local: Any) -> Any:
    return local.client("application-autoscaling")


@pytest.fixture
def cloudwatch(local: Any) -> Any:
    client = new_client("cloudwatch", local.plane.config.s3_endpoint)
    yield client
    client.close()


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**request)
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def test_a_wave_of_traffic_adds_and_removes_model_servers(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock
) -> None:
    hosting.deploy(local, sagemaker)
    runtime = local.client("sagemaker-runtime")
    register(scaling, 1, 3)
    track(scaling, 100, ScaleInCooldown=300, ScaleOutCooldown=60)
    counts = []
    for requests in [50] * 3 + [250] * 4 + [900] * 6 + [0] * 22:
        minute(local, clock, scaling, requests)
        counts.append(count(sagemaker))
        assert hosting.ask(runtime).startswith("one 3")
    assert counts[:5] == [1] * 5
    assert counts[5] == 3  # three minutes above: ceil(1 x 250 / 100)
    assert max(counts) == 3  # MaxCapacity, whatever the load
    assert counts[12:27] == [3] * 15
    assert counts[-1] == 1
    status = sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"]
    assert (status, len(hosting.servers(local))) == ("InService", 1)


def test_an_activity_says_what_was_done_and_why(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 3)
    alarms = track(scaling, 100)["Alarms"]
    for _ in range(3):
        minute(local, clock, scaling, 200)
    (activity,) = activities(scaling)
    assert alarms[0]["AlarmName"].startswith(
        "TargetTracking-endpoint/e/variant/AllTraffic-AlarmHigh-"
    )
    assert activity["Description"] == "Setting desired instance count to 2."
    assert activity["Cause"] == (
        f"monitor alarm {alarms[0]['AlarmName']} in state ALARM triggered policy p"
    )
    assert activity["StatusCode"] == "Successful"
    assert activity["StatusMessage"] == (
        "Successfully set desired instance count to 2. Change successfully fulfilled by sagemaker."
    )


def test_registering_moves_the_capacity_into_the_range(
    local: Any, sagemaker: Any, scaling: Any
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 2, 3)
    local.until_true(lambda: settled(local, scaling) and count(sagemaker) == 2)
    assert activities(scaling)[0]["Cause"] == "minimum capacity was set to 2"
    scaling.register_scalable_target(**VARIANT, MinCapacity=1, MaxCapacity=1)
    local.until_true(lambda: settled(local, scaling) and count(sagemaker) == 1)
    assert activities(scaling)[0]["Cause"] == "maximum capacity was set to 1"


def test_alarms_are_in_cloudwatch_with_the_state_that_was_seen(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock, cloudwatch: Any
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 2)
    high, low = (each["AlarmName"] for each in track(scaling, 100)["Alarms"])

    def shown() -> dict[str, Any]:
        found = cloudwatch.describe_alarms(AlarmNames=[high, low])["MetricAlarms"]
        return {each["AlarmName"]: each for each in found}

    for _ in range(3):
        minute(local, clock, scaling, 150)
    assert shown()[high]["StateValue"] == "ALARM"
    assert shown()[low]["StateValue"] == "OK"
    assert (shown()[high]["Threshold"], shown()[low]["Threshold"]) == (100, 90)
    assert (shown()[high]["EvaluationPeriods"], shown()[low]["EvaluationPeriods"]) == (3, 15)
    scaling.delete_scaling_policy(**VARIANT, PolicyName="p")
    assert shown() == {}


def test_a_change_waits_while_the_endpoint_is_updating(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock, tmp_path: Path
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 3)
    gate = tmp_path / "gate"
    slow = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    other = hosting.create_model(local, sagemaker, "two", slow + hosting.ADDER)
    hosting.create_config(sagemaker, "e-2", hosting.variant(other))
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e-2")
    scaling.register_scalable_target(**VARIANT, MinCapacity=2)
    assert [each["StatusCode"] for each in activities(scaling)] == ["Pending"]
    gate.touch()
    local.until_true(lambda: settled(local, scaling))
    assert [each["StatusCode"] for each in activities(scaling)] == ["Successful"]
    local.until("endpoint", "e", "InService")
    assert count(sagemaker) == 2


def test_suspended_scaling_does_nothing_until_it_is_resumed(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 3, SuspendedState={"DynamicScalingOutSuspended": True})
    track(scaling, 100)
    for _ in range(4):
        minute(local, clock, scaling, 250)
    assert count(sagemaker) == 1
    scaling.register_scalable_target(
        **VARIANT, SuspendedState={"DynamicScalingOutSuspended": False}
    )
    minute(local, clock, scaling, 250)
    assert count(sagemaker) == 3


def test_it_goes_on_after_a_restart(
    start: Callable[..., Any], tmp_path: Path, local: Any, sagemaker: Any, clock: FakeClock
) -> None:
    hosting.deploy(local, sagemaker)
    scaling = local.client("application-autoscaling")
    register(scaling, 1, 3)
    track(scaling, 100)
    for _ in range(3):
        minute(local, clock, scaling, 200)
    before = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    boot.shut_down(local.plane)
    again = start(tmp_path / "home", slots=2, clock=clock)
    again.until("endpoint", "e", "InService")
    scaling = again.client("application-autoscaling")
    after = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert after == before
    clock.advance(240)
    wait_until_looked(again, clock)
    for _ in range(3):
        minute(again, clock, scaling, 450)
    assert count(again.client()) == 3


def test_a_change_that_a_shutdown_interrupted_is_done_after_the_restart(
    start: Callable[..., Any], tmp_path: Path, local: Any, sagemaker: Any, clock: FakeClock
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    slow = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    model = hosting.create_model(local, sagemaker, "one", slow + hosting.ADDER)
    hosting.deploy(local, sagemaker, hosting.variant(model))
    scaling = local.client("application-autoscaling")
    gate.unlink()
    register(scaling, 2, 3)
    local.until("endpoint", "e", "Updating")
    boot.shut_down(local.plane)
    gate.touch()
    again = start(tmp_path / "home", slots=2, clock=clock)
    again.until("endpoint", "e", "InService")
    scaling = again.client("application-autoscaling")
    again.until_true(lambda: settled(again, scaling))
    (activity,) = activities(scaling)
    assert (activity["StatusCode"], count(again.client())) == ("Successful", 2)


def test_deleting_the_endpoint_deregisters_its_targets(
    local: Any, sagemaker: Any, scaling: Any
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 3)
    track(scaling)
    sagemaker.delete_endpoint(EndpointName="e")

    def left() -> int:
        targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")
        policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")
        return len(targets["ScalableTargets"]) + len(policies["ScalingPolicies"])

    local.until_true(lambda: left() == 0)


def test_copies_of_an_inference_component_scale(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock
) -> None:
    hosting.deploy_empty(local, sagemaker)
    hosting.attach(local, sagemaker, hosting.create_model(local, sagemaker))
    scaling.register_scalable_target(**COMPONENT, MinCapacity=0, MaxCapacity=3)
    scaling.put_scaling_policy(
        **COMPONENT,
        PolicyName="p",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 3,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"
            },
        },
    )
    runtime, seen = local.client("sagemaker-runtime"), measures.of(local.plane)

    def counted() -> int:
        now = clock.now() - clock.now() % 60
        buckets = seen.minutes("e", "c", "InvocationsPerCopy", now, now + 60)
        return sum(each.count for each in buckets)

    for _ in range(3):
        for _ in range(6):
            hosting.ask_component(runtime)
        local.until_true(lambda: counted() == 6)
        clock.advance(60)
        wait_until_looked(local, clock)
    local.until_true(lambda: hosting.current_copies(sagemaker) == 2 and settled(local, scaling))
    assert activities(scaling)[0]["Description"] == "Setting desired copy count to 2."
    for _ in range(15):
        clock.advance(60)
        wait_until_looked(local, clock)
    local.until_true(lambda: hosting.current_copies(sagemaker) == 0 and settled(local, scaling))


def test_concurrent_requests_scale_by_the_time_that_requests_take(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 4)
    metric = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    track(scaling, 2, PredefinedMetricSpecification={"PredefinedMetricType": metric})
    second = {"Invocations": 1, "InvocationsPerInstance": 1, "ModelLatency": 900_000}
    for _ in range(3):
        for _ in range(300):  # 300 requests of a second are 5 at a time
            values = {**second, "OverheadLatency": 100_000}
            measures.of(local.plane).add("e", "AllTraffic", clock.now(), values)
        minute(local, clock, scaling)
    assert count(sagemaker) == 3


def test_a_customized_metric_is_read_from_cloudwatch(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock, cloudwatch: Any
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 4)
    namespace = f"Own/{uuid.uuid4().hex}"
    metric = {"Namespace": namespace, "MetricName": "Busy", "Statistic": "Average"}
    scaling.put_scaling_policy(
        **VARIANT,
        PolicyName="own",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 50,
            "CustomizedMetricSpecification": metric,
        },
    )
    for _ in range(3):
        data = [{"MetricName": "Busy", "Value": 90, "Timestamp": clock.now()}]
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
        minute(local, clock, scaling)
    assert count(sagemaker) == 2


def test_step_scaling_follows_an_alarm_of_the_users_own(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock, cloudwatch: Any
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 4)
    policy = scaling.put_scaling_policy(
        **VARIANT,
        PolicyName="step",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 2}],
            "Cooldown": 600,
        },
    )
    name = f"own-{uuid.uuid4().hex}"
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace=name,
        MetricName="Busy",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[policy["PolicyARN"]],
    )
    minute(local, clock, scaling)
    assert count(sagemaker) == 1
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    minute(local, clock, scaling)
    assert count(sagemaker) == 3
    minute(local, clock, scaling)
    assert count(sagemaker) == 3  # its cooldown
    assert (
        activities(scaling)[0]["Cause"]
        == f"monitor alarm {name} in state ALARM triggered policy step"
    )
    cloudwatch.delete_alarms(AlarmNames=[name])


def test_a_scheduled_action_sets_the_range_at_its_time(
    local: Any, sagemaker: Any, scaling: Any, clock: FakeClock
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 4)
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    due = datetime.datetime.fromtimestamp(clock.now() + 200, berlin)
    scaling.put_scheduled_action(
        **VARIANT,
        ScheduledActionName="morning",
        Schedule=f"at({due:%Y-%m-%dT%H:%M:%S})",
        Timezone="Europe/Berlin",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 3},
    )
    minute(local, clock, scaling)
    assert count(sagemaker) == 1
    for _ in range(3):
        minute(local, clock, scaling)
    assert count(sagemaker) == 2
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 3)
    said = {each["Cause"]: each["Description"] for each in activities(scaling)}
    assert said["scheduled action name morning was triggered"] == (
        "Setting min capacity to 2 and max capacity to 3"
    )
    (action,) = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert action["Timezone"] == "Europe/Berlin"
    scaling.delete_scheduled_action(**VARIANT, ScheduledActionName="morning")
    assert not scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]


def test_what_is_not_registered_is_not_found(local: Any, sagemaker: Any, scaling: Any) -> None:
    hosting.deploy(local, sagemaker)
    code, message = refusal(scaling.deregister_scalable_target, **VARIANT)
    assert code == "ObjectNotFoundException"
    assert message == (
        "No scalable target registered for service namespace: sagemaker, resource ID: "
        "endpoint/e/variant/AllTraffic, scalable dimension: sagemaker:variant:DesiredInstanceCount"
    )
    assert refusal(track, scaling=scaling)[0] == "ObjectNotFoundException"
    register(scaling, 1, 2)
    gone = refusal(scaling.delete_scaling_policy, **VARIANT, PolicyName="x")
    assert gone[0] == "ObjectNotFoundException"
    assert "policy name: x" in gone[1]
    gone = refusal(scaling.delete_scheduled_action, **VARIANT, ScheduledActionName="x")
    assert gone[0] == "ObjectNotFoundException"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ServiceNamespace": "ecs"}, "it may be 'sagemaker'"),
        (
            {"ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency"},
            "is not supported by the local SageMaker",
        ),
        ({"ResourceId": "endpoint/e"}, "must be endpoint/<endpoint>/variant/<variant>"),
        ({"ResourceId": "endpoint/e/variant/x"}, "doesn't exist: endpoint/e/variant/x"),
        ({"MinCapacity": 5}, "Maximum capacity cannot be less than minimum capacity"),
        ({"MinCapacity": 0}, "keeps at least 1 instance"),
        ({"MinCapacity": None}, "MinCapacity must be given"),
    ],
)
def test_targets_that_cannot_be_are_refused(
    local: Any, sagemaker: Any, scaling: Any, changes: dict[str, Any], said: str
) -> None:
    hosting.deploy(local, sagemaker)
    asked = {**VARIANT, "MinCapacity": 1, "MaxCapacity": 2, **changes}
    asked = {name: value for name, value in asked.items() if value is not None}
    code, message = refusal(scaling.register_scalable_target, **asked)
    assert code == "ValidationException"
    assert said in message


def test_policies_and_actions_that_cannot_be_are_refused(
    local: Any, sagemaker: Any, scaling: Any
) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 2)
    assert "TargetValue must be above 0" in refusal(track, scaling=scaling, target=0)[1]
    assert "ScaleInCooldown must be" in refusal(track, scaling=scaling, ScaleInCooldown=-1)[1]
    wrong = {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"}
    refused = refusal(track, scaling=scaling, PredefinedMetricSpecification=wrong)
    assert "it may be: SageMakerVariantInvocationsPerInstance" in refused[1]
    steps = [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 5, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 6, "ScalingAdjustment": 2},
    ]
    refused = refusal(
        scaling.put_scaling_policy,
        **VARIANT,
        PolicyName="s",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": steps,
        },
    )
    assert "one ends at 5.0, the next begins at 6.0" in refused[1]
    for schedule, said in {
        "at(2001-01-01T00:00:00)": "never due",
        "rate(0 minutes)": "a positive number",
        "cron(0 8 L * ? *)": "'L' is no day of month; it may be 1 to 31",
        "daily": "must be at(...), rate(...) or cron(...)",
    }.items():
        refused = refusal(
            scaling.put_scheduled_action,
            **VARIANT,
            ScheduledActionName="a",
            Schedule=schedule,
            ScalableTargetAction={"MinCapacity": 1},
        )
        assert refused[0] == "ValidationException"
        assert said in refused[1]


def test_descriptions_are_paged_and_filtered(local: Any, sagemaker: Any, scaling: Any) -> None:
    hosting.deploy(local, sagemaker)
    register(scaling, 1, 2)
    for name in "abc":
        track(scaling, name=name)
    pages = scaling.get_paginator("describe_scaling_policies").paginate(
        ServiceNamespace="sagemaker", PaginationConfig={"PageSize": 2}
    )
    names = [[each["PolicyName"] for each in page["ScalingPolicies"]] for page in pages]
    assert names == [["a", "b"], ["c"]]
    found = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=["b"])
    assert [each["PolicyName"] for each in found["ScalingPolicies"]] == ["b"]
    other = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=["endpoint/e/variant/other"]
    )
    assert other["ScalableTargets"] == []


def test_putting_the_same_again_changes_nothing(local: Any, sagemaker: Any, scaling: Any) -> None:
    hosting.deploy(local, sagemaker)
    first, policy = register(scaling, 1, 2), track(scaling, 100)
    assert register(scaling, 1, 2)["ScalableTargetARN"] == first["ScalableTargetARN"]
    again = track(scaling, 200)
    assert (again["PolicyARN"], again["Alarms"]) == (policy["PolicyARN"], policy["Alarms"])
    (kept,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert kept["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 200


def test_an_operation_that_is_not_served_says_so(scaling: Any, sagemaker: Any) -> None:
    arn = "arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/x"
    code, message = refusal(scaling.list_tags_for_resource, ResourceARN=arn)
    assert code == "UnknownOperationException"
    assert message.startswith("ListTagsForResource is not supported by the local SageMaker")


def test_env_says_where_autoscaling_goes(local: Any) -> None:
    variables = client_environment(local.plane.config)
    assert variables["AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING"] == local.url
