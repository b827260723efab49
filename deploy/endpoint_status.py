"""`python -m deploy.endpoint status`: everything about an endpoint that one asks first."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from deploy import active, commands
from deploy.commands import Answer
from deploy.served import existing, phases_of, shares
from deploy.work import Work, begin
from pipelines import settings

HEADERS = ("Variant", "Model", "Version", "Weight", "Share", "Instances", "Type")


def status(arguments: argparse.Namespace) -> Answer:
    work = begin(arguments)
    there = existing(work.sagemaker, work.endpoint)
    facts = {"active": active.version(work), "autoscaling": _autoscaling(work)}
    document = {"endpoint": work.endpoint, **there, **facts}
    lines = [
        f"Endpoint {work.endpoint} is {there['status']} {there['reason']}".rstrip(),
        table(there),
        *_more(there, facts),
    ]
    return Answer("\n".join(lines), document)


def table(there: dict[str, Any]) -> str:
    """A row for each variant; instances are current/desired."""
    share = shares(there["variants"])
    rows = [_row(each, f"{100 * share[each['VariantName']]:.4g} %") for each in there["variants"]]
    return commands.table(HEADERS, [*rows, *(_row(each, "shadow") for each in there["shadows"])])


def _row(variant: dict[str, Any], share: str) -> tuple[object, ...]:
    return (
        variant["VariantName"],
        variant.get("ModelName", "-"),
        variant["version"],
        f"{variant['weight']:g}",
        share,
        f"{variant['current']}/{variant['desired']}",
        variant.get("InstanceType", "serverless"),
    )


def _more(there: dict[str, Any], facts: dict[str, Any]) -> Iterator[str]:
    """What is not a column, a line each; what there is none of is left out."""
    yield f"Configuration: {there['config']}"
    yield f"Active version: {facts['active'] or 'none recorded'}{_lie(there, facts['active'])}"
    if there["pending"]:
        phases = "; ".join(phases_of(there["pending"])) or "starting"
        yield f"Pending: {there['pending']['EndpointConfigName']}: {phases}"
    if there["capture"] and there["capture"]["EnableCapture"]:
        capture = there["capture"]
        sampled = f"{capture['CurrentSamplingPercentage']} % to {capture['DestinationS3Uri']}"
        yield f"Capture: {sampled} ({capture['CaptureStatus']})"
    if isinstance(facts["autoscaling"], str):
        yield f"Autoscaling: unknown, {facts['autoscaling']}"
    else:
        for each in facts["autoscaling"]:
            yield f"Autoscaling: {each['variant']} {each['min']} to {each['max']} instances"


def _lie(there: dict[str, Any], version: str | None) -> str:
    """When the record and the endpoint differ, the endpoint is right."""
    serving = {f"v{each['version']}" for each in there["variants"] if each["weight"]}
    if version is None or version in serving:
        return ""
    return f", but {', '.join(sorted(serving))} is served; see `python -m deploy.rollback show`"


def _autoscaling(work: Work) -> list[dict[str, Any]] | str:
    """Each variant's range of instances; a text when the service cannot be asked."""
    client = settings.client(work.place, "application-autoscaling")
    try:
        pages = client.get_paginator("describe_scalable_targets").paginate(
            ServiceNamespace="sagemaker"
        )
        found = [each for page in pages for each in page["ScalableTargets"]]
    except (ClientError, BotoCoreError) as error:
        return f"the service does not answer: {error}"
    ours = f"endpoint/{work.endpoint}/variant/"
    return [
        {
            "variant": each["ResourceId"].removeprefix(ours),
            "min": each["MinCapacity"],
            "max": each["MaxCapacity"],
        }
        for each in found
        if each["ResourceId"].startswith(ours)
    ]
