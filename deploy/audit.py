"""The record of who approved or rejected which version, when and why: one S3 object a decision.

    s3://<bucket>/<group>/audit/<time>-v<version>-<digest>.json      never overwritten

It outlives the versions. A decision that was made past these commands (console, pipeline) leaves no
object; `past_us` finds it in the registry itself, so that the history is never silently short.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from deploy.requests import Requests

UNDECIDED = "PendingManualApproval"
THERE_ALREADY = "PreconditionFailed"


@dataclass(frozen=True)
class Decision:
    """One change of a version's approval. `by` is the name given, `caller` who AWS says it was."""

    at: str
    group: str
    version: int
    package: str
    before: str
    after: str
    by: str
    caller: str
    why: str
    forced: bool = False
    comparison: dict[str, Any] | None = None
    source: str = "deploy.registry"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def write(requests: Requests, s3: Any, bucket: str, decision: Decision) -> str:
    """Keep a decision; its S3 URI."""
    body = json.dumps(asdict(decision), sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(body.encode()).hexdigest()[:12]
    moment = decision.at.replace(":", "").replace("+0000", "Z")
    key = f"{_prefix(decision.group)}{moment}-v{decision.version}-{digest}.json"
    try:
        requests.send(
            s3,
            "put_object",
            Bucket=bucket,
            Key=key,
            Body=body.encode(),
            ContentType="application/json",
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != THERE_ALREADY:  # the same words: a retry of boto3
            raise
    return f"s3://{bucket}/{key}"


def read(s3: Any, bucket: str, group: str) -> list[Decision]:
    """Every decision that was kept of a group, oldest first."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_prefix(group))
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    bodies = (s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in sorted(keys))
    return sorted((Decision(**json.loads(body)) for body in bodies), key=lambda each: each.at)


def history(
    kept: list[Decision], described: list[dict[str, Any]], group: str
) -> list[dict[str, Any]]:
    """What was kept, and what the registry says beyond it, oldest first."""
    found = [*kept, *past_us(kept, described, group)]
    return [asdict(each) for each in sorted(found, key=lambda each: each.at)]


def past_us(
    kept: list[Decision], described: list[dict[str, Any]], group: str
) -> Iterator[Decision]:
    """The present approval of each version whose last kept decision is another: somebody else's
    doing, or one of ours that was killed before it was kept.
    """
    last = {each.version: each for each in kept}
    for package in described:
        version, approval = int(package["ModelPackageVersion"]), package["ModelApprovalStatus"]
        before = last[version].after if version in last else UNDECIDED
        if approval != before:
            yield replace(_found(package, group), before=before, after=approval)


def _found(package: dict[str, Any], group: str) -> Decision:
    changed = package.get("LastModifiedTime", package["CreationTime"])
    who = package.get("LastModifiedBy") or package.get("CreatedBy") or {}
    name = who.get("UserProfileName") or who.get("IamIdentity", {}).get("Arn") or ""
    return Decision(
        at=changed.astimezone(UTC).isoformat(timespec="microseconds"),
        group=group,
        version=int(package["ModelPackageVersion"]),
        package=package["ModelPackageArn"],
        before="",
        after="",
        by=name or "not recorded",
        caller=name,
        why=package.get("ApprovalDescription", ""),
        source="the registry",
    )


def _prefix(group: str) -> str:
    return f"{group}/audit/"
