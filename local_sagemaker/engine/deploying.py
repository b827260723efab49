"""The steps that create what they deploy to, or update it where it is there already.

A step of these types is launched again after a restart of the server: each function here must see
what its first call has done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

# A member of ours in a component's row: the attempt of a step that brought it to where it is.
LAUNCHED_BY = "LocalLaunchedBy"
COMPONENT = "inference-component"


def launch_endpoint(plane: Plane, arguments: Row, _: str) -> tuple[str, str]:
    """(name, ARN) of an endpoint that comes to serve the config of the arguments."""
    name = arguments["EndpointName"]
    row = plane.store.get("endpoint", name)
    if row is None:
        return name, str(plane.call("CreateEndpoint", arguments)["EndpointArn"])
    arn = str(row["EndpointArn"])
    _add_tags(plane, arn, arguments)
    serving = row.get("EndpointConfigName") == arguments.get("EndpointConfigName")
    fine = row["EndpointStatus"] in ("Creating", "Updating", "InService")
    if not serving or not fine or row.get("FailureReason"):
        request = {key: value for key, value in arguments.items() if key != "Tags"}
        plane.call("UpdateEndpoint", request)
    return name, arn


def launch_component(plane: Plane, arguments: Row, token: str) -> tuple[str, str]:
    """(name, ARN) of an inference component that comes to run the specification of the arguments,
    as many times as they say.
    """
    name = arguments["InferenceComponentName"]
    row = plane.store.get(COMPONENT, name)
    if row is not None and row.get(LAUNCHED_BY) == token:
        return name, str(row["InferenceComponentArn"])
    with plane.bus.held(), plane.store.together():
        if row is None:
            arn = str(plane.call("CreateInferenceComponent", arguments)["InferenceComponentArn"])
        else:
            arn = _update_component(plane, row, arguments)
        plane.store.edit(COMPONENT, name, lambda now: {**now, LAUNCHED_BY: token})
    return name, arn


def _update_component(plane: Plane, row: Row, arguments: Row) -> str:
    for member in ("EndpointName", "VariantName"):
        if arguments.get(member, row[member]) != row[member]:
            raise validation(
                f"Inference component {row['InferenceComponentName']} exists with {member} "
                f"{row[member]}; it cannot be moved to {arguments[member]}: use another "
                "InferenceComponentName, or delete it first."
            )
    arn = str(row["InferenceComponentArn"])
    _add_tags(plane, arn, arguments)
    taken = ("InferenceComponentName", "Specification", "RuntimeConfig")
    plane.call("UpdateInferenceComponent", {k: v for k, v in arguments.items() if k in taken})
    return arn


def _add_tags(plane: Plane, arn: str, arguments: Row) -> None:
    if arguments.get("Tags"):
        plane.call("AddTags", {"ResourceArn": arn, "Tags": arguments["Tags"]})


LAUNCHES: dict[str, Callable[[Plane, dict[str, Any], str], tuple[str, str]]] = {
    "Endpoint": launch_endpoint,
    "InferenceComponent": launch_component,
}
