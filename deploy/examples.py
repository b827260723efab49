"""Request bodies: given on the command line, or rows made from the problem's columns."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.commands import DeployError
from steps.problem import Column, Problem

JSON, CSV = "application/json", "text/csv"


@dataclass(frozen=True)
class Body:
    content: bytes
    content_type: str


def add_options(command: argparse.ArgumentParser, required: bool = False) -> None:
    body = command.add_mutually_exclusive_group(required=required)
    body.add_argument("--body", metavar="TEXT")
    body.add_argument("--file", type=Path, metavar="FILE")
    command.add_argument("--content-type", metavar="TYPE", help="default: by the body")
    command.add_argument("--accept", default=JSON, metavar="TYPE")


def given(arguments: argparse.Namespace) -> Body:
    """What --body or --file says."""
    content = _content(arguments)
    looks = JSON if content.lstrip()[:1] in (b"{", b"[") else CSV
    return Body(content, arguments.content_type or looks)


def bodies(arguments: argparse.Namespace, problem: Problem, count: int) -> list[Body]:
    """So many requests: all what was given, or else rows that differ."""
    if arguments.body is not None or arguments.file is not None:
        return [given(arguments)] * count
    return [Body(json.dumps({"instances": [row]}).encode(), JSON) for row in rows(problem, count)]


def rows(problem: Problem, count: int) -> Iterator[dict[str, Any]]:
    """Rows that fit the problem's columns: numbers across their ranges, values in turn."""
    for index in range(count):
        yield {column.name: _cell(column, index, count) for column in problem.features}


def _cell(column: Column, index: int, count: int) -> Any:
    if column.kind == "numeric":
        low = 0.0 if column.min is None else column.min
        high = low + 1 if column.max is None else column.max
        return low + (high - low) * (index + 1) / (count + 1)
    if column.kind == "timestamp":
        return "2026-01-01T00:00:00Z"
    words = column.values if column.kind == "categorical" else (column.true[0], column.false[0])
    return words[index % len(words)] if words else ""


def _content(arguments: argparse.Namespace) -> bytes:
    if arguments.file is None:
        return str(arguments.body).encode()
    try:
        return bytes(arguments.file.read_bytes())
    except OSError as error:
        raise DeployError(f"--file {arguments.file}: {error.strerror}", 2) from error
