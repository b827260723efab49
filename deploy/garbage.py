"""`python -m deploy.endpoint garbage`: endpoint configurations and models of ours that no endpoint
uses. Ours is what these commands tagged for the problem, or named as they name things.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from deploy import making
from deploy.commands import Answer
from deploy.served import described
from deploy.work import PROJECT, Work, begin

# kind -> list operation, its items, name and ARN of one, how to delete it
KINDS = {
    "endpoint configuration": (
        "list_endpoint_configs",
        "EndpointConfigs",
        "EndpointConfigName",
        "EndpointConfigArn",
        "delete_endpoint_config",
    ),
    "model": ("list_models", "Models", "ModelName", "ModelArn", "delete_model"),
}


def garbage(arguments: argparse.Namespace) -> Answer:
    work = begin(arguments)
    used = _used(work)
    doomed = [(kind, name) for kind in KINDS for name in _unused(work, kind, used)]
    found = [{"kind": kind, "name": name} for kind, name in doomed]
    if not doomed:
        return Answer("No configuration or model of ours is unused.", {"garbage": []})
    if arguments.delete:
        for kind, name in doomed:
            work.requests.send(work.sagemaker, KINDS[kind][4], **{KINDS[kind][2]: name})
    words = "\n".join(f"  {kind} {name}" for kind, name in doomed)
    if not arguments.delete:
        return Answer(f"Unused (--delete removes them)\n{words}", {"garbage": found})
    verb = "Would delete" if work.dry_run else "Deleted"
    text = "\n".join(filter(None, [f"{verb}\n{words}", work.requests.text() * work.dry_run]))
    deleted = [] if work.dry_run else found
    return Answer(text, {"garbage": found, "deleted": deleted, **work.shown()})


def _used(work: Work) -> set[str]:
    """Names of the configurations that an endpoint has or is going to, and of their models."""
    used: set[str] = set()
    pages = work.sagemaker.get_paginator("list_endpoints").paginate()
    for each in (each for page in pages for each in page["Endpoints"]):
        endpoint = described(work.sagemaker.describe_endpoint, EndpointName=each["EndpointName"])
        for config in _configs(endpoint or {}):
            used |= {config, *_models(work, config)}
    return used


def _configs(endpoint: dict[str, Any]) -> list[str]:
    pending = endpoint.get("PendingDeploymentSummary") or {}
    both = (endpoint.get("EndpointConfigName"), pending.get("EndpointConfigName"))
    return [each for each in both if each]


def _models(work: Work, config: str) -> set[str]:
    found = described(work.sagemaker.describe_endpoint_config, EndpointConfigName=config) or {}
    variants = [*found.get("ProductionVariants", ()), *found.get("ShadowProductionVariants", ())]
    return {each["ModelName"] for each in variants if "ModelName" in each}


def _unused(work: Work, kind: str, used: set[str]) -> Iterator[str]:
    operation, items, named, arn, _ = KINDS[kind]
    pages = work.sagemaker.get_paginator(operation).paginate(
        NameContains=making.prefix(work.endpoint)
    )
    for each in (each for page in pages for each in page[items]):
        name = each[named]
        ours = making.is_ours(name, work.endpoint) or _tagged(work, each[arn])
        if ours and name not in used:
            yield name


def _tagged(work: Work, arn: str) -> bool:
    pages = work.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    return tags.get("project") == PROJECT and tags.get("problem") == work.problem.name
