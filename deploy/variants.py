"""`python -m deploy.variants show | split | shift | shadow | promote | abort | assign`: versions
side by side on one endpoint.

    split A=80 B=20     the version that serves is A, the newest approved other one is B
    shift --to B        move the traffic to B in steps, and back when an alarm rings
    promote B | abort   B alone, or the champion alone: the one that served before the split
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from deploy import (
    active,
    champion_variant,
    commands,
    endpoint,
    endpoint_status,
    shadow,
    shift,
    splitting,
    sticky,
)
from deploy.commands import Answer, DeployError
from deploy.served import existing, shares
from deploy.work import begin

COMMANDS = (
    ("show", "the variants, their versions and shares"),
    ("split", "two versions, or more, with these weights"),
    ("shift", "move the traffic to a variant step by step"),
    ("shadow", "a copy of the requests to a version that answers nobody"),
    ("promote", "this variant alone"),
    ("abort", "the champion alone"),
    ("assign", "the variant of an entity, by a stable hash"),
)
CHANGING = ("split", "shift", "shadow", "promote", "abort")


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.variants", "Versions side by side.", "split A=80 B=20")
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    made = {name: _add(subs, name, text) for name, text in COMMANDS}
    splitting.add_options(made["split"])
    shift.add_options(made["shift"])
    shadow.add_options(made["shadow"])
    for name in ("split", "shadow"):
        endpoint.add_serving_options(made[name])
    made["promote"].add_argument("variant", metavar="VARIANT")
    made["assign"].add_argument("--entity", required=True, metavar="ID")
    for name in CHANGING:
        made[name].add_argument("--dry-run", action="store_true", help="say it, do not do it")
    return commands.run(top.parse_args(argv))


def _add(subs: Any, name: str, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = subs.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    sub.set_defaults(command=RUN[name])
    commands.add_shared_options(sub)
    sub.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
    return sub


def show(arguments: argparse.Namespace) -> Answer:
    work = begin(arguments)
    there = existing(work.sagemaker, work.endpoint)
    now = active.version(work)
    text = f"Endpoint {work.endpoint} is {there['status']}; active version: {now or 'none'}"
    facts = {"endpoint": work.endpoint, "active": now, "shares": shares(there["variants"])}
    variants = {name: there[name] for name in ("status", "variants", "shadows")}
    return Answer(f"{text}\n{endpoint_status.table(there)}", {**facts, **variants})


def promote(arguments: argparse.Namespace) -> Answer:
    return _alone(arguments, arguments.variant)


def abort(arguments: argparse.Namespace) -> Answer:
    return _alone(arguments, None)


def _alone(arguments: argparse.Namespace, name: str | None) -> Answer:
    work = begin(arguments)
    there = champion_variant.in_service(work)
    name = name or champion_variant.champion(work, there)
    chosen = champion_variant.named(there, name)
    changed = champion_variant.alone(work, there, chosen, name)
    verb = "serves alone" if changed else "serves alone already; nothing changed"
    text = f"Endpoint {work.endpoint}: variant {name}, version {chosen['version']}, {verb}"
    facts = {"endpoint": work.endpoint, "variant": name, "version": chosen["version"]}
    return Answer(work.said(text), {**facts, "changed": changed, **work.shown()})


def assign(arguments: argparse.Namespace) -> Answer:
    work = begin(arguments)
    there = existing(work.sagemaker, work.endpoint)
    weights = {each["VariantName"]: each["weight"] for each in there["variants"]}
    try:
        chosen = sticky.assign(arguments.entity, weights, work.endpoint)
    except ValueError as error:
        raise DeployError(f"Endpoint {work.endpoint}: {error}") from error
    place = sticky.point(arguments.entity, work.endpoint)
    version = champion_variant.named(there, chosen)["version"]
    text = f"{arguments.entity}: variant {chosen}, version {version} (point {place:.6f})"
    facts = {"entity": arguments.entity, "variant": chosen, "version": version}
    return Answer(text, {**facts, "point": place, "weights": weights})


RUN: dict[str, commands.Command] = {
    "show": show,
    "split": splitting.split,
    "shift": shift.shift,
    "shadow": shadow.shadow,
    "promote": promote,
    "abort": abort,
    "assign": assign,
}


if __name__ == "__main__":
    sys.exit(main())
