"""`python -m deploy.variants split A=80 B=20`: several versions behind one endpoint, by weight.

Variants that are there already only get other weights (no instance starts or stops); else a new
configuration holds them all. Who a name stands for, in this order: --version NAME=N, the live
variant of that name, version N for a name like vN, the one live variant under a new name, the
newest approved version that serves under no other name.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

from deploy import active, champion_variant, making, packages, updating
from deploy.commands import Answer, DeployError
from deploy.served import package_of
from deploy.updating import ROUNDING
from deploy.work import Work, begin

MODEL = "model:"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("weights", nargs="+", metavar="NAME=WEIGHT")
    command.add_argument(
        "--version",
        action="append",
        default=[],
        metavar="NAME=N",
        help="the version a name stands for; or NAME=model:MODEL",
    )


def split(arguments: argparse.Namespace) -> Answer:
    wanted = _weights(arguments.weights)
    told = _pairs("--version", arguments.version)
    unknown = [name for name in told if name not in wanted]
    if unknown:
        raise DeployError(f"--version names {unknown[0]}; it has no weight.", 2)
    work = begin(arguments, needs=("role",))
    there = champion_variant.in_service(work)
    active.adopt(work, there)
    models = _models(work, there, list(wanted), told)
    now = {each["VariantName"]: each["ModelName"] for each in there["variants"]}
    if models == now and not there["shadows"]:
        changed = _reweighted(work, there, wanted)
    else:
        changed = True
        updating.to_config(
            work, there, _config(work, there, models, wanted, arguments), keep=(updating.COUNT,)
        )
    total = sum(wanted.values())
    shown = ", ".join(f"{name} {100 * each / total:.4g} %" for name, each in wanted.items())
    text = f"Endpoint {work.endpoint}: {shown}" + ("" if changed else " already; nothing changed")
    facts = {"endpoint": work.endpoint, "weights": wanted, "models": models, "changed": changed}
    return Answer(work.said(text), {**facts, **work.shown()})


def _weights(pairs: list[str]) -> dict[str, float]:
    wanted = {}
    for name, text in _pairs("weight", pairs).items():
        try:
            wanted[name] = float(text)
        except ValueError:
            wanted[name] = -1.0
        if not (math.isfinite(wanted[name]) and wanted[name] >= 0):
            raise DeployError(f"The weight of {name} is {text!r}; allowed: 0 or more.", 2)
    if not any(wanted.values()):
        raise DeployError("Every weight is 0; give one variant a weight above 0.", 2)
    return wanted


def _pairs(what: str, texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, value) in zip(texts, pairs, strict=True):
        if not (name and equals and value):
            raise DeployError(f"{what} is {text!r}; allowed: NAME=VALUE, such as A=80", 2)
    names = [name for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise DeployError(f"{what}: a name is given twice: {' '.join(texts)}", 2)
    return {name: value for name, _, value in pairs}


def _models(
    work: Work, there: dict[str, Any], names: list[str], told: dict[str, str]
) -> dict[str, str]:
    """The model of each name."""
    live = {each["VariantName"]: each for each in there["variants"]}
    spare = [each for name, each in live.items() if name not in names and len(live) == 1]
    models: dict[str, str] = {}
    for name in names:
        if name in told:
            models[name] = _told(work, told[name])
        elif name in live:
            models[name] = live[name]["ModelName"]
        elif name[:1] == "v" and name[1:].isdecimal():
            models[name] = _told(work, name)
        elif spare:
            models[name] = spare.pop(0)["ModelName"]
        else:
            models[name] = _newest(work, name, set(models.values()))
    return models


def _told(work: Work, text: str) -> str:
    if text.startswith(MODEL):
        return text.removeprefix(MODEL)
    found = packages.deployable(work.sagemaker, work.group, active.number(text))
    return making.model(work, found["ModelPackageArn"])


def _newest(work: Work, name: str, taken: set[str]) -> str:
    served = {package_of(work.sagemaker, model) for model in taken}
    for each in packages.summaries(work.sagemaker, work.group):
        arn = each["ModelPackageArn"]
        if each["ModelApprovalStatus"] == "Approved" and arn not in served:
            return making.model(work, arn)
    raise DeployError(
        f"Group {work.group} has no approved version for {name} that is not served already; say "
        f"which: --version {name}=N"
    )


def _reweighted(work: Work, there: dict[str, Any], wanted: dict[str, float]) -> bool:
    now = {each["VariantName"]: each["weight"] for each in there["variants"]}
    if all(abs(now[name] - each) < ROUNDING for name, each in wanted.items()):
        return False
    updating.to_weights(work, wanted)
    return True


def _config(
    work: Work,
    there: dict[str, Any],
    models: dict[str, str],
    weights: dict[str, float],
    arguments: argparse.Namespace,
) -> str:
    live = {each["VariantName"]: each for each in there["variants"]}
    first = there["variants"][0]
    instances = sum(each["desired"] or 0 for each in there["variants"])
    total = sum(weights.values())
    variants = [
        making.variant(
            live.get(name, first),
            name,
            model,
            InitialVariantWeight=weights[name],
            InstanceType=arguments.instance_type,
            InitialInstanceCount=arguments.instance_count
            or max(1, math.ceil(instances * weights[name] / total)),
        )
        for name, model in models.items()
    ]
    before = champion_variant.named(there, champion_variant.champion(work, there))
    heirs = [name for name, model in models.items() if model == before["ModelName"]]
    tags = {champion_variant.TAG: (heirs or list(models))[0]}
    return making.config(work, making.stem(work, "split"), variants, there["kept"], tags)
