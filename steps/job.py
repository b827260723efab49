"""What the steps share as programs: where a job's files lie, the spec, the threads.

Paths are AWS's, under `--root` (/opt/ml in a container). What a step does is in its own file.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steps.problem import Problem

ROOT = Path("/opt/ml")


def parser(step: str, description: str, example: str = "") -> argparse.ArgumentParser:
    """The command line of a step, with --root."""
    made = argparse.ArgumentParser(
        prog=f"run.py {step}",
        description=description,
        epilog=f"example: run.py {step} {example}".rstrip(),
    )
    made.add_argument("--root", type=Path, default=ROOT, help="default: %(default)s")
    return made


def add_problem(parser: argparse.ArgumentParser) -> None:
    """The option --problem, for the steps that read the spec."""
    beside = Path(__file__).resolve().parents[1] / "problem.json"
    parser.add_argument("--problem", type=Path, default=beside, help="default: beside run.py")


def problem(arguments: argparse.Namespace) -> "Problem":
    """The spec that --problem names; ProblemError when it is not one."""
    # Only here: training needs neither the spec nor pydantic.
    from steps.problem import from_json

    path: Path = arguments.problem
    return from_json(path.read_text("utf-8"), str(path))


def threads() -> int:
    """How many threads a step may use: the instance's, where SageMaker says so."""
    return int(os.environ.get("SM_NUM_CPUS") or os.cpu_count() or 1)
