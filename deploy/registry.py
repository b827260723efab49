"""`python -m deploy.registry list | compare | approve | reject | history`: registered versions.

    approve: champion (newest other Approved version) -> not worse on the same test rows? ->
             UpdateModelPackage with who and why -> the decision is kept in S3

Approving does not deploy by itself: `python -m deploy.endpoint deploy` does, or what
`python -m deploy.approval install` sets up.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict
from typing import Any

from deploy import audit, champion, commands, packages, versions
from deploy.audit import Decision
from deploy.commands import Answer, DeployError, Refused
from deploy.requests import Requests
from pipelines import settings
from pipelines.settings import Settings

METADATA_SHOWN = 6
LONGEST_DESCRIPTION, LONGEST_METADATA = 1024, 256
# What CustomerMetadataProperties takes; anything else becomes a blank there.
NOT_METADATA = re.compile(r"[^\w .:/=+\-@]")
NO_REASON = "no reason given"


def main(argv: list[str] | None = None) -> int:
    top = commands.parser(
        "deploy.registry", "List, compare, approve or reject versions.", "approve --version 3"
    )
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    made = {}
    for name, command, text in (
        ("list", list_versions, "the versions, newest first"),
        ("compare", compare, "two versions side by side"),
        ("approve", approve, "allow a version to be deployed, unless the champion is better"),
        ("reject", reject, "forbid it"),
        ("history", history, "who decided what, when and why"),
    ):
        made[name] = sub = subs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        commands.add_shared_options(sub)
        sub.add_argument("--group", metavar="NAME", help="default: the problem's name")
    made["compare"].add_argument("versions", nargs=2, type=int, metavar="VERSION")
    for name in ("approve", "reject"):
        made[name].add_argument("--version", type=int, metavar="N", help="default: the newest")
        made[name].add_argument("--reason", default="", metavar="TEXT", help="why; kept")
        made[name].add_argument("--by", metavar="NAME", help="who; default: as AWS knows you")
        made[name].add_argument("--dry-run", action="store_true", help="say it, do not do it")
    made["approve"].add_argument(
        "--force", action="store_true", help="though it is worse or not comparable; needs --reason"
    )
    return commands.run(top.parse_args(argv))


def list_versions(arguments: argparse.Namespace) -> Answer:
    client = settings.sagemaker(commands.place(arguments))
    group = _group(arguments)
    found = []
    for summary in packages.summaries(client, group):
        described = _described(client, summary)
        found.append(
            {
                "version": summary["ModelPackageVersion"],
                "approval": summary["ModelApprovalStatus"],
                "status": summary["ModelPackageStatus"],
                "created": summary["CreationTime"].isoformat(timespec="seconds"),
                "arn": summary["ModelPackageArn"],
                "metrics": versions.metrics(described),
            }
        )
    rows = (
        (v["version"], v["approval"], v["created"], ", ".join(_words(v["metrics"]))) for v in found
    )
    text = commands.table(("Version", "Approval", "Created", "Metrics"), rows)
    return Answer(
        f"Group {group}\n{text}" if found else f"Group {group} has no version yet.",
        {"group": group, "versions": found},
    )


def compare(arguments: argparse.Namespace) -> Answer:
    """What is known of both; and who predicts better, where both kept their predictions."""
    place = commands.place(arguments)
    client, s3 = settings.sagemaker(place), settings.s3(place)
    group = _group(arguments)
    first, second = (
        _described(client, packages.numbered(client, group, number))
        for number in arguments.versions
    )
    known = [versions.facts(client, s3, each) for each in (first, second)]
    document: dict[str, Any] = {
        "group": group,
        "versions": known,
        "differences": versions.differences(known[0], known[1]),
    }
    text = f"Group {group}\n{versions.side_by_side(known[0], known[1])}"
    try:
        document["test"] = champion.compared(s3, first, second)
        told = champion.table(document["test"])
    except DeployError as reason:
        document["test"], told = {"not_comparable": str(reason)}, str(reason)
    return Answer(f"{text}\n\n{told}", document)


def approve(arguments: argparse.Namespace) -> Answer:
    if arguments.force and not arguments.reason.strip():
        raise DeployError("--force needs --reason: it is kept with the decision.", 2)
    return _decide(arguments, "Approved")


def reject(arguments: argparse.Namespace) -> Answer:
    return _decide(arguments, "Rejected")


def history(arguments: argparse.Namespace) -> Answer:
    place = commands.place(arguments, needs=("bucket",))
    client, group = settings.sagemaker(place), _group(arguments)
    kept = audit.read(settings.s3(place), place.bucket, group)
    present = [_described(client, each) for each in packages.summaries(client, group)]
    entries = audit.history(kept, present, group)
    rows = (
        (e["at"][:19], e["version"], f"{e['before']} -> {e['after']}", e["by"], _why(e))
        for e in entries
    )
    text = commands.table(("When (UTC)", "Version", "Decision", "Who", "Why"), rows)
    return Answer(
        f"Group {group}\n{text}" if entries else f"Nothing was decided in group {group} yet.",
        {"group": group, "decisions": entries},
    )


def _decide(arguments: argparse.Namespace, approval: str) -> Answer:
    place = commands.place(arguments, needs=("bucket",))
    client, group = settings.sagemaker(place), _group(arguments)
    chosen = (
        packages.newest(client, group)
        if arguments.version is None
        else packages.numbered(client, group, arguments.version)
    )
    version, before = chosen["ModelPackageVersion"], chosen["ModelApprovalStatus"]
    document = {"group": group, "version": version, "before": before, "after": approval}
    if before == approval:
        return Answer(f"{group} version {version} is {approval} already.", document)
    requests = Requests(arguments.dry_run)
    found, told = None, ""
    if approval == "Approved":
        found, told = _against_champion(place, client, chosen, arguments)
    decision = _decision(place, arguments, document, chosen["ModelPackageArn"], found)
    requests.send(client, "update_model_package", **_update(decision))
    document["audit"] = audit.write(requests, settings.s3(place), place.bucket, decision)
    document |= {"decision": asdict(decision)}
    if arguments.dry_run:
        text = f"Would change {group} version {version}: {before} -> {approval}"
        shown = {"dry_run": True, "requests": requests.documents}
        return Answer(f"{told}{text}\n{requests.text()}", {**document, **shown})
    return Answer(f"{told}{group} version {version}: {before} -> {approval}", document)


def _against_champion(
    place: Settings, client: Any, chosen: dict[str, Any], arguments: argparse.Namespace
) -> tuple[dict[str, Any] | None, str]:
    """The comparison with the champion (None without one), and what to tell people of it.

    Raises Refused when the challenger is worse, DeployError when nobody can tell; with --force
    neither.
    """
    group = _group(arguments)
    other = champion.of(packages.summaries(client, group))
    if other is None:
        return None, "There is no other Approved version to compare with.\n"
    try:
        described = [_described(client, each) for each in (other, chosen)]
        found = champion.compared(settings.s3(place), described[0], described[1])
    except DeployError as reason:
        if arguments.force:
            return {"not_comparable": str(reason)}, f"{reason} Forced.\n"
        raise DeployError(f"{reason} {_how_to_force(group, chosen)}") from reason
    worse, told = champion.worse(found), champion.table(found)
    if worse and not arguments.force:
        number = chosen["ModelPackageVersion"]
        said = f"{told}\nNot approved: version {number} is worse at {', '.join(worse)}."
        document = {"group": group, "version": number, "refused": worse, "comparison": found}
        raise Refused(Answer(f"{said} {_how_to_force(group, chosen)}", document))
    return found, f"{told}\n"


def _decision(
    place: Settings,
    arguments: argparse.Namespace,
    change: dict[str, Any],
    package: str,
    found: dict[str, Any] | None,
) -> Decision:
    caller = str(settings.client(place, "sts").get_caller_identity()["Arn"])
    return Decision(
        at=audit.now(),
        **change,
        package=package,
        by=arguments.by or caller,
        caller=caller,
        why=arguments.reason.strip() or NO_REASON,
        forced=getattr(arguments, "force", False),
        comparison=found,
    )


def _update(decision: Decision) -> dict[str, Any]:
    """The UpdateModelPackage request: who and why stand in both places that a version has."""
    kept = {
        "approval-by": decision.by,
        "approval-caller": decision.caller,
        "approval-at": decision.at,
        "approval-reason": decision.why,
        "approval-forced": str(decision.forced).lower(),
    }
    told = f"{decision.after} by {decision.by} at {decision.at}: {decision.why}"
    return {
        "ModelPackageArn": decision.package,
        "ModelApprovalStatus": decision.after,
        "ApprovalDescription": told[:LONGEST_DESCRIPTION],
        "CustomerMetadataProperties": {
            name: NOT_METADATA.sub(" ", value)[:LONGEST_METADATA] for name, value in kept.items()
        },
    }


def _how_to_force(group: str, chosen: dict[str, Any]) -> str:
    number = chosen["ModelPackageVersion"]
    return (
        "Approve it all the same with `python -m deploy.registry approve "
        f"--group {group} --version {number} --force --reason TEXT`."
    )


def _described(client: Any, summary: dict[str, Any]) -> dict[str, Any]:
    found = client.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
    return {**summary, **found}


def _group(arguments: argparse.Namespace) -> str:
    return arguments.group or commands.problem(arguments).name


def _why(entry: dict[str, Any]) -> str:
    past_us = "" if entry["source"] == "deploy.registry" else f" (by {entry['source']})"
    return f"{entry['why'] or NO_REASON}{' (forced)' if entry['forced'] else ''}{past_us}"


def _words(metrics: dict[str, str]) -> list[str]:
    return [f"{name} {value[:METADATA_SHOWN]}" for name, value in sorted(metrics.items())]


if __name__ == "__main__":
    sys.exit(main())
