"""The deploy commands against a real local SageMaker and MiniStack: two versions of a tiny bundle,
registered, split, promoted and rolled back.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy import endpoint, rollback, shift, variants
from deploy.requests import Requests
from tests.deploy.plane import Shop, shop
from tests.local_sagemaker.conftest import Local, bucket, local, s3, s3_endpoint, start
from tests.local_sagemaker.hosting import archive

__all__ = ["bucket", "local", "s3", "s3_endpoint", "start"]
Z_999 = 3.2905


@pytest.fixture
def two(
    local: Local,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shop]:
    """Versions 1 and 2, approved; nothing is deployed."""
    made = shop(local, tmp_path, monkeypatch, capsys)
    assert [made.register("one"), made.register("two")] == [1, 2]
    yield made
    for each in made.clients.values():
        each.close()


def traffic(two: Shop, count: int) -> Counter[str]:
    """So many requests of callers who know nothing of variants; answers by the bundle's word."""
    runtime, answered = two.client("sagemaker-runtime"), Counter[str]()
    for _ in range(count):
        answer = runtime.invoke_endpoint(
            EndpointName=two.name, ContentType="application/json", Body=b"{}"
        )
        answered[json.loads(answer["Body"].read())["model_version"]] += 1
    return answered


def test_split_promote_and_roll_back_with_status_telling_the_truth(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    assert two.parameter("active-version") == "v1"
    split = two.run(variants.main, "split", "A=80", "B=20")
    assert two.versions() == {"A": "1", "B": "2"}
    assert split["changed"]
    answered = traffic(two, 2000)
    margin = Z_999 * math.sqrt(2000 * 0.2 * 0.8)
    assert abs(answered["two"] - 400) < margin
    assert answered["one"] + answered["two"] == 2000
    said = two.text(endpoint.main, "status")
    rows = [line.split() for line in said.splitlines()[2:4]]
    assert [(r[0], r[2], r[3], r[4]) for r in rows] == [
        ("A", "1", "80", "80"),
        ("B", "2", "20", "20"),
    ]
    assert "Active version: v1" in said

    two.run(variants.main, "promote", "B")
    assert traffic(two, 20) == {"two": 20}
    status = two.run(endpoint.main, "status")
    assert [v["version"] for v in status["variants"]] == ["2"]
    assert (status["active"], two.parameter("active-version")) == ("v2", "v2")

    back = two.run(rollback.main, "to")
    assert (back["from"], back["to"], back["proof"]["bundle"]) == ("v2", "v1", "one")
    assert traffic(two, 20) == {"one": 20}
    assert two.run(endpoint.main, "status")["active"] == "v1"


def test_every_command_again_changes_nothing(two: Shop) -> None:
    for words in (
        (endpoint.main, "deploy", "--version", "1"),
        (variants.main, "split", "A=80", "B=20"),
        (variants.main, "promote", "B"),
        (rollback.main, "to"),
    ):
        two.run(*words)
        before = two.described()
        told = two.run(*words)
        assert two.described() == before
        assert told.get("changed", False) is False
    assert two.parameter("active-version") == "v1"


def test_metadata_of_a_version_says_where_it_lies_and_how_good_it_was(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(endpoint.main, "deploy")
    known = json.loads(two.parameter("versions/v2/metadata"))
    assert known["s3Path"].endswith("/two/model.tar.gz")
    assert known["performanceBaseline"] == {"churn.auc": 0.8}
    assert known["previousVersion"] == "v1"
    shown = two.text(rollback.main, "show")
    assert "v2 (active)" in shown
    assert "weight 1" in shown


class KilledError(BaseException):
    """The command's process is gone."""


def killed_after(monkeypatch: pytest.MonkeyPatch, request: int) -> Callable[[], None]:
    """Let the process end right after so many changing requests; what is returned undoes it."""
    send, sent = Requests.send, [0]

    def sending(self: Requests, client: Any, operation: str, **parameters: Any) -> dict[str, Any]:
        sent[0] += 1
        try:
            return send(self, client, operation, **parameters)
        finally:
            if sent[0] == request:
                raise KilledError

    monkeypatch.setattr(Requests, "send", sending)
    return lambda: monkeypatch.setattr(Requests, "send", send)


def by_configuration(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(endpoint.main, "deploy", "--version", "2")


def by_weights(two: Shop) -> None:
    by_configuration(two)
    two.run(variants.main, "split", "A=90", "B=10", "--version", "A=2", "--version", "B=1")


# What is sent: a note, (model, configuration,) endpoint, active version.
@pytest.mark.parametrize(
    ("prepare", "request_number"),
    [(by_configuration, n) for n in range(1, 6)] + [(by_weights, n) for n in range(1, 4)],
)
def test_a_rollback_killed_after_any_request_is_repaired_by_running_it_again(
    two: Shop,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Shop], None],
    request_number: int,
) -> None:
    prepare(two)
    resurrect = killed_after(monkeypatch, request_number)
    with pytest.raises(KilledError):
        two.call(rollback.main, "to")
    resurrect()
    two.capture.readouterr()
    assert two.run(rollback.main, "to")["to"] == "v1"
    assert traffic(two, 10) == {"one": 10}
    assert two.parameter("active-version") == "v1"
    assert json.loads(two.parameter("versions/v1/metadata"))["rolledBackFrom"] == "v2"
    assert two.described()["EndpointStatus"] == "InService"


def split_in_two(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "A=80", "B=20")


def only_one(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")


@pytest.mark.parametrize(
    ("prepare", "words", "request_number"),
    [(only_one, (endpoint.main, "deploy"), n) for n in range(1, 6)]
    + [(split_in_two, (variants.main, "promote", "B"), n) for n in range(1, 5)],
)
def test_a_change_of_version_killed_after_any_request_is_repaired_by_running_it_again(
    two: Shop,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Shop], None],
    words: Any,
    request_number: int,
) -> None:
    prepare(two)
    resurrect = killed_after(monkeypatch, request_number)
    with pytest.raises(KilledError):
        two.call(*words)
    resurrect()
    two.capture.readouterr()
    two.run(*words)
    assert traffic(two, 5) == {"two": 5}
    assert two.parameter("active-version") == "v2"
    assert json.loads(two.parameter("versions/v2/metadata"))["previousVersion"] == "v1"


def test_a_rollback_to_a_live_variant_moves_weights_alone(two: Shop) -> None:
    by_weights(two)
    config = two.described()["EndpointConfigName"]
    said = two.text(rollback.main, "to", "v1")
    assert "v2 -> v1; version 1 answered 5 of 5 requests, as bundle one; it took" in said
    assert two.described()["EndpointConfigName"] == config
    assert two.weights() == {"A": 0.0, "B": 100.0}


def test_a_rollback_is_not_recorded_when_another_version_answers(
    two: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_weights(two)
    monkeypatch.setattr(rollback, "_move", lambda *_: None)
    said = two.text(rollback.main, "to", "v1", exit_code=1)
    assert "Version 2 answered (variant A), not 1" in said
    assert two.parameter("active-version") == "v2"


def test_a_rollback_is_not_recorded_when_another_bundle_answers(two: Shop) -> None:
    by_weights(two)
    other = archive({"bundle.json": json.dumps({"version": "another"})})
    key = f"bundles/{two.name}/one/model.tar.gz"
    two.local.s3.put_object(Bucket=two.local.bucket, Key=key, Body=other)
    said = two.text(rollback.main, "to", "v1", exit_code=1)
    assert "Bundle one answered; that of version 1 is another" in said
    assert two.parameter("active-version") == "v2"


def test_a_second_bare_rollback_goes_no_further(two: Shop) -> None:
    by_configuration(two)
    two.register("three")
    two.run(endpoint.main, "deploy")
    assert two.run(rollback.main, "to")["to"] == "v2"
    assert two.run(rollback.main, "to")["to"] == "v2"
    assert two.run(rollback.main, "to", "1")["to"] == "v1"
    assert traffic(two, 5) == {"one": 5}


def test_a_rollback_needs_a_version_to_go_to(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    assert "Nothing was active before v1" in two.text(rollback.main, "to", exit_code=1)
    assert "has no version 7" in two.text(rollback.main, "to", "v7", exit_code=2)
    assert "allowed: a number" in two.text(rollback.main, "to", "best", exit_code=2)


def test_abort_brings_the_champion_back_alone(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "A=20", "B=80")
    folder = f"/ml-pipeline/models/{two.name}"
    two.client("ssm").delete_parameter(Name=f"{folder}/active-version")
    assert two.run(variants.main, "abort")["variant"] == "A"
    assert two.versions() == {"A": "1"}
    assert "already" in two.text(variants.main, "abort")


def test_abort_stays_with_the_version_that_was_rolled_back_to(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "A=80", "B=20")
    two.run(rollback.main, "to", "v2")
    assert two.run(variants.main, "abort")["variant"] == "B"


def test_what_somebody_else_deployed_can_be_rolled_back_to(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    ssm, folder = two.client("ssm"), f"/ml-pipeline/models/{two.name}"
    for name in ("active-version", "versions/v1/metadata"):
        ssm.delete_parameter(Name=f"{folder}/{name}")
    two.run(endpoint.main, "deploy", "--version", "2")
    assert two.run(rollback.main, "to")["to"] == "v1"
    assert traffic(two, 5) == {"one": 5}


def test_other_weights_start_no_instance(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "v1=80", "v2=20")
    config = two.described()["EndpointConfigName"]
    two.run(variants.main, "split", "v1=50", "v2=50")
    assert two.weights() == {"v1": 50.0, "v2": 50.0}
    assert two.described()["EndpointConfigName"] == config


def test_shift_moves_the_traffic_in_steps_and_goes_on_after_a_kill(
    two: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "A=100", "B=0")
    resurrect = killed_after(monkeypatch, 2)
    with pytest.raises(KilledError):
        two.call(variants.main, "shift", "--to", "B", "--pause", "0")
    resurrect()
    two.capture.readouterr()
    assert two.weights() == {"A": 75.0, "B": 25.0}
    naps: list[float] = []
    monkeypatch.setattr(shift, "sleep", naps.append)
    assert two.run(variants.main, "shift", "--to", "B", "--pause", "7")["steps"] == [50, 100]
    assert naps == [7.0] * 3  # the step that was reached before the kill is watched again
    assert two.weights() == {"A": 0.0, "B": 100.0}
    assert traffic(two, 5) == {"two": 5}
    assert "already" in two.text(variants.main, "shift", "--to", "B")


def put_errors(two: Shop, variant: str, requests: int, errors: int) -> None:
    """What SageMaker publishes of a variant."""
    about = [
        {"Name": "EndpointName", "Value": two.name},
        {"Name": "VariantName", "Value": variant},
    ]
    for metric, value in (("Invocations", requests), ("Invocation5XXErrors", errors)):
        datum = {"MetricName": metric, "Dimensions": about, "Timestamp": datetime.now(UTC)}
        two.client("cloudwatch").put_metric_data(
            Namespace="AWS/SageMaker", MetricData=[{**datum, "Value": float(value)}]
        )


def test_shift_goes_back_when_the_variant_fails_too_often(
    two: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "A=100", "B=0")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            put_errors(two, "B", 100, 7)

    monkeypatch.setattr(shift, "sleep", nap)
    words = ("--to", "B", "--pause", "25", "--max-error-rate", "0.05")
    told = two.run(variants.main, "shift", *words, exit_code=1)
    assert "variant B failed 7 of 100 requests, 7 %" in told["reason"]
    assert two.weights() == {"A": 100.0, "B": 0.0}
    assert naps == [10.0, 10.0]


def test_shift_goes_back_when_an_alarm_rings(two: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "A=90", "B=10")
    alarm = f"{two.name}-errors"
    cloudwatch = two.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        Namespace="Test",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    assert "no alarm nobody" in two.text(
        variants.main, "shift", "--to", "B", "--alarm", "nobody", exit_code=1
    )

    def ring(_: float) -> None:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="too many")

    monkeypatch.setattr(shift, "sleep", ring)
    said = two.text(variants.main, "shift", "--to", "B", "--alarm", alarm, exit_code=1)
    assert f"taken back to A 100 %, B 0 %: alarm {alarm} is in ALARM (too many" in said
    assert two.weights() == {"A": 100.0, "B": 0.0}


def test_smoke_asks_every_variant_and_says_how_fast_it_answered(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "A=100", "B=0")
    told = two.run(endpoint.main, "smoke", "--requests", "7")["variants"]
    assert [(t["variant"], t["version"], t["bundle"], t["requests"]) for t in told] == [
        ("A", "1", "one", 7),
        ("B", "2", "two", 7),
    ]
    assert all(0 < each["p50_ms"] <= each["p99_ms"] for each in told)
    said = two.text(endpoint.main, "smoke", "--body", "fail", exit_code=1)
    assert "A: ModelError: Received server error (500)" in said


def test_assign_says_which_variant_an_entity_meets(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    two.run(variants.main, "split", "A=0", "B=100")
    assert two.text(variants.main, "assign", "--entity", "c-7").startswith(
        "c-7: variant B, version 2"
    )


def test_garbage_is_what_no_endpoint_uses_any_more(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    old = two.described()["EndpointConfigName"]
    two.client("sagemaker").create_endpoint_config(
        EndpointConfigName=f"{two.name}-by-hand",
        ProductionVariants=[
            {
                "VariantName": "x",
                "ModelName": old[:-7],
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
    )
    assert two.run(endpoint.main, "garbage")["garbage"] == []
    two.run(endpoint.main, "deploy")
    found = two.run(endpoint.main, "garbage", "--delete")["deleted"]
    assert [(each["kind"], each["name"]) for each in found] == [
        ("endpoint configuration", old),
        ("model", old[:-7]),
    ]
    assert two.run(endpoint.main, "garbage")["garbage"] == []
    assert traffic(two, 3) == {"two": 3}


def test_what_is_created_is_tagged(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    sagemaker = two.client("sagemaker")
    config = sagemaker.describe_endpoint_config(
        EndpointConfigName=two.described()["EndpointConfigName"]
    )
    tags = sagemaker.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "project": "ml-pipeline",
        "problem": two.name,
        "version": "1",
        "champion": "AllTraffic",
    }


def test_an_update_keeps_the_instances_that_there_are(two: Shop) -> None:
    two.run(endpoint.main, "deploy", "--version", "1")
    sagemaker = two.client("sagemaker")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=two.name,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
    )
    two.local.until("endpoint", two.name, "InService")
    two.run(endpoint.main, "deploy")
    now = two.described()
    assert now["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    config = sagemaker.describe_endpoint_config(EndpointConfigName=now["EndpointConfigName"])
    assert config["ProductionVariants"][0]["InitialInstanceCount"] == 2


@pytest.mark.parametrize(
    "words",
    [
        (variants.main, "split", "A=80", "B=20"),
        (variants.main, "promote", "A"),
        (variants.main, "shift", "--to", "A"),
        (rollback.main, "to", "v2"),
        (endpoint.main, "garbage", "--delete"),
        (endpoint.main, "delete"),
    ],
)
def test_a_dry_run_changes_nothing_and_shows_the_requests(two: Shop, words: Any) -> None:
    two.run(endpoint.main, "deploy", "--version", "2")
    two.run(endpoint.main, "deploy", "--version", "1")
    if words[1] in ("promote", "shift"):
        two.run(variants.main, "split", "A=80", "B=20")
    before = two.described()
    told = two.run(*words, "--dry-run")
    assert told["requests"]
    assert two.described() == before
    assert two.parameter("active-version") == "v1"
