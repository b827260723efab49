"""Endpoints through boto3: their statuses, their texts, and that the new fleet really answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from local_sagemaker.engine import serving
from tests.local_sagemaker.hosting import (
    ADDER,
    ask,
    create_config,
    create_model,
    deploy,
    servers,
    variant,
)

BROKEN = "raise RuntimeError('this model is broken')"


@pytest.fixture
def runtime(local: Any) -> Any:
    return local.client("sagemaker-runtime")


def statuses(local: Any, name: str = "e") -> list[str]:
    return [status for _, status, _ in local.plane.store.story("endpoint", name)]


def test_an_endpoint_comes_into_service_and_answers(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy(local, sagemaker)
    found = sagemaker.describe_endpoint(EndpointName="e")
    (only,) = found["ProductionVariants"]
    assert found["EndpointStatus"] == "InService"
    assert (only["CurrentInstanceCount"], only["DesiredInstanceCount"]) == (1, 1)
    assert only["CurrentWeight"] == 1.0
    assert only["DeployedImages"][0]["SpecifiedImage"].endswith("sagemaker-xgboost:3.2-0")
    assert ask(runtime) == "one 3.0"
    assert [e["EndpointName"] for e in sagemaker.list_endpoints()["Endpoints"]] == ["e"]


def test_a_model_that_cannot_be_loaded_fails_with_its_last_words(
    local: Any, sagemaker: Any
) -> None:
    row = deploy(local, sagemaker, variant(create_model(local, sagemaker, "bad", BROKEN)))
    assert row["EndpointStatus"] == "Failed"
    assert "this model is broken" in row["FailureReason"]
    with pytest.raises(ClientError, match="in status Failed; delete it"):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e-1")
    sagemaker.delete_endpoint(EndpointName="e")
    sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName="e", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )


def test_a_missing_artifact_fails_by_name(local: Any, sagemaker: Any) -> None:
    create_model(local, sagemaker)
    local.s3.delete_object(Bucket=local.bucket, Key="models/one/model.tar.gz")
    row = deploy(local, sagemaker, variant("one"))
    assert row["EndpointStatus"] == "Failed"
    assert "models/one/model.tar.gz" in row["FailureReason"]


def test_missing_and_duplicate_endpoints_are_refused_in_awss_words(
    local: Any, sagemaker: Any
) -> None:
    with pytest.raises(ClientError, match='Could not find endpoint configuration "arn:'):
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="none")
    with pytest.raises(ClientError, match=r'Could not find endpoint "arn:.*endpoint/e"'):
        sagemaker.describe_endpoint(EndpointName="e")
    deploy(local, sagemaker)
    with pytest.raises(ClientError, match='Cannot create already existing endpoint "arn:'):
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="e-1")


def test_while_it_changes_an_endpoint_refuses_to_change(
    local: Any, sagemaker: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    slow = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    model = create_model(local, sagemaker, "slow", slow + "def model_fn(d): ...\ntransform_fn = 1")
    create_config(sagemaker, "c", variant(model))
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    busy = 'Cannot update in-progress endpoint "arn:.*endpoint/e"'
    with pytest.raises(ClientError, match=busy):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c")
    with pytest.raises(ClientError, match=busy):
        sagemaker.delete_endpoint(EndpointName="e")
    gate.touch()
    local.until("endpoint", "e", "InService")


def test_a_deleted_endpoint_stops_its_processes_and_is_gone(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy(local, sagemaker)
    before = servers(local)
    assert len(before) == 1
    sagemaker.delete_endpoint(EndpointName="e")
    sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName="e", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    assert not psutil.wait_procs(before, timeout=10)[1]
    assert not (local.plane.config.home / "endpoints" / "e").exists()
    with pytest.raises(ClientError, match="Endpoint e of account 000000000000 not found"):
        ask(runtime)


def test_an_update_drops_no_request_and_ends_with_the_new_model(
    local: Any, sagemaker: Any, runtime: Any, tmp_path: Path
) -> None:
    deploy(local, sagemaker)
    create_config(sagemaker, "c2", variant(create_model(local, sagemaker, "two")))
    gate, told, over = tmp_path / "gate", [], threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            told.append(ask(runtime))

    long = threading.Thread(target=lambda: told.append(ask(runtime, f"wait {gate}")))
    loops = [threading.Thread(target=keep_asking) for _ in range(3)]
    for each in (long, *loops):
        each.start()
    while not Path(f"{gate}.here").exists():  # the long request is inside the old model
        threading.Event().wait(0.005)
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    row = local.until("endpoint", "e", "InService", "Failed")
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", "c2")
    assert ask(runtime) == "two 3.0"
    over.set()
    gate.touch()
    for each in (long, *loops):
        each.join(20)
    assert set(told) <= {"one", "one 3.0", "two 3.0"}
    assert "one" in told, "the request that was under way was not answered by the old model"
    assert statuses(local) == ["Creating", "InService", "Updating", "InService"]


def test_a_failed_update_keeps_the_old_model_and_says_why(
    local: Any, sagemaker: Any, runtime: Any
) -> None:
    deploy(local, sagemaker)
    create_config(sagemaker, "bad", variant(create_model(local, sagemaker, "bad", BROKEN)))
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="bad")
    local.until("endpoint", "e", "InService")
    found = sagemaker.describe_endpoint(EndpointName="e")
    assert found["EndpointConfigName"] == "e-1"
    assert "this model is broken" in found["FailureReason"]
    assert "PendingDeploymentSummary" not in found
    assert ask(runtime) == "one 3.0"


def test_weights_and_counts_change_in_place(local: Any, sagemaker: Any, runtime: Any) -> None:
    create_model(local, sagemaker, "one")
    create_model(local, sagemaker, "two")
    deploy(
        local,
        sagemaker,
        variant("one", "A"),
        variant("two", "B", InitialVariantWeight=0),
    )
    assert {ask(runtime) for _ in range(8)} == {"one 3.0"}
    first = ask(runtime, "pid", TargetVariant="B")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[
            {"VariantName": "A", "DesiredWeight": 0},
            {"VariantName": "B", "DesiredWeight": 1, "DesiredInstanceCount": 2},
        ],
    )
    local.until("endpoint", "e", "InService")
    found = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
    assert [(v["CurrentWeight"], v["CurrentInstanceCount"]) for v in found] == [(0.0, 1), (1.0, 2)]
    assert {ask(runtime) for _ in range(8)} == {"two 3.0"}
    assert first  # the first instance of B answered before, and was kept


def test_unknown_variants_and_empty_ones_are_refused(local: Any, sagemaker: Any) -> None:
    deploy(local, sagemaker)
    change = sagemaker.update_endpoint_weights_and_capacities
    with pytest.raises(ClientError, match='Variant "X" is not in the endpoint; it has: AllTraffic'):
        change(EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "X"}])
    empty = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 0}]
    with pytest.raises(ClientError, match="must be 1 or more"):
        change(EndpointName="e", DesiredWeightsAndCapacities=empty)


def test_an_update_may_keep_the_live_weights(local: Any, sagemaker: Any) -> None:
    create_model(local, sagemaker)
    deploy(local, sagemaker, variant("one", "A"), variant("one", "B"))
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "A", "DesiredWeight": 7}],
    )
    local.until("endpoint", "e", "InService")
    sagemaker.update_endpoint(
        EndpointName="e", EndpointConfigName="e-1", RetainAllVariantProperties=True
    )
    row = local.until("endpoint", "e", "InService")
    assert [v["DesiredWeight"] for v in row["ProductionVariants"]] == [7.0, 1.0]


def test_an_endpoint_comes_back_after_a_restart_even_without_its_config(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    from local_sagemaker import boot

    first = start(tmp_path / "home", slots=2)
    sagemaker = first.client()
    deploy(first, sagemaker)
    sagemaker.delete_endpoint_config(EndpointConfigName="e-1")
    sagemaker.delete_model(ModelName="one")
    boot.shut_down(first.plane)
    second = start(tmp_path / "home", slots=2)
    second.until("endpoint", "e", "InService")
    assert statuses(second) == [
        "Creating",
        "InService",
        "SystemUpdating",
        "InService",
    ]
    assert ask(second.client("sagemaker-runtime")) == "one 3.0"


@pytest.mark.parametrize("change", ["create", "update"])
def test_what_a_shutdown_interrupted_is_done_after_the_restart(
    start: Callable[..., Any], tmp_path: Path, change: str
) -> None:
    from local_sagemaker import boot

    gate = tmp_path / "gate"
    slow = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    first = start(tmp_path / "home", slots=2)
    sagemaker = first.client()
    create_config(sagemaker, "c2", variant(create_model(first, sagemaker, "two", slow + ADDER)))
    if change == "update":
        deploy(first, sagemaker)
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    else:
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c2")
    boot.shut_down(first.plane)
    gate.touch()
    second = start(tmp_path / "home", slots=2)
    row = second.until("endpoint", "e", "InService", "Failed")
    assert (row["EndpointStatus"], row["EndpointConfigName"]) == ("InService", "c2")
    assert ask(second.client("sagemaker-runtime")) == "two 3.0"


def test_while_it_comes_back_an_endpoint_says_so(start: Callable[..., Any], tmp_path: Path) -> None:
    from local_sagemaker import boot

    gate = tmp_path / "gate"
    gate.touch()
    slow = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    first = start(tmp_path / "home", slots=2)
    sagemaker = first.client()
    deploy(first, sagemaker, variant(create_model(first, sagemaker, "one", slow + ADDER)))
    boot.shut_down(first.plane)
    gate.unlink()
    second = start(tmp_path / "home", slots=2)
    runtime = second.client("sagemaker-runtime")
    found = second.client().describe_endpoint(EndpointName="e")
    assert found["EndpointStatus"] == "SystemUpdating"
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    with pytest.raises(runtime.exceptions.ServiceUnavailable, match="coming back"):
        ask(runtime)
    gate.touch()
    second.until("endpoint", "e", "InService")
    assert ask(runtime) == "one 3.0"


def test_a_model_server_that_dies_is_replaced(local: Any, sagemaker: Any, runtime: Any) -> None:
    deploy(local, sagemaker)
    (victim,) = servers(local)
    os.kill(victim.pid, signal.SIGKILL)
    psutil.wait_procs([victim], timeout=10)
    assert _answer_of_the_replacement(runtime) == "one 3.0"
    (fresh,) = servers(local)
    assert fresh != victim
    log = (local.plane.config.home / "logs" / "endpoints" / "e-AllTraffic-1.log").read_text()
    assert "ended with exit code 137; replacement 1 is started" in log


def test_a_variant_without_a_living_server_says_so_until_one_is_back(
    local: Any, sagemaker: Any, runtime: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    slow = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.005)\n"
    deploy(local, sagemaker, variant(create_model(local, sagemaker, "one", slow + ADDER)))

    def answering() -> int:
        (only,) = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
        return int(only["CurrentInstanceCount"])

    gate.unlink()
    (victim,) = servers(local)
    os.kill(victim.pid, signal.SIGKILL)
    local.until_true(lambda: answering() == 0)
    with pytest.raises(runtime.exceptions.ServiceUnavailable, match="a new one is being started"):
        ask(runtime)
    gate.touch()
    local.until_true(lambda: answering() == 1)
    assert ask(runtime) == "one 3.0"


def test_a_request_that_chose_its_model_just_before_an_update_is_answered_by_the_new_one(
    local: Any, sagemaker: Any, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(local, sagemaker)
    way = serving._way
    chosen = [way(local.plane, "e", {})]
    create_config(sagemaker, "c2", variant(create_model(local, sagemaker, "two")))
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    local.until("endpoint", "e", "InService")
    local.until_true(lambda: len(servers(local)) == 1)
    monkeypatch.setattr(serving, "_way", lambda *request: chosen.pop() if chosen else way(*request))
    assert ask(runtime) == "two 3.0"
    assert not chosen


def _answer_of_the_replacement(runtime: Any) -> str:
    for _ in range(400):
        try:
            return ask(runtime)
        except (runtime.exceptions.ServiceUnavailable, runtime.exceptions.ModelError):
            threading.Event().wait(0.02)
    raise AssertionError("the model server was not replaced")
