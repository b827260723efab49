"""What the commands that change an endpoint share: where, for which problem, and their requests."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deploy import commands, rescaling, scaling_targets, served
from deploy.requests import Requests
from pipelines import settings
from pipelines.settings import Settings
from steps.problem import Problem

PROJECT = "ml-pipeline"


@dataclass(frozen=True)
class Work:
    """One command on one endpoint."""

    place: Settings
    problem: Problem
    endpoint: str
    group: str
    requests: Requests

    @cached_property
    def sagemaker(self) -> Any:
        return settings.sagemaker(self.place)

    @cached_property
    def runtime(self) -> Any:
        return settings.sagemaker_runtime(self.place)

    @cached_property
    def ssm(self) -> Any:
        return settings.client(self.place, "ssm")

    @cached_property
    def scaling(self) -> Any:
        return settings.client(self.place, scaling_targets.SERVICE)

    @property
    def folder(self) -> str:
        return folder(self.problem, self.endpoint)

    @cached_property
    def cloudwatch(self) -> Any:
        return settings.client(self.place, "cloudwatch")

    @property
    def dry_run(self) -> bool:
        return self.requests.dry_run

    def tags(self, **more: str) -> list[dict[str, str]]:
        """What everything is tagged with that these commands create."""
        words = {"project": PROJECT, "problem": self.problem.name, **more}
        return [{"Key": key, "Value": value} for key, value in words.items()]

    def wait(self) -> None:
        """Until the endpoint has settled; nothing to wait for in a dry run."""
        if not self.dry_run:
            served.wait(self.sagemaker, self.endpoint, self.place.poll_seconds)

    def shown(self) -> dict[str, Any]:
        """For --json: what a dry run would have sent."""
        if not self.dry_run:
            return {}
        return {"dry_run": True, "requests": self.requests.documents}

    def said(self, text: str) -> str:
        """For people: what was done, or in a dry run what would be sent."""
        return f"Would: {text}\n{self.requests.text()}".rstrip() if self.dry_run else text


def folder(problem: Problem, endpoint: str) -> str:
    """Where Parameter Store keeps what is known of an endpoint: see active.py, rescaling.py."""
    name = problem.name if endpoint == problem.deploy.endpoint else endpoint
    return f"/{PROJECT}/models/{name}"


def begin(arguments: argparse.Namespace, needs: tuple[str, ...] = ()) -> Work:
    """From the command line."""
    problem = commands.problem(arguments)
    return Work(
        place=commands.place(arguments, needs=needs),
        problem=problem,
        endpoint=getattr(arguments, "name", None) or problem.deploy.endpoint,
        group=getattr(arguments, "group", None) or problem.name,
        requests=Requests(getattr(arguments, "dry_run", False)),
    )


def settled(work: Work) -> dict[str, Any] | None:
    """What the endpoint serves once no change of it is under way; None without one. Scaling that a
    killed command took away is brought back.
    """
    there = served.served(work.sagemaker, work.endpoint)
    if there is None or (work.dry_run and there["status"] in served.BUSY):
        return there
    if there["status"] in served.BUSY:
        served.wait(work.sagemaker, work.endpoint, work.place.poll_seconds)
        there = served.served(work.sagemaker, work.endpoint)
    rescaling.bring_back(work, there)
    return there
