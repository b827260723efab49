"""What InvokeEndpoint takes: its headers' bounds, its payload's size, what is refused by name.

The bounds are those of the runtime API's model; botocore does not check patterns, so clients do
send what AWS refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from local_sagemaker.engine.routing import (
    CUSTOM_ATTRIBUTES,
    INFERENCE_ID,
    MAX_PAYLOAD_BYTES,
    RoutingError,
)

UNSUPPORTED_HEADERS = {
    "X-Amzn-SageMaker-Enable-Explanations": "EnableExplanations",
    "X-Amzn-SageMaker-Session-Id": "SessionId",
    "X-Amzn-SageMaker-Prefix-Aware-Id": "PrefixAwareId",
}
# header -> member, what it may be, the same in words
VISIBLE = re.compile(r"[ -~]{0,1024}")
BOUNDS = {
    CUSTOM_ATTRIBUTES: ("CustomAttributes", VISIBLE, "at most 1024 visible ASCII characters"),
    "Content-Type": ("ContentType", VISIBLE, "at most 1024 visible ASCII characters"),
    "Accept": ("Accept", VISIBLE, "at most 1024 visible ASCII characters"),
    INFERENCE_ID: (
        "InferenceId",
        re.compile(r"[!-~][ -~]{0,63}"),
        "1 to 64 visible ASCII characters, the first of them no space",
    ),
}


def check(headers: Mapping[str, str], body: bytes) -> None:
    """Refuse what AWS refuses before it asks any model. Raises RoutingError."""
    for header, member in UNSUPPORTED_HEADERS.items():
        if headers.get(header):
            raise _refused(
                f"InvokeEndpoint: {member} is not supported by the local SageMaker; leave it out."
            )
    for header, (member, allowed, words) in BOUNDS.items():
        value = headers.get(header)
        if value is not None and not allowed.fullmatch(value):
            raise _refused(f"{member} is {value!r}, of {len(value)} characters; it may be {words}.")
    if len(body) > MAX_PAYLOAD_BYTES:
        raise _refused(
            f"Body has {len(body)} bytes; an endpoint takes at most {MAX_PAYLOAD_BYTES} (6 MB)."
        )


def _refused(message: str) -> RoutingError:
    return RoutingError("ValidationError", 400, message)
