"""What data capture writes of one invocation: a JSON line as AWS's, the place it belongs to.

    <DestinationS3Uri>/<endpoint>/<variant>/yyyy/mm/dd/hh/MM-SS-mmm-<uuid>.jsonl    the hour in UTC

A content type that CaptureContentTypeHeader names is kept as text (CSV, JSON), any other as BASE64.
Source: developer guide, "Capture data from real-time endpoint".
"""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from local_sagemaker.engine.invocations import Invocation
from local_sagemaker.engine.routing import CUSTOM_ATTRIBUTES

Config = dict[str, Any]  # DataCaptureConfig
INPUT, OUTPUT = ("endpointInput", "INPUT"), ("endpointOutput", "OUTPUT")
SIDES = {"Input": (INPUT,), "Output": (OUTPUT,), "InputAndOutput": (INPUT, OUTPUT)}
TEXTS = {"CSV": "CsvContentTypes", "JSON": "JsonContentTypes"}


def line(seen: Invocation, config: Config) -> bytes:
    """The record of an invocation that was answered."""
    _, headers, content = seen.reply or (0, {}, b"")
    data = {
        INPUT: (seen.headers.get("Content-Type"), seen.body),
        OUTPUT: (headers.get("Content-Type"), content),
    }
    modes = [each["CaptureMode"] for each in config["CaptureOptions"]]
    wanted = {side for mode in modes for side in SIDES[mode]}
    captured = {
        side[0]: _side(side[1], *data[side], config) for side in (INPUT, OUTPUT) if side in wanted
    }
    record = {"captureData": captured, "eventMetadata": _metadata(seen), "eventVersion": "0"}
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def folder(seen: Invocation, config: Config) -> str:
    """Where the records of its hour lie."""
    root = str(config["DestinationS3Uri"]).rstrip("/")
    return f"{root}/{seen.endpoint}/{seen.variant.name}/{_moment(seen.time):%Y/%m/%d/%H}"


def file_name(seen: Invocation) -> str:
    """Of a file whose first record this is."""
    moment = _moment(seen.time)
    return f"{moment:%M-%S}-{moment.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"


def _metadata(seen: Invocation) -> dict[str, Any]:
    attributes, inference_id = seen.headers.get(CUSTOM_ATTRIBUTES), seen.inference_id
    return {
        "eventId": str(uuid.uuid4()),
        **({"customAttributes": [attributes]} if attributes else {}),
        **({"inferenceId": inference_id} if inference_id else {}),
        "inferenceTime": f"{_moment(seen.time):%Y-%m-%dT%H:%M:%SZ}",
    }


def _side(mode: str, content_type: str | None, content: bytes, config: Config) -> dict[str, Any]:
    data, encoding = _encoded(content_type or "", content, config)
    observed = {"observedContentType": content_type} if content_type else {}
    return {**observed, "mode": mode, "data": data, "encoding": encoding}


def _encoded(content_type: str, content: bytes, config: Config) -> tuple[str, str]:
    kind = content_type.partition(";")[0].strip().lower()
    listed = config.get("CaptureContentTypeHeader", {})
    for encoding, member in TEXTS.items():
        if kind in (each.lower() for each in listed.get(member, ())):
            try:
                return content.decode(), encoding
            except UnicodeDecodeError:  # whatever the header says, this is no text
                break
    return base64.b64encode(content).decode(), "BASE64"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
