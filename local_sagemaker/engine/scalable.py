"""What can be scaled: the resources behind scalable targets, and how targets, policies and actions
are found.

A target is known by its resource and dimension (`key`); what belongs to it begins with that. Which
capacity it should have is scaling_rules.py's, how it gets there scaling_activities.py's.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine import components, serving
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

NAMESPACE = "sagemaker"
TARGET, POLICY, ACTION = "scalable-target", "scaling-policy", "scheduled-action"
# Members of ours in a target's row: the minute it was looked at last, its cooldowns, and when the
# resource was made, by which another of the same name is told apart.
EVALUATED, COOLDOWN, MADE = "LocalEvaluated", "LocalCooldown", "LocalResourceCreationTime"
ROLE = (
    "arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


@dataclass(frozen=True)
class Dimension:
    """One ScalableDimension: its resources, and the words of its activities."""

    resource: str  # how a ResourceId is written
    kind: str
    count: str


DIMENSIONS = {
    "sagemaker:variant:DesiredInstanceCount": Dimension(
        "endpoint/<endpoint>/variant/<variant>", serving.KIND, "desired instance count"
    ),
    "sagemaker:inference-component:DesiredCopyCount": Dimension(
        "inference-component/<name>", components.KIND, "desired copy count"
    ),
}
NAMED = ("ServiceNamespace", "ResourceId", "ScalableDimension")
# For @operation(only=...): whatever else Application Auto Scaling scales is refused by name.
ONLY: dict[str, tuple[Any, ...]] = {
    "ServiceNamespace": (NAMESPACE,),
    "ScalableDimension": tuple(DIMENSIONS),
}


@dataclass(frozen=True)
class Resource:
    """A production variant of an endpoint, or an inference component."""

    kind: str
    name: str
    variant: str = ""


def key(row: Row) -> str:
    """The name of a target in the store, from it or from anything that belongs to it."""
    return f"{row['ResourceId']}|{row['ScalableDimension']}"


def below(row: Row, name: str) -> str:
    """The name in the store of a policy or action of a target."""
    return f"{key(row)}|{name}"


def resource(row: Row) -> Resource:
    """What the ResourceId of a request or row means. Raises ApiError."""
    dimension = DIMENSIONS[row["ScalableDimension"]]
    pattern = re.sub("<[a-z]+>", "([^/]+)", dimension.resource)
    found = re.fullmatch(pattern, row["ResourceId"])
    if found is None:
        raise validation(
            f"Unsupported service namespace, resource type or scalable dimension: ResourceId "
            f"{row['ResourceId']!r} of {row['ScalableDimension']} must be {dimension.resource}"
        )
    return Resource(dimension.kind, *found.groups())


def behind(plane: Plane, it: Resource) -> Row | None:
    """The row of the endpoint or component; None when it, or the variant, is not there."""
    row = plane.store.get(it.kind, it.name)
    if row is None or is_ending(row, it) or capacity(row, it) is None:
        return None
    return row


def made(row: Row) -> float:
    return float(row["CreationTime"])


def capacity(row: Row, it: Resource) -> int | None:
    """How many instances or copies it should have; None without such a variant, and of a serverless
    one, which has none to count.
    """
    planned = row["LocalPlan"]
    if it.kind == components.KIND:
        return int(planned["Count"])
    for each in planned:
        if each["VariantName"] == it.variant and "ServerlessConfig" not in each:
            return int(each["Count"])
    return None


def is_steady(row: Row, it: Resource) -> bool:
    return _status(row, it) == "InService"


def is_ending(row: Row, it: Resource) -> bool:
    return _status(row, it) == "Deleting"


def is_broken(row: Row, it: Resource) -> bool:
    """Will no waiting make it InService?"""
    return _status(row, it) in ("Failed", "OutOfService", "UpdateRollbackFailed")


def change(plane: Plane, it: Resource, count: int) -> None:
    """Ask SageMaker for another number of instances or copies. Raises ApiError."""
    if it.kind == components.KIND:
        copies = {"CopyCount": count}
        wish = {"InferenceComponentName": it.name, "DesiredRuntimeConfig": copies}
        plane.call("UpdateInferenceComponentRuntimeConfig", wish)
        return
    instances = {"VariantName": it.variant, "DesiredInstanceCount": count}
    asked = {"EndpointName": it.name, "DesiredWeightsAndCapacities": [instances]}
    plane.call("UpdateEndpointWeightsAndCapacities", asked)


def registered(plane: Plane, request: Row) -> Row:
    """The target that a request names; refuses one that is not registered, in AWS's words."""
    row = plane.store.get(TARGET, key(request))
    if row is None:
        raise missing("scalable target registered", request)
    return row


def missing(what: str, request: Row, **named: str) -> ApiError:
    """`no ... for service namespace: ..., resource ID: ..., scalable dimension: ...`"""
    facts: dict[str, str] = {
        "service namespace": request["ServiceNamespace"],
        "resource ID": request["ResourceId"],
        "scalable dimension": request["ScalableDimension"],
        **{each.replace("_", " "): value for each, value in named.items()},
    }
    said = ", ".join(f"{name}: {value}" for name, value in facts.items())
    return ApiError("ObjectNotFoundException", f"No {what} for {said}")


def pending() -> ApiError:
    """Somebody else was quicker."""
    said = "You already have a pending update to an Auto Scaling resource."
    return ApiError("ConcurrentUpdateException", said)


def belonging(plane: Plane, kind: str, target: Row) -> list[Row]:
    """The policies or actions of a target."""
    return plane.store.rows(kind, lambda row: key(row) == key(target))


def page(plane: Plane, kind: str, request: Row, member: str, names: str) -> tuple[list[Row], Any]:
    """One page of a Describe operation; `names`: the request's list of values of `member`."""
    wanted = request.get(names)
    size = request.get("MaxResults", 50)
    if not 1 <= size <= 50:
        raise validation(f"MaxResults is {size}; it may be 1 to 50")
    if "ScalableDimension" in request and not ("ResourceId" in request or names == "ResourceIds"):
        raise validation("ScalableDimension needs ResourceId beside it")

    def matches(row: Row) -> bool:
        return (wanted is None or row[member] in wanted) and all(
            row[each] == request.get(each, row[each])
            for each in ("ResourceId", "ScalableDimension")
        )

    newest_first = "Descending" if kind == "scaling-activity" else "Ascending"
    return plane.store.page(
        kind,
        {**request, "MaxResults": size},
        sort_keys={"CreationTime": "CreationTime"},
        where=matches,
        default_order=newest_first,
    )


def arn(plane: Plane, resource_type: str, name: str) -> str:
    config = plane.config
    service = "autoscaling" if resource_type != "scalable-target" else "application-autoscaling"
    return f"arn:aws:{service}:{config.region}:{config.account}:{resource_type}{name}"


def new_id() -> str:
    return str(uuid.uuid4())


def _status(row: Row, it: Resource) -> str:
    member = "InferenceComponentStatus" if it.kind == components.KIND else "EndpointStatus"
    return str(row[member])
