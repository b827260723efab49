"""Inference components through boto3: models on an endpoint that has none of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.hosting import (
    ADDER,
    XGBOOST,
    ask,
    ask_component,
    attach,
    component,
    component_is_gone,
    create_model,
    current_copies,
    deploy,
    deploy_empty,
    describe_component,
    empty_variant,
    put_model,
    specification,
    variant,
)

KIND = "inference-component"
BROKEN = "raise RuntimeError('this model is broken')"


@pytest.fixture
def runtime(local: Any) -> Any:
    return local.client("sagemaker-runtime")


def test_components_of_one_endpoint_answer_each_for_its_model(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    assert attach(local, sagemaker, create_model(local, sagemaker, "one"), "first")
    assert attach(local, sagemaker, create_model(local, sagemaker, "two"), "second", copies=2)
    assert ask_component(runtime, name="first") == "one 3.0"
    assert ask_component(runtime, name="second") == "two 3.0"
    ports = {ask_component(runtime, "port", "second") for _ in range(40)}
    assert len(ports) == 2
    found = describe_component(sagemaker, "second")
    assert found["InferenceComponentStatus"] == "InService"
    assert found["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}
    assert found["Specification"] == specification("two")
    assert found["EndpointArn"].endswith(":endpoint/e")
    assert found["InferenceComponentArn"].endswith(":inference-component/second")


def test_an_endpoint_for_components_shows_its_variant_without_a_model(
    local: Any, sagemaker: Any
) -> None:
    deploy_empty(local, sagemaker)
    (only,) = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
    assert "DeployedImages" not in only
    assert only["CurrentInstanceCount"] == 1
    assert only["ManagedInstanceScaling"]["MaxInstanceCount"] == 2
    assert only["RoutingConfig"] == {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}


def test_a_component_may_bring_its_container(local: Any, sagemaker: Any, runtime: Any) -> None:
    deploy_empty(local, sagemaker)
    uri = put_model(local, "three")
    container = {
        "Image": XGBOOST,
        "ArtifactUrl": uri,
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
    }
    request = component(None, Specification=specification(None, Container=container))
    del request["VariantName"]  # the endpoint has one
    sagemaker.create_inference_component(**request)
    local.until(KIND, "c", "InService")
    assert ask_component(runtime) == "three 3.0"
    found = describe_component(sagemaker)
    assert found["VariantName"] == "AllTraffic"
    assert found["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"] == XGBOOST
    assert found["Specification"]["Container"]["ArtifactUrl"] == uri


def test_which_component_is_asked_must_be_said_in_awss_words(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_model(local, sagemaker))
    with pytest.raises(ClientError, match="Inference Component Name header is required") as none:
        ask(runtime)
    assert none.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="Inference component x of endpoint e not found"):
        ask_component(runtime, name="x")
    with pytest.raises(ClientError, match="c is on variant AllTraffic, not on Other"):
        ask(runtime, InferenceComponentName="c", TargetVariant="Other")
    deploy(local, sagemaker, variant("one"), name="plain")
    with pytest.raises(ClientError, match="Inference Component Name header is not allowed"):
        ask(runtime, name="plain", InferenceComponentName="c")


def test_a_component_whose_model_cannot_be_loaded_fails_and_may_be_updated(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    row = attach(local, sagemaker, create_model(local, sagemaker, "bad", BROKEN))
    assert row["InferenceComponentStatus"] == "Failed"
    assert "this model is broken" in describe_component(sagemaker)["FailureReason"]
    with pytest.raises(ClientError, match="Inference Component has no capacity"):
        ask_component(runtime)
    for change in ({"RuntimeConfig": {"CopyCount": 2}}, {"Specification": specification("bad")}):
        sagemaker.update_inference_component(InferenceComponentName="c", **change)
        assert "this model is broken" in local.until(KIND, "c", "Failed")["FailureReason"]
    sagemaker.update_inference_component(
        InferenceComponentName="c",
        Specification=specification(create_model(local, sagemaker, "one")),
        RuntimeConfig={"CopyCount": 1},
    )
    local.until(KIND, "c", "InService")
    assert ask_component(runtime) == "one 3.0"
    assert "FailureReason" not in describe_component(sagemaker)


def test_an_update_lets_the_old_model_finish_and_ends_with_the_new(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_model(local, sagemaker, "one"), copies=2)
    create_model(local, sagemaker, "two")
    sagemaker.update_inference_component(
        InferenceComponentName="c", Specification=specification("two")
    )
    while describe_component(sagemaker)["InferenceComponentStatus"] == "Updating":
        assert ask_component(runtime) in ("one 3.0", "two 3.0")
    assert {ask_component(runtime) for _ in range(4)} == {"two 3.0"}
    found = describe_component(sagemaker)
    assert found["Specification"]["ModelName"] == "two"
    assert found["RuntimeConfig"]["CurrentCopyCount"] == 2


def test_a_failed_update_keeps_the_old_model_and_says_why(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_model(local, sagemaker))
    create_model(local, sagemaker, "bad", BROKEN)
    sagemaker.update_inference_component(
        InferenceComponentName="c",
        Specification=specification("bad"),
        RuntimeConfig={"CopyCount": 2},
    )
    local.until(KIND, "c", "InService")
    found = describe_component(sagemaker)
    assert "this model is broken" in found["FailureReason"]
    assert found["Specification"]["ModelName"] == "one"
    assert found["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert ask_component(runtime) == "one 3.0"


def test_copies_are_added_and_taken_away_down_to_none(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_model(local, sagemaker))
    first = ask_component(runtime, "port")
    change = sagemaker.update_inference_component_runtime_config

    def scale(count: int) -> int:
        change(InferenceComponentName="c", DesiredRuntimeConfig={"CopyCount": count})
        local.until(KIND, "c", "InService")
        return current_copies(sagemaker)

    assert scale(2) == 2
    assert first in {ask_component(runtime, "port") for _ in range(40)}
    assert scale(0) == 0
    with pytest.raises(ClientError, match="Inference Component has no capacity"):
        ask_component(runtime)
    assert scale(1) == 1
    assert ask_component(runtime) == "one 3.0"


def test_the_copy_with_the_fewest_requests_is_asked(
    local: Any, sagemaker: Any, runtime: Any, tmp_path: Path
) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_model(local, sagemaker), copies=2)
    gate = tmp_path / "gate"
    long = threading.Thread(target=ask_component, args=(runtime, f"wait {gate}"))
    long.start()
    local.until_true(Path(f"{gate}.here").exists)
    ports = {ask_component(runtime, "port") for _ in range(20)}
    gate.touch()
    long.join(20)
    assert len(ports) == 1


def test_components_are_listed_by_endpoint_variant_status_and_name(
    local: Any, sagemaker: Any
) -> None:
    deploy_empty(local, sagemaker, empty_variant("A"), empty_variant("B"))
    model = create_model(local, sagemaker)
    for name, host in (("x-1", "A"), ("x-2", "B"), ("y", "B")):
        sagemaker.create_inference_component(**component(model, name, VariantName=host))
        local.until(KIND, name, "InService")

    def listed(**filters: Any) -> list[str]:
        found = sagemaker.list_inference_components(SortOrder="Ascending", **filters)
        return [each["InferenceComponentName"] for each in found["InferenceComponents"]]

    assert listed(SortBy="Name") == ["x-1", "x-2", "y"]
    assert listed(VariantNameEquals="B") == ["x-2", "y"]
    assert listed(VariantNameEquals="B", NameContains="x", EndpointNameEquals="e") == ["x-2"]
    assert listed(EndpointNameEquals="other") == listed(StatusEquals="Failed") == []
    first = sagemaker.list_inference_components(MaxResults=2, SortBy="CreationTime")
    rest = sagemaker.list_inference_components(
        MaxResults=2, SortBy="CreationTime", NextToken=first["NextToken"]
    )
    pages = [*first["InferenceComponents"], *rest["InferenceComponents"]]
    assert [each["InferenceComponentName"] for each in pages] == ["y", "x-2", "x-1"]


def test_an_endpoint_goes_only_after_its_components(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_model(local, sagemaker))
    with pytest.raises(ClientError, match="Cannot delete endpoint with inference component assoc"):
        sagemaker.delete_endpoint(EndpointName="e")
    sagemaker.delete_inference_component(InferenceComponentName="c")
    local.until_true(lambda: component_is_gone(sagemaker))
    with pytest.raises(ClientError, match="Inference component c of endpoint e not found"):
        ask_component(runtime)
    assert not (local.plane.config.home / "inference-components" / "c").exists()
    sagemaker.delete_endpoint(EndpointName="e")
    sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName="e", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )


def test_an_endpoint_update_keeps_its_components_or_is_refused(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy_empty(local, sagemaker)
    attach(local, sagemaker, create_model(local, sagemaker))
    sagemaker.create_endpoint_config(
        EndpointConfigName="models", ProductionVariants=[variant("one")]
    )
    with pytest.raises(ClientError, match="Inference component c is on variant AllTraffic"):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="models")
    sagemaker.create_endpoint_config(
        EndpointConfigName="bigger",
        ProductionVariants=[empty_variant(InitialInstanceCount=2)],
        ExecutionRoleArn="arn:aws:iam::000000000000:role/local",
    )
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="bigger")
    row = local.until("endpoint", "e", "InService")
    assert row["EndpointConfigName"] == "bigger"
    assert ask_component(runtime) == "one 3.0"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"EndpointName": "none"}, 'Could not find endpoint "arn:.*endpoint/none"'),
        ({"VariantName": "X"}, "VariantName 'X' is not of endpoint .* it has: AllTraffic"),
        ({"RuntimeConfig": {"CopyCount": 0}}, "copy count must be an integer larger than 0"),
        ({"Specification": specification("none")}, 'Could not find model "arn:.*model/none"'),
        ({"Specification": specification(None)}, "ModelName or Container, one of them"),
        ({"Specification": {"ModelName": "one"}}, "needs ComputeResourceRequirements"),
        ({"Specification": specification(None, Container={})}, "Container needs Image"),
        (
            {"Specification": specification(None, Container={"Image": "mine:1"})},
            "not in the table of images",
        ),
        (
            {"Specification": specification("one", BaseInferenceComponentName="base")},
            "BaseInferenceComponentName' is not supported",
        ),
        (
            {
                "Specification": specification(
                    "one",
                    ComputeResourceRequirements={
                        "MinMemoryRequiredInMb": 512,
                        "MaxMemoryRequiredInMb": 256,
                    },
                )
            },
            "MaxMemoryRequiredInMb must be 512",
        ),
    ],
)
def test_what_cannot_be_a_component_is_refused(
    local: Any, sagemaker: Any, changes: dict[str, Any], word: str
) -> None:
    deploy_empty(local, sagemaker)
    create_model(local, sagemaker)
    with pytest.raises(ClientError, match=word) as refused:
        sagemaker.create_inference_component(**component("one", **changes))
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert sagemaker.list_inference_components()["InferenceComponents"] == []


def test_an_endpoint_with_models_takes_no_component(local: Any, sagemaker: Any) -> None:
    deploy(local, sagemaker)
    with pytest.raises(ClientError, match="Inference Components are not supported in this Endp"):
        sagemaker.create_inference_component(**component("one"))


def test_missing_duplicate_and_busy_components_are_refused(
    local: Any, sagemaker: Any, tmp_path: Path
) -> None:
    calls: tuple[Callable[..., Any], ...] = (
        sagemaker.describe_inference_component,
        sagemaker.delete_inference_component,
    )
    for call in calls:
        with pytest.raises(ClientError, match='Could not find inference component "arn:'):
            call(InferenceComponentName="c")
    deploy_empty(local, sagemaker)
    gate = tmp_path / "gate"
    slow = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    sagemaker.create_inference_component(
        **component(create_model(local, sagemaker, "one", slow + ADDER))
    )
    with pytest.raises(ClientError, match="Cannot create already existing inference component"):
        sagemaker.create_inference_component(**component("one"))
    with pytest.raises(ClientError, match="Cannot update in-progress inference component"):
        sagemaker.delete_inference_component(InferenceComponentName="c")
    with pytest.raises(ClientError, match="Cannot update in-progress inference component"):
        sagemaker.update_inference_component_runtime_config(
            InferenceComponentName="c", DesiredRuntimeConfig={"CopyCount": 2}
        )
    gate.touch()
    local.until(KIND, "c", "InService")
    with pytest.raises(ClientError, match="needs Specification or RuntimeConfig"):
        sagemaker.update_inference_component(InferenceComponentName="c")
