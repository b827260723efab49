"""Endpoints as they come to life, change, and end: which fleet an endpoint has, and its status.

    CreateEndpoint  Creating -> fleet up and healthy -> InService | Failed
    UpdateEndpoint  Updating -> a second fleet up and healthy -> switched -> InService; the first
                       is drained and stopped | else the first goes on, FailureReason says why
    restart         SystemUpdating -> InService | Failed; an interrupted update is done again

Every road runs in a thread of its own: the API has answered before. The processes are fleet.py's,
one invocation's way to one of them routing.py's, what to run variants.py's.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from local_sagemaker import lifecycle
from local_sagemaker.engine import variants
from local_sagemaker.engine.fleet import Fleet, InstanceError
from local_sagemaker.engine.routing import (
    MAX_PAYLOAD_BYTES,
    Reply,
    RoutingError,
    Target,
    forward,
)
from local_sagemaker.engine.variants import Plan, Row
from local_sagemaker.plane import Plane
from local_sagemaker.processes import Processes

log = logging.getLogger(__name__)
KIND = "endpoint"
PLAN, NEXT_PLAN = "LocalPlan", "LocalNextPlan"  # members of ours in an endpoint's row
TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
UNSUPPORTED_HEADERS = {
    "X-Amzn-SageMaker-Target-Model": "TargetModel",
    "X-Amzn-SageMaker-Target-Container-Hostname": "TargetContainerHostname",
    "X-Amzn-SageMaker-Enable-Explanations": "EnableExplanations",
    "X-Amzn-SageMaker-Inference-Component": "InferenceComponentName",
    "X-Amzn-SageMaker-Session-Id": "SessionId",
}


@dataclass
class Endpoints:
    """The fleets of one local SageMaker by endpoint name."""

    fleets: dict[str, Fleet] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


# A plane is known by its Processes: whoever has the same processes has the same endpoints.
_ENDPOINTS: WeakKeyDictionary[Processes, Endpoints] = WeakKeyDictionary()
_ENDPOINTS_LOCK = threading.Lock()


def start_endpoint(plane: Plane, name: str) -> None:
    """Bring up an endpoint that was just inserted as Creating (or is coming back)."""
    _in_background(plane, name, _create)


def update_endpoint(plane: Plane, name: str) -> None:
    """Replace the fleet of an endpoint that is Updating by that of its PendingDeploymentSummary."""
    _in_background(plane, name, _update)


def resize_endpoint(plane: Plane, name: str) -> None:
    """Bring weights and counts of an Updating endpoint's variants to those of its next plan."""
    _in_background(plane, name, _resize)


def stop_endpoint(plane: Plane, name: str) -> None:
    """Drain and stop an endpoint that is Deleting, then forget it."""
    _in_background(plane, name, _delete)


def described(plane: Plane, row: Row) -> Row:
    """The row with the instance counts of this moment."""
    fleet = _endpoints(plane).fleets.get(row["EndpointName"])
    counts = fleet.counts() if fleet else {}
    now = [
        each | {"CurrentInstanceCount": counts.get(each["VariantName"], 0)}
        for each in row.get("ProductionVariants", [])
    ]
    return {**row, "ProductionVariants": now} if now else row


def invoke(plane: Plane, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """One InvokeEndpoint: status, headers, body of the model's answer. Raises RoutingError."""
    fleet = _fleet(plane, name)
    _check_request(headers, body)
    variant, instance = fleet.route(headers.get(TARGET_VARIANT))
    try:
        target = Target(name, variant, plane.config.account, plane.config.region)
        return forward(instance.connections, target, headers, body)
    finally:
        fleet.leave(instance)


def recover(plane: Plane) -> None:
    """After a restart of the server: bring back what was there, finish what was under way."""
    shutil.rmtree(plane.config.home / "endpoints", ignore_errors=True)
    for row in plane.store.rows(KIND):
        name, status = row["EndpointName"], row["EndpointStatus"]
        if status == "Creating":
            start_endpoint(plane, name)
        elif status in ("InService", "SystemUpdating"):
            if status == "InService":
                lifecycle.transition(plane, KIND, name, "SystemUpdating")
            start_endpoint(plane, name)
        elif status == "Updating":
            _in_background(plane, name, _recover_update)
        elif status == "Deleting":
            stop_endpoint(plane, name)


def _create(plane: Plane, name: str) -> None:
    row = _row(plane, name)
    _put(plane, name, _launched(plane, name, row[PLAN], row["EndpointConfigName"]))
    _in_service(plane, name, row[PLAN])


def _update(plane: Plane, name: str) -> None:
    row = _row(plane, name)
    config_name = row["PendingDeploymentSummary"]["EndpointConfigName"]
    try:
        fresh = _launched(plane, name, row[NEXT_PLAN], config_name)
    except InstanceError as problem:
        if plane.processes.closed:
            raise
        log.warning("an update was rolled back endpoint=%s reason=%s", name, problem)
        _in_service(plane, name, row[PLAN], FailureReason=str(problem))
        return
    old = _put(plane, name, fresh)
    _in_service(plane, name, row[NEXT_PLAN], EndpointConfigName=config_name)
    if old is not None:
        old.retire()


def _resize(plane: Plane, name: str) -> None:
    row = _row(plane, name)
    fleet = _endpoints(plane).fleets[name]
    try:
        for each in row[NEXT_PLAN]:
            fleet.resize(each["VariantName"], each["Weight"], each["Count"])
    except InstanceError as problem:
        if plane.processes.closed:
            raise
        _in_service(plane, name, fleet.plan(), FailureReason=str(problem))
    else:
        _in_service(plane, name, row[NEXT_PLAN])


def _recover_update(plane: Plane, name: str) -> None:
    """The old fleet first, so that somebody answers; then the update once more."""
    row = _row(plane, name)
    _put(plane, name, _launched(plane, name, row[PLAN], row["EndpointConfigName"]))
    if "PendingDeploymentSummary" in row:
        _update(plane, name)
    else:
        _resize(plane, name)


def _delete(plane: Plane, name: str) -> None:
    endpoints = _endpoints(plane)
    with endpoints.lock:
        fleet = endpoints.fleets.pop(name, None)
    if fleet is not None:
        fleet.retire()
    plane.store.delete(KIND, name)
    shutil.rmtree(plane.config.home / "endpoints" / name, ignore_errors=True)


def _launched(plane: Plane, name: str, planned: Plan, config_name: str) -> Fleet:
    fleet = Fleet(plane, name, planned, config_name)
    fleet.launch()
    return fleet


def _in_service(plane: Plane, name: str, planned: Plan, **members: Any) -> None:
    fleet = _endpoints(plane).fleets[name]
    members = {
        "FailureReason": None,
        PLAN: planned,
        NEXT_PLAN: None,
        "PendingDeploymentSummary": None,
        "ProductionVariants": variants.summaries(planned, fleet.counts(), plane.clock.now()),
        **members,
    }
    lifecycle.transition(plane, KIND, name, "InService", **members)


def _in_background(plane: Plane, name: str, work: Callable[[Plane, str], None]) -> None:
    threading.Thread(
        target=_guarded, args=(plane, name, work), name=f"endpoint-{name}", daemon=True
    ).start()


def _guarded(plane: Plane, name: str, work: Callable[[Plane, str], None]) -> None:
    """The edge of a background thread: whatever goes wrong becomes the endpoint's status."""
    try:
        work(plane, name)
    except InstanceError as problem:
        reason = str(problem)
    except Exception as problem:
        log.exception("an endpoint failed endpoint=%s", name)
        reason = f"InternalServerError: {type(problem).__name__}: {problem}"
    else:
        return
    if not plane.processes.closed:  # else the server is going down; recover() goes on from here
        lifecycle.transition(plane, KIND, name, "Failed", FailureReason=reason)


def _endpoints(plane: Plane) -> Endpoints:
    with _ENDPOINTS_LOCK:
        return _ENDPOINTS.setdefault(plane.processes, Endpoints())


def _put(plane: Plane, name: str, fleet: Fleet) -> Fleet | None:
    endpoints = _endpoints(plane)
    with endpoints.lock:
        old = endpoints.fleets.get(name)
        endpoints.fleets[name] = fleet
    return old


def _fleet(plane: Plane, name: str) -> Fleet:
    fleet = _endpoints(plane).fleets.get(name)
    if fleet is not None:
        return fleet
    row = plane.store.get(KIND, name)
    if row is not None and row["EndpointStatus"] in ("SystemUpdating", "Updating"):
        raise RoutingError(
            "ServiceUnavailable", 503, f"Endpoint {name} is coming back after a restart. Try again."
        )
    raise RoutingError(
        "ValidationError",
        400,
        f"Endpoint {name} of account {plane.config.account} not found.",
        ErrorCode="NO_SUCH_ENDPOINT",
    )


def _check_request(headers: Mapping[str, str], body: bytes) -> None:
    for header, member in UNSUPPORTED_HEADERS.items():
        if headers.get(header):
            raise RoutingError(
                "ValidationError",
                400,
                f"InvokeEndpoint: {member} is not supported by the local SageMaker; leave it out.",
            )
    if len(body) > MAX_PAYLOAD_BYTES:
        raise RoutingError(
            "ValidationError",
            400,
            f"Body has {len(body)} bytes; an endpoint takes at most {MAX_PAYLOAD_BYTES} (6 MB).",
        )


def _row(plane: Plane, name: str) -> Row:
    row = plane.store.get(KIND, name)
    if row is None:
        raise LookupError(f"endpoint {name!r} is gone")
    return row
