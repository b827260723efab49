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
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.engine import (
    async_queue,
    components,
    endpoint_kinds,
    live,
    response_streams,
    variants,
)
from local_sagemaker.engine.crew import RetiredError
from local_sagemaker.engine.endpoint_kinds import AnyCrew
from local_sagemaker.engine.fleet import FOLDER, Fleet, Variant
from local_sagemaker.engine.live import Live, row_of
from local_sagemaker.engine.model_servers import InstanceError
from local_sagemaker.engine.response_streams import Streamed
from local_sagemaker.engine.routing import (
    MAX_PAYLOAD_BYTES,
    Hop,
    Reply,
    RoutingError,
    Target,
    forward,
)
from local_sagemaker.engine.variants import ASYNC, SERVERLESS, Plan, Row
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)
KIND = "endpoint"
PLAN, NEXT_PLAN = "LocalPlan", "LocalNextPlan"  # members of ours in an endpoint's row
TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
LOG_GROUP = "/aws/sagemaker/Endpoints"
UNSUPPORTED_HEADERS = {
    "X-Amzn-SageMaker-Enable-Explanations": "EnableExplanations",
    "X-Amzn-SageMaker-Session-Id": "SessionId",
}


COMPONENT = "X-Amzn-SageMaker-Inference-Component"
COMPONENT_NEEDED = (
    "Inference Component Name header is required for endpoints to which you plan to deploy "
    "inference components. Please include Inference Component Name header or consider using "
    "SageMaker models."
)
COMPONENT_NOT_ALLOWED = (
    "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy "
    "inference components. Please remove the Inference Component Name header and try again."
)
FLEETS: Live[Fleet] = Live()


@dataclass(frozen=True)
class Way:
    """Where an invocation goes."""

    variant: Variant
    crew: AnyCrew
    log_group: str


def start_endpoint(plane: Plane, name: str) -> None:
    """Bring up an endpoint that was just inserted as Creating (or is coming back)."""
    live.in_background(plane, KIND, name, _create)


def update_endpoint(plane: Plane, name: str) -> None:
    """Replace the fleet of an endpoint that is Updating by that of its PendingDeploymentSummary."""
    live.in_background(plane, KIND, name, _update)


def resize_endpoint(plane: Plane, name: str) -> None:
    """Bring weights and counts of an Updating endpoint's variants to those of its next plan."""
    live.in_background(plane, KIND, name, _resize)


def stop_endpoint(plane: Plane, name: str) -> None:
    """Drain and stop an endpoint that is Deleting, then forget it."""
    live.in_background(plane, KIND, name, _delete)


def described(plane: Plane, row: Row) -> Row:
    """The row with the instance counts of this moment."""
    fleet = FLEETS.find(plane, row["EndpointName"])
    counts = fleet.counts() if fleet else {}
    now = [
        each | {"CurrentInstanceCount": counts.get(each["VariantName"], 0)}
        for each in row.get("ProductionVariants", [])
    ]
    shared = {ASYNC: row[PLAN][0][ASYNC]} if ASYNC in row[PLAN][0] else {}
    return {**row, **shared, "ProductionVariants": now} if now else row


def invoke(plane: Plane, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """One InvokeEndpoint: status, headers, body of the model's answer. Raises RoutingError."""
    _check_request(headers, body)
    while True:
        way = _way(plane, name, headers)
        asked = endpoint_kinds.target(way.crew, name, headers, body)
        config = plane.config
        target = Target(way.log_group, way.variant.name, config.account, config.region)
        # An update may come between the choice and the taking: then whoever serves next is asked.
        with (
            suppress(RetiredError),
            way.crew.taken(asked, way.variant.strategy) as hops,
        ):
            return forward(hops, target, headers, body)


def stream(plane: Plane, name: str, headers: Mapping[str, str], body: bytes) -> Streamed:
    """One InvokeEndpointWithResponseStream; its instance is kept until the stream is read or
    closed. Raises RoutingError.
    """
    _check_request(headers, body)
    while True:
        way = _way(plane, name, headers)
        asked = endpoint_kinds.target(way.crew, name, headers, body)
        config = plane.config
        target = Target(way.log_group, way.variant.name, config.account, config.region)
        with suppress(RetiredError), ExitStack() as over:
            hops = over.enter_context(way.crew.taken(asked, way.variant.strategy))
            response = response_streams.opened(hops, target, headers, body, over)
            return response_streams.answer(response, target, over.pop_all())


def ask(plane: Plane, name: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Reply:
    """An asynchronous invocation, whose model may take so long. Raises RoutingError; RetiredError
    when somebody else serves since.
    """
    fleet, config = _fleet(plane, name), plane.config
    variant = fleet.choose(None)
    target = Target(f"{LOG_GROUP}/{name}", variant.name, config.account, config.region)
    with variant.crew.taken(None, variant.strategy) as hops:
        patient = [Hop(each.hostname, each.connections.patient(seconds)) for each in hops]
        try:
            return forward(patient, target, headers, body)
        except RoutingError as problem:
            if FLEETS.find(plane, name) is not fleet:  # its instances were stopped under it
                raise RetiredError(name) from problem
            raise
        finally:
            for each in patient:
                each.connections.close()


def _way(plane: Plane, name: str, headers: Mapping[str, str]) -> Way:
    """Who answers an invocation: a variant, or on an endpoint without models of its own an
    inference component. Raises RoutingError.
    """
    fleet = _fleet(plane, name)
    component, wanted = headers.get(COMPONENT), headers.get(TARGET_VARIANT)
    if fleet.for_components and component is None:
        said, code = COMPONENT_NEEDED, {"ErrorCode": "INFERENCE_COMPONENT_NAME_MISSING"}
        raise RoutingError("ValidationError", 400, said, **code)
    if component is None:
        variant = fleet.choose(wanted)
        return Way(variant, variant.crew, f"{LOG_GROUP}/{name}")
    if not fleet.for_components:
        raise RoutingError("ValidationError", 400, COMPONENT_NOT_ALLOWED)
    crew = components.serving(plane, name, component)
    host = crew.plan["VariantName"]
    if wanted not in (None, host):
        said = f"Inference component {component} is on variant {host}, not on {wanted}."
        raise RoutingError("ValidationError", 400, said)
    return Way(fleet.choose(host), crew, f"{components.LOG_GROUP}/{component}")


def recover(plane: Plane) -> None:
    """After a restart of the server: bring back what was there, finish what was under way."""
    shutil.rmtree(plane.config.home / FOLDER, ignore_errors=True)
    for row in plane.store.rows(KIND):
        name, status = row["EndpointName"], row["EndpointStatus"]
        if status == "Creating":
            start_endpoint(plane, name)
        elif status in ("InService", "SystemUpdating"):
            if status == "InService":
                lifecycle.transition(plane, KIND, name, "SystemUpdating")
            start_endpoint(plane, name)
        elif status == "Updating":
            live.in_background(plane, KIND, name, _recover_update)
        elif status == "Deleting":
            stop_endpoint(plane, name)


def _create(plane: Plane, name: str) -> None:
    row = row_of(plane, KIND, name)
    FLEETS.put(plane, name, _launched(plane, name, row[PLAN]))
    _in_service(plane, name, row[PLAN])


def _update(plane: Plane, name: str) -> None:
    row = row_of(plane, KIND, name)
    config_name = row["PendingDeploymentSummary"]["EndpointConfigName"]
    try:
        fresh = _launched(plane, name, row[NEXT_PLAN])
    except InstanceError as problem:
        if plane.processes.closed:
            raise
        log.warning("an update was rolled back endpoint=%s reason=%s", name, problem)
        _in_service(plane, name, row[PLAN], FailureReason=str(problem))
        return
    old = FLEETS.put(plane, name, fresh)
    _in_service(plane, name, row[NEXT_PLAN], EndpointConfigName=config_name)
    if old is not None:
        old.retire()


def _resize(plane: Plane, name: str) -> None:
    row = row_of(plane, KIND, name)
    fleet = FLEETS.get(plane, name)
    try:
        for each in row[NEXT_PLAN]:
            fleet.resize(each["VariantName"], each["Weight"], each["Count"])
            fleet.configure(each["VariantName"], each.get(SERVERLESS))
    except InstanceError as problem:
        if plane.processes.closed:
            raise
        _in_service(plane, name, fleet.plan(), FailureReason=str(problem))
    else:
        _in_service(plane, name, row[NEXT_PLAN])


def _recover_update(plane: Plane, name: str) -> None:
    """The old fleet first, so that somebody answers; then the update once more."""
    row = row_of(plane, KIND, name)
    FLEETS.put(plane, name, _launched(plane, name, row[PLAN]))
    if "PendingDeploymentSummary" in row:
        _update(plane, name)
    else:
        _resize(plane, name)


def _delete(plane: Plane, name: str) -> None:
    async_queue.forget(plane, name)
    fleet = FLEETS.take(plane, name)
    if fleet is not None:
        fleet.retire()
    plane.store.delete(KIND, name)
    shutil.rmtree(plane.config.home / FOLDER / name, ignore_errors=True)


def _launched(plane: Plane, name: str, planned: Plan) -> Fleet:
    fleet = Fleet(plane, name, planned)
    fleet.launch()
    return fleet


def _in_service(plane: Plane, name: str, planned: Plan, **members: Any) -> None:
    fleet = FLEETS.get(plane, name)
    members = {
        "FailureReason": None,
        PLAN: planned,
        NEXT_PLAN: None,
        "PendingDeploymentSummary": None,
        "ProductionVariants": variants.summaries(planned, fleet.counts()),
        **members,
    }
    lifecycle.transition(plane, KIND, name, "InService", **members)


def _fleet(plane: Plane, name: str) -> Fleet:
    fleet = FLEETS.find(plane, name)
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
