"""The runtime API, rest-json: InvokeEndpoint, InvokeEndpointAsync and
InvokeEndpointWithResponseStream. Payload in the body, everything else in headers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from local_sagemaker.engine import async_inference, requests, serving
from local_sagemaker.engine.endpoint_kinds import TARGET_CONTAINER
from local_sagemaker.engine.response_streams import Streamed
from local_sagemaker.engine.routing import (
    CUSTOM_ATTRIBUTES,
    INFERENCE_ID,
    TARGET_MODEL,
    Reply,
    RoutingError,
)
from local_sagemaker.plane import Plane

# A stream's Accept has a header of its own; a plain Accept is the HTTP client's.
STREAM_ACCEPT = "X-Amzn-SageMaker-Accept"
STREAM_HEADERS = (
    "Content-Type",
    CUSTOM_ATTRIBUTES,
    INFERENCE_ID,
    TARGET_CONTAINER,
    TARGET_MODEL,  # the API's model does not name it: boto3 sends it as a header of its own
    serving.TARGET_VARIANT,
    serving.COMPONENT,
    *requests.UNSUPPORTED,
)


def invoke_endpoint(
    plane: Plane, endpoint_name: str, headers: Mapping[str, str], body: bytes
) -> Reply:
    """The model's answer, or the runtime API's error, as (HTTP status, headers, body)."""
    try:
        return serving.invoke(plane, endpoint_name, headers, body)
    except RoutingError as error:
        return error_reply(error)


def invoke_endpoint_async(
    plane: Plane, endpoint_name: str, headers: Mapping[str, str], body: bytes
) -> Reply:
    """Where the model's answer will be, or the runtime API's error."""
    try:
        return async_inference.accept(plane, endpoint_name, headers, body)
    except RoutingError as error:
        return error_reply(error)


def stream_endpoint(
    plane: Plane, endpoint_name: str, headers: Mapping[str, str], body: bytes
) -> Reply | Streamed:
    """The model's answer as it comes, in frames, or the runtime API's error."""
    given = {name: headers[name] for name in STREAM_HEADERS if headers.get(name)}
    if headers.get(STREAM_ACCEPT):
        given["Accept"] = headers[STREAM_ACCEPT]
    try:
        return serving.stream(plane, endpoint_name, given, body)
    except RoutingError as error:
        return error_reply(error)


def error_reply(error: RoutingError) -> Reply:
    """AWS's shape: the code in x-amzn-ErrorType, the message and further members in a JSON body."""
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": f"{error.code}:"}
    content = {"Message": error.message, **error.members}
    return error.status, headers, json.dumps(content).encode()
