"""InvokeEndpointAsync: acknowledged at once, answered in S3 when there is room, told to SNS.

    accept -> a row -> 202        the backlog (async_queue.py) -> input from S3 -> model -> output
    to S3 -> SNS -> the row goes

At least once, as at AWS: a server that is killed between the output and the end of the row does the
invocation again, and writes the same objects.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import uuid
from collections.abc import Mapping
from dataclasses import replace

from local_sagemaker import wire
from local_sagemaker.engine import async_notices, endpoint_metrics, services, serving
from local_sagemaker.engine.async_notices import Ending
from local_sagemaker.engine.async_queue import BACKLOGS, KIND, Backlog, Room, Waiting
from local_sagemaker.engine.crew import RetiredError
from local_sagemaker.engine.routing import CUSTOM_ATTRIBUTES, INFERENCE_ID, Reply, RoutingError
from local_sagemaker.engine.variants import ASYNC, Row
from local_sagemaker.errors import ApiError
from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError, parse

log = logging.getLogger(__name__)
PREFIX = "X-Amzn-SageMaker-"
# Member of the request -> its header; botocore's model says what each may be.
HEADERS = {
    "ContentType": f"{PREFIX}Content-Type",
    "Accept": f"{PREFIX}Accept",
    "CustomAttributes": CUSTOM_ATTRIBUTES,
    "InferenceId": f"{PREFIX}Inference-Id",
    "InputLocation": f"{PREFIX}InputLocation",
    "S3OutputPathExtension": f"{PREFIX}S3OutputPathExtension",
    "Filename": f"{PREFIX}Filename",
    "RequestTTLSeconds": f"{PREFIX}RequestTTLSeconds",
    "InvocationTimeoutSeconds": f"{PREFIX}InvocationTimeoutSeconds",
}
NUMBERS = {"RequestTTLSeconds": 21600, "InvocationTimeoutSeconds": 900}  # and their defaults
FORWARDED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": CUSTOM_ATTRIBUTES,
}
LARGEST_INLINE_BYTES = 128_000
LARGEST_INPUT_BYTES = 1 << 30
CONCURRENT = 4  # where the config leaves it to SageMaker
PROCESSED = "InvocationsProcesssed"  # AWS's spelling
DOWNLOAD, UPLOAD, EXPIRED = "RequestDownloadFailures", "ResponseUploadFailures", "ExpiredRequests"
FAILURES = (DOWNLOAD, UPLOAD, EXPIRED)
MILLISECONDS = 1e3
READY = ("InService", "Updating", "SystemUpdating")
_LOCK = threading.Lock()


class _AgainError(Exception):
    """Not the model's fault: another instance is to do it."""


def accept(plane: Plane, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """One InvokeEndpointAsync: acknowledged with where its answer will be. Raises RoutingError."""
    config = _config(plane, name)
    row = _row(plane, name, config, _request(name, headers, body), body)
    plane.store.insert(KIND, row["InvocationName"], row)
    _backlog(plane, name).add(_waiting(row))
    answer = {"Content-Type": "application/json", f"{PREFIX}OutputLocation": row["OutputLocation"]}
    if row["FailureLocation"] is not None:
        answer[f"{PREFIX}FailureLocation"] = row["FailureLocation"]
    return 202, answer, json.dumps({"InferenceId": row["InferenceId"]}).encode()


def recover(plane: Plane) -> None:
    """After a restart: go on with what was acknowledged and is not answered."""
    for row in plane.store.rows(KIND):
        _backlog(plane, row["EndpointName"]).add(_waiting(row))


def _waiting(row: Row) -> Waiting:
    return Waiting(row["InvocationName"], row["CreationTime"], row["Deadline"])


def _backlog(plane: Plane, name: str) -> Backlog:
    with _LOCK:
        found = BACKLOGS.find(plane, name)
        if found is None:
            found = Backlog(
                plane, name, lambda each: _work(plane, each), lambda: _room(plane, name)
            )
            BACKLOGS.put(plane, name, found)
        return found


def _room(plane: Plane, name: str) -> Room:
    fleet = serving.FLEETS.find(plane, name)
    if fleet is None:
        return Room(0, 0)
    client = fleet.plan()[0].get(ASYNC, {}).get("ClientConfig", {})
    most = client.get("MaxConcurrentInvocationsPerInstance", CONCURRENT)
    return Room(sum(fleet.counts().values()), most)


def _config(plane: Plane, name: str) -> Row:
    """The AsyncInferenceConfig of an endpoint. Raises RoutingError."""
    row = plane.store.get(serving.KIND, name)
    if row is None or row["EndpointStatus"] not in READY:
        said = f"Endpoint {name} of account {plane.config.account} not found."
        raise RoutingError("ValidationError", 400, said, ErrorCode="NO_SUCH_ENDPOINT")
    config: Row | None = row[serving.PLAN][0].get(ASYNC)
    if config is None:
        raise _refusal(
            f"Endpoint {name} is not an asynchronous endpoint; use InvokeEndpoint, or give its "
            "endpoint config an AsyncInferenceConfig."
        )
    return config


def _request(name: str, headers: Mapping[str, str], body: bytes) -> Row:
    """The members of a request, checked. Raises RoutingError."""
    given: Row = {m: headers[h] for m, h in HEADERS.items() if headers.get(h) is not None}
    for member in NUMBERS.keys() & given.keys():
        if not given[member].isdigit():
            raise _refusal(f"{member} {given[member]!r} must be a number of seconds.")
        given[member] = int(given[member])
    try:
        wire.validate("InvokeEndpointAsync", {"EndpointName": name, **given}, wire.RUNTIME)
    except ApiError as error:
        raise _refusal(error.message) from error
    if ("InputLocation" in given) == bool(body):
        raise _refusal("InvokeEndpointAsync needs InputLocation or Body, exactly one of them.")
    if len(body) > LARGEST_INLINE_BYTES:
        raise _refusal(
            f"Body has {len(body)} bytes; InvokeEndpointAsync takes at most "
            f"{LARGEST_INLINE_BYTES}: put it into S3 and name it in InputLocation."
        )
    if not given.get("InputLocation", "s3://").startswith("s3://"):
        raise _refusal(
            f"InputLocation {given['InputLocation']!r} is not supported by the local SageMaker; it "
            "must be s3://<bucket>/<key>"
        )
    return given


def _row(plane: Plane, name: str, config: Row, request: Row, body: bytes) -> Row:
    own = str(uuid.uuid4())
    now = plane.clock.now()
    output = config["OutputConfig"]
    failures = output.get("S3FailurePath")
    folder = request.get("S3OutputPathExtension", "")
    return {
        "InvocationName": own,
        "EndpointName": name,
        "CreationTime": now,
        "Deadline": now + request.get("RequestTTLSeconds", NUMBERS["RequestTTLSeconds"]),
        "TimeoutSeconds": request.get(
            "InvocationTimeoutSeconds", NUMBERS["InvocationTimeoutSeconds"]
        ),
        "InferenceId": request.get("InferenceId") or str(uuid.uuid4()),
        "InputLocation": request.get("InputLocation"),
        "Body": base64.b64encode(body).decode(),
        **{member: request[member] for member in FORWARDED if member in request},
        "OutputLocation": _below(
            output["S3OutputPath"], folder, request.get("Filename", f"{own}.out")
        ),
        "FailureLocation": _below(failures, folder, f"{own}-error.out") if failures else None,
        "Notification": output.get("NotificationConfig", {}),
    }


def _below(path: str, *names: str) -> str:
    return "/".join([path.rstrip("/"), *(name.strip("/") for name in names if name.strip("/"))])


def _work(plane: Plane, name: str) -> bool:
    """Do one invocation; False when it must be done again."""
    row = plane.store.get(KIND, name)
    if row is None:
        return True
    began = plane.clock.now()
    try:
        ending = _answer(plane, row)
    except _AgainError:
        return plane.processes.closed  # then recover() goes on with it
    if plane.processes.closed and ending.status == "Failed":
        return True  # the model was stopped with the server: recover() goes on with it
    ending = _kept(plane, row, ending)
    told = _notify(plane, row, ending)
    _measure(plane, row, ending, began, told)
    plane.store.delete(KIND, name)
    return True


def _measure(plane: Plane, row: Row, ending: Ending, began: float, told: bool) -> None:
    now, came = plane.clock.now(), row["CreationTime"]
    values = {metric: float(metric in ending.failures) for metric in FAILURES}
    completed = ending.status == "Completed"
    values |= {PROCESSED: float(completed), "InvocationFailures": float(not completed)}
    values |= {"NotificationFailures": float(not told)}
    values |= {"TimeInBacklog": (began - came) * MILLISECONDS}
    values |= {"TotalProcessingTime": (now - came) * MILLISECONDS}
    endpoint_metrics.of_queue(plane, row["EndpointName"], _variant(plane, row), now, values)


def _answer(plane: Plane, row: Row) -> Ending:
    """What the model says, or why it does not."""
    if plane.clock.now() > row["Deadline"]:
        said = "Request expired: it was in the queue for longer than its TTL."
        return replace(_failed(row, said), failures=(EXPIRED,))
    try:
        body = _input(plane, row)
        headers = {header: row[m] for m, header in FORWARDED.items() if m in row}
        headers[INFERENCE_ID] = row["InferenceId"]
        reply = serving.ask(plane, row["EndpointName"], headers, body, row["TimeoutSeconds"])
    except StorageError as problem:
        ending = _failed(row, f"Could not download input location: {problem}")
        return replace(ending, failures=(DOWNLOAD,))
    except RetiredError as problem:
        raise _AgainError from problem
    except RoutingError as problem:
        if problem.status == 503 or serving.FLEETS.find(plane, row["EndpointName"]) is None:
            raise _AgainError from problem
        said = str(problem.members.get("OriginalMessage", problem.message))
        return _failed(row, problem.message, said)
    _, given, content = reply
    content_type = given.get("Content-Type", "application/octet-stream")
    return Ending("Completed", content_type, content, row["OutputLocation"])


def _failed(row: Row, reason: str, said: str | None = None) -> Ending:
    body = (reason if said is None else said).encode()
    return Ending("Failed", "text/plain", body, row["FailureLocation"], reason)


def _input(plane: Plane, row: Row) -> bytes:
    uri = row["InputLocation"]
    if uri is None:
        return base64.b64decode(row["Body"])
    place = parse(uri)
    size = next((size for key, _, size in plane.storage.list(uri) if key == place.key), 0)
    if size > LARGEST_INPUT_BYTES:
        said = f"{uri} has {size} bytes; an input may have {LARGEST_INPUT_BYTES} (1 GB)"
        raise StorageError("EntityTooLarge", uri, said)
    return b"".join(plane.storage.chunks(place))


def _kept(plane: Plane, row: Row, ending: Ending) -> Ending:
    """With the body in S3, where it has a place; an answer that cannot be written is a failure."""
    if ending.location is None:
        return ending
    try:
        plane.storage.put(ending.location, ending.body, ending.content_type)
    except StorageError as problem:
        if ending.status == "Failed":
            log.warning("a failure could not be written uri=%s: %s", ending.location, problem)
            return replace(ending, failures=(*ending.failures, UPLOAD))
        failed = _failed(row, f"Could not upload the response: {problem}")
        return _kept(plane, row, replace(failed, failures=(UPLOAD,)))
    return ending


def _notify(plane: Plane, row: Row, ending: Ending) -> bool:
    """False when somebody was to be told and is not."""
    arn = async_notices.topic(row, ending)
    if arn is None:
        return True
    try:
        with services.refusals(f"sns:Publish to {arn}"):
            services.client(plane, "sns").publish(
                TopicArn=arn, Message=async_notices.message(plane, row, ending)
            )
    except ApiError as error:
        log.warning("nobody was told of an invocation id=%s: %s", row["InferenceId"], error)
        return False
    return True


def _variant(plane: Plane, row: Row) -> str | None:
    fleet = serving.FLEETS.find(plane, row["EndpointName"])
    return None if fleet is None else str(fleet.plan()[0]["VariantName"])


def _refusal(said: str) -> RoutingError:
    return RoutingError("ValidationError", 400, said)
