"""How events reach EventBridge: none lost, none of what was not done, and where they do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local_sagemaker import boot, ministack, ministack_events
from local_sagemaker.config import Config
from local_sagemaker.engine import forwarding
from local_sagemaker.ministack import find_python
from local_sagemaker.plane import Plane
from tests.local_sagemaker import test_eventbridge
from tests.local_sagemaker.conftest import Local, free_port, new_client
from tests.local_sagemaker.test_eventbridge import Rule, of_type
from tests.local_sagemaker.test_model_registry import register

rule, group = test_eventbridge.rule, test_eventbridge.group


def test_what_was_not_sent_when_the_server_went_is_sent_when_it_is_back(
    start: Callable[..., Local], tmp_path: Path, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = rule(of_type("SageMaker Model Package State Change", ModelPackageGroupName=["late"]))
    first = start(tmp_path / "home", slots=1)
    with monkeypatch.context() as away:
        away.setattr(forwarding.Forwarder, "_put", refuse)
        sagemaker = first.client()
        sagemaker.create_model_package_group(ModelPackageGroupName="late")
        arn = register(sagemaker, "late")
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        boot.shut_down(first.plane)
    start(tmp_path / "home", slots=1)
    inbox.first(2)
    assert inbox.details("ModelApprovalStatus") == ["PendingManualApproval", "Approved"]


def refuse(*_: Any) -> Any:
    raise ConnectionRefusedError("nobody there")


def test_an_event_that_cannot_be_made_or_is_too_large_holds_up_no_other(
    local: Local, sagemaker: Any, rule: Rule, group: str
) -> None:
    inbox = rule(of_type("SageMaker Model Package State Change", ModelPackageGroupName=["churn"]))
    local.plane.store.insert("endpoint", "odd", {"EndpointArn": "arn", "EndpointStatus": None})
    large = {"EndpointName": "large", "EndpointArn": "arn:2", "EndpointStatus": "Failed"}
    local.plane.store.insert("endpoint", "large", {**large, "FailureReason": "x" * 260_000})
    register(sagemaker, group)
    inbox.first()
    assert forwarding.of(local.plane).lost == 2


def test_nothing_is_told_of_what_was_not_done(
    local: Local, sagemaker: Any, rule: Rule, group: str
) -> None:
    inbox = rule(of_type("SageMaker Model Package State Change", ModelPackageGroupName=["churn"]))
    with pytest.raises(KeyError):
        register_and_fail(local.plane, group)
    register(sagemaker, group)
    [event] = inbox.first()
    assert event["detail"]["ModelPackageVersion"] == 1


def register_and_fail(plane: Plane, group: str) -> None:
    with plane.store.together():
        plane.call("CreateModelPackage", {"ModelPackageGroupName": group})
        raise KeyError("after all not")


def test_beside_another_emulator_nothing_is_kept_and_the_server_says_so(
    start: Callable[..., Local], tmp_path: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "PUT_EVENTS", "AWSEvents.SomethingElse")
    local = start(tmp_path / "home", slots=1)
    local.client().create_model_package_group(ModelPackageGroupName="g")
    register(local.client(), "g")
    assert forwarding.of(local.plane).state.startswith(f"off: {s3_endpoint} ")
    assert local.plane.store.outbox(10) == []


def test_another_version_of_ministack_serves_without_events_and_says_so(
    start: Callable[..., Local], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Path(shutil.copy(ministack.CHILD, tmp_path / "ministack_child.py"))
    for name in ("ministack_events.py", "ministack_alarms.py"):
        door = ministack.CHILD.with_name(name).read_text()
        altered = door.replace(f'VERSION = "{ministack_events.VERSION}"', 'VERSION = "1.0"')
        (tmp_path / name).write_text(altered)
    monkeypatch.setattr(ministack, "CHILD", child)
    config = Config(home=tmp_path / "other", s3_endpoint=f"http://127.0.0.1:{free_port()}")
    other = ministack.MiniStack(config, urlsplit(config.s3_endpoint).port or 0, find_python({}))
    other.wait_until_healthy()
    local = start(tmp_path / "home", slots=1, s3_endpoint=config.s3_endpoint)
    assert forwarding.of(local.plane).state.startswith(f"off: {config.s3_endpoint} takes no events")
    s3 = new_client("s3", config.s3_endpoint)
    assert s3.list_buckets()["Buckets"] == []
    s3.close()
    other.stop()
    said = (tmp_path / "other/ministack/server.log").read_text()
    assert "events are not taken: MiniStack is 1.5.33; events are known to work with 1.0" in said
    assert "Alarms do not heed dimensions: MiniStack is 1.5.33" in said


def test_others_may_not_speak_in_the_name_of_sagemaker(s3_endpoint: str) -> None:
    events = new_client("events", s3_endpoint)
    entry = {"Source": "aws.sagemaker", "DetailType": "t", "Detail": "{}"}
    answer = events.put_events(Entries=[entry])
    events.close()
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
