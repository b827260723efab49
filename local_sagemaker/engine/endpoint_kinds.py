"""What an invocation may ask of each kind of endpoint: instances that answer at once, many models,
serverless, asynchronous.

Asked once a request, before a crew takes it. Which kinds may be combined is endpoint_rules.py's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from local_sagemaker.engine import serverless
from local_sagemaker.engine.crew import Crew
from local_sagemaker.engine.multi_model import Models
from local_sagemaker.engine.routing import TARGET_MODEL, RoutingError
from local_sagemaker.engine.serverless import Serverless
from local_sagemaker.engine.variants import ASYNC

TARGET_CONTAINER = "X-Amzn-SageMaker-Target-Container-Hostname"
AnyCrew = Crew | Models | Serverless


def target(crew: AnyCrew, endpoint: str, headers: Mapping[str, str], body: bytes) -> str | None:
    """What of a crew is asked: a model of many, or a container, or all there is (None). Raises
    RoutingError.
    """
    if ASYNC in crew.plan:
        raise _refusal(
            f"Endpoint {endpoint} is an asynchronous endpoint and does not take InvokeEndpoint; "
            "use InvokeEndpointAsync.",
            "ASYNC_ENDPOINT",
        )
    if isinstance(crew, Serverless) and len(body) > serverless.MAX_PAYLOAD_BYTES:
        raise _refusal(
            f"Body has {len(body)} bytes; a serverless endpoint takes at most "
            f"{serverless.MAX_PAYLOAD_BYTES} (4 MB).",
            "PAYLOAD_TOO_LARGE",
        )
    model = headers.get(TARGET_MODEL)
    if isinstance(crew, Models):
        if model is None:
            said = f"Request {uuid.uuid4()} is missing a target model header."
            raise _refusal(said, "TARGET_MODEL_HEADER_MISSING")
        return model
    if model is not None:
        said = f"Endpoint {endpoint} is not a multi-model endpoint and does not support target "
        raise _refusal(f"{said}model header.", "TARGET_MODEL_HEADER_NOT_SUPPORTED")
    return headers.get(TARGET_CONTAINER)


def _refusal(said: str, code: str) -> RoutingError:
    return RoutingError("ValidationError", 400, said, ErrorCode=code)
