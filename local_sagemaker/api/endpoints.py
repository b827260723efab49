"""Endpoints: create, describe, list, update, change weights and counts, delete.

What then really happens is engine/serving.py's: every call here checks, writes the status, and
answers.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.arns import arn
from local_sagemaker.engine import (
    alarms,
    components,
    deployment,
    deployment_rules,
    endpoint_rules,
    rollout,
    serving,
    variants,
)
from local_sagemaker.engine.serving import KIND, NEXT_DEPLOYMENT, NEXT_PLAN, PLAN
from local_sagemaker.engine.variants import ASYNC, SERVERLESS, Plan
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.lifecycle import IllegalTransition
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

SORT_KEYS = {
    "CreationTime": "CreationTime",
    "Name": "EndpointName",
    "Status": "EndpointStatus",
}
BUSY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})


@operation(
    "CreateEndpoint", ("EndpointName", "EndpointConfigName", "Tags"), kept=("DeploymentConfig",)
)
def create_endpoint(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = request["EndpointName"]
    planned = variants.plan(plane, variants.config_row(plane, request["EndpointConfigName"]))
    deployment_rules.check_form(request.get("DeploymentConfig", {}))
    now = plane.clock.now()
    row = {
        "EndpointName": name,
        "EndpointConfigName": request["EndpointConfigName"],
        "EndpointArn": arn(plane.config, KIND, name),
        "EndpointStatus": "Creating",
        "CreationTime": now,
        "LastModifiedTime": now,
        **_members(LastDeploymentConfig=request.get("DeploymentConfig")),
        PLAN: planned,
    }
    try:
        plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        what = row["EndpointArn"]
        raise validation(f'Cannot create already existing endpoint "{what}".') from cause
    lifecycle.announce(plane, KIND, name)
    serving.start_endpoint(plane, name)
    return row


@operation("DescribeEndpoint")
def describe_endpoint(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return serving.described(plane, _existing(plane, request["EndpointName"]))


@operation("ListEndpoints")
def list_endpoints(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS, default_order="Descending")
    return {"Endpoints": rows, "NextToken": token}


@operation(
    "UpdateEndpoint",
    (
        "EndpointName",
        "EndpointConfigName",
        "RetainAllVariantProperties",
        "ExcludeRetainedVariantProperties",
        "DeploymentConfig",
        "RetainDeploymentConfig",
    ),
)
def update_endpoint(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = _changeable(plane, request["EndpointName"])
    config = variants.config_row(plane, request["EndpointConfigName"])
    planned = variants.plan(plane, config)
    _check_components(plane, row, planned)
    if request.get("RetainAllVariantProperties"):
        given = request.get("ExcludeRetainedVariantProperties", ())
        excluded = [each["VariantPropertyType"] for each in given]
        planned = variants.retained(planned, row[PLAN], excluded)
    chosen = _deployment(row, request)
    if chosen:
        _check_deployment(plane, chosen, config, row[PLAN], planned)
    now = plane.clock.now()
    pending = {
        "EndpointConfigName": config["EndpointConfigName"],
        **variants.summaries(planned, {}),
        "StartTime": now,
    }
    members = _members(LastDeploymentConfig=chosen, **{NEXT_DEPLOYMENT: chosen})
    _start_update(plane, row, planned, PendingDeploymentSummary=pending, **members)
    serving.update_endpoint(plane, row["EndpointName"])
    return row


@operation(
    "UpdateEndpointWeightsAndCapacities",
    (
        "EndpointName",
        "DesiredWeightsAndCapacities.VariantName",
        "DesiredWeightsAndCapacities.DesiredWeight",
        "DesiredWeightsAndCapacities.DesiredInstanceCount",
        "DesiredWeightsAndCapacities.ServerlessUpdateConfig",
    ),
)
def update_endpoint_weights_and_capacities(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = _changeable(plane, request["EndpointName"])
    planned = _resized(row, request["DesiredWeightsAndCapacities"])
    _start_update(plane, row, planned)
    serving.resize_endpoint(plane, row["EndpointName"])
    return row


@operation("DeleteEndpoint")
def delete_endpoint(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    row = _existing(plane, request["EndpointName"])
    if row["EndpointStatus"] in BUSY:
        raise _busy(row)
    with components.ATTACHING:
        if components.attached(plane, row["EndpointName"]):
            raise validation(
                "Cannot delete endpoint with inference component associated. Please delete "
                "inference component and try it again."
            )
        try:
            lifecycle.transition(plane, KIND, row["EndpointName"], "Deleting")
        except IllegalTransition as cause:  # somebody else was quicker
            raise _busy(row) from cause
    serving.stop_endpoint(plane, row["EndpointName"])
    return {}


def _existing(plane: Plane, name: str) -> dict[str, Any]:
    row = plane.store.get(KIND, name)
    if row is None:
        raise validation(f'Could not find endpoint "{arn(plane.config, KIND, name)}".')
    return row


def _changeable(plane: Plane, name: str) -> dict[str, Any]:
    row = _existing(plane, name)
    if row["EndpointStatus"] in BUSY:
        raise _busy(row)
    if row["EndpointStatus"] != "InService":
        raise validation(
            f'Cannot update endpoint "{row["EndpointArn"]}" in status {row["EndpointStatus"]}; '
            "delete it and create it again."
        )
    return row


def _busy(row: dict[str, Any]) -> ApiError:
    return validation(f'Cannot update in-progress endpoint "{row["EndpointArn"]}".')


def _start_update(plane: Plane, row: dict[str, Any], planned: Plan, **members: Any) -> None:
    members |= {NEXT_PLAN: planned, "FailureReason": None}
    try:
        lifecycle.transition(plane, KIND, row["EndpointName"], "Updating", **members)
    except IllegalTransition as cause:  # somebody else was quicker
        raise _busy(row) from cause


def _deployment(row: dict[str, Any], request: dict[str, Any]) -> dict[str, Any] | None:
    """The DeploymentConfig of an update: its own, or again the last one."""
    given: dict[str, Any] | None = request.get("DeploymentConfig")
    if not request.get("RetainDeploymentConfig"):
        return given
    if given:
        raise validation(
            "RetainDeploymentConfig reuses the last deployment configuration; leave it out or "
            "DeploymentConfig."
        )
    return row.get("LastDeploymentConfig")


def _check_deployment(
    plane: Plane, chosen: dict[str, Any], config: dict[str, Any], live: Plan, planned: Plan
) -> None:
    serverless = any("ServerlessConfig" in each for each in config["ProductionVariants"])
    old, new = rollout.counts(live), rollout.counts(planned)
    deployment_rules.check(chosen, serverless, old, new)
    alarms.check(plane, deployment.alarms(chosen))


def _members(**given: Any) -> dict[str, Any]:
    """Those that have a value."""
    return {name: value for name, value in given.items() if value is not None}


def _check_components(plane: Plane, row: dict[str, Any], planned: Plan) -> None:
    """An update must leave its inference components where they are."""
    hosts = {each["VariantName"] for each in planned if not each["Containers"]}
    for each in components.attached(plane, row["EndpointName"]):
        if each["VariantName"] not in hosts:
            raise validation(
                f"Inference component {each['InferenceComponentName']} is on variant "
                f"{each['VariantName']}, which the new endpoint configuration does not have "
                "without a model; delete the inference component first."
            )


def _resized(row: dict[str, Any], wishes: list[dict[str, Any]]) -> Plan:
    planned = {each["VariantName"]: dict(each) for each in row[PLAN]}
    for wish in wishes:
        name = wish["VariantName"]
        if name not in planned:
            known = ", ".join(planned)
            raise validation(f'Variant "{name}" is not in the endpoint; it has: {known}.')
        planned[name] |= _wished(planned[name], wish)
    return list(planned.values())


def _wished(now: dict[str, Any], wish: dict[str, Any]) -> dict[str, Any]:
    """What changes in the plan of a variant; refuses what its kind does not have."""
    name, count, update = (
        wish["VariantName"],
        wish.get("DesiredInstanceCount"),
        wish.get("ServerlessUpdateConfig"),
    )
    if count == 0 and ASYNC not in now:
        raise validation(f"DesiredInstanceCount of variant {name} must be 1 or more.")
    if count is not None and SERVERLESS in now:
        raise validation(f"Variant {name} is serverless and has no DesiredInstanceCount.")
    if update is not None and SERVERLESS not in now:
        raise validation(f"Variant {name} is not serverless and has no ServerlessUpdateConfig.")
    changed = {
        "Weight": wish.get("DesiredWeight", now["Weight"]),
        "Count": now["Count"] if count is None else count,
    }
    if update is not None:
        changed[SERVERLESS] = endpoint_rules.concurrency({**now[SERVERLESS], **update})
    return changed
