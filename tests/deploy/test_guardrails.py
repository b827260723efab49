"""DeploymentConfig from options and the problem's rollout, as SageMaker takes it."""

import argparse
from typing import Any

import boto3
import pytest

from deploy import guardrails, shapes
from deploy.commands import DeployError
from deploy.rules import Request, broken
from steps.problem import Rollout
from tests.deploy.conftest import KEYS

SHAPE = (
    boto3.client("sagemaker", region_name="us-east-1", **KEYS)
    .meta.service_model.operation_model("UpdateEndpoint")
    .input_shape
)


def chosen(*words: str, default: Rollout | None = None) -> Rollout:
    parser = argparse.ArgumentParser()
    guardrails.add_options(parser)
    return guardrails.chosen(parser.parse_args(list(words)), default or Rollout())


def routing(kind: str, wait: int, **size: Any) -> dict[str, Any]:
    sizes = {name: {"Type": "CAPACITY_PERCENT", "Value": value} for name, value in size.items()}
    return {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}


def blue_green(routed: dict[str, Any], wait: int, **limit: int) -> dict[str, Any]:
    policy = {"TrafficRoutingConfiguration": routed, "TerminationWaitInSeconds": wait, **limit}
    return {"BlueGreenUpdatePolicy": policy}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--strategy all-at-once --bake 90", blue_green(routing("ALL_AT_ONCE", 0), 90)),
        (
            "--strategy canary --canary-percent 20 --bake 60 --termination-wait 30",
            blue_green(routing("CANARY", 60, CanarySize=20), 30),
        ),
        (
            "--strategy linear --step-percent 50 --timeout 900",
            blue_green(
                routing("LINEAR", 300, LinearStepSize=50), 0, MaximumExecutionTimeoutInSeconds=900
            ),
        ),
        (
            "--strategy rolling --step-percent 5 --bake 0",
            {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 5},
                    "WaitIntervalInSeconds": 0,
                }
            },
        ),
        (
            "--alarm a --alarm b",
            {
                **blue_green(routing("ALL_AT_ONCE", 0), 300),
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}, {"AlarmName": "b"}]},
            },
        ),
        ("", None),
    ],
)
def test_options_become_what_sagemaker_takes(words: str, expected: Any) -> None:
    made = guardrails.deployment_config(chosen(*words.split()))
    assert made == expected
    update = {"EndpointName": "e", "EndpointConfigName": "c"}
    update |= {"DeploymentConfig": made} if made else {}  # type: ignore[dict-item]
    assert shapes.complaints(SHAPE, update) == []
    assert broken([Request("sagemaker", "update_endpoint", update)]) == []


def test_the_problem_says_what_the_command_line_does_not() -> None:
    default = Rollout(strategy="canary", canary_percent=5, alarms=("errors",))
    rollout = chosen("--bake", "10", default=default)
    assert (rollout.canary_percent, rollout.bake, rollout.alarms) == (5, 10, ("errors",))
    assert chosen("--strategy", "linear", default=default).strategy == "linear"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--timeout 900", "--timeout is for --strategy all-at-once, canary, linear, rolling"),
        ("--strategy linear --canary-percent 5", "--canary-percent is for --strategy canary"),
        ("--strategy rolling --termination-wait 5", "--termination-wait is for --strategy"),
        ("--strategy canary --canary-percent 51", "--canary-percent is 51"),
        ("--strategy canary --bake -1", "--bake is -1"),
    ],
)
def test_an_option_that_would_do_nothing_or_too_much_is_refused(words: str, says: str) -> None:
    with pytest.raises(DeployError) as refused:
        chosen(*words.split())
    assert says in str(refused.value)
    assert refused.value.exit_code == 2
