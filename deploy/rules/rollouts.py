"""Deployment configurations of UpdateEndpoint that AWS refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.rules.endpoints import is_serverless, variants
from deploy.rules.rule import Parameters, Plan, rule

UPDATE = ("create_endpoint", "update_endpoint")
# The member of the policy that says how much at a time, and the smallest and largest share of every
# variant's instances that it may be, in percent.
SIZES = {"CANARY": ("CanarySize", 1, 50), "LINEAR": ("LinearStepSize", 10, 50)}
BATCH = (5, 50)
SHORTEST_TIMEOUT = 600


def _deployment(update: Parameters) -> dict[str, Any]:
    return dict(update.get("DeploymentConfig", {}))


def _config(update: Parameters, plan: Plan) -> Parameters | None:
    """The new endpoint configuration, where it is part of the plan."""
    return plan.find("create_endpoint_config", EndpointConfigName=update["EndpointConfigName"])


@rule(*UPDATE)
def one_policy(update: Parameters, _: Plan) -> Iterator[str]:
    deployment = _deployment(update)
    policies = {"BlueGreenUpdatePolicy", "RollingUpdatePolicy"} & deployment.keys()
    if len(policies) > 1:
        yield "DeploymentConfig has BlueGreenUpdatePolicy and RollingUpdatePolicy; give one of them"


@rule(*UPDATE)
def sizes_fit_every_variant(update: Parameters, plan: Plan) -> Iterator[str]:
    """A canary is at most half, a step 10-50 %, a batch 5-50 % of each variant's instances."""
    routing = (
        _deployment(update).get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    )
    config = _config(update, plan) or {}
    if routing.get("Type") in SIZES:
        member, lowest, highest = SIZES[routing["Type"]]
        if member not in routing:
            yield f"{routing['Type']} needs {member}"
        else:
            yield from _size(member, routing[member], lowest, highest, config)
    rolling = _deployment(update).get("RollingUpdatePolicy")
    if rolling:
        yield from _size("MaximumBatchSize", rolling["MaximumBatchSize"], *BATCH, config)


def _size(
    member: str, size: dict[str, Any], lowest: int, highest: int, config: Parameters
) -> Iterator[str]:
    if size["Type"] == "CAPACITY_PERCENT":
        if not lowest <= size["Value"] <= highest:
            yield f"{member} is {size['Value']} %; allowed: {lowest} to {highest} %"
        return
    for each in variants(config):
        count = each.get("InitialInstanceCount", 0)
        share = 100 * size["Value"] / count if count else 0
        if count and not lowest <= share <= highest:
            yield (
                f"{member} is {size['Value']} of the {count} instances of variant "
                f"{each['VariantName']}, {share:.0f} %; allowed: {lowest} to {highest} % of every "
                "variant's instances"
            )


@rule(*UPDATE)
def rolling_has_one_variant(update: Parameters, plan: Plan) -> Iterator[str]:
    config = _config(update, plan) or {}
    if "RollingUpdatePolicy" in _deployment(update) and len(variants(config)) > 1:
        yield "a rolling update is for endpoints with one variant; use BlueGreenUpdatePolicy"


@rule(*UPDATE)
def no_guardrails_without_instances(update: Parameters, plan: Plan) -> Iterator[str]:
    """Deployment guardrails exclude serverless endpoints."""
    config = _config(update, plan) or {}
    if _deployment(update) and is_serverless(config):
        yield "a serverless endpoint takes no DeploymentConfig"


@rule(*UPDATE, refused=False)
def inf1_has_no_guardrails(update: Parameters, plan: Plan) -> Iterator[str]:
    """Inf1 instances fall back to all at once, without the last baking."""
    for each in variants(_config(update, plan) or {}):
        if _deployment(update) and each.get("InstanceType", "").startswith("ml.inf1."):
            yield f"variant {each['VariantName']} is on Inf1: it is updated all at once, unguarded"


@rule(*UPDATE)
def time_for_the_waits(update: Parameters, _: Plan) -> Iterator[str]:
    """The time limit must leave room for the waits."""
    deployment = _deployment(update)
    policy = deployment.get("BlueGreenUpdatePolicy") or deployment.get("RollingUpdatePolicy") or {}
    limit = policy.get("MaximumExecutionTimeoutInSeconds")
    routing = policy.get("TrafficRoutingConfiguration", policy)
    waits = routing.get("WaitIntervalInSeconds", 0) + policy.get("TerminationWaitInSeconds", 0)
    if limit is not None and limit <= waits:
        yield f"MaximumExecutionTimeoutInSeconds is {limit}, not more than the waits, {waits}"


@rule(*UPDATE)
def alarms_are_defined(update: Parameters, plan: Plan) -> Iterator[str]:
    """Every alarm of the rollback exists; checked where the plan defines any."""
    defined = {each["AlarmName"] for each in plan.all("put_metric_alarm")}
    wanted = _deployment(update).get("AutoRollbackConfiguration", {}).get("Alarms", [])
    for each in wanted if defined else []:
        if each.get("AlarmName") not in defined:
            yield (
                f"AutoRollbackConfiguration names alarm {each.get('AlarmName')!r}; defined: "
                f"{', '.join(sorted(defined))}"
            )


@rule("update_endpoint")
def guardrails_keep_the_variants(update: Parameters, plan: Plan) -> Iterator[str]:
    """With guardrails the new configuration has the variants of the old one."""
    before = plan.find("create_endpoint", EndpointName=update["EndpointName"])
    old = before and _config(before, plan)
    new = _config(update, plan)
    if not (_deployment(update) and old and new):
        return
    names = [sorted(each["VariantName"] for each in variants(config)) for config in (old, new)]
    if names[0] != names[1]:
        yield (
            f"the new configuration has the variants {', '.join(names[1])}, the endpoint "
            f"{', '.join(names[0])}; an update with DeploymentConfig keeps their names"
        )
