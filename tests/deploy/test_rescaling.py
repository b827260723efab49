"""What scales stays scaled through every update, also one that fails or is killed: the commands
against a real local SageMaker and MiniStack.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy import autoscaling, endpoint, scaling_targets, updating, variants
from deploy.requests import Requests
from tests.deploy.plane import Shop, shop
from tests.local_sagemaker.conftest import Local, bucket, local, s3, s3_endpoint, start
from tests.local_sagemaker.hosting import archive

__all__ = ["bucket", "local", "s3", "s3_endpoint", "start"]
OTHER_TYPE = ("deploy", "--instance-type", "ml.c5.xlarge")
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)


@pytest.fixture
def scaled(
    local: Local,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shop]:
    """Version 1 served, its instances scaled by a policy and a scheduled action; 2 is approved."""
    made = shop(local, tmp_path, monkeypatch, capsys)
    made.register("one")
    made.run(endpoint.main, "deploy")
    made.run(autoscaling.main, "set", "--min", "1", "--max", "3")
    made.client("application-autoscaling").put_scheduled_action(
        **scaling_targets.named(made.name, "AllTraffic"),
        ScheduledActionName="early",
        Schedule="cron(0 8 * * ? *)",
        EndTime=SOON,
        ScalableTargetAction={"MinCapacity": 2},
    )
    made.register("two")
    yield made
    for each in made.clients.values():
        each.close()


def scaling(of: Shop) -> list[dict[str, Any]]:
    """What scales, as it would be registered."""
    client = of.client("application-autoscaling")
    return [scaling_targets.plain(each) for each in scaling_targets.of_endpoint(client, of.name)]


def registered(of: Shop) -> list[datetime]:
    """When each target was registered: deregistering would have changed that."""
    client = of.client("application-autoscaling")
    found = scaling_targets.of_endpoint(client, of.name)
    return [each.target["CreationTime"] for each in found]


def remembered(of: Shop) -> list[str]:
    """The parameter that holds what was deregistered, when it is there."""
    found = of.client("ssm").get_parameters(Names=[f"/ml-pipeline/models/{of.name}/scaling"])
    return [each["Value"] for each in found["Parameters"]]


def sent(document: dict[str, Any]) -> list[str]:
    return [each["operation"] for each in document["requests"]]


def test_another_instance_type_brings_policies_and_actions_back(scaled: Shop) -> None:
    before, made = scaling(scaled), registered(scaled)
    assert before[0]["policies"]
    assert before[0]["actions"][0]["EndTime"] == SOON.isoformat()
    dry = scaled.run(endpoint.main, *OTHER_TYPE, "--dry-run")
    assert sent(dry)[2:9] == [
        "put_parameter",
        "deregister_scalable_target",
        "update_endpoint",
        "register_scalable_target",
        "put_scaling_policy",
        "put_scheduled_action",
        "delete_parameter",
    ]
    assert registered(scaled) == made
    scaled.run(endpoint.main, *OTHER_TYPE)
    assert scaling(scaled) == before
    assert registered(scaled) != made
    assert remembered(scaled) == []


def test_an_update_of_the_version_alone_leaves_the_targets_registered(scaled: Shop) -> None:
    made = registered(scaled)
    scaled.run(endpoint.main, "deploy")
    assert scaled.versions() == {"AllTraffic": "2"}
    assert registered(scaled) == made


def test_after_an_update_that_was_rolled_back_everything_scales_as_before(scaled: Shop) -> None:
    before = scaling(scaled)
    key = f"bundles/{scaled.name}/two/model.tar.gz"
    scaled.local.s3.put_object(Bucket=scaled.local.bucket, Key=key, Body=archive({"none": ""}))
    assert "was rolled back" in scaled.text(endpoint.main, *OTHER_TYPE, exit_code=1)
    assert scaled.versions() == {"AllTraffic": "1"}
    assert scaling(scaled) == before
    assert remembered(scaled) == []


def test_after_an_update_that_aws_refused_everything_scales_as_before(
    scaled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, made, update = scaling(scaled), registered(scaled), updating._update

    def refused(work: Any, config: str, *rest: Any) -> None:
        update(work, f"{config}-that-is-not-there", *rest)

    monkeypatch.setattr(updating, "_update", refused)
    said = scaled.text(endpoint.main, *OTHER_TYPE, exit_code=1)
    assert "UpdateEndpoint was refused: Could not find endpoint configuration" in said
    assert registered(scaled) != made
    assert scaling(scaled) == before
    assert remembered(scaled) == []


def test_a_variant_that_is_taken_away_is_scaled_no_more_and_the_other_as_before(
    scaled: Shop,
) -> None:
    scaled.run(variants.main, "split", "AllTraffic=80", "B=20")
    scaled.run(autoscaling.main, "set", "--min", "1", "--max", "2", "--variant", "B")
    (kept,) = [each for each in scaling(scaled) if each["target"]["ResourceId"].endswith("/B")]
    scaled.run(variants.main, "promote", "B")
    assert scaling(scaled) == [kept]
    assert remembered(scaled) == []


class KilledError(BaseException):
    """The command's process is gone."""


# What is sent: model, configuration, 3 the memory, 4 deregistered, 5 the update, 6 registered,
# 7 policy, 8 scheduled action, 9 the memory is gone.
@pytest.mark.parametrize("request_number", [3, 4, 5, 6, 8])
def test_a_command_killed_after_any_request_is_repaired_by_running_it_again(
    scaled: Shop, monkeypatch: pytest.MonkeyPatch, request_number: int
) -> None:
    before = scaling(scaled)
    send, count = Requests.send, [0]

    def sending(self: Requests, client: Any, operation: str, **parameters: Any) -> dict[str, Any]:
        """Nothing is sent any more after that, whoever would like to clear up."""
        if count[0] == request_number:
            raise KilledError
        count[0] += 1
        answer = send(self, client, operation, **parameters)
        if count[0] == request_number:
            raise KilledError
        return answer

    monkeypatch.setattr(Requests, "send", sending)
    with pytest.raises(KilledError):
        scaled.call(endpoint.main, *OTHER_TYPE)
    monkeypatch.setattr(Requests, "send", send)
    assert remembered(scaled)
    scaled.capture.readouterr()
    scaled.run(endpoint.main, *OTHER_TYPE)
    assert scaled.versions() == {"AllTraffic": "2"}
    assert scaling(scaled) == before
    assert remembered(scaled) == []


def test_what_was_set_by_hand_after_a_kill_stays(scaled: Shop) -> None:
    name = f"/ml-pipeline/models/{scaled.name}/scaling"
    old = json.dumps(scaling(scaled))
    scaled.client("ssm").put_parameter(Name=name, Value=old, Type="String")
    scaled.run(autoscaling.main, "remove")
    scaled.run(autoscaling.main, "set", "--min", "2", "--max", "5", "--target-value", "7")
    scaled.run(endpoint.main, "deploy", "--version", "1")
    (now,) = scaling(scaled)
    assert (now["target"]["MinCapacity"], now["target"]["MaxCapacity"]) == (2, 5)
    (policy,) = now["policies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 7
    assert [each["ScheduledActionName"] for each in now["actions"]] == ["early"]


def test_without_waiting_scaling_could_not_come_back_and_that_is_refused(scaled: Shop) -> None:
    made = registered(scaled)
    said = scaled.text(endpoint.main, *OTHER_TYPE, "--no-wait", exit_code=1)
    assert "scales AllTraffic" in said
    assert "Leave out --no-wait" in said
    assert registered(scaled) == made
    assert scaled.versions() == {"AllTraffic": "1"}


def test_a_memory_that_is_nonsense_is_named(scaled: Shop) -> None:
    name = f"/ml-pipeline/models/{scaled.name}/scaling"
    scaled.client("ssm").put_parameter(Name=name, Value="{]", Type="String")
    said = scaled.text(endpoint.main, "deploy", exit_code=1)
    assert f"Parameter {name} holds '{{]', which is no list of scalable targets" in said
