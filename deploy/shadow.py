"""`python -m deploy.variants shadow on | off | promote`: a version that gets copies of the requests
and answers nobody.

--sample is the share of the requests that is copied: the shadow's weight against the production
variant's. An endpoint has one production variant while it has a shadow.
"""

from __future__ import annotations

import argparse
from typing import Any

from deploy import active, champion_variant, making, packages, updating
from deploy.commands import Answer, DeployError
from deploy.work import Work, begin


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=tuple(ACTIONS))
    command.add_argument("--version", type=int, metavar="N", help="default: newest approved")
    command.add_argument("--sample", type=float, default=100.0, metavar="P", help="percent")


def shadow(arguments: argparse.Namespace) -> Answer:
    if not 0 < arguments.sample <= 100:
        raise DeployError(f"--sample is {arguments.sample:g}; allowed: above 0, up to 100.", 2)
    work = begin(arguments, needs=("role",) if arguments.action == "on" else ())
    there = champion_variant.in_service(work)
    text, changed = ACTIONS[arguments.action](work, there, arguments)
    told = f"Endpoint {work.endpoint}: {text}" + ("" if changed else " already; nothing changed")
    facts = {"endpoint": work.endpoint, "action": arguments.action, "changed": changed}
    return Answer(work.said(told), {**facts, **work.shown()})


def _on(work: Work, there: dict[str, Any], arguments: argparse.Namespace) -> tuple[str, bool]:
    if len(there["variants"]) > 1:
        names = ", ".join(each["VariantName"] for each in there["variants"])
        raise DeployError(f"The endpoint has {names}; a shadow needs one: first promote or abort.")
    production = there["variants"][0]
    package = packages.deployable(work.sagemaker, work.group, arguments.version)
    arn, version = package["ModelPackageArn"], package["ModelPackageVersion"]
    if arn == production["package"]:
        raise DeployError(f"Version {version} serves already; a shadow is another version.")
    weight = arguments.sample / 100 * production["weight"]
    text = f"version {version} shadows {arguments.sample:g} % of the requests"
    now = [(each["package"], round(each["weight"], 6)) for each in there["shadows"]]
    if now == [(arn, round(weight, 6))]:
        return text, False
    model = making.model(work, arn)
    name, count = production["VariantName"], production["desired"]
    fresh = {"InitialVariantWeight": production["weight"], "InitialInstanceCount": count}
    copied = {
        "InitialVariantWeight": weight,
        "InitialInstanceCount": arguments.instance_count or count,
        "InstanceType": arguments.instance_type,
    }
    config = making.config(
        work,
        making.stem(work, "shadow"),
        [making.variant(production, name, production["ModelName"], **fresh)],
        there["kept"],
        {champion_variant.TAG: name},
        [making.variant(production, f"shadow-v{version}", model, **copied)],
    )
    updating.to_config(work, there, config, keep=(updating.COUNT,))
    return text, True


def _off(work: Work, there: dict[str, Any], _: argparse.Namespace) -> tuple[str, bool]:
    production = there["variants"][0]
    if not there["shadows"]:
        return "no shadow", False
    champion_variant.alone(work, there, production, production["VariantName"])
    return "no shadow", True


def _promote(work: Work, there: dict[str, Any], _: argparse.Namespace) -> tuple[str, bool]:
    if not there["shadows"]:
        raise DeployError("There is no shadow to promote; first `shadow on`.")
    active.adopt(work, there)
    chosen = there["shadows"][0]
    champion_variant.alone(work, there, chosen, there["variants"][0]["VariantName"])
    return f"version {chosen['version']}, the shadow, serves alone", True


ACTIONS = {"on": _on, "off": _off, "promote": _promote}
