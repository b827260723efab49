"""Capture and experiments against a real local SageMaker and MiniStack: two versions, a split."""

import csv
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy import capture, capture_files, endpoint, experiment, variants
from deploy.capture_files import Window
from local_sagemaker.engine import publishing
from tests.deploy.plane import Shop, shop
from tests.local_sagemaker.conftest import Local, bucket, local, s3, s3_endpoint, start

__all__ = ["bucket", "local", "s3", "s3_endpoint", "start"]


@pytest.fixture
def two(
    local: Local,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shop]:
    """Versions 1 and 2 as A (80) and B (20)."""
    monkeypatch.setattr(publishing, "INTERVAL_SECONDS", 0.05)
    made = shop(local, tmp_path, monkeypatch, capsys)
    made.register("one")
    made.register("two")
    made.run(endpoint.main, "deploy", "--version", "1")
    made.run(variants.main, "split", "A=80", "B=20")
    yield made
    for each in made.clients.values():
        each.close()


def ask(two: Shop, variant: str, inference_id: str) -> None:
    two.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=two.name,
        ContentType="application/json",
        Accept="application/json",
        TargetVariant=variant,
        InferenceId=inference_id,
        Body=b'{"instances": [{"age": 30}, {"age": 40}]}',
    )


def captured(two: Shop, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = two.run(capture.main, "show", *words)["rows"]
    return found


def test_capture_is_switched_on_shown_replayed_and_switched_off(two: Shop, tmp_path: Path) -> None:
    two.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=two.name,
        DesiredWeightsAndCapacities=[{"VariantName": "A", "DesiredWeight": 60}],
    )
    two.local.until("endpoint", two.name, "InService")
    said = two.run(capture.main, "on")
    assert said["changed"]
    assert not two.run(capture.main, "on")["changed"]
    assert two.weights() == {"A": 60, "B": 20}
    assert two.described()["DataCaptureConfig"]["CaptureStatus"] == "Started"

    for number in range(3):
        ask(two, "A", f"order-{number}")
    two.local.until_true(lambda: len(captured(two)) >= 6, timeout=30)
    rows = captured(two, "--variant", "A")
    assert {row["inference_id"] for row in rows} == {"order-0", "order-1", "order-2"}
    assert (rows[0]["age"], rows[1]["age"]) == ("30", "40")
    assert json.loads(rows[0]["output"]) == {"churn": 0.5}
    assert captured(two, "--variant", "B") == []

    path = tmp_path / "rows.csv"
    two.run(capture.main, "show", "--csv", str(path))
    with path.open() as file:
        assert len(list(csv.DictReader(file))) == 6

    words = ("--to-variant", "B", "--rate", "1000", "--variant", "A", "--limit", "2")
    told = two.run(capture.main, "replay", *words)
    assert (told["requests"], told["failed"], told["label_changes"]) == (2, 0, 0)
    assert told["largest_difference"] == 0

    dry = two.run(capture.main, "off", "--dry-run")
    assert [each["operation"] for each in dry["requests"]][-1] == "update_endpoint"
    two.run(capture.main, "off")
    assert two.described()["DataCaptureConfig"]["EnableCapture"] is False
    assert not two.run(capture.main, "off")["changed"]


def plant(two: Shop, minutes: int, errors: dict[str, int], requests: dict[str, int]) -> str:
    """Minutes of traffic that are over, in CloudWatch; when they begin."""
    first = int(time.time()) // 60 * 60 - 60 * (minutes + 5)
    data = []
    for variant, count in requests.items():
        names = {"Invocations": count, "Invocation5XXErrors": errors[variant]}
        dimensions = {"EndpointName": two.name, "VariantName": variant}
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        for minute in range(minutes):
            at = {"Dimensions": named, "Timestamp": first + 60 * minute}
            data += [{"MetricName": m, "Value": float(v), **at} for m, v in names.items()]
            data.append({"MetricName": "ModelLatency", "Value": 5000.0 + minute, **at})
    for begin in range(0, len(data), 500):
        two.client("cloudwatch").put_metric_data(
            Namespace="AWS/SageMaker", MetricData=data[begin : begin + 500]
        )
    return datetime.fromtimestamp(first, UTC).isoformat()


def test_fewer_errors_are_promoted_and_then_no_experiment_is_running(
    two: Shop, tmp_path: Path
) -> None:
    since = plant(two, 30, {"A": 12, "B": 0}, {"A": 80, "B": 20})
    page = tmp_path / "report.html"
    words = ("--since", since, "--report", str(page))
    told = two.run(experiment.main, *words)
    assert (told["answer"], told["champion"], told["challenger"]) == ("promote", "A", "B")
    assert told["promotion"]["champion_n"] == 2400
    assert told["harms"][-1]["minutes"] == 30
    assert two.weights() == {"A": 80, "B": 20}
    assert page.read_text().count("<svg") == 4

    dry = two.run(experiment.main, *words, "--act", "--dry-run")
    assert "update_endpoint" in [each["operation"] for each in dry["requests"]]
    assert two.run(experiment.main, *words, "--act")["act"].endswith("serves alone.")
    assert two.versions() == {"B": "2"}
    assert two.parameter("active-version") == "v2"
    assert two.run(experiment.main, "--act")["answer"] == "no experiment"


def test_more_errors_are_rolled_back(two: Shop, tmp_path: Path) -> None:
    since = plant(two, 30, {"A": 0, "B": 6}, {"A": 80, "B": 20})
    words = ("--since", since, "--act", "--report", str(tmp_path / "report.html"))
    said = two.text(experiment.main, *words)
    assert said.startswith("roll back: B against A")
    assert "Is the gain below +0? Yes" in said
    assert two.versions() == {"A": "1"}


def put(two: Shop, key: str, lines: list[dict[str, Any]]) -> None:
    two.local.put(key, "".join(json.dumps(each) + "\n" for each in lines))


def test_only_labelled_answers_count_and_late_labels_count_when_they_come(
    two: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.run(capture.main, "on", "--to", f"s3://{two.local.bucket}/seen")
    now = datetime.now(UTC)
    answers = {"A": 0.2, "B": 0.9}
    for variant, score in answers.items():
        records = [_record(f"{variant}-{n}", score, now) for n in range(400)]
        put(two, f"seen/{two.name}/{variant}/{now:%Y/%m/%d/%H}/1.jsonl", records)
    truth = [_truth(f"{variant}-{n}") for variant in answers for n in range(300)]
    put(two, f"truth/{now:%Y/%m/%d/%H}/1.jsonl", truth)
    monkeypatch.setattr(experiment, "this_moment", lambda: now + timedelta(minutes=20))
    words = (
        *("--ground-truth", f"s3://{two.local.bucket}/truth", "--since", "1h"),
        *("--report", str(tmp_path / "report.html")),
    )
    told = two.run(experiment.main, *words)
    assert (told["metric"], told["answer"]) == ("correct", "promote")
    assert told["promotion"]["challenger_n"] == 300
    assert (told["promotion"]["champion"], told["promotion"]["challenger"]) == (0, 1)
    put(two, f"truth/{now:%Y/%m/%d/%H}/2.jsonl", [_truth(f"B-{n}") for n in range(390)])
    assert two.run(experiment.main, *words)["promotion"]["challenger_n"] == 390


def _record(inference_id: str, score: float, moment: datetime) -> dict[str, Any]:
    data = json.dumps({"predictions": [{"churn": score}]})
    side = {"observedContentType": "application/json", "encoding": "JSON", "mode": "OUTPUT"}
    about = {"eventId": "x", "inferenceId": inference_id, "inferenceTime": moment.isoformat()}
    return {
        "captureData": {"endpointOutput": {**side, "data": data}},
        "eventMetadata": about,
        "eventVersion": "0",
    }


def _truth(event: str) -> dict[str, Any]:
    data = {"data": "1", "encoding": "CSV"}
    return {"groundTruthData": data, "eventMetadata": {"eventId": event}, "eventVersion": "0"}


def test_a_window_knows_its_hours() -> None:
    at = datetime(2026, 1, 5, 22, 30, tzinfo=UTC)
    assert list(Window(at, at + timedelta(hours=2)).hours()) == [
        "2026/01/05/22",
        "2026/01/05/23",
        "2026/01/06/00",
    ]
    assert capture_files.moment("90m", "--since", at) == at - timedelta(minutes=90)
