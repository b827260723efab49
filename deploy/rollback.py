"""`python -m deploy.rollback show | to [vX]`: back to a version that was served before.

    to: note where from -> weights or configuration -> wait -> ask the endpoint which version
        answers -> active-version, last

Killed anywhere, the same command brings it to its end: what is done already is not done again. The
version that answers is known from the variant that SageMaker says it asked, and from the bundle's
own version in JSON answers.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from deploy import active, commands, endpoint, examples, packages, proof, updating
from deploy.commands import Answer, DeployError
from deploy.served import existing
from deploy.work import Work, begin, settled


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.rollback", "Serve a former version again.", "to v2")
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("show", show, "the versions that were served, and which one is"),
        ("to", to, "serve a version again, and prove it"),
    ):
        sub = subs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        commands.add_shared_options(sub)
        sub.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
        if name == "to":
            sub.add_argument(
                "version", nargs="?", metavar="vX", help="default: the active one before this one"
            )
            endpoint.add_serving_options(sub)
            examples.add_options(sub)
            sub.add_argument("--dry-run", action="store_true", help="say it, do not do it")
    return commands.run(top.parse_args(argv))


def show(arguments: argparse.Namespace) -> Answer:
    work = begin(arguments)
    there = existing(work.sagemaker, work.endpoint)
    now, known = active.version(work), active.versions(work)
    weights = {f"v{each['version']}": each["weight"] for each in there["variants"]}
    rows = [
        (
            f"{version} (active)" if version == now else version,
            f"weight {weights[version]:g}" if version in weights else "",
            each.get("deployedAt", ""),
            each.get("previousVersion") or "",
            each.get("rolledBackFrom") or "",
            each.get("s3Path", ""),
        )
        for version, each in known.items()
    ]
    headers = ("Version", "Serves", "Deployed", "After", "Back from", "Lies in")
    text = commands.table(headers, rows) if rows else "No version was recorded yet."
    if now and now not in weights:
        serving = ", ".join(weights)
        text += f"\n{now} is recorded as active, but {serving} is served: the endpoint is right."
    facts = {"active": now, "served": weights, "versions": known}
    return Answer(text, {"endpoint": work.endpoint, **facts})


def to(arguments: argparse.Namespace) -> Answer:
    begun = time.monotonic()
    work = begin(arguments, needs=("role",))
    before = active.version(work)
    target = _target(work, arguments.version, before)
    package = _package(work, target)
    there = settled(work) or existing(work.sagemaker, work.endpoint)
    if before != target:
        _note(work, target, package, before)
    _move(work, there, package, arguments)
    proved = None if work.dry_run else proof.of(work, package, arguments)
    if before != target:
        active.activate(work, target)
    seconds = round(time.monotonic() - begun, 2)
    facts = {"endpoint": work.endpoint, "from": before, "to": target, "package": package}
    told = f"Endpoint {work.endpoint}: {before or 'nothing recorded'} -> {target}"
    if proved is not None:
        told += f"; {proved['text']}; it took {seconds:g} s"
    return Answer(work.said(told), {**facts, "proof": proved, "seconds": seconds, **work.shown()})


def _target(work: Work, wanted: str | None, before: str | None) -> str:
    """The version to go to: named, or the one that was active before the present one was."""
    if wanted is not None:
        return f"v{active.number(wanted)}"
    if before is None:
        raise DeployError("No active version is recorded; say which: `to vX`.")
    known = active.metadata(work, before)
    if known.get("rolledBackFrom"):
        return before  # the last change was a rollback: it is looked after, not gone further with
    previous = known.get("previousVersion")
    if not previous:
        raise DeployError(f"Nothing was active before {before}; say which version: `to vX`.")
    return str(previous)


def _package(work: Work, target: str) -> str:
    """The ARN of the version; it has to be Approved still."""
    known = active.metadata(work, target).get("modelPackageArn", "")
    group = known.split("/")[-2] if known.count("/") >= 2 else work.group
    found = packages.deployable(work.sagemaker, group, active.number(target))
    return str(found["ModelPackageArn"])


def _note(work: Work, target: str, package: str, before: str | None) -> None:
    """So that a second `to` without a version stays where the first one went."""
    known = active.metadata(work, target)
    if not known or known.get("rolledBackFrom") != before:
        noted = {"rolledBackFrom": before, "rolledBackAt": active.now()}
        active.save(work, target, {**(known or active.made(work, package, None)), **noted})


def _move(work: Work, there: dict[str, Any], package: str, arguments: argparse.Namespace) -> None:
    live = {each["VariantName"]: each for each in there["variants"]}
    target = next((name for name, each in live.items() if each["package"] == package), None)
    if target is None:
        config = endpoint.config_of(work, there, package, _wanted(there, arguments))
        updating.to_config(work, there, config, keep=(updating.COUNT,))
        return
    weights = {name: 100.0 if name == target else 0.0 for name in live}
    alone = all(bool(each["weight"]) == (name == target) for name, each in live.items())
    if not alone:
        updating.to_weights(work, weights)
    elif there["status"] != "InService":
        raise DeployError(f"Endpoint {work.endpoint} is {there['status']}: {there['reason']}")


def _wanted(there: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Instances like those that serve now, enough for all the traffic; none when serverless."""
    if "ServerlessConfig" in there["variants"][0]:
        return {}
    most = max(each["desired"] or 1 for each in there["variants"])
    kind = arguments.instance_type or there["variants"][0].get("InstanceType")
    count = {"InitialInstanceCount": arguments.instance_count or most}
    return {**({"InstanceType": kind} if kind else {}), **count}


if __name__ == "__main__":
    sys.exit(main())
