"""`python -m deploy.check FILE ...`: what AWS would refuse, said before anything is sent.

A file is JSON or YAML: a list of requests as `--dry-run --json` shows them (service, operation,
parameters, in boto3's names), or a document that has such a list as `requests`. Nobody is called:
the answer comes from the services' models and from the rules in deploy/rules.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy import commands, rules, shapes
from deploy.commands import Answer, DeployError
from deploy.rules import Broken, Request

SHAPE = "service-model"


def main(argv: list[str] | None = None) -> int:
    parser = commands.parser("deploy.check", "Find what AWS would refuse.", "requests.json")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="requests, or - ")
    parser.add_argument("--allow", action="append", default=[], metavar="RULE", help="not this one")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=check)
    return commands.run(parser.parse_args(argv))


def check(arguments: argparse.Namespace) -> Answer:
    rows, count = [], 0
    for path in arguments.files:
        requests = _requests(path)
        count += len(requests)
        for index, request in enumerate(requests):
            rows += [_row(path, index, each) for each in problems(request, requests[:index])]
    rows = [row for row in rows if row["rule"] not in arguments.allow]
    answer = _answer(rows, count)
    if rows:
        raise commands.Refused(answer)
    return answer


def problems(request: Request, before: list[Request]) -> Iterator[Broken]:
    """What is wrong with a request after those before it."""
    wrong = _shape_problems(request)
    yield from wrong
    if not wrong:
        yield from rules.broken([*before, request])


def _shape_problems(request: Request) -> list[Broken]:
    shape = _input_shape(request)
    if shape is None:
        return [Broken(SHAPE, request.operation, f"{request.service} has no such operation", True)]
    found = shapes.complaints(shape, request.parameters)
    return [Broken(SHAPE, request.operation, text, True) for text in found]


def _input_shape(request: Request) -> Any:
    import botocore.session
    from botocore import xform_name
    from botocore.exceptions import UnknownServiceError

    try:
        model = botocore.session.get_session().get_service_model(request.service)
    except UnknownServiceError as error:
        raise DeployError(f"There is no AWS service {request.service!r}.", 2) from error
    names = {xform_name(name): name for name in model.operation_names}
    if request.operation not in names:
        return None
    return model.operation_model(names[request.operation]).input_shape


def _requests(path: Path) -> list[Request]:
    try:
        document = yaml.safe_load(sys.stdin if str(path) == "-" else path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"{path} cannot be read: {error}", 2) from error
    except yaml.YAMLError as error:
        raise DeployError(f"{path} is neither JSON nor YAML: {error}", 2) from error
    found = document.get("requests") if isinstance(document, dict) else document
    if not isinstance(found, list):
        raise DeployError(f"{path} has no list of requests (service, operation, parameters).", 2)
    return [_request(path, index, each) for index, each in enumerate(found)]


def _request(path: Path, index: int, document: Any) -> Request:
    try:
        service, operation = str(document["service"]), str(document["operation"])
        return Request(service, operation, dict(document["parameters"]))
    except (KeyError, TypeError, ValueError) as error:
        given = json.dumps(document, default=str)[:120]
        raise DeployError(
            f"{path}, request {index + 1}: needs service, operation and parameters; it is {given}",
            2,
        ) from error


def _row(path: Path, index: int, broken: Broken) -> dict[str, Any]:
    return {
        "file": str(path),
        "request": index + 1,
        "operation": broken.operation,
        "rule": broken.rule,
        "refused": broken.refused,
        "problem": broken.text,
    }


def _answer(rows: list[dict[str, Any]], count: int) -> Answer:
    document = {"requests": count, "problems": rows}
    if not rows:
        return Answer(f"{count} requests, nothing that AWS would refuse.", document)
    lines = [
        f"{row['file']} #{row['request']} {row['operation']}: "
        f"{'refused' if row['refused'] else 'not what is meant'} ({row['rule']}): {row['problem']}"
        for row in rows
    ]
    return Answer("\n".join([*lines, f"{len(rows)} problems in {count} requests."]), document)


if __name__ == "__main__":
    sys.exit(main())
