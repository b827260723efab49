"""The champion of an endpoint: who served alone before others came beside it, and how one variant
comes to serve alone. A configuration that these commands make says in its tag who it is.
"""

from __future__ import annotations

from typing import Any

from deploy import active, making, updating
from deploy.commands import DeployError
from deploy.served import existing
from deploy.work import Work, settled

TAG = "champion"


def in_service(work: Work) -> dict[str, Any]:
    """What the endpoint serves, settled; DeployError when it cannot be changed."""
    there = settled(work) or existing(work.sagemaker, work.endpoint)
    if there["status"] != "InService" and not work.dry_run:
        raise DeployError(f"Endpoint {work.endpoint} is {there['status']}: {there['reason']}")
    return there


def named(there: dict[str, Any], name: str) -> dict[str, Any]:
    """A live production variant."""
    live: dict[str, Any] = {each["VariantName"]: each for each in there["variants"]}
    if name not in live:
        raise DeployError(f"There is no variant {name}; the endpoint has: {', '.join(live)}.", 2)
    found: dict[str, Any] = live[name]
    return found


def champion(work: Work, there: dict[str, Any]) -> str:
    """Its variant: the only one, that of the active version, or the configuration's tag."""
    live: dict[str, Any] = {each["VariantName"]: each for each in there["variants"]}
    if len(live) == 1:
        return next(iter(live))
    now = active.version(work)
    for name, each in live.items():
        if f"v{each['version']}" == now:
            return name
    pages = work.sagemaker.get_paginator("list_tags").paginate(ResourceArn=there["config_arn"])
    tagged = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}.get(TAG)
    if tagged in live:
        return str(tagged)
    raise DeployError(
        f"Who was first of {', '.join(live)} is not recorded; say who stays: `promote NAME`."
    )


def alone(work: Work, there: dict[str, Any], chosen: dict[str, Any], name: str) -> bool:
    """Let a variant (or a shadow) serve alone under this name, with as many instances as any has;
    its version is the active one then. False when it was so already.
    """
    changed = len(there["variants"]) > 1 or bool(there["shadows"])
    if changed:
        most = max(each["desired"] or 1 for each in there["variants"])
        sizes = {} if "ServerlessConfig" in chosen else {"InitialInstanceCount": most}
        variant = making.variant(
            chosen, name, chosen["ModelName"], InitialVariantWeight=1.0, **sizes
        )
        tags = {TAG: name, "version": chosen["version"]}
        stem = making.stem(work, "only")
        updating.to_config(work, there, making.config(work, stem, [variant], there["kept"], tags))
    if chosen["package"]:
        active.record(work, chosen["package"])
    return changed
