"""The command line of `python -m pipelines.run`, and what its values must look like.

A superset of run-pipeline in SageMaker's project templates: -n, -kwargs, -role-arn, -description
and -tags mean there what they mean here. What is done with them is pipelines/run.py.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from pipelines.modules import OURS, UsageError
from pipelines.settings import PROJECT, TARGETS

EXAMPLES = """examples:
  python -m pipelines.run
  python -m pipelines.run --rows 5000 --param GateChurn=0.6
  python -m pipelines.run --config config/telco_churn.yaml --data customers.csv
  python -m pipelines.run --target aws --role-arn arn:aws:iam::111122223333:role/mlops --dry-run
"""
CONFIG = PROJECT / "config" / "engagement.yaml"


def parse(argv: list[str] | None, default_target: str) -> argparse.Namespace:
    """The arguments; exits with 2 and the usage when they cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.run",
        description="Run a training pipeline: validate, train, gate, register, deploy, answer.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what to run")
    what.add_argument("--config", metavar="FILE", help=f"the problem (default {_short(CONFIG)})")
    what.add_argument("--data", metavar="FILE|s3://...", help="a CSV; default: generated rows")
    what.add_argument("--rows", type=int, metavar="N", help="how many rows to generate")
    what.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="Name=Value",
        help="a pipeline parameter; may be repeated",
    )
    where = parser.add_argument_group("where")
    where.add_argument("--target", choices=sorted(TARGETS), default=default_target)
    where.add_argument(
        "-role-arn", "--role-arn", metavar="ARN", help="the role that jobs run under"
    )
    where.add_argument("--region", metavar="NAME", help="default: the environment's")
    where.add_argument("--bucket", metavar="NAME", help="default: SageMaker's default bucket")
    how = parser.add_argument_group("how")
    how.add_argument("--dry-run", action="store_true", help="print the definition, start nothing")
    how.add_argument("--no-wait", action="store_true", help="start it and return")
    how.add_argument("--parallel", type=int, metavar="N", help="at most N steps at a time")
    how.add_argument(
        "--budget",
        type=float,
        metavar="USD",
        help="on AWS, refuse to start a run that costs more, with a month of its endpoint",
    )
    how.add_argument("--prices", type=Path, metavar="FILE", help="a table of prices of your own")
    how.add_argument("--json", action="store_true", help="print one JSON document")
    how.add_argument("--stop", metavar="EXECUTION_ARN", help="stop that execution, and return")
    template = parser.add_argument_group("as in SageMaker's project templates")
    template.add_argument("-n", "--module-name", default=OURS, metavar="MODULE")
    template.add_argument("-kwargs", "--kwargs", metavar="DICT", help="arguments of get_pipeline")
    template.add_argument("-description", "--description", default="", metavar="TEXT")
    template.add_argument("-tags", "--tags", metavar="LIST", help="[{'Key': ..., 'Value': ...}]")
    args = parser.parse_args(argv)
    for flag, value in (("--rows", args.rows), ("--parallel", args.parallel)):
        if value is not None and value < 1:
            parser.error(f"{flag} is {value}; allowed: 1 or more")
    if args.budget is not None and not 0 < args.budget < math.inf:
        parser.error(f"--budget is {args.budget}; allowed: a number of USD above 0")
    return args


def start_parameters(declared: list[dict[str, Any]], given: list[str]) -> dict[str, str]:
    """The parameters of an execution, checked against those that the pipeline declares."""
    known = {parameter["Name"]: parameter for parameter in declared}
    chosen = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--param {text}: write it as Name=Value.")
        if name not in known:
            raise UsageError(f"--param {name}: allowed names: {', '.join(sorted(known))}.")
        _check_value(known[name], value)
        chosen[name] = value
    needed = [name for name, p in known.items() if p.get("DefaultValue") is None]
    if missing := [name for name in needed if name not in chosen]:
        raise UsageError(f"Give --param {missing[0]}=...: the pipeline has no default for it.")
    return chosen


def _check_value(parameter: dict[str, Any], value: str) -> None:
    name, kind = parameter["Name"], parameter["Type"]
    allowed = parameter.get("EnumValues")
    if allowed and value not in allowed:
        raise UsageError(f"--param {name} is {value}; allowed: {', '.join(allowed)}.")
    read = {"Integer": int, "Float": float}.get(kind)
    try:
        if read:
            read(value)
    except ValueError:
        raise UsageError(f"--param {name} is {value}; allowed: a number ({kind}).") from None


def _short(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()
