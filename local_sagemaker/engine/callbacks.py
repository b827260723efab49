"""Callback steps: a message with a token goes to a queue, and whoever reads it ends the step.

A callback is a row of ours under its token. It waits, over restarts of the server too, until
SendPipelineExecutionStepSuccess or SendPipelineExecutionStepFailure names the token; stopping the
execution only sends a second message, as on AWS, so that the consumer can clean up and answer.
"""

from __future__ import annotations

import json
from typing import Any

from local_sagemaker.engine import outputs, services
from local_sagemaker.errors import ApiError, resource_not_found, validation
from local_sagemaker.lifecycle import IllegalTransition, announce, transition
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

KIND = "pipeline-callback"


def begin(plane: Plane, request: Row, execution: Row) -> str:
    """Send the message of a step's request to its queue. Raises ApiError when it cannot be sent."""
    token = request["CallbackToken"]
    row = {
        **request,
        "Declared": request["OutputParameters"],
        "OutputParameters": [],
        "PipelineArn": execution["PipelineArn"],
        "PipelineExecutionArn": execution["PipelineExecutionArn"],
        "Status": "Waiting",
        "CreationTime": plane.clock.now(),
    }
    # First the row: the consumer may answer before we have heard that the message was sent.
    plane.store.insert(KIND, token, row)
    announce(plane, KIND, token)
    try:
        _send_first(plane, row)
    except ApiError:
        plane.store.delete(KIND, token)
        raise
    return str(row["SqsQueueUrl"])


def resume(plane: Plane, token: str) -> None:
    """Send the message if a former life of the server may have been killed before it did."""
    row = find(plane, token)
    if "Sent" in row or row["Status"] != "Waiting":
        return
    try:
        _send_first(plane, row)
    except ApiError as error:  # the queue went with the kill: nobody could ever answer
        transition(plane, KIND, token, "Failed", FailureReason=f"ClientError: {error}")


def stop(plane: Plane, token: str) -> None:
    """Tell the queue that the execution is stopping; the step goes on until it is answered."""
    row = find(plane, token)
    if "StopSent" not in row and row["Status"] == "Waiting":
        _send(plane, row, "Stopping")
        plane.store.edit(KIND, token, lambda now: {**now, "StopSent": True})


def metadata(plane: Plane, token: str) -> Row:
    row = find(plane, token)
    return {name: row[name] for name in ("CallbackToken", "SqsQueueUrl", "OutputParameters")}


def properties(plane: Plane, token: str) -> Row:
    row = find(plane, token)
    return {"OutputParameters": outputs.values(row["Declared"], row["OutputParameters"])}


def find(plane: Plane, token: str) -> Row:
    """The callback of a token. Raises ResourceNotFound."""
    row = plane.store.get(KIND, token)
    if row is None or row["CallbackToken"] != token:  # the store does not mind the case
        raise resource_not_found(f"Callback token '{token}' does not exist.")
    return row


def succeed(plane: Plane, token: str, given: outputs.Outputs) -> Row:
    """End the waiting step with these outputs. Raises ApiError."""
    row = find(plane, token)
    try:
        taken = outputs.take(row["Declared"], given)
    except outputs.OutputError as error:
        raise validation(f"Callback token '{token}': {error}") from None
    return _end(plane, token, "Succeeded", OutputParameters=taken)


def fail(plane: Plane, token: str, reason: str) -> Row:
    """End the waiting step as Failed. Raises ApiError."""
    find(plane, token)
    return _end(plane, token, "Failed", FailureReason=f"ClientError: {reason}")


def _end(plane: Plane, token: str, status: str, **members: Any) -> Row:
    try:
        return transition(plane, KIND, token, status, **members)
    except IllegalTransition:
        ended = find(plane, token)["Status"]
        raise validation(
            f"Callback token '{token}' has been used already: its step has {ended.lower()}; "
            "a token can be used once"
        ) from None


def _send_first(plane: Plane, row: Row) -> None:
    _send(plane, row, "Executing")
    plane.store.edit(KIND, row["CallbackToken"], lambda now: {**now, "Sent": True})


def _send(plane: Plane, row: Row, status: str) -> None:
    body = {
        "token": row["CallbackToken"],
        "pipelineExecutionArn": row["PipelineExecutionArn"],
        "arguments": row["Payload"],
        "status": status,
    }
    url = row["SqsQueueUrl"]
    with services.refusals(f"SQS queue {url}"):
        sqs = services.client(plane, "sqs")
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
