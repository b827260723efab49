"""`python -m deploy.registry list | approve | reject`: the versions of a model package group.

Approving does not deploy by itself: `python -m deploy.endpoint deploy` does, or a rule on the
"SageMaker Model Package State Change" event.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from deploy import commands, packages
from deploy.commands import Answer
from deploy.requests import Requests
from pipelines import settings

METADATA_SHOWN = 6


def main(argv: list[str] | None = None) -> int:
    top = commands.parser(
        "deploy.registry", "List, approve or reject registered models.", "approve --version 3"
    )
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("list", list_versions, "the versions, newest first"),
        ("approve", approve, "allow a version to be deployed"),
        ("reject", reject, "forbid it"),
    ):
        sub = subs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        commands.add_shared_options(sub)
        sub.add_argument("--group", metavar="NAME", help="default: the problem's name")
        if name != "list":
            sub.add_argument("--version", type=int, metavar="N", help="default: the newest")
            sub.add_argument("--reason", default="", help="kept as ApprovalDescription")
            sub.add_argument("--dry-run", action="store_true", help="say it, do not do it")
    return commands.run(top.parse_args(argv))


def list_versions(arguments: argparse.Namespace) -> Answer:
    client = settings.sagemaker(commands.place(arguments))
    group = _group(arguments)
    versions = []
    for summary in packages.summaries(client, group):
        described = client.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
        versions.append(
            {
                "version": summary["ModelPackageVersion"],
                "approval": summary["ModelApprovalStatus"],
                "status": summary["ModelPackageStatus"],
                "created": summary["CreationTime"].isoformat(timespec="seconds"),
                "arn": summary["ModelPackageArn"],
                "metrics": _metrics(described),
            }
        )
    rows = (
        (v["version"], v["approval"], v["created"], ", ".join(_words(v["metrics"])))
        for v in versions
    )
    text = commands.table(("Version", "Approval", "Created", "Metrics"), rows)
    return Answer(
        f"Group {group}\n{text}" if versions else f"Group {group} has no version yet.",
        {"group": group, "versions": versions},
    )


def approve(arguments: argparse.Namespace) -> Answer:
    return _decide(arguments, "Approved")


def reject(arguments: argparse.Namespace) -> Answer:
    return _decide(arguments, "Rejected")


def _decide(arguments: argparse.Namespace, approval: str) -> Answer:
    client = settings.sagemaker(commands.place(arguments))
    group = _group(arguments)
    chosen = (
        packages.newest(client, group)
        if arguments.version is None
        else packages.numbered(client, group, arguments.version)
    )
    version, before = chosen["ModelPackageVersion"], chosen["ModelApprovalStatus"]
    document = {"group": group, "version": version, "before": before, "after": approval}
    if before == approval:
        return Answer(f"{group} version {version} is {approval} already.", document)
    reason = {"ApprovalDescription": arguments.reason} if arguments.reason else {}
    requests = Requests(arguments.dry_run)
    requests.send(
        client,
        "update_model_package",
        ModelPackageArn=chosen["ModelPackageArn"],
        ModelApprovalStatus=approval,
        **reason,
    )
    if arguments.dry_run:
        text = f"Would change {group} version {version}: {before} -> {approval}"
        shown = {"dry_run": True, "requests": requests.documents}
        return Answer(f"{text}\n{requests.text()}", {**document, **shown})
    return Answer(f"{group} version {version}: {before} -> {approval}", document)


def _group(arguments: argparse.Namespace) -> str:
    return arguments.group or commands.problem(arguments).name


def _metrics(described: dict[str, Any]) -> dict[str, str]:
    """ "churn.auc" -> "0.83...", of what the pipeline wrote into CustomerMetadataProperties."""
    kept = described.get("CustomerMetadataProperties", {})
    return {
        name: value for name, value in kept.items() if "." in name and not name.endswith(".gate")
    }


def _words(metrics: dict[str, str]) -> list[str]:
    return [f"{name} {value[:METADATA_SHOWN]}" for name, value in sorted(metrics.items())]


if __name__ == "__main__":
    sys.exit(main())
