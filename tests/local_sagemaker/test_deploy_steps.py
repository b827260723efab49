"""The steps that deploy: EndpointConfig, Endpoint and InferenceComponent, created or updated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.engine import deploying
from tests.local_sagemaker.hosting import (
    ADDER,
    ROLE,
    ask,
    attach,
    component,
    create_config,
    create_model,
    deploy_empty,
    empty_variant,
    specification,
    variant,
)
from tests.local_sagemaker.pipelining import (
    CACHED,
    EXECUTION,
    fail,
    listed,
    rerun,
    run,
    status,
    upsert,
)

BROKEN = "raise RuntimeError('this model is broken')"
SUCCEEDED = ("Succeeded", None)


def config_step(name: str, *variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    arguments = {"EndpointConfigName": name, "ProductionVariants": list(variants), **more}
    return {"Name": "Config", "Type": "EndpointConfig", "Arguments": arguments}


def endpoint_step(config: Any, **more: Any) -> dict[str, Any]:
    arguments = {"EndpointName": "e", "EndpointConfigName": config, **more}
    return {"Name": "Endpoint", "Type": "Endpoint", "Arguments": arguments}


def component_step(model: str, **changes: Any) -> dict[str, Any]:
    return {
        "Name": "Component",
        "Type": "InferenceComponent",
        "Arguments": component(model, **changes),
    }


def said(expression: Any) -> dict[str, Any]:
    return fail("Said", {"Std:Join": {"On": "", "Values": ["said ", expression]}})  # type: ignore[arg-type]


def ask_component(local: Any) -> str:
    return ask(local.client("sagemaker-runtime"), InferenceComponentName="c")


def test_an_endpoint_step_creates_and_the_next_run_updates(local: Any, sagemaker: Any) -> None:
    tags = [{"Key": "run", "Value": "1"}]
    for word in ("one", "two"):
        create_config(sagemaker, f"c-{word}", variant(create_model(local, sagemaker, word)))
        tags[0]["Value"] = word
        arn = run(local, sagemaker, endpoint_step(f"c-{word}", Tags=tags))
        assert status(sagemaker, arn) == SUCCEEDED
        found = sagemaker.describe_endpoint(EndpointName="e")
        assert found["EndpointConfigName"] == f"c-{word}"
        metadata = listed(sagemaker, arn)["Endpoint"]["Metadata"]
        assert metadata == {"Endpoint": {"Arn": found["EndpointArn"]}}
        assert ask(local.client("sagemaker-runtime")) == f"{word} 3.0"
        assert sagemaker.list_tags(ResourceArn=found["EndpointArn"])["Tags"] == tags
    story = [status for _, status, _ in local.plane.store.story("endpoint", "e")]
    assert story == ["Creating", "InService", "Updating", "InService"]


def test_an_endpoint_step_whose_update_is_rolled_back_fails(local: Any, sagemaker: Any) -> None:
    create_config(sagemaker, "c-one", variant(create_model(local, sagemaker, "one")))
    create_config(sagemaker, "c-bad", variant(create_model(local, sagemaker, "bad", BROKEN)))
    assert status(sagemaker, run(local, sagemaker, endpoint_step("c-one"))) == SUCCEEDED
    arn = run(local, sagemaker, endpoint_step("c-bad"))
    assert status(sagemaker, arn)[0] == "Failed"
    assert "this model is broken" in listed(sagemaker, arn)["Endpoint"]["FailureReason"]
    assert ask(local.client("sagemaker-runtime")) == "one 3.0"
    assert status(sagemaker, run(local, sagemaker, endpoint_step("c-one"))) == SUCCEEDED


def test_an_endpoint_step_that_cannot_create_fails_with_the_reason(
    local: Any, sagemaker: Any
) -> None:
    create_config(sagemaker, "c", variant(create_model(local, sagemaker, "bad", BROKEN)))
    arn = run(local, sagemaker, endpoint_step("none"))
    reason = listed(sagemaker, arn)["Endpoint"]["FailureReason"]
    assert "Could not find endpoint configuration" in reason
    arn = run(local, sagemaker, endpoint_step("c"))
    assert "this model is broken" in listed(sagemaker, arn)["Endpoint"]["FailureReason"]


def test_an_endpoint_config_step_of_a_name_that_exists_fails_as_the_call_does(
    local: Any, sagemaker: Any
) -> None:
    step = config_step("c", variant(create_model(local, sagemaker)))
    assert status(sagemaker, run(local, sagemaker, step)) == SUCCEEDED
    arn = rerun(local, sagemaker)
    reason = listed(sagemaker, arn)["Config"]["FailureReason"]
    assert "Cannot create already existing endpoint configuration" in reason


def test_config_endpoint_and_component_follow_each_other(local: Any, sagemaker: Any) -> None:
    create_model(local, sagemaker)
    config = config_step("c", empty_variant(), ExecutionRoleArn=ROLE)
    endpoint = endpoint_step({"Get": "Steps.Config.EndpointConfigName"})
    placed = component_step("one", EndpointName={"Get": "Steps.Endpoint.EndpointName"})
    say = said({"Get": "Steps.Component.InferenceComponentStatus"})
    arn = run(local, sagemaker, config, endpoint, placed, say)
    steps = listed(sagemaker, arn)
    assert steps["Said"]["FailureReason"] == "said InService"
    made = sagemaker.describe_inference_component(InferenceComponentName="c")
    metadata = steps["Component"]["Metadata"]
    assert metadata == {"InferenceComponent": {"Arn": made["InferenceComponentArn"]}}
    assert ask_component(local) == "one 3.0"


def test_a_component_step_updates_one_that_exists(local: Any, sagemaker: Any) -> None:
    deploy_empty(local, sagemaker)
    for word, copies in (("one", 1), ("two", 2)):
        step = component_step(
            create_model(local, sagemaker, word),
            RuntimeConfig={"CopyCount": copies},
            Tags=[{"Key": "run", "Value": word}],
        )
        assert status(sagemaker, run(local, sagemaker, step)) == SUCCEEDED
        found = sagemaker.describe_inference_component(InferenceComponentName="c")
        assert found["RuntimeConfig"]["CurrentCopyCount"] == copies
        assert ask_component(local) == f"{word} 3.0"
        tags = sagemaker.list_tags(ResourceArn=found["InferenceComponentArn"])["Tags"]
        assert tags == [{"Key": "run", "Value": word}]
    story = [status for _, status, _ in local.plane.store.story("inference-component", "c")]
    assert story == ["Creating", "InService", "Updating", "InService"]


def test_a_component_step_fails_with_the_reason(local: Any, sagemaker: Any) -> None:
    deploy_empty(local, sagemaker)
    create_model(local, sagemaker, "bad", BROKEN)
    arn = run(local, sagemaker, component_step("bad"))
    assert "this model is broken" in listed(sagemaker, arn)["Component"]["FailureReason"]
    assert status(sagemaker, arn)[0] == "Failed"


def test_a_component_step_whose_update_is_rolled_back_fails(local: Any, sagemaker: Any) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_model(local, sagemaker))
    create_model(local, sagemaker, "bad", BROKEN)
    arn = run(local, sagemaker, component_step("bad"))
    assert "this model is broken" in listed(sagemaker, arn)["Component"]["FailureReason"]
    assert ask_component(local) == "one 3.0"


def test_a_component_step_does_not_move_a_component(local: Any, sagemaker: Any) -> None:
    deploy_empty(local, sagemaker, empty_variant("AllTraffic"), empty_variant("Other"))
    attach(local, sagemaker, create_model(local, sagemaker))
    arn = run(local, sagemaker, component_step("one", VariantName="Other"))
    reason = listed(sagemaker, arn)["Component"]["FailureReason"]
    assert "exists with VariantName AllTraffic; it cannot be moved to Other" in reason


@pytest.mark.parametrize(
    ("more", "word"),
    [(CACHED, "CacheConfig"), ({"RetryPolicies": []}, "RetryPolicies")],
)
def test_a_component_step_knows_no_cache_and_no_retry(
    sagemaker: Any, more: dict[str, Any], word: str
) -> None:
    with pytest.raises(ClientError, match=word):
        upsert(sagemaker, {**component_step("one"), **more})


def test_a_component_step_goes_on_after_a_restart(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    slow = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    first = start(tmp_path / "home", slots=2)
    sagemaker = first.client()
    deploy_empty(first, sagemaker)
    attach(first, sagemaker, create_model(first, sagemaker))
    create_model(first, sagemaker, "two", slow + ADDER)
    upsert(sagemaker, component_step("two", Specification=specification("two")))
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    first.until("inference-component", "c", "Updating")
    boot.shut_down(first.plane)
    gate.touch()
    second = start(tmp_path / "home", slots=2)
    second.until(EXECUTION, arn, "Succeeded", "Failed")
    assert status(second.client(), arn) == SUCCEEDED
    assert ask_component(second) == "two 3.0"
    story = [status for _, status, _ in second.plane.store.story("inference-component", "c")]
    assert story == ["Creating", "InService", "Updating", "InService"]


def test_a_component_step_that_was_killed_while_it_launched_is_launched_once(
    local: Any, sagemaker: Any
) -> None:
    """The server's next life launches the same attempt again: with the same token."""
    deploy_empty(local, sagemaker)
    request = component(create_model(local, sagemaker))

    def launch(token: str) -> tuple[str, str]:
        made = deploying.launch_component(local.plane, request, token)
        local.until("inference-component", "c", "InService")
        return made

    assert launch("execution-1-0") == launch("execution-1-0")
    story = local.plane.store.story("inference-component", "c")
    assert [status for _, status, _ in story] == ["Creating", "InService"]
    launch("execution-2-0")
    story = local.plane.store.story("inference-component", "c")
    assert [status for _, status, _ in story][2:] == ["Updating", "InService"]
