"""Which version really answers: asked of the endpoint itself, as a caller would."""

from __future__ import annotations

import argparse
import json
import tarfile
from typing import Any

from deploy import asking, examples
from deploy.commands import DeployError
from deploy.served import existing, version_of
from deploy.work import Work
from pipelines import settings

REQUESTS = 5
LARGEST_BYTES = 1_000_000


def of(work: Work, package: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Ask a few times without naming a variant; DeployError when another version answers."""
    there = existing(work.sagemaker, work.endpoint)
    versions = {each["VariantName"]: each["package"] for each in there["variants"]}
    expected = bundle_version(work, package)
    bundles = set()
    for body in examples.bodies(arguments, work.problem, REQUESTS):
        reply = asking.ask(work.runtime, work.endpoint, body, arguments.accept)
        if reply.wrong:
            raise DeployError(f"Endpoint {work.endpoint} does not answer well: {reply.wrong}")
        if versions.get(reply.variant) != package:
            answered = version_of(versions.get(reply.variant, ""))
            raise DeployError(
                f"Version {answered} answered (variant {reply.variant}), not "
                f"{version_of(package)}; the active version was not changed. Do this again."
            )
        if reply.bundle and expected and reply.bundle != expected:
            raise DeployError(
                f"Bundle {reply.bundle} answered; that of version {version_of(package)} is "
                f"{expected}. The active version was not changed."
            )
        bundles |= {reply.bundle} - {None}
    told = f"version {version_of(package)} answered {REQUESTS} of {REQUESTS} requests"
    told += f", as bundle {', '.join(sorted(map(str, bundles)))}" if bundles else ""
    return {"text": told, "requests": REQUESTS, "bundle": expected}


def bundle_version(work: Work, package: str) -> str | None:
    """What a version's answers call themselves: `version` in the bundle.json of its archive, which
    is read only as far as that file. None of an archive that has none.
    """
    described = work.sagemaker.describe_model_package(ModelPackageName=package)
    containers = described.get("InferenceSpecification", {}).get("Containers", [{}])
    url = containers[0].get("ModelDataUrl", "") if len(containers) == 1 else ""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not key.endswith(".tar.gz"):
        return None
    body = settings.s3(work.place).get_object(Bucket=bucket, Key=key)["Body"]
    with body, tarfile.open(fileobj=body, mode="r|gz") as archive:
        for member in archive:
            if member.name.removeprefix("./") != "bundle.json" or member.size > LARGEST_BYTES:
                continue
            content = archive.extractfile(member)
            found = json.loads(content.read()) if content else {}
            return str(found["version"]) if "version" in found else None
    return None
