"""Inference components over a restart of the server: they come back, and changes are finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker import boot, lifecycle
from tests.local_sagemaker.hosting import (
    ADDER,
    ask_component,
    attach,
    component,
    component_is_gone,
    create_model,
    current_copies,
    deploy_empty,
    describe_component,
    specification,
)

KIND = "inference-component"


def test_components_come_back_after_a_restart_even_without_their_model(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    first = start(tmp_path / "home", slots=2)
    sagemaker = first.client()
    deploy_empty(first, sagemaker)
    attach(first, sagemaker, create_model(first, sagemaker), copies=2)
    sagemaker.delete_model(ModelName="one")
    boot.shut_down(first.plane)
    second = start(tmp_path / "home", slots=2)
    second.until("endpoint", "e", "InService")
    fresh = second.client()
    second.until_true(lambda: current_copies(fresh) == 2)
    assert ask_component(second.client("sagemaker-runtime")) == "one 3.0"
    story = [status for _, status, _ in second.plane.store.story(KIND, "c")]
    assert story == ["Creating", "InService"]


def slow_code(gate: Path) -> str:
    """A model that is not up before the gate is there."""
    wait = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    return wait + ADDER


def interrupt(local: Any, change: str, gate: Path) -> None:
    """Begin a change that cannot end before the gate is there, and stop the server in it."""
    sagemaker = local.client()
    deploy_empty(local, sagemaker)
    create_model(local, sagemaker, "two", slow_code(gate))
    if change != "create":
        gate.touch()
        attach(local, sagemaker, create_model(local, sagemaker, "one", slow_code(gate)))
        gate.unlink()
    if change == "create":
        sagemaker.create_inference_component(**component("two"))
    elif change == "update":
        sagemaker.update_inference_component(
            InferenceComponentName="c", Specification=specification("two")
        )
    elif change == "scale":
        sagemaker.update_inference_component_runtime_config(
            InferenceComponentName="c", DesiredRuntimeConfig={"CopyCount": 2}
        )
    else:
        lifecycle.transition(local.plane, KIND, "c", "Deleting")
    boot.shut_down(local.plane)
    gate.touch()


@pytest.mark.parametrize(
    ("change", "answer", "count"),
    [("create", "two 3.0", 1), ("update", "two 3.0", 1), ("scale", "one 3.0", 2)],
)
def test_what_a_shutdown_interrupted_is_done_after_the_restart(
    start: Callable[..., Any], tmp_path: Path, change: str, answer: str, count: int
) -> None:
    interrupt(start(tmp_path / "home", slots=2), change, tmp_path / "gate")
    second = start(tmp_path / "home", slots=2)
    second.until("endpoint", "e", "InService")
    second.until(KIND, "c", "InService")
    assert ask_component(second.client("sagemaker-runtime")) == answer
    assert describe_component(second.client())["RuntimeConfig"] == {
        "DesiredCopyCount": count,
        "CurrentCopyCount": count,
    }


def test_a_deletion_that_was_interrupted_is_done_after_the_restart(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    interrupt(start(tmp_path / "home", slots=2), "delete", tmp_path / "gate")
    second = start(tmp_path / "home", slots=2)
    sagemaker = second.client()
    second.until_true(lambda: component_is_gone(sagemaker))


def test_while_it_comes_back_a_component_says_so(start: Callable[..., Any], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    first = start(tmp_path / "home", slots=2)
    sagemaker = first.client()
    deploy_empty(first, sagemaker)
    attach(first, sagemaker, create_model(first, sagemaker, "one", slow_code(gate)))
    boot.shut_down(first.plane)
    gate.unlink()
    second = start(tmp_path / "home", slots=2)
    second.until("endpoint", "e", "InService")
    runtime = second.client("sagemaker-runtime")
    assert describe_component(second.client())["RuntimeConfig"]["CurrentCopyCount"] == 0
    with pytest.raises(runtime.exceptions.ServiceUnavailable, match="coming back"):
        ask_component(runtime)
    gate.touch()
    fresh = second.client()
    second.until_true(lambda: current_copies(fresh) == 1)
    assert ask_component(runtime) == "one 3.0"
