"""From an endpoint config to what must run: the plan of its variants, as plain data, and its
description.

A plan is kept in the endpoint's row (member LocalPlan, which Describe does not show), so an
endpoint goes on, and comes back after a restart, when its config or its models were deleted
meanwhile, as at AWS.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker.arns import arn
from local_sagemaker.engine.model_containers import CONTAINERS, execution_mode
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane

Row = dict[str, Any]
# one a variant: VariantName, Weight, Count, Containers (each: Hostname, Image, ModelDataUrl,
# Environment; none where inference components bring the models), Mode, HealthSeconds,
# ResolutionTime, EndpointConfigName, DataCaptureConfig, Shadow, and what is
# DESCRIBED
Plan = list[Row]
# AWS gives containers four minutes or more; on one machine a model that needs a minute is stuck.
HEALTH_SECONDS = 60
CONFIG_NAME = "EndpointConfigName"  # of a planned variant: the config that it is of
CAPTURE = "DataCaptureConfig"  # of a planned variant: that of its config, when it has one
SHADOW = "Shadow"  # of a planned variant: does it get copies only?
PRODUCTION, SHADOWS = MEMBERS = ("ProductionVariants", "ShadowProductionVariants")
# Members of a variant that a plan keeps as they are, and DescribeEndpoint shows.
DESCRIBED = ("RoutingConfig", "ManagedInstanceScaling")
# Members of a plan that make a variant another kind than instances that answer at once.
SERVERLESS, ASYNC = "ServerlessConfig", "AsyncInferenceConfig"


def config_row(plane: Plane, name: str) -> Row:
    """The stored endpoint config; refuses one that does not exist, in AWS's words."""
    row = plane.store.get("endpoint-config", name)
    if row is None:
        what = arn(plane.config, "endpoint-config", name)
        raise validation(f'Could not find endpoint configuration "{what}".')
    return row


def model_row(plane: Plane, name: str) -> Row:
    """The stored model; refuses one that does not exist, in AWS's words."""
    row = plane.store.get("model", name)
    if row is None:
        raise validation(f'Could not find model "{arn(plane.config, "model", name)}".')
    return row


def plan(plane: Plane, config: Row) -> Plan:
    """What an endpoint with this config must run. Raises ApiError when a model of it is gone."""
    whole = (CONFIG_NAME, CAPTURE, ASYNC)
    whose = {member: config[member] for member in whole if member in config}
    return [
        {**_variant(plane, each), **whose, SHADOW: member == SHADOWS}
        for member in MEMBERS
        for each in config.get(member, ())
    ]


def retained(fresh: Plan, live: Plan, excluded: list[str]) -> Plan:
    """The new plan with the live weights and counts of variants of the same name, and the live data
    capture (RetainAllVariantProperties).
    """
    kept = {"Weight": "DesiredWeight", "Count": "DesiredInstanceCount"}
    members = [mine for mine, theirs in kept.items() if theirs not in excluded]
    now = {each["VariantName"]: each for each in live}
    merged = [
        each | {m: now[each["VariantName"]][m] for m in members if each["VariantName"] in now}
        for each in fresh
    ]
    return merged if CAPTURE in excluded else [_captured_as(live[0], each) for each in merged]


def is_shadow(planned: Row) -> bool:
    return bool(planned.get(SHADOW))


def summaries(planned: Plan, counts: dict[str, int]) -> dict[str, list[Row] | None]:
    """ProductionVariants and ShadowProductionVariants of DescribeEndpoint, None where there are
    none; `counts` is how many instances of each variant answer.
    """
    return {
        member: [_summary(each, counts) for each in planned if is_shadow(each) == shadow] or None
        for member, shadow in ((PRODUCTION, False), (SHADOWS, True))
    }


def _summary(planned: Row, counts: dict[str, int]) -> Row:
    return {
        "VariantName": planned["VariantName"],
        **({"DeployedImages": deployed_images(planned)} if planned["Containers"] else {}),
        **{member: planned[member] for member in DESCRIBED if member in planned},
        "CurrentWeight": planned["Weight"],
        "DesiredWeight": planned["Weight"],
        "CurrentInstanceCount": counts.get(planned["VariantName"], 0),
        **_capacity(planned),
    }


def _capacity(planned: Row) -> Row:
    """What is wanted of a variant: instances, or of a serverless one concurrency."""
    if SERVERLESS not in planned:
        return {"DesiredInstanceCount": planned["Count"]}
    return {f"{when}ServerlessConfig": planned[SERVERLESS] for when in ("Current", "Desired")}


def deployed_images(planned: Row) -> list[Row]:
    """What a variant or a component runs, as Describe shows it."""
    return [
        {
            "SpecifiedImage": each["Image"],
            "ResolvedImage": each["Image"],
            "ResolutionTime": planned["ResolutionTime"],
        }
        for each in planned["Containers"]
    ]


def runs(plane: Plane, model: str) -> Row:
    """What a plan says of a model: its containers, and how they are called."""
    row = model_row(plane, model)
    return {"Containers": row[CONTAINERS], "Mode": execution_mode(row)}


def _captured_as(live: Row, planned: Row) -> Row:
    others = {member: value for member, value in planned.items() if member != CAPTURE}
    return {**others, **({CAPTURE: live[CAPTURE]} if CAPTURE in live else {})}


def _variant(plane: Plane, variant: Row) -> Row:
    return {
        "VariantName": variant["VariantName"],
        "Weight": variant.get("InitialVariantWeight", 1.0),
        "Count": variant.get("InitialInstanceCount", 1),
        **(runs(plane, variant["ModelName"]) if "ModelName" in variant else {"Containers": []}),
        "HealthSeconds": variant.get("ContainerStartupHealthCheckTimeoutInSeconds", HEALTH_SECONDS),
        "ResolutionTime": plane.clock.now(),
        **{m: variant[m] for m in (*DESCRIBED, SERVERLESS) if m in variant},
    }
