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

# Headers, in small letters, and the members that they carry.
UNSUPPORTED = {
    "x-amzn-sagemaker-enable-explanations": "EnableExplanations",
    "x-amzn-sagemaker-session-id": "SessionId",
    "x-amzn-sagemaker-prefix-aware-id": "PrefixAwareId",
}
LONG = re.compile(r"[ -~]{0,1024}"), "at most 1024 visible ASCII characters"
SHORT = re.compile(r"[!-~][ -~]{0,63}"), "1 to 64 visible ASCII characters, the first no space"
BOUNDS = {
    CUSTOM_ATTRIBUTES.lower(): ("CustomAttributes", *LONG),
    "content-type": ("ContentType", *LONG),
    "accept": ("Accept", *LONG),
    INFERENCE_ID.lower(): ("InferenceId", *SHORT),
}


def check(headers: Mapping[str, str], body: bytes) -> None:
    """Refuse what AWS refuses before it asks any model. Raises RoutingError."""
    for header, value in headers.items():  # once: a header's look-up goes through all of them
        name = header.lower()
        if name in UNSUPPORTED and value:
            raise _refused(
                f"InvokeEndpoint: {UNSUPPORTED[name]} is not supported by the local SageMaker; "
                "leave it out."
            )
        if name in BOUNDS:
            _check_bounds(value, *BOUNDS[name])
    if len(body) > MAX_PAYLOAD_BYTES:
        raise _refused(
            f"Body has {len(body)} bytes; an endpoint takes at most {MAX_PAYLOAD_BYTES} (6 MB)."
        )


def _check_bounds(value: str, member: str, allowed: re.Pattern[str], words: str) -> None:
    if not allowed.fullmatch(value):
        raise _refused(f"{member} is {value!r}, of {len(value)} characters; it may be {words}.")


def _refused(message: str) -> RoutingError:
    return RoutingError("ValidationError", 400, message)
