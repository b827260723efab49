"""`python -m deploy.ground_truth put --labels FILE`: what really happened, in AWS's merge format.

    labels.csv (inference_id, target, ...) -> <prefix>/yyyy/mm/dd/hh/<digest>.jsonl

One prefix a model, below the hour of their upload, as Model Monitor and `deploy.experiment` read
them. A label finds its request by the inference id. Keys follow from content, so labels that were
put in this hour already are put over themselves.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from deploy import commands
from deploy.capture_files import moment, split_uri
from deploy.commands import Answer, DeployError
from deploy.work import begin
from pipelines import settings
from steps.problem import Column, Problem

INFERENCE_ID = "inference_id"
LABELS_AN_OBJECT = 50_000


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.ground_truth", "Labels for monitors.", "put --labels labels.csv")
    put_command = top.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "put", help="write labels to S3", description=put.__doc__, allow_abbrev=False
    )
    put_command.set_defaults(command=put)
    commands.add_shared_options(put_command)
    add = put_command.add_argument
    add("--labels", type=Path, required=True, metavar="FILE", help="CSV with a header")
    add("--model", metavar="NAME", help="whose target it is; default: the first model")
    add("--column", metavar="NAME", help="of the file; default: the model's target")
    add("--id-column", default=INFERENCE_ID, metavar="NAME", help=f"({INFERENCE_ID})")
    add("--at", metavar="TIME", help="the hour they lie under: ISO, or 2h ago; default: now")
    add("--to", metavar="S3URI", help="default: ground-truth/<model>/ in the bucket")
    add("--dry-run", action="store_true", help="say it, do not do it")
    return commands.run(top.parse_args(argv))


def put(arguments: argparse.Namespace) -> Answer:
    """Write the labels of a CSV file to S3; rows without a label are counted and left out."""
    work = begin(arguments, needs=("bucket",))
    model, column = _target(work.problem, arguments)
    now = datetime.now(UTC)
    hour = moment(arguments.at, "--at", now).astimezone(UTC) if arguments.at else now
    uri = arguments.to or f"s3://{work.place.bucket}/{work.problem.name}/ground-truth/{model}"
    bucket, prefix = split_uri(uri)
    s3 = settings.s3(work.place)
    # Read once before anything is sent: half of a file that cannot be read would stay in S3.
    unknown = sum(1 for _, label in _labels(arguments, column) if not label)
    known = ((event, label) for event, label in _labels(arguments, column) if label)
    count, keys = 0, []
    while lines := [_line(*each) for each in islice(known, LABELS_AN_OBJECT)]:
        body = "".join(lines)
        digest = hashlib.sha256(body.encode()).hexdigest()[:20]
        keys.append(f"{prefix}/{hour:%Y/%m/%d/%H}/{digest}.jsonl".lstrip("/"))
        shown = f"{len(lines)} lines" if work.dry_run else body
        work.requests.send(s3, "put_object", Bucket=bucket, Key=keys[-1], Body=shown.encode())
        count += len(lines)
    if not count:
        raise DeployError(f"--labels {arguments.labels} has no label.", 2)
    left = f"; {unknown} rows without one left out" if unknown else ""
    text = work.said(f"{count} labels of {model} -> {uri}{left}")
    document = {"model": model, "labels": count, "without": unknown, "to": uri, "keys": keys}
    return Answer(text, {**document, **work.shown()})


def _target(problem: Problem, arguments: argparse.Namespace) -> tuple[str, Column]:
    models = {each.name: each for each in problem.models}
    name = arguments.model or problem.models[0].name
    if name not in models:
        raise DeployError(f"--model is {name!r}; allowed: {', '.join(models)}.", 2)
    return name, problem.column(models[name].target)


def _labels(arguments: argparse.Namespace, column: Column) -> Iterator[tuple[str, str]]:
    """(event id, label, empty when not known); the file is read as a stream."""
    path, name = arguments.labels, arguments.column or column.name
    written, seen = _writer(column), set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for wanted in (arguments.id_column, name):
                if wanted not in (rows.fieldnames or []):
                    there = ", ".join(rows.fieldnames or []) or "nothing"
                    raise DeployError(f"{path} has no column {wanted!r}; it has {there}.", 2)
            for number, row in enumerate(rows, 1):
                event, label = (row[arguments.id_column] or "").strip(), (row[name] or "").strip()
                if not event or event in seen:
                    what = f"a second label of {event!r}" if event else "no inference id"
                    raise DeployError(f"{path}, row {number}: {what}; give each row one.", 2)
                seen.add(event)
                yield event, written(label, number)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DeployError(f"--labels {path} cannot be read as CSV in UTF-8: {error}", 2) from error


def _writer(column: Column) -> Callable[[str, int], str]:
    """A yes/no label is written as 1 or 0, whatever the file's words are; others as they are."""
    words = {word.lower(): "1" for word in column.true} | {
        word.lower(): "0" for word in column.false
    }

    def written(label: str, number: int) -> str:
        if not label or column.kind != "boolean":
            return label
        if label.lower() not in words:
            allowed = ", ".join(sorted(words))
            raise DeployError(f"row {number}: {column.name} is {label!r}; allowed: {allowed}.", 2)
        return words[label.lower()]

    return written


def _line(event: str, label: str) -> str:
    record: dict[str, Any] = {
        "groundTruthData": {"data": label, "encoding": "CSV"},
        "eventMetadata": {"eventId": event},
        "eventVersion": "0",
    }
    return json.dumps(record) + "\n"


if __name__ == "__main__":
    sys.exit(main())
