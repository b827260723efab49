"""Shadow variants: a second model that gets copies of the requests and is never heard."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.engine import capture, measures, serving, shadowing
from tests.local_sagemaker.conftest import Local
from tests.local_sagemaker.hosting import (
    ask,
    create_config,
    create_model,
    deploy,
    empty_variant,
    variant,
)

CRASH = "import os\ndef model_fn(d): ...\ndef transform_fn(m, b, c, a): os._exit(3)\n"


@pytest.fixture
def runtime(local: Local) -> Any:
    return local.client("sagemaker-runtime")


def shadowed(local: Local, sagemaker: Any, code: str | None = None, **changes: Any) -> Any:
    """Model `one` in production, `two` in its shadow."""
    model, options = create_model(local, sagemaker, "one"), {} if code is None else {"code": code}
    other = create_model(local, sagemaker, "two", **options)
    more = changes.pop("config", {})
    shadow = variant(other, "S", **changes)
    return deploy(local, sagemaker, variant(model, "P"), ShadowProductionVariants=[shadow], **more)


def total(local: Local, variant: str, metric: str = "Invocations") -> float:
    now = time.time()
    found = measures.of(local.plane).minutes("e", variant, metric, now - 300, now + 60)
    return sum(each.total for each in found)


def test_the_shadow_gets_a_copy_and_only_production_answers(
    local: Local, sagemaker: Any, runtime: Any
) -> None:
    shadowed(local, sagemaker)
    assert {ask(runtime, str(i)) for i in range(3)} == {"one 0.0", "one 1.0", "one 2.0"}
    local.until_true(lambda: total(local, "S") == 3, timeout=5)
    assert total(local, "P") == 3
    assert total(local, "S", "ModelLatency") > 0


def test_a_shadow_that_fails_is_counted_and_nobody_else_is_hurt(
    local: Local, sagemaker: Any, runtime: Any
) -> None:
    shadowed(local, sagemaker, CRASH)
    assert ask(runtime) == "one 3.0"
    local.until_true(lambda: total(local, "S", "InvocationModelErrors") == 1, timeout=5)
    assert ask(runtime) == "one 3.0"
    assert total(local, "P", "Invocation5XXErrors") == 0


@pytest.mark.parametrize(("weight", "least", "most"), [(0.5, 11, 49), (0, 0, 0), (7, 60, 60)])
def test_the_shadows_weight_in_that_of_production_is_the_share_of_copies(
    local: Local, sagemaker: Any, runtime: Any, weight: float, least: int, most: int
) -> None:
    shadowed(local, sagemaker, InitialVariantWeight=weight)
    for _ in range(60):
        ask(runtime)
        local.until_true(lambda: _idle(local))
    assert least <= total(local, "S") <= most  # 60 fair coins: outside once in a million


def _idle(local: Local) -> bool:
    """Is no copy on its way?"""
    shadow = serving.FLEETS.get(local.plane, "e").choose("P").shadow
    assert shadow is not None
    return shadowing.of(shadow)._room._value == shadowing.MOST_WAITING


def test_a_shadow_cannot_be_asked_itself(local: Local, sagemaker: Any, runtime: Any) -> None:
    shadowed(local, sagemaker)
    with pytest.raises(ClientError, match="is a shadow variant") as refused:
        ask(runtime, TargetVariant="S")
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert ask(runtime, TargetVariant="P") == "one 3.0"


def test_what_the_shadow_answers_is_captured_under_its_own_name(
    local: Local, sagemaker: Any, runtime: Any
) -> None:
    given = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{local.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    shadowed(local, sagemaker, config={"DataCaptureConfig": given})
    ask(runtime, "8", InferenceId="id-8")
    local.until_true(lambda: total(local, "S") == 1, timeout=5)
    capture.of(local.plane).close()
    for name, word in (("P", "one"), ("S", "two")):
        [key] = local.keys(f"captured/e/{name}/")
        found = json.loads(local.read(key))
        assert found["captureData"]["endpointOutput"]["data"] == f"{word} 8.0"
        assert found["eventMetadata"]["inferenceId"] == "id-8"


def test_an_update_takes_the_shadow_away_and_brings_it_back(
    local: Local, sagemaker: Any, runtime: Any
) -> None:
    def names() -> list[str]:
        found = sagemaker.describe_endpoint(EndpointName="e")
        assert [each["VariantName"] for each in found["ProductionVariants"]] == ["P"]
        return [each["VariantName"] for each in found.get("ShadowProductionVariants", ())]

    def update(config: str) -> None:
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=config)
        local.until("endpoint", "e", "InService")

    shadowed(local, sagemaker)
    [found] = sagemaker.describe_endpoint(EndpointName="e")["ShadowProductionVariants"]
    assert (found["CurrentInstanceCount"], found["CurrentWeight"]) == (1, 1.0)
    create_config(sagemaker, "alone", variant("one", "P"))
    update("alone")
    assert names() == []
    ask(runtime)
    update("e-1")
    assert names() == ["S"]
    ask(runtime)
    local.until_true(lambda: total(local, "S") == 1, timeout=5)


def test_the_weight_of_a_shadow_changes_in_place(
    local: Local, sagemaker: Any, runtime: Any
) -> None:
    shadowed(local, sagemaker, InitialVariantWeight=0)
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "S", "DesiredWeight": 1}],
    )
    local.until("endpoint", "e", "InService")
    ask(runtime)
    local.until_true(lambda: total(local, "S") == 1, timeout=5)


def test_a_shadow_is_there_again_after_a_restart(
    start: Callable[..., Local], tmp_path: Path
) -> None:
    first = start(tmp_path / "home", slots=2)
    shadowed(first, first.client())
    boot.shut_down(first.plane)
    local = start(tmp_path / "home", slots=2)
    local.until("endpoint", "e", "InService")
    assert ask(local.client("sagemaker-runtime")) == "one 3.0"
    local.until_true(lambda: total(local, "S") == 1, timeout=5)


def test_when_too_many_copies_wait_further_ones_are_dropped_and_counted(
    local: Local, sagemaker: Any, runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadowing, "MOST_WAITING", 2)
    slow = "import os, time\ndef model_fn(d): ...\ndef transform_fn(m, b, c, a):\n"
    slow += f"    while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.005)\n"
    shadowed(local, sagemaker, slow + "    return 'late', a\n")
    for _ in range(5):
        assert ask(runtime) == "one 3.0"
    shadow = serving.FLEETS.get(local.plane, "e").choose("P").shadow
    assert shadow is not None
    assert shadowing.of(shadow).dropped == 3
    (tmp_path / "go").touch()
    local.until_true(lambda: total(local, "S") == 2, timeout=5)


@pytest.mark.parametrize(
    ("production", "shadows", "word"),
    [
        (["P", "Q"], ["S"], "there are 2 and 1"),
        (["P"], ["S", "T"], "there are 1 and 2"),
        (["P"], ["P"], "twice: P"),
    ],
)
def test_there_is_one_production_and_one_shadow_variant(
    local: Local, sagemaker: Any, production: list[str], shadows: list[str], word: str
) -> None:
    model = create_model(local, sagemaker)
    with pytest.raises(ClientError, match=word) as refused:
        create_config(
            sagemaker,
            "c",
            *(variant(model, name) for name in production),
            ShadowProductionVariants=[variant(model, name) for name in shadows],
        )
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_shadow_needs_a_model_that_exists(local: Local, sagemaker: Any) -> None:
    model = create_model(local, sagemaker)
    for shadow, word in ((empty_variant("S"), "S"), (variant("none", "S"), "Could not find model")):
        with pytest.raises(ClientError, match=word):
            create_config(sagemaker, "c", variant(model), ShadowProductionVariants=[shadow])
