"""Inference components as they come to life, change, and end: models on an endpoint whose variants
have none of their own.

    CreateInferenceComponent  Creating -> copies up and healthy -> InService | Failed
    UpdateInferenceComponent  Updating -> a second crew up and healthy -> switched -> InService |
                              the first goes on, FailureReason says why
    ... another copy count    Updating -> copies added or stopped -> InService
    restart                   the copies come back; an interrupted update is done again

A copy is an instance of a crew (crew.py). Which endpoint a request came to is serving.py's.
"""

from __future__ import annotations

import logging
import shutil
import threading
from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.arns import arn
from local_sagemaker.engine import live, variants
from local_sagemaker.engine.crew import Crew, Post
from local_sagemaker.engine.live import Live, row_of
from local_sagemaker.engine.model_containers import is_multi_model, of_image
from local_sagemaker.engine.model_servers import InstanceError
from local_sagemaker.engine.routing import RoutingError
from local_sagemaker.engine.variants import Row
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)
KIND = "inference-component"
FOLDER = "inference-components"
LOG_GROUP = "/aws/sagemaker/InferenceComponents"
# Members of ours in a component's row: what runs, and what an update makes of it.
PLAN, NEXT_PLAN, NEXT_SPECIFICATION = "LocalPlan", "LocalNextPlan", "LocalNextSpecification"
CREWS: Live[Crew] = Live()
# Held while a component is put on an endpoint, and while an endpoint without any is deleted.
ATTACHING = threading.RLock()


def existing(plane: Plane, name: str) -> Row:
    """The stored component; refuses one that does not exist, in AWS's words."""
    row = plane.store.get(KIND, name)
    if row is None:
        what = arn(plane.config, KIND, name)
        raise validation(f'Could not find inference component "{what}".')
    return row


def attached(plane: Plane, endpoint: str) -> list[Row]:
    """The components of an endpoint."""
    return plane.store.rows(KIND, lambda row: row["EndpointName"] == endpoint)


def plan(plane: Plane, variant: str, specification: Row, copies: int) -> Row:
    """What a component with this specification must run. Raises ApiError when that cannot be."""
    if ("ModelName" in specification) == ("Container" in specification):
        raise validation("Specification needs ModelName or Container, one of them.")
    startup = specification.get("StartupParameters", {})
    if "ModelName" in specification:
        runs = variants.runs(plane, specification["ModelName"])
        if is_multi_model(runs["Containers"]):
            raise validation(
                f"Specification.ModelName {specification['ModelName']!r} is a multi-model; an "
                "inference component needs a model of its own"
            )
    else:
        runs = _runs(plane, specification["Container"])
    return {
        "VariantName": variant,
        "Count": copies,
        **runs,
        "HealthSeconds": startup.get(
            "ContainerStartupHealthCheckTimeoutInSeconds", variants.HEALTH_SECONDS
        ),
        "ResolutionTime": plane.clock.now(),
    }


def _runs(plane: Plane, container: Row) -> Row:
    if "Image" not in container:
        raise validation("Specification.Container needs Image.")
    named = {**container, "ModelDataUrl": container.get("ArtifactUrl")}
    return {"Containers": of_image(plane, named)}


def summary(specification: Row, planned: Row) -> Row:
    """A specification as DescribeInferenceComponent shows it."""
    given = specification.get("Container")
    if given is None:
        return specification
    (image,) = variants.deployed_images(planned)
    kept = {name: value for name, value in given.items() if name != "Image"}
    return {**specification, "Container": {"DeployedImage": image, **kept}}


def start_component(plane: Plane, name: str) -> None:
    """Bring up a component that was just inserted as Creating."""
    live.in_background(plane, KIND, name, _create)


def update_component(plane: Plane, name: str) -> None:
    """Replace the copies of a component that is Updating by those of its next plan."""
    live.in_background(plane, KIND, name, _update)


def resize_component(plane: Plane, name: str) -> None:
    """Bring the number of copies of a component that is Updating to that of its next plan."""
    live.in_background(plane, KIND, name, _resize)


def stop_component(plane: Plane, name: str) -> None:
    """Drain and stop a component that is Deleting, then forget it."""
    live.in_background(plane, KIND, name, _delete)


def described(plane: Plane, row: Row) -> Row:
    """The row with the number of copies of this moment."""
    crew = CREWS.find(plane, row["InferenceComponentName"])
    copies = {"CurrentCopyCount": crew.alive() if crew else 0}
    return {**row, "RuntimeConfig": {**row["RuntimeConfig"], **copies}}


def serving(plane: Plane, endpoint: str, name: str) -> Crew:
    """The crew that answers for a component of an endpoint. Raises RoutingError."""
    row = plane.store.get(KIND, name)
    if row is None or row["EndpointName"] != endpoint:
        raise RoutingError(
            "ValidationError", 400, f"Inference component {name} of endpoint {endpoint} not found."
        )
    crew = CREWS.find(plane, row["InferenceComponentName"])
    if crew is not None and crew.plan["Count"] > 0:
        return crew
    if crew is None and row["InferenceComponentStatus"] in ("InService", "Updating"):
        said = f"Inference component {name} is coming back after a restart. Try again."
        raise RoutingError("ServiceUnavailable", 503, said)
    raise RoutingError(
        "ValidationError",
        400,
        "Inference Component has no capacity to process this request. ApplicationAutoScaling may "
        "be in-progress (if configured) or try to increase the capacity by invoking "
        "UpdateInferenceComponentRuntimeConfig API.",
    )


def recover(plane: Plane) -> None:
    """After a restart of the server: bring back what was there, finish what was under way."""
    shutil.rmtree(plane.config.home / FOLDER, ignore_errors=True)
    works = {
        "Creating": _create,
        "InService": _bring_back,
        "Updating": _recover_update,
        "Deleting": _delete,
    }
    for row in plane.store.rows(KIND):
        work = works.get(row["InferenceComponentStatus"])
        if work is not None:
            live.in_background(plane, KIND, row["InferenceComponentName"], work)


def _create(plane: Plane, name: str) -> None:
    _bring_back(plane, name)
    _in_service(plane, name, row_of(plane, KIND, name)[PLAN])


def _bring_back(plane: Plane, name: str) -> None:
    CREWS.put(plane, name, _launched(plane, name, row_of(plane, KIND, name)[PLAN]))


def _update(plane: Plane, name: str) -> None:
    row = row_of(plane, KIND, name)
    old = CREWS.find(plane, name)
    try:
        fresh = _launched(plane, name, row[NEXT_PLAN])
    except InstanceError as problem:
        if plane.processes.closed or old is None:
            raise
        log.warning("an update was rolled back inference_component=%s reason=%s", name, problem)
        _in_service(plane, name, old.plan, FailureReason=str(problem))
        return
    CREWS.put(plane, name, fresh)
    specified = row[NEXT_SPECIFICATION] or row["Specification"]
    _in_service(plane, name, row[NEXT_PLAN], Specification=specified)
    if old is not None:
        old.retire()


def _resize(plane: Plane, name: str) -> None:
    wanted, crew = row_of(plane, KIND, name)[NEXT_PLAN], CREWS.get(plane, name)
    try:
        crew.resize(wanted["Count"])
    except InstanceError as problem:
        if plane.processes.closed:
            raise
        _in_service(plane, name, crew.plan, FailureReason=str(problem))
    else:
        _in_service(plane, name, wanted)


def _recover_update(plane: Plane, name: str) -> None:
    """The old copies first, so that somebody answers; then the update once more."""
    try:
        _bring_back(plane, name)
    except InstanceError as problem:  # it was Failed before the update, or is now
        log.warning("no copies until the update inference_component=%s: %s", name, problem)
    _update(plane, name)


def _delete(plane: Plane, name: str) -> None:
    crew = CREWS.take(plane, name)
    if crew is not None:
        crew.retire()
    plane.store.delete(KIND, name)
    shutil.rmtree(plane.config.home / FOLDER / name, ignore_errors=True)


def _launched(plane: Plane, name: str, planned: Row) -> Crew:
    described = f'inference component "{name}"'
    group = f"{LOG_GROUP}/{name}"
    post = Post(FOLDER, name, "copy", "inference component", described, group)
    crew = Crew(plane, post, planned)
    try:
        crew.resize(planned["Count"])
    except InstanceError:
        crew.retire()
        raise
    return crew


def _in_service(plane: Plane, name: str, planned: Row, **members: Any) -> None:
    members = {
        "FailureReason": None,
        "RuntimeConfig": {"DesiredCopyCount": planned["Count"]},
        PLAN: planned,
        NEXT_PLAN: None,
        NEXT_SPECIFICATION: None,
        **members,
    }
    lifecycle.transition(plane, KIND, name, "InService", **members)
