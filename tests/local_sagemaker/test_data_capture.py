"""Data capture of endpoints: what lies in S3 after requests, as Model Monitor reads it there."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker.clock import FakeClock
from local_sagemaker.engine import capture
from tests.local_sagemaker.conftest import Local
from tests.local_sagemaker.hosting import ask, create_config, create_model, deploy, variant

KEY = re.compile(
    r"captured/e/AllTraffic/2023/11/14/22/13-2\d-\d{3}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"\.jsonl"
)
BOTH = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
TEXTS = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "INTERVAL_SECONDS", 0.05)


def capturing(local: Local, **changes: Any) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{local.bucket}/captured",
        "CaptureOptions": BOTH,
        "CaptureContentTypeHeader": TEXTS,
        **changes,
    }


@pytest.fixture
def runtime(local: Local) -> Any:
    return local.client("sagemaker-runtime")


def lines(local: Local, count: int, prefix: str = "captured/e/") -> list[Any]:
    """The records there are, once there are so many."""

    def read() -> list[Any]:
        keys = local.keys(prefix)
        return [json.loads(line) for key in keys for line in local.read(key).splitlines()]

    local.until_true(lambda: len(read()) >= count, timeout=10)
    return read()


def update(local: Local, sagemaker: Any, config: str, **more: Any) -> Any:
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=config, **more)
    return local.until("endpoint", "e", "InService")


def shown(sagemaker: Any) -> Any:
    return sagemaker.describe_endpoint(EndpointName="e").get("DataCaptureConfig")


def test_a_request_is_captured_as_aws_writes_it(local: Local, sagemaker: Any, runtime: Any) -> None:
    deploy(local, sagemaker, DataCaptureConfig=capturing(local))
    ask(runtime, "1,2", InferenceId="order-77", CustomAttributes="trace=abc")
    [found] = lines(local, 1)
    assert found["captureData"] == {
        "endpointInput": {
            "observedContentType": "text/csv",
            "mode": "INPUT",
            "data": "1,2",
            "encoding": "CSV",
        },
        "endpointOutput": {
            "observedContentType": "text/csv",
            "mode": "OUTPUT",
            "data": "one 3.0",
            "encoding": "CSV",
        },
    }
    metadata = found["eventMetadata"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata.pop("eventId"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata.pop("inferenceTime"))
    assert metadata == {"inferenceId": "order-77", "customAttributes": ["trace=abc"]}
    assert found["eventVersion"] == "0"


# A line that a real endpoint wrote.
REAL = (
    '{"captureData":{"endpointInput":{"observedContentType":"application/json","mode":"INPUT",'
    '"data":"{\\"instances\\": [1.0, 2.0, 5.0]}","encoding":"JSON"},"endpointOutput":'
    '{"observedContentType":"application/json","mode":"OUTPUT","data":"{\\n    \\"predictions\\": '
    '[3.5, 4.0, 5.5\\n    ]\\n}","encoding":"JSON"}},"eventMetadata":{"eventId":'
    '"12b73486-e916-45de-9d82-7fa23d4a39a6","inferenceTime":"2019-11-24T07:30:50Z"},'
    '"eventVersion":"0"}'
)


def test_a_record_has_the_members_of_a_real_one(local: Local, sagemaker: Any, runtime: Any) -> None:
    deploy(local, sagemaker, DataCaptureConfig=capturing(local))
    ask(runtime)
    lines(local, 1)
    [key] = local.keys("captured/e/")
    line = local.read(key).decode().rstrip("\n")
    assert _members(json.loads(line)) == _members(json.loads(REAL))
    assert ": " not in line.replace(json.dumps("one 3.0"), "")  # as compact as the real one


def _members(record: Any) -> Any:
    return {k: _members(v) for k, v in record.items()} if isinstance(record, dict) else ""


def test_a_content_type_that_is_not_listed_is_base64(
    local: Local, sagemaker: Any, runtime: Any
) -> None:
    only_json = {"JsonContentTypes": ["application/json"]}
    deploy(local, sagemaker, DataCaptureConfig=capturing(local, CaptureContentTypeHeader=only_json))
    answer = runtime.invoke_endpoint(
        EndpointName="e", Body="7", ContentType="text/csv", Accept="application/json; charset=utf-8"
    )
    assert answer["Body"].read() == b"one 7.0"
    [found] = lines(local, 1)
    sent, got = found["captureData"]["endpointInput"], found["captureData"]["endpointOutput"]
    assert (sent["data"], sent["encoding"]) == (base64.b64encode(b"7").decode(), "BASE64")
    assert (got["data"], got["encoding"]) == ("one 7.0", "JSON")
    assert got["observedContentType"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("mode", "sides"),
    [("Input", ["endpointInput"]), ("InputAndOutput", ["endpointInput", "endpointOutput"])],
)
def test_only_the_sides_that_were_asked_for_are_kept(
    local: Local, sagemaker: Any, runtime: Any, mode: str, sides: list[str]
) -> None:
    given = capturing(local, CaptureOptions=[{"CaptureMode": mode}])
    deploy(local, sagemaker, DataCaptureConfig=given)
    ask(runtime)
    [found] = lines(local, 1)
    assert list(found["captureData"]) == sides


def test_the_key_names_endpoint_variant_and_hour(
    start: Callable[..., Local], tmp_path: Path
) -> None:
    clock = FakeClock()  # stands at 2023-11-14 22:13:20 UTC
    local = start(tmp_path / "home", slots=2, clock=clock)
    deploy(local, local.client(), DataCaptureConfig=capturing(local))
    ask(local.client("sagemaker-runtime"))
    clock.advance(3600)
    ask(local.client("sagemaker-runtime"))
    capture.of(local.plane).close()
    first, second = local.keys("captured/")
    assert KEY.fullmatch(first)
    assert second.startswith("captured/e/AllTraffic/2023/11/14/23/13-2")


def test_about_so_many_percent_are_captured(local: Local, sagemaker: Any, runtime: Any) -> None:
    deploy(local, sagemaker, DataCaptureConfig=capturing(local, InitialSamplingPercentage=50))
    for _ in range(60):
        ask(runtime)
    capture.of(local.plane).close()
    assert 10 < len(lines(local, 0)) < 50  # 60 fair coins: outside once in a million


def test_what_the_model_did_not_answer_is_not_captured(
    local: Local, sagemaker: Any, runtime: Any
) -> None:
    deploy(local, sagemaker, DataCaptureConfig=capturing(local))
    with pytest.raises(ClientError):
        ask(runtime, "raise")
    ask(runtime, "4")
    capture.of(local.plane).close()
    [found] = lines(local, 1)
    assert found["captureData"]["endpointInput"]["data"] == "4"


def test_an_update_switches_capture_on_and_off(local: Local, sagemaker: Any, runtime: Any) -> None:
    model = create_model(local, sagemaker)
    deploy(local, sagemaker, variant(model))
    assert shown(sagemaker) is None
    for config, on in (("on", True), ("off", False)):
        given = capturing(local, EnableCapture=on)
        create_config(sagemaker, config, variant(model), DataCaptureConfig=given)
        update(local, sagemaker, config)
        assert shown(sagemaker) == {
            "EnableCapture": on,
            "CaptureStatus": "Started" if on else "Stopped",
            "CurrentSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{local.bucket}/captured",
            "KmsKeyId": "",
        }
        ask(runtime, "5")
    capture.of(local.plane).close()
    assert len(lines(local, 1)) == 1


@pytest.mark.parametrize(("excluded", "percentage"), [(["DesiredWeight"], 100), ([], 7)])
def test_an_update_may_keep_the_live_capture(
    local: Local, sagemaker: Any, excluded: list[str], percentage: int
) -> None:
    model = create_model(local, sagemaker)
    deploy(local, sagemaker, variant(model), DataCaptureConfig=capturing(local))
    given = capturing(local, InitialSamplingPercentage=7)
    create_config(sagemaker, "next", variant(model), DataCaptureConfig=given)
    names = excluded or ["DataCaptureConfig"]
    update(
        local,
        sagemaker,
        "next",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": each} for each in names],
    )
    assert shown(sagemaker)["CurrentSamplingPercentage"] == percentage


def test_records_wait_until_their_bucket_is_there(
    local: Local, sagemaker: Any, runtime: Any
) -> None:
    place = f"late-{local.bucket}"
    given = capturing(local, DestinationS3Uri=f"s3://{place}/captured")
    deploy(local, sagemaker, DataCaptureConfig=given)
    ask(runtime)
    local.until_true(lambda: capture.of(local.plane)._failing, timeout=5)
    local.s3.create_bucket(Bucket=place)
    local.until_true(lambda: local.s3.list_objects_v2(Bucket=place).get("KeyCount") == 1, timeout=5)
    assert capture.of(local.plane).lost == 0


def test_what_finds_no_room_is_counted_and_fails_no_request(
    local: Local, sagemaker: Any, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(local, sagemaker, DataCaptureConfig=capturing(local))
    monkeypatch.setattr(capture, "MOST_BYTES", 10)
    assert ask(runtime) == "one 3.0"
    assert capture.of(local.plane).lost == 1
