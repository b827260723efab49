"""Endpoint configurations that AWS refuses: kinds of variants that do not go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from deploy.rules.rule import Parameters, Plan, rule

CONFIG = "create_endpoint_config"
INSTANCE_MEMBERS = ("InstanceType", "InitialInstanceCount", "InstancePools", "VolumeSizeInGB")
SERVERLESS_MEMORY = range(1024, 6145, 1024)


def variants(config: Parameters) -> list[dict[str, Any]]:
    return [*config.get("ProductionVariants", ()), *config.get("ShadowProductionVariants", ())]


def is_serverless(config: Parameters) -> bool:
    return any("ServerlessConfig" in each for each in variants(config))


@rule(CONFIG)
def serverless_or_instances(config: Parameters, _: Plan) -> Iterator[str]:
    """ServerlessConfig stands in the place of an instance type and count."""
    for each in variants(config):
        both = [name for name in INSTANCE_MEMBERS if name in each and "ServerlessConfig" in each]
        if both:
            yield (
                f"variant {each['VariantName']} has ServerlessConfig and {', '.join(both)}; a "
                "variant is serverless or has instances: leave one of them out"
            )
        served = {"ServerlessConfig", "InstanceType", "InstancePools"} & each.keys()
        if not served:
            yield f"variant {each['VariantName']} has neither InstanceType nor ServerlessConfig"


@rule(CONFIG)
def serverless_alone(config: Parameters, _: Plan) -> Iterator[str]:
    """What serverless endpoints cannot have, by the developer guide's list of exclusions."""
    if not is_serverless(config):
        return
    if len(variants(config)) > 1:
        yield "a serverless endpoint has exactly one variant and no shadow"
    for member in ("DataCaptureConfig", "AsyncInferenceConfig", "VpcConfig", "ExplainerConfig"):
        if member in config:
            yield f"a serverless endpoint cannot have {member}; use instances, or leave it out"


@rule(CONFIG)
def serverless_sizes(config: Parameters, _: Plan) -> Iterator[str]:
    """Memory in steps of 1 GB; provisioned concurrency within the maximum."""
    for each in variants(config):
        serverless = each.get("ServerlessConfig")
        if serverless is None:
            continue
        memory = serverless.get("MemorySizeInMB")
        if memory not in SERVERLESS_MEMORY:
            yield f"MemorySizeInMB is {memory}; allowed: {', '.join(map(str, SERVERLESS_MEMORY))}"
        most, always = serverless["MaxConcurrency"], serverless.get("ProvisionedConcurrency", 0)
        if always > most:
            yield f"ProvisionedConcurrency is {always}, more than MaxConcurrency, which is {most}"


@rule(CONFIG)
def one_shadow_of_one_variant(config: Parameters, _: Plan) -> Iterator[str]:
    """A shadow gets a copy of the one production variant's requests: no share of the traffic."""
    production = len(config.get("ProductionVariants", ()))
    shadows = len(config.get("ShadowProductionVariants", ()))
    if shadows and (production, shadows) != (1, 1):
        yield (
            f"there are {production} production variants and {shadows} shadow variants; with a "
            "shadow there is exactly one of each. Test a canary and a shadow one after the other, "
            "or on two endpoints"
        )


@rule(CONFIG)
def async_alone(config: Parameters, _: Plan) -> Iterator[str]:
    """Asynchronous endpoints have one production variant and no shadow."""
    if "AsyncInferenceConfig" in config and len(variants(config)) > 1:
        yield "an asynchronous endpoint has exactly one production variant and no shadow"


@rule(CONFIG)
def variant_names_differ(config: Parameters, _: Plan) -> Iterator[str]:
    names = Counter(each["VariantName"] for each in variants(config))
    for name, count in names.items():
        if count > 1:
            yield f"{count} variants are named {name!r}; each needs a name of its own"


@rule(CONFIG)
def somebody_gets_traffic(config: Parameters, _: Plan) -> Iterator[str]:
    weights = [each.get("InitialVariantWeight", 1.0) for each in config["ProductionVariants"]]
    if weights and not any(weights):
        yield "every production variant has weight 0; give one a weight above 0"


@rule(CONFIG)
def a_variant_without_a_model_is_for_components(config: Parameters, _: Plan) -> Iterator[str]:
    """Inference components bring their own models; then the configuration needs a role."""
    without = [each["VariantName"] for each in variants(config) if "ModelName" not in each]
    if without and "ExecutionRoleArn" not in config:
        yield (
            f"variant {', '.join(without)} has no ModelName; give it one, or for inference "
            "components give the configuration an ExecutionRoleArn"
        )


@rule(CONFIG)
def zero_instances_only_with_components(config: Parameters, _: Plan) -> Iterator[str]:
    """Only endpoints of inference components can scale in to no instance."""
    for each in variants(config):
        scaling = each.get("ManagedInstanceScaling", {})
        if "ModelName" in each and scaling.get("MinInstanceCount") == 0:
            yield (
                f"variant {each['VariantName']} has a ModelName and MinInstanceCount 0; only "
                "inference components can scale to zero"
            )


@rule("invoke_endpoint", refused=False)
def a_pinned_variant_gets_all(request: Parameters, _: Plan) -> Iterator[str]:
    """TargetVariant overrides the weights: a split of 80/20 then never applies."""
    if "TargetVariant" in request:
        yield (
            f"TargetVariant pins every request to {request['TargetVariant']!r}, whatever the "
            "weights; leave it out, or choose it by a stable hash of the entity"
        )
