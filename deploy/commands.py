"""What every deploy command shares: its options, and one edge where errors become exit codes.

Exit code 0: done (or nothing to do, and said so). 1: AWS refused, or the work failed; the reason
was printed. 2: bad usage. Each command is a function in its own file that returns a document;
people get its text, --json the document itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines import settings
from pipelines.prices import CostError
from pipelines.settings import PROJECT, TARGETS, Settings, SettingsError
from steps.problem import Problem, ProblemError, load

CONFIG = PROJECT / "config" / "engagement.yaml"


class DeployError(Exception):
    """The command cannot do what it was asked; exit_code is 2 when the command line is at fault."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Answer:
    """What a command did: text for people, a document for --json."""

    text: str
    document: dict[str, Any]


class Refused(Exception):  # noqa: N818 - it says what is the case
    """The command did its work and the answer is no: it is printed, and the exit code is 1."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


Command = Callable[[argparse.Namespace], Answer]


def parser(prog: str, description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m {prog}",
        description=description,
        epilog=f"example: python -m {prog} {example}",
        allow_abbrev=False,
    )


def add_shared_options(command: argparse.ArgumentParser) -> None:
    """Options that mean the same in every command."""
    command.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        metavar="FILE",
        help="the problem, which names group and endpoint (default config/engagement.yaml)",
    )
    command.add_argument("--target", choices=sorted(TARGETS), default="local")
    command.add_argument("--region", metavar="NAME", help="default: the environment's")
    command.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Do arguments.command, print its answer; the exit code."""
    exit_code = 0
    try:
        answer: Answer = arguments.command(arguments)
    except Refused as refused:
        answer, exit_code = refused.answer, 1
    except (DeployError, SettingsError, CostError) as error:
        return _failed(arguments, str(error), error.exit_code)
    except ProblemError as error:
        return _failed(arguments, str(error), 2)
    except ClientError as error:
        said = error.response["Error"]
        reason = f"{error.operation_name} was refused: {said['Message']} ({said['Code']})"
        return _failed(arguments, reason, 1)
    except BotoCoreError as error:
        return _failed(arguments, f"AWS could not be asked: {error}", 1)
    except KeyboardInterrupt:
        return _failed(arguments, "Interrupted; what was asked of SageMaker goes on.", 130)
    print(json.dumps(answer.document, default=str) if arguments.json else answer.text)
    return exit_code


def _failed(arguments: argparse.Namespace, reason: str, exit_code: int) -> int:
    print(f"error: {reason}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"error": reason}))
    return exit_code


def place(arguments: argparse.Namespace, needs: Iterable[str] = ()) -> Settings:
    role = getattr(arguments, "role_arn", None)
    return settings.resolve(arguments.target, region=arguments.region, role_arn=role, needs=needs)


def problem(arguments: argparse.Namespace) -> Problem:
    return load(arguments.config)


def table(headers: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Columns as wide as their widest cell."""
    lines = [[str(cell) for cell in line] for line in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
