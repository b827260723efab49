"""Versions in the model registry: find one by number, the newest, or the newest approved one."""

from __future__ import annotations

from typing import Any

from deploy.commands import DeployError


def summaries(client: Any, group: str) -> list[dict[str, Any]]:
    """All versions of a group, newest first."""
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending"
    )
    return [summary for page in pages for summary in page["ModelPackageSummaryList"]]


def numbered(client: Any, group: str, version: int) -> dict[str, Any]:
    """The version of that number; DeployError naming those that exist."""
    found = {int(s["ModelPackageVersion"]): s for s in summaries(client, group)}
    if version not in found:
        there = ", ".join(str(number) for number in sorted(found)) or "none yet"
        raise DeployError(f"Group {group} has no version {version}; it has: {there}.", 2)
    return found[version]


def newest(client: Any, group: str) -> dict[str, Any]:
    """The newest version; DeployError when the group is empty."""
    found = summaries(client, group)
    if not found:
        raise DeployError(f"Group {group} has no version; run python -m pipelines.run first.")
    return found[0]


def latest_approved(client: Any, group: str) -> dict[str, Any]:
    """The newest Approved version; DeployError saying how to approve one."""
    for summary in summaries(client, group):
        if summary["ModelApprovalStatus"] == "Approved":
            return summary
    raise DeployError(
        f"Group {group} has no approved version; look with `python -m deploy.registry list --group "
        f"{group}` and approve one with `python -m deploy.registry approve --group {group}`."
    )


def deployable(client: Any, group: str, version: int | None) -> dict[str, Any]:
    """The version to serve: the newest Approved one, or that of this number when it is Approved."""
    if version is None:
        return latest_approved(client, group)
    package = numbered(client, group, version)
    if package["ModelApprovalStatus"] != "Approved":
        raise DeployError(
            f"{group} version {version} is {package['ModelApprovalStatus']}; first "
            f"`python -m deploy.registry approve --group {group} --version {version}`."
        )
    return package
