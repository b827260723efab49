"""`python -m deploy.approval install | show | remove`: what is Approved is served, by itself.

    SageMaker Model Package State Change (Approved, Rejected) --+
    SageMaker Endpoint State Change (in service again) ---------+-> rule -> Lambda -> endpoint
                                                                     |        |
                                                                     +--------+-> dead letters (SQS)

Installing again repairs what is missing and changes what differs, nothing else. The function is
inference/handlers/approval.py, one file in a zip; its role may do what it needs on this group and
this endpoint alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

from deploy import approval_parts as parts
from deploy import commands
from deploy.approval_parts import Flow
from deploy.commands import Answer
from deploy.requests import Requests
from pipelines import settings

# Each makes or changes one thing, or nothing, and says which: kind, name, what happened.
INSTALL = (parts.queue, parts.role, parts.function, parts.rules)
REMOVE = (
    parts.without_rules,
    parts.without_function,
    parts.without_role,
    parts.without_queue,
)

TWO_DEPLOYERS = (
    "Note: {problem} has deploy.approval: automatic, so its pipeline registers versions as "
    "Approved and serves them itself; set it to manual, so that one alone deploys."
)


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.approval", "Serve what is approved, by itself.", "install")
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("install", install, "set up rules, function and role; again to repair them"),
        ("show", show, "what is set up, and events that could not be handled"),
        ("remove", remove, "take all of it away; the endpoint stays"),
    ):
        sub = subs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        commands.add_shared_options(sub)
        sub.add_argument("--group", metavar="NAME", help="default: the problem's name")
        sub.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
        if name != "show":
            sub.add_argument("--dry-run", action="store_true", help="say it, do not do it")
        if name == "install":
            sub.add_argument("--role-arn", metavar="ARN", help="the role that models run as")
    return commands.run(top.parse_args(argv))


def install(arguments: argparse.Namespace) -> Answer:
    flow = _flow(arguments, needs=("role",))
    done = _done(flow, INSTALL, f"{flow.group} -> endpoint {flow.endpoint}")
    if flow.problem.deploy.approval != "automatic":
        return done
    told = f"{done.text}\n{TWO_DEPLOYERS.format(problem=flow.problem.name)}"
    return Answer(told, done.document)


def remove(arguments: argparse.Namespace) -> Answer:
    flow = _flow(arguments)
    return _done(flow, REMOVE, f"{flow.group} -> endpoint {flow.endpoint}")


def show(arguments: argparse.Namespace) -> Answer:
    flow = _flow(arguments)
    rows = list(parts.shown(flow))
    text = commands.table(("What", "Name", "State"), rows)
    document = {
        "group": flow.group,
        "endpoint": flow.endpoint,
        "parts": [{"kind": kind, "name": name, "state": state} for kind, name, state in rows],
    }
    return Answer(f"Approvals of {flow.group} -> endpoint {flow.endpoint}\n{text}", document)


Part = Callable[[Flow], Iterator[tuple[str, str, str]]]


def _done(flow: Flow, each: tuple[Part, ...], what: str) -> Answer:
    rows = [row for part in each for row in part(flow)]
    document: dict[str, Any] = {
        "group": flow.group,
        "endpoint": flow.endpoint,
        "parts": [{"kind": kind, "name": name, "change": change} for kind, name, change in rows],
    }
    text = f"Approvals of {what}\n{commands.table(('What', 'Name', 'Change'), rows)}"
    if flow.requests.dry_run:
        document |= {"dry_run": True, "requests": flow.requests.documents}
        text = f"Would do this. {text}\n{flow.requests.text()}"
    return Answer(text, document)


def _flow(arguments: argparse.Namespace, needs: tuple[str, ...] = ()) -> Flow:
    problem = commands.problem(arguments)
    place = commands.place(arguments, needs=needs)
    caller = settings.client(place, "sts").get_caller_identity()
    return Flow(
        place=place,
        group=arguments.group or problem.name,
        endpoint=arguments.name or problem.deploy.endpoint,
        problem=problem,
        partition=caller["Arn"].split(":")[1],
        account=caller["Account"],
        requests=Requests(getattr(arguments, "dry_run", False)),
    )


if __name__ == "__main__":
    sys.exit(main())
