"""`python -m deploy.cost guide | compare | run | endpoint | bill`: what it costs, before it does.

    guide      the instance types: machine, price, what each may be used for
    compare    a load in every way of serving it, the cheapest that can carry it recommended
    run        one run of a pipeline on AWS, and a month of its endpoint
    endpoint   the endpoint that is up, and the requests that it captures
    bill       quantities of what is paid by use

Nothing is changed, so there is no --dry-run. The arithmetic is deploy/pricing.py and
pipelines/cost.py, the table pipelines/prices.yaml.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy import commands, pricing
from deploy.commands import Answer, DeployError, Refused
from deploy.endpoint_cost import endpoint_cost
from pipelines import cost, settings
from pipelines.prices import Prices, load

# What a type may be used for, by the names of the enumerations in SageMaker's model.
USES = {
    "hosting": "ProductionVariantInstanceType",
    "processing": "ProcessingInstanceType",
    "training": "TrainingInstanceType",
    "transform": "TransformInstanceType",
}


def main(argv: list[str] | None = None) -> int:
    example = "compare --requests-per-month 1e7 --latency-ms 100 --payload-kb 2"
    top = commands.parser("deploy.cost", "What it costs, before it does.", example)
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    _add(subs, "guide", guide, "the instance types, their prices and uses")
    _add_compare(_add(subs, "compare", compare, "a load in every way of serving it"))
    _add_run(_add(subs, "run", run, "one run of a pipeline on AWS", shared=True))
    sub = _add(subs, "endpoint", endpoint, "the endpoint that is up", shared=True)
    sub.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
    sub.add_argument(
        "--requests-per-month",
        type=_number,
        metavar="N",
        help="default: CloudWatch's last day x 30",
    )
    sub.add_argument("--payload-kb", type=_number, default=2.0, metavar="K", help="default 2")
    sub = _add(subs, "bill", bill, "quantities of what is paid by use")
    sub.add_argument("items", nargs="*", metavar="NAME=QUANTITY", help="none: what there is")
    return commands.run(top.parse_args(argv))


def _add(
    subs: Any, name: str, command: commands.Command, text: str, shared: bool = False
) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = subs.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    sub.set_defaults(command=command)
    if shared:
        commands.add_shared_options(sub)
    else:
        sub.add_argument("--json", action="store_true", help="print one JSON document")
    sub.add_argument("--prices", type=Path, metavar="FILE", help="a table of your own")
    return sub


def _add_compare(sub: argparse.ArgumentParser) -> None:
    for flag, metavar, text in (
        ("--requests-per-month", "N", "of the whole endpoint"),
        ("--latency-ms", "L", "of one request, in the model"),
        ("--payload-kb", "K", "of a request, and of an answer"),
    ):
        sub.add_argument(flag, type=_number, required=True, metavar=metavar, help=text)
    plan = pricing.Load
    for flag, metavar, default, text in (
        ("--peak-factor", "F", plan.peak_factor, "the peak is so many times the mean"),
        ("--utilisation", "U", plan.utilisation, "share of an instance's time to plan for"),
        ("--memory-gb", "G", plan.memory_gb, "what the model needs"),
    ):
        shown = f"{text}; default {default:g}"
        sub.add_argument(flag, type=_number, default=default, metavar=metavar, help=shown)
    sub.add_argument("--min-instances", type=_count, default=plan.min_instances, metavar="N")
    sub.add_argument("--parallel", type=_count, metavar="N", help="default: vCPUs; 1 on a GPU")
    sub.add_argument("--instance-type", action="append", default=[], metavar="TYPE")
    sub.add_argument("--all", action="store_true", help="every type, not each kind's cheapest")
    when = sub.add_mutually_exclusive_group()
    when.add_argument(
        "--answer-within", type=_number, default=plan.answer_within, metavar="SECONDS"
    )
    when.add_argument("--batch", action="store_true", help="answers may come once a day")


def _add_run(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--pipeline", metavar="NAME", help="default: the problem's name")
    sub.add_argument(
        "--definition", type=Path, metavar="FILE", help="as `pipelines.run --dry-run` prints it"
    )
    sub.add_argument("--execution", metavar="ARN", help="measure this one, not the newest")
    sub.add_argument("--param", action="append", default=[], metavar="Name=Value")
    sub.add_argument("--minutes", action="append", default=[], metavar="Step=M")
    sub.add_argument("--assume", type=_number, default=cost.ASSUMED_MINUTES, metavar="MINUTES")
    sub.add_argument("--budget", type=_number, metavar="USD", help="exit code 1 above it")


def guide(arguments: argparse.Namespace) -> Answer:
    prices, uses = load(arguments.prices), _uses()
    rows = [
        {
            "instance_type": name,
            **machine.model_dump(),
            "month": round(prices.month(name, 1), 2),
            "uses": [use for use, types in uses.items() if name in types],
        }
        for name, machine in prices.instances.items()
    ]
    shown = ("instance_type", "vcpu", "memory_gb", "accelerator", "hour", "month")
    text = commands.table(
        ("Type", "vCPU", "GB", "Accelerator", "USD/h", "USD/month", "Endpoint", "Good for"),
        (
            (*(row[key] for key in shown), _yes("hosting" in row["uses"]), row["good_for"])
            for row in rows
        ),
    )
    return Answer(f"{text}\n{prices.note}", {"prices": _source(prices), "instances": rows})


def compare(arguments: argparse.Namespace) -> Answer:
    prices, uses = load(arguments.prices), _uses()
    if chosen := arguments.instance_type:
        machines = {name: prices.instance(name) for name in chosen}
        prices = prices.model_copy(update={"instances": machines})
    if arguments.utilisation > 1 or arguments.peak_factor < 1:
        raise DeployError("--utilisation is at most 1, and --peak-factor at least 1.", 2)
    fields = (each for each in pricing.Load.__dataclass_fields__ if each != "answer_within")
    within = math.inf if arguments.batch else arguments.answer_within
    asked = pricing.Load(
        **{name: getattr(arguments, name) for name in fields}, answer_within=within
    )
    found = pricing.options(asked, prices, uses["hosting"], uses["transform"])
    best = pricing.recommended(found)
    rows = found if arguments.all else _cheapest_of_each_kind(found)
    table = commands.table(
        ("", "Kind", "On", "Instances", "USD/month", "But"),
        (
            ("->" * (o is best), o.kind, o.instance_type, o.instances, f"{o.month:,.2f}", _but(o))
            for o in rows
        ),
    )
    said = f"Recommended: {best.kind} on {best.instance_type}." if best else "Nothing carries it."
    document = {
        "prices": _source(prices),
        "recommended": vars(best) if best else None,
        "options": [vars(each) for each in found],
    }
    note = "Latency is taken to be the same on every type: measure it on the one that you choose."
    answer = Answer(f"{table}\n{said}\n{note}\n{prices.note}", document)
    if best is None:
        raise Refused(answer)
    return answer


def run(arguments: argparse.Namespace) -> Answer:
    prices = load(arguments.prices)
    name = arguments.pipeline or commands.problem(arguments).name
    definition, measured = _definition(arguments, name)
    told = cost.estimate(
        definition,
        dict(_pairs("--param", arguments.param)),
        prices,
        measured,
        {
            step: _quantity("--minutes", step, m)
            for step, m in _pairs("--minutes", arguments.minutes)
        },
        arguments.assume,
    )
    if arguments.budget is not None:
        cost.check_budget(told, arguments.budget)
    where = f"Pipeline {name} on AWS, nothing reused; minutes measured on {arguments.target}"
    text = f"{where}\n{told.text()}\n{prices.note}"
    return Answer(text, {"pipeline": name, "prices": _source(prices), **told.document})


def endpoint(arguments: argparse.Namespace) -> Answer:
    prices = load(arguments.prices)
    name = arguments.name or commands.problem(arguments).deploy.endpoint
    place = commands.place(arguments)
    asked, payload = arguments.requests_per_month, arguments.payload_kb
    told = endpoint_cost(place, prices, name, asked, payload)
    return Answer(f"{told.text()}\n{prices.note}", {"prices": _source(prices), **told.document})


def bill(arguments: argparse.Namespace) -> Answer:
    prices = load(arguments.prices)
    if not arguments.items:
        rates = [(name, f"{u.price:g}", f"{u.per:g}", u.unit) for name, u in prices.usage.items()]
        text = commands.table(("Name", "USD", "Per", "Unit"), rates)
        usage = {name: each.model_dump() for name, each in prices.usage.items()}
        return Answer(f"{text}\n{prices.note}", {"prices": _source(prices), "usage": usage})
    quantities = {
        name: _quantity("quantity of", name, text) for name, text in _pairs("item", arguments.items)
    }
    costs = {name: prices.used(name, quantity) for name, quantity in quantities.items()}
    rows = [(name, f"{quantities[name]:g}", f"{usd:.4f}") for name, usd in costs.items()]
    total = sum(costs.values())
    text = commands.table(("Name", "Quantity", "USD"), [*rows, ("total", "", f"{total:.4f}")])
    document = {"prices": _source(prices), "items": costs, "total": total}
    return Answer(f"{text}\n{prices.note}", document)


def _definition(arguments: argparse.Namespace, name: str) -> tuple[str, dict[str, float]]:
    """The pipeline's definition, and minutes by step; a definition from a file asks nobody."""
    if arguments.definition and not arguments.execution:
        return _read(arguments.definition), {}
    client = settings.sagemaker(commands.place(arguments))
    measured = (
        cost.measured_in(client, arguments.execution)
        if arguments.execution
        else cost.measured(client, name)
    )
    if arguments.definition:
        return _read(arguments.definition), measured
    return str(client.describe_pipeline(PipelineName=name)["PipelineDefinition"]), measured


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"--definition {path} cannot be read: {error}", 2) from error


def _uses() -> dict[str, frozenset[str]]:
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    return {use: frozenset(model.shape_for(shape).enum) for use, shape in USES.items()}


def _cheapest_of_each_kind(found: list[pricing.Option]) -> list[pricing.Option]:
    """Of each kind the cheapest that can carry the load; the cheapest, where none of it can."""
    kinds: dict[str, pricing.Option] = {}
    for each in sorted(found, key=lambda option: bool(option.unmet)):
        kinds.setdefault(each.kind, each)
    return sorted(kinds.values(), key=lambda option: option.month)


def _but(option: pricing.Option) -> str:
    return "; ".join(option.unmet)


def _source(prices: Prices) -> dict[str, str]:
    return {"as_of": prices.as_of, "region": prices.region, "source": prices.source}


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _pairs(what: str, given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise DeployError(f"{what} {text}: write it as NAME=VALUE.", 2)
        yield name, value


def _quantity(what: str, name: str, text: str) -> float:
    try:
        return _number(text)
    except argparse.ArgumentTypeError as error:
        raise DeployError(f"{what} {name}: {error}.", 2) from error


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
