"""Endpoints as they come to life, change, and end: which fleet an endpoint has, and its status.

    CreateEndpoint  Creating -> fleet up and healthy -> InService | Failed
    UpdateEndpoint  Updating -> a second fleet beside the first, which gets the traffic step by
                       step (rollout.py) -> InService; the first is drained and stopped
                       | else the first has all traffic again, FailureReason says why
    restart         SystemUpdating -> InService | Failed; an interrupted update is done again,
                       an interrupted way back is over: the first fleet is there alone

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
    capture,
    components,
    endpoint_kinds,
    live,
    measures,
    requests,
    response_streams,
    rollout,
    variants,
)
from local_sagemaker.engine.crew import RetiredError
from local_sagemaker.engine.endpoint_kinds import AnyCrew
from local_sagemaker.engine.fleet import FOLDER, Fleet, Variant
from local_sagemaker.engine.live import Live, row_of
from local_sagemaker.engine.model_servers import InstanceError
from local_sagemaker.engine.response_streams import Streamed
from local_sagemaker.engine.rollout import ClosingError, GuardError, Rollout
from local_sagemaker.engine.routing import (
    LOG_GROUP,
    Hop,
    Reply,
    RoutingError,
    Target,
    forward,
)
from local_sagemaker.engine.shift import Shift
from local_sagemaker.engine.variants import ASYNC, SERVERLESS, Plan, Row
from local_sagemaker.engine.witnesses import Watch
from local_sagemaker.errors import ApiError
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)
KIND = "endpoint"
# Members of ours in an endpoint's row: what runs, what shall, how it gets there, why it does not.
PLAN, NEXT_PLAN = "LocalPlan", "LocalNextPlan"
NEXT_DEPLOYMENT, ROLLBACK = "LocalNextDeployment", "LocalRollback"
TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
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
SHIFTS: Live[Shift] = Live()  # of endpoints that are between two fleets; FLEETS has the old one


@dataclass(frozen=True)
class Way:
    """Where an invocation goes."""

    variant: Variant
    crew: AnyCrew
    component: str | None
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
    """The row with the instance counts of this moment, and what is captured."""
    row = _counted(row, FLEETS.find(plane, row["EndpointName"]))
    planned = row.get(PLAN)
    if planned:
        queued = {ASYNC: planned[0][ASYNC]} if ASYNC in planned[0] else {}
        row = {**row, **capture.summary(planned), **queued}
    shift, pending = SHIFTS.find(plane, row["EndpointName"]), row.get("PendingDeploymentSummary")
    if not pending:
        return row
    return {**row, "PendingDeploymentSummary": _counted(pending, shift.green if shift else None)}


def invoke(plane: Plane, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """One InvokeEndpoint: status, headers, body of the model's answer. Raises RoutingError."""
    requests.check(headers, body)
    while True:
        way = _way(plane, name, headers)
        asked = endpoint_kinds.target(way.crew, name, headers, body)
        config = plane.config
        target = Target(way.log_group, way.variant.name, config.account, config.region)
        # An update may come between the choice and the taking: then whoever serves next is asked.
        with (
            suppress(RetiredError),
            Watch(plane, name, (way.variant, way.crew, way.component), headers, body) as watch,
            way.crew.taken(asked, way.variant.strategy) as hops,
        ):
            watch.asking()
            return watch.answered(forward(hops, target, headers, body))


def stream(plane: Plane, name: str, headers: Mapping[str, str], body: bytes) -> Streamed:
    """One InvokeEndpointWithResponseStream; its instance is kept until the stream is read or
    closed. Raises RoutingError.
    """
    requests.check(headers, body)
    while True:
        way = _way(plane, name, headers)
        asked = endpoint_kinds.target(way.crew, name, headers, body)
        config = plane.config
        target = Target(way.log_group, way.variant.name, config.account, config.region)
        with suppress(RetiredError), ExitStack() as over:
            place = (way.variant, way.crew, way.component)
            watch = over.enter_context(Watch(plane, name, place, headers, body))
            hops = over.enter_context(way.crew.taken(asked, way.variant.strategy))
            watch.asking()
            response = response_streams.opened(hops, target, headers, body, over)
            return response_streams.answer(response, target, watch, over.pop_all())


def ask(plane: Plane, name: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Reply:
    """An asynchronous invocation, whose model may take so long. Raises RoutingError; RetiredError
    when somebody else serves since.
    """
    fleet, config = _fleet(plane, name), plane.config
    variant = (SHIFTS.find(plane, name) or fleet).choose(None)
    target = Target(f"{LOG_GROUP}/{name}", variant.name, config.account, config.region)
    # Taken first: what waits for an instance is asked again, and is no invocation yet.
    with (
        variant.crew.taken(None, variant.strategy) as hops,
        Watch(plane, name, (variant, variant.crew, None), headers, body) as watch,
    ):
        patient = [Hop(each.hostname, each.connections.patient(seconds)) for each in hops]
        try:
            watch.asking()
            return watch.answered(forward(patient, target, headers, body))
        except RoutingError as problem:
            # Its instances were stopped under it, with their fleet or with the server.
            if plane.processes.closed or FLEETS.find(plane, name) is not fleet:
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
    choose = (SHIFTS.find(plane, name) or fleet).choose
    component, wanted = headers.get(COMPONENT), headers.get(TARGET_VARIANT)
    if fleet.for_components and component is None:
        said, code = COMPONENT_NEEDED, {"ErrorCode": "INFERENCE_COMPONENT_NAME_MISSING"}
        raise RoutingError("ValidationError", 400, said, **code)
    if component is None:
        variant = choose(wanted)
        return Way(variant, variant.crew, None, f"{LOG_GROUP}/{name}")
    if not fleet.for_components:
        raise RoutingError("ValidationError", 400, COMPONENT_NOT_ALLOWED)
    crew = components.serving(plane, name, component)
    host = crew.plan["VariantName"]
    if wanted not in (None, host):
        said = f"Inference component {component} is on variant {host}, not on {wanted}."
        raise RoutingError("ValidationError", 400, said)
    return Way(choose(host), crew, component, f"{components.LOG_GROUP}/{component}")


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
            rollout.begin_again(plane, name)
            live.in_background(plane, KIND, name, _recover_update)
        elif status == "UpdateRollbackFailed":
            live.in_background(plane, KIND, name, _recover_rollback)
        elif status == "Deleting":
            stop_endpoint(plane, name)


def _create(plane: Plane, name: str) -> None:
    row = row_of(plane, KIND, name)
    FLEETS.put(plane, name, _launched(plane, name, row[PLAN]))
    _in_service(plane, name, row[PLAN])


def _update(plane: Plane, name: str) -> None:
    row = row_of(plane, KIND, name)
    old, fresh = FLEETS.get(plane, name), Fleet(plane, name, row[NEXT_PLAN])
    shift, plans = Shift(old, fresh), (row[PLAN], row[NEXT_PLAN])
    deployed = Rollout(plane, name, shift, plans, row.get(NEXT_DEPLOYMENT) or {})
    SHIFTS.put(plane, name, shift)
    try:
        deployed.forward()
    except ClosingError:
        return
    except (InstanceError, GuardError, ApiError) as problem:
        if plane.processes.closed:
            raise
        _roll_back(plane, name, deployed, fresh, problem)
        return
    FLEETS.put(plane, name, fresh)
    SHIFTS.take(plane, name)
    config_name = row["PendingDeploymentSummary"]["EndpointConfigName"]
    _in_service(plane, name, row[NEXT_PLAN], EndpointConfigName=config_name)
    old.retire()


def _roll_back(
    plane: Plane, name: str, deployed: Rollout, fresh: Fleet, problem: Exception
) -> None:
    log.warning("an update is rolled back endpoint=%s reason=%s", name, problem)
    reason = f"The update of the endpoint was rolled back: {problem}"
    row = plane.store.edit(KIND, name, lambda row: {**row, ROLLBACK: reason})
    try:
        deployed.back()
    except InstanceError as worse:
        if plane.processes.closed:
            raise
        reason = f"{reason}. The rollback failed: {worse}"
        members = {"FailureReason": reason, "PendingDeploymentSummary": None, ROLLBACK: None}
        lifecycle.transition(plane, KIND, name, "UpdateRollbackFailed", **members)
        return
    SHIFTS.take(plane, name)
    _in_service(plane, name, row[PLAN], FailureReason=reason)
    fresh.retire()


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
    if row.get(ROLLBACK):
        _in_service(plane, name, row[PLAN], FailureReason=row[ROLLBACK])
    elif row.get("PendingDeploymentSummary"):
        _update(plane, name)
    else:
        _resize(plane, name)


def _recover_rollback(plane: Plane, name: str) -> None:
    """What no rollback could do a restart does: the whole old fleet, and nothing of the new one."""
    row = row_of(plane, KIND, name)
    FLEETS.put(plane, name, _launched(plane, name, row[PLAN]))
    _in_service(plane, name, row[PLAN], FailureReason=row["FailureReason"])


def _delete(plane: Plane, name: str) -> None:
    async_queue.forget(plane, name)
    fleet, shift = FLEETS.take(plane, name), SHIFTS.take(plane, name)
    if shift is not None:  # of an update that could not be rolled back
        shift.green.retire()
    if fleet is not None:
        fleet.retire()
    plane.store.delete(KIND, name)
    measures.of(plane).forget(name)
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
        **dict.fromkeys((NEXT_PLAN, NEXT_DEPLOYMENT, ROLLBACK, "PendingDeploymentSummary")),
        **variants.summaries(planned, fleet.counts()),
        **members,
    }
    lifecycle.transition(plane, KIND, name, "InService", **members)


def _counted(shown: Row, fleet: Fleet | None) -> Row:
    counts = fleet.counts() if fleet else {}
    now = {
        member: [
            each | {"CurrentInstanceCount": counts.get(each["VariantName"], 0)}
            for each in shown[member]
        ]
        for member in variants.MEMBERS
        if shown.get(member)
    }
    return {**shown, **now}


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
