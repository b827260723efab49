"""`python -m deploy.approval`, and what it sets up: a real rule, a really running function."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import approval, approval_parts, endpoint, registry
from local_sagemaker import ministack
from local_sagemaker.config import Config
from local_sagemaker.ministack import find_python
from tests.deploy import real
from tests.local_sagemaker.conftest import ROLE, Local, free_port, new_client
from tests.local_sagemaker.hosting import ADDER, XGBOOST, ask, put_model
from tests.local_sagemaker.test_model_registry import register

start, bucket = real.start, real.bucket
GROUP = NAME = "telco-churn"
HERE = ["--config", str(Path(__file__).resolve().parents[2] / "config" / "telco_churn.yaml")]
PORT = free_port()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MiniStack whose Lambda functions find the server of these tests, as `up` starts it."""
    home, port = tmp_path_factory.mktemp("ministack"), free_port()
    config = Config(home=home, port=PORT, s3_endpoint=f"http://127.0.0.1:{port}")
    running = ministack.MiniStack(config, port, find_python({}))
    running.wait_until_healthy()
    yield config.s3_endpoint
    running.stop()


s3 = real.s3


@pytest.fixture
def local(
    start: Callable[..., Local], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Local]:
    found = start(tmp_path / "home", slots=2, port=PORT)
    real.point(monkeypatch, found)
    found.client().create_model_package_group(ModelPackageGroupName=GROUP)
    forgotten(found)
    yield found
    assert run("remove") == 0


@pytest.fixture
def version(local: Local) -> Callable[..., str]:
    """version(word): register a model that answers with the word; its ARN."""

    def make(word: str, code: str = ADDER) -> str:
        container = {
            "Image": XGBOOST,
            "ModelDataUrl": put_model(local, word, code),
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
        }
        specification = {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        return register(local.client(), GROUP, InferenceSpecification=specification)

    return make


def run(*words: str) -> int:
    return approval.main([words[0], *HERE, *words[1:]])


def decide(command: str, number: int, *words: str) -> None:
    assert registry.main([command, *HERE, "--version", str(number), *words]) == 0


def changes(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """Kind and name of a part -> what happened to it, or how it is."""
    capsys.readouterr()
    assert run(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)["parts"]
    return {f"{each['kind']} {each['name']}": each.get("change") or each["state"] for each in found}


def serves(local: Local, word: str) -> None:
    """Until the endpoint answers with this word."""
    runtime = local.client("sagemaker-runtime")

    def true() -> bool:
        row = local.plane.store.get("endpoint", NAME)
        if row is None or row["EndpointStatus"] != "InService":
            return False
        return ask(runtime, name=NAME).startswith(f"{word} ")

    local.until_true(true, timeout=60)


def recorded(local: Local, name: str) -> str | None:
    """A parameter below the problem's folder."""
    client = new_client("ssm", local.plane.config.s3_endpoint)
    found = client.get_parameters(Names=[f"/ml-pipeline/models/{NAME}/{name}"])["Parameters"]
    client.close()
    return found[0]["Value"] if found else None


def forgotten(local: Local) -> None:
    """What earlier tests have left in the MiniStack that all share."""
    client = new_client("ssm", local.plane.config.s3_endpoint)
    names = ["active-version", *(f"versions/v{number}/metadata" for number in (1, 2))]
    client.delete_parameters(Names=[f"/ml-pipeline/models/{NAME}/{each}" for each in names])
    client.close()


def invoke(local: Local) -> Any:
    """Have the function handle one more event, by hand."""
    client = new_client("lambda", local.plane.config.s3_endpoint)
    answer = client.invoke(FunctionName=f"{NAME}-approval", Payload=b'{"id": "again"}')
    found = json.loads(answer["Payload"].read())
    client.close()
    return found


def test_what_is_approved_is_served_and_what_is_rejected_is_taken_back(
    local: Local, version: Callable[..., str]
) -> None:
    version("one")
    version("two")
    assert run("install") == 0
    decide("approve", 1, "--reason", "first")
    serves(local, "one")
    decide("approve", 2, "--force", "--reason", "no predictions in this test")
    serves(local, "two")
    before = local.plane.store.get("endpoint", NAME)
    assert before is not None
    assert invoke(local)["change"] == "none"  # the same event once more
    assert local.plane.store.get("endpoint", NAME) == before
    decide("reject", 2, "--reason", "complaints")
    serves(local, "one")


def test_what_the_function_serves_is_the_active_version_also_when_one_is_taken_back(
    local: Local, version: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    packages = [version("one"), version("two")]
    assert run("install") == 0
    for number in (1, 2):
        decide("approve", number, "--force", "--reason", "no predictions in this test")
        local.until_true(lambda n=number: recorded(local, "active-version") == f"v{n}", timeout=60)
    known = json.loads(recorded(local, "versions/v2/metadata") or "")
    assert (known["previousVersion"], known["modelPackageArn"]) == ("v1", packages[1])
    capsys.readouterr()
    assert endpoint.main(["status", *HERE]) == 0
    assert "Active version: v2\n" in capsys.readouterr().out
    decide("reject", 2, "--reason", "complaints")
    local.until_true(lambda: recorded(local, "active-version") == "v1", timeout=60)
    serves(local, "one")


def test_deploying_what_the_function_serves_changes_nothing(
    local: Local, version: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    version("one")
    assert run("install") == 0
    decide("approve", 1)
    serves(local, "one")
    capsys.readouterr()
    assert endpoint.main(["deploy", *HERE, "--version", "1"]) == 0
    assert "serves version 1 already; nothing changed" in capsys.readouterr().out


def test_a_rollback_by_hand_stays_when_the_old_event_comes_again(
    local: Local, version: Callable[..., str]
) -> None:
    for word in ("one", "two"):
        version(word)
    assert run("install") == 0
    decide("approve", 1)
    serves(local, "one")
    decide("approve", 2, "--force", "--reason", "no predictions in this test")
    serves(local, "two")
    assert endpoint.main(["deploy", *HERE, "--version", "1"]) == 0
    assert invoke(local)["reason"].endswith("was acted on")
    serves(local, "one")


def test_what_is_approved_while_the_endpoint_is_being_changed_is_served_afterwards(
    local: Local, version: Callable[..., str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = f"while not os.path.exists({str(gate)!r}): time.sleep(0.005)"
    code = ADDER.replace("def model_fn(model_dir):", f"def model_fn(model_dir):\n    {waits}")
    version("slow", code)
    version("two")
    assert run("install") == 0
    decide("approve", 1)
    local.until_true(lambda: local.plane.store.get("endpoint", NAME) is not None)
    decide("approve", 2, "--force", "--reason", "no predictions in this test")
    assert invoke(local) == {
        "endpoint": NAME,
        "change": "later",
        "reason": "the endpoint is Creating",
    }
    gate.touch()
    serves(local, "two")


def test_installing_again_changes_nothing_and_repairs_what_is_missing(
    local: Local, capsys: pytest.CaptureFixture[str]
) -> None:
    first = changes(capsys, "install")
    assert set(first.values()) == {"created"}
    assert set(changes(capsys, "install").values()) == {"unchanged"}
    assert set(changes(capsys, "show").values()) == {
        "ENABLED",
        "up to date",
        "there",
        "0 dead letters",
    }
    events = new_client("events", local.plane.config.s3_endpoint)
    rule = f"{NAME}-approval-decided"
    events.remove_targets(Rule=rule, Ids=["approval"])
    events.close()
    again = changes(capsys, "install")
    assert again.pop(f"rule {rule}") == "updated"
    assert set(again.values()) == {"unchanged"}


def test_another_version_of_the_function_is_put_in_the_place_of_the_old(
    local: Local,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run("install") == 0
    changed = tmp_path / "approval.py"
    changed.write_text(approval_parts.SOURCE.read_text() + "\n# changed\n")
    monkeypatch.setattr(approval_parts, "SOURCE", changed)
    assert changes(capsys, "show")[f"function {NAME}-approval"] == "other code"
    again = changes(capsys, "install", "--role-arn", ROLE)
    assert again.pop(f"function {NAME}-approval") == "updated"
    assert set(again.values()) == {"unchanged"}


def test_a_problem_whose_pipeline_deploys_itself_is_told_so(
    local: Local, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("install", "--dry-run") == 0
    assert "Note: telco-churn has deploy.approval: automatic" in capsys.readouterr().out


def test_removing_takes_everything_away_and_twice_is_no_error(
    local: Local, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("install") == 0
    assert set(changes(capsys, "remove").values()) == {"removed"}
    assert set(changes(capsys, "remove").values()) == {"missing"}
    assert set(changes(capsys, "show").values()) == {"missing"}


def test_a_dry_run_shows_every_request_and_sends_none(
    local: Local, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("install", "--dry-run", "--json") == 0
    requests = json.loads(capsys.readouterr().out)["requests"]
    assert [each["operation"] for each in requests] == [
        "create_queue",
        "create_role",
        "put_role_policy",
        "create_function",
        "put_rule",
        "put_targets",
        "add_permission",
        "put_rule",
        "put_targets",
        "add_permission",
    ]
    assert set(changes(capsys, "show").values()) == {"missing"}


def test_the_role_may_touch_this_group_and_this_endpoint_alone(
    local: Local, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("install", "--dry-run", "--json") == 0
    requests = json.loads(capsys.readouterr().out)["requests"]
    [document] = [
        json.loads(each["parameters"]["PolicyDocument"])
        for each in requests
        if each["operation"] == "put_role_policy"
    ]
    for statement in document["Statement"]:
        assert "*" not in statement["Resource"]
        assert not any(action.endswith("*") for action in statement["Action"])
    changing = [each for each in document["Statement"] if "sagemaker:CreateModel" in each["Action"]]
    assert all("/telco-churn" in resource for resource in changing[0]["Resource"])
    [stored] = [each for each in document["Statement"] if "ssm:PutParameter" in each["Action"]]
    folder = "arn:aws:ssm:us-east-1:000000000000:parameter/ml-pipeline/models/telco-churn"
    assert stored["Action"] == ["ssm:GetParameter", "ssm:PutParameter"]
    assert stored["Resource"] == [f"{folder}/active-version", f"{folder}/versions/*/metadata"]


def test_the_function_ships_alone_and_equal_sources_give_equal_bytes() -> None:
    body = approval_parts.zipped()
    assert body == approval_parts.zipped()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.namelist() == ["approval.py"]
