"""Lambda steps: one synchronous invocation each, in a thread of its own, and what it returned.

An invocation is a row of ours (AWS has no such resource), so the executor follows it like a job.
A function is never invoked twice for one attempt: one that a former life of the server had begun
is Failed, because nobody can tell how far it came.
"""

from __future__ import annotations

import json
import logging
import threading
import weakref
from typing import Any

from botocore.exceptions import ReadTimeoutError

from local_sagemaker.engine import outputs, services
from local_sagemaker.errors import ApiError
from local_sagemaker.events import Change
from local_sagemaker.lifecycle import transition
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

log = logging.getLogger(__name__)

KIND = "lambda-invocation"
# AWS's limit of a Lambda step, whatever the function's own timeout.
STEP_SECONDS = 600.0
TIMED_OUT = "ClientError: LambdaTimeout"
_FUNCTION_TIMED_OUT = "Task timed out"
_CLOSING: weakref.WeakSet[Plane] = weakref.WeakSet()
_ENDING = threading.Lock()


class Failure(Exception):  # noqa: N818 - it says what is the case
    """The invocation did not give the step what it needs; the message is the step's reason."""


def begin(plane: Plane, request: Row, execution: Row) -> str:
    """Invoke the function of a step's request; the row tells when and how it ended."""
    name = request["InvocationName"]
    row = {
        **request,
        "Declared": request["OutputParameters"],
        "OutputParameters": [],
        "PipelineArn": execution["PipelineArn"],
        "Status": "InProgress",
        "CreationTime": plane.clock.now(),
    }
    plane.store.insert(KIND, name, row)
    plane.bus.publish(Change(KIND, name, None, "InProgress", row))
    threading.Thread(target=_run, args=(plane, row), name=f"lambda-{name}", daemon=True).start()
    return str(row["FunctionArn"])


def metadata(plane: Plane, name: str) -> Row:
    row = _row(plane, name)
    return {"Arn": row["FunctionArn"], "OutputParameters": row["OutputParameters"]}


def properties(plane: Plane, name: str) -> Row:
    row = _row(plane, name)
    return {"OutputParameters": outputs.values(row["Declared"], row["OutputParameters"])}


def code(plane: Plane, function_arn: str) -> str:
    """The hash of the function's code as it is now. Raises ApiError."""
    with services.refusals(f"Lambda function {function_arn}"):
        found = _client(plane).get_function_configuration(FunctionName=function_arn)
    return str(found["CodeSha256"])


def recover(plane: Plane) -> None:
    """After a start: end the invocations that a former life of the server was waiting for."""
    reason = "InternalServerError: the local SageMaker was stopped while this Lambda function ran"
    for row in plane.store.rows(KIND, lambda row: row["Status"] == "InProgress"):
        transition(plane, KIND, row["InvocationName"], "Failed", FailureReason=reason)


def close(plane: Plane) -> None:
    """Before the store is closed: what ends from now on is recover()'s."""
    with _ENDING:
        _CLOSING.add(plane)


def _run(plane: Plane, row: Row) -> None:
    status, members = _outcome(plane, row)
    with _ENDING:
        if plane not in _CLOSING:
            transition(plane, KIND, row["InvocationName"], status, **members)


def _outcome(plane: Plane, row: Row) -> tuple[str, Row]:
    try:
        return "Succeeded", {"OutputParameters": _invoke(plane, row)}
    except Failure as failure:
        reason = str(failure)
    except ApiError as error:
        reason = f"ClientError: {error}"
    except Exception as error:  # the thread's edge: nobody above would tell
        log.exception("invocation failed name=%s", row["InvocationName"])
        reason = f"InternalServerError: {type(error).__name__}: {error}"
    return "Failed", {"FailureReason": reason}


def _invoke(plane: Plane, row: Row) -> outputs.Outputs:
    function = row["FunctionArn"]
    payload = json.dumps(row["Payload"]).encode()
    try:
        with services.refusals(f"Lambda function {function}"):
            answer = _client(plane).invoke(FunctionName=function, Payload=payload)
            text = answer["Payload"].read().decode()
    except ApiError as error:
        if isinstance(error.__cause__, ReadTimeoutError):
            limit = f"{STEP_SECONDS:.0f} s"
            raise Failure(
                f"{TIMED_OUT}: {function} did not answer within {limit}; a Lambda step may not "
                "take longer"
            ) from None
        raise
    if "FunctionError" in answer:
        raise Failure(_complaint(function, text))
    try:
        return outputs.pick(row["Declared"], json.loads(text or "null"))
    except ValueError as error:
        raise Failure(f"ClientError: Lambda function {function}: {error}") from None


def _complaint(function: str, text: str) -> str:
    try:
        said: Any = json.loads(text)
    except ValueError:
        said = {}
    message = said.get("errorMessage", text) if isinstance(said, dict) else text
    if _FUNCTION_TIMED_OUT in message:
        return f"{TIMED_OUT}: {function}: {message}"
    kind = said.get("errorType", "Unhandled") if isinstance(said, dict) else "Unhandled"
    return f"ClientError: Lambda function {function} failed: {kind}: {message}"


def _row(plane: Plane, name: str) -> Row:
    row = plane.store.get(KIND, name)
    if row is None:
        raise ApiError("InternalFailure", f"there is no {KIND} {name}", 500)
    return row


def _client(plane: Plane) -> Any:
    return services.client(plane, "lambda", read_timeout=STEP_SECONDS, attempts=1)
