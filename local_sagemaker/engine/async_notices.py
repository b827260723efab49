"""What an asynchronous endpoint tells its SNS topics of an invocation that ended: AWS's shape."""

from __future__ import annotations

import base64
import datetime
import json
from dataclasses import dataclass

from local_sagemaker.engine.variants import Row
from local_sagemaker.plane import Plane

# A response that is no longer than this can be part of a message.
LARGEST_BYTES = 128 * 1024
# What content types a response is shown as it is in; any other in base64.
ENCODINGS = {"text/csv": "CSV", "application/json": "JSON"}
# Status -> the topic that is told, and its name in IncludeInferenceResponseIn.
TOPICS = {
    "Completed": ("SuccessTopic", "SUCCESS_NOTIFICATION_TOPIC"),
    "Failed": ("ErrorTopic", "ERROR_NOTIFICATION_TOPIC"),
}


@dataclass(frozen=True)
class Ending:
    """How an invocation ended, and what the model said."""

    status: str  # Completed | Failed
    content_type: str
    body: bytes
    location: str | None  # where the body lies
    reason: str = ""
    failures: tuple[str, ...] = ()  # the metrics that count why it failed


def topic(row: Row, ending: Ending) -> str | None:
    """Who is told of it, if anybody."""
    told: str | None = row["Notification"].get(TOPICS[ending.status][0])
    return told


def message(plane: Plane, row: Row, ending: Ending) -> str:
    """The text of the SNS message: a JSON document."""
    request = {
        "contentType": row.get("ContentType"),
        "endpointName": row["EndpointName"],
        "inputLocation": row.get("InputLocation"),
    }
    told = {
        "awsRegion": plane.config.region,
        "eventTime": _moment(plane.clock.now()),
        "receivedTime": _moment(row["CreationTime"]),
        "invocationStatus": ending.status,
        "failureReason": ending.reason or None,
        "requestParameters": _present(request),
        "responseParameters": _response(row, ending) or None,
        "inferenceId": row["InferenceId"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    return json.dumps(_present(told))


def _response(row: Row, ending: Ending) -> Row:
    if ending.location is None:
        return {}
    wanted = TOPICS[ending.status][1] in row["Notification"].get("IncludeInferenceResponseIn", ())
    included = wanted and len(ending.body) <= LARGEST_BYTES
    return {
        "contentType": ending.content_type,
        "outputLocation": ending.location,
        **({"responseBody": _body(ending)} if included else {}),
    }


def _body(ending: Ending) -> Row:
    encoding = ENCODINGS.get(ending.content_type.partition(";")[0].strip().lower())
    if encoding is None:
        return {"content": base64.b64encode(ending.body).decode(), "encoding": "BASE64"}
    return {"content": ending.body.decode(errors="replace"), "encoding": encoding}


def _present(members: Row) -> Row:
    return {name: value for name, value in members.items() if value is not None}


def _moment(epoch: float) -> str:
    text = datetime.datetime.fromtimestamp(epoch, datetime.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
