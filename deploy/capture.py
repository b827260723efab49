"""`python -m deploy.capture on | off | show | replay`: what goes in and out of an endpoint, kept.

on, off   another configuration with DataCaptureConfig, all else as it is; off keeps what lies
          in S3, and where it lies
show      captured records of a time, decoded, row by row
replay    captured requests sent again, to another variant or endpoint, the answers compared
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from deploy import capture_files, captured, commands, making, replaying
from deploy.capture_files import Window, moment
from deploy.captured import Captured, CaptureError
from deploy.commands import Answer, DeployError
from deploy.served import existing, plain
from deploy.work import Work, begin, settled
from pipelines import settings

CSV_TYPES, JSON_TYPES = ["text/csv"], ["application/json"]
OUTPUT_WIDTH, CELL_WIDTH, MOST_COLUMNS = 60, 16, 8
# Columns of a CSV file are those of its first rows: it is written as it is read.
HEADER_ROWS = 100


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.capture", "Keep what an endpoint is asked.", "on --sampling 20")
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    made = {
        name: _add(subs, name, command, text)
        for name, command, text in (
            ("on", on, "capture requests and answers"),
            ("off", off, "capture no more"),
            ("show", show, "captured records, decoded"),
            ("replay", replay, "send captured requests again and compare"),
        )
    }
    made["on"].add_argument("--sampling", type=int, default=100, metavar="PERCENT")
    made["on"].add_argument("--to", metavar="S3URI", help="default: data-capture/ in the bucket")
    for name in ("on", "off"):
        made[name].add_argument("--dry-run", action="store_true", help="say it, do not do it")
    for name in ("show", "replay"):
        made[name].add_argument("--since", default="1h", metavar="TIME", help="ISO, or 30m (1h)")
        made[name].add_argument("--until", metavar="TIME", help="ISO, or 5m; default: now")
        made[name].add_argument("--variant", metavar="NAME", help="of this one alone")
    made["show"].add_argument("--limit", type=int, default=20, metavar="N", help="rows; 0: all")
    made["show"].add_argument("--csv", type=Path, metavar="FILE", help="all rows into a file")
    replaying.add_options(made["replay"])
    return commands.run(top.parse_args(argv))


def _add(subs: Any, name: str, command: commands.Command, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = subs.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    sub.set_defaults(command=command)
    commands.add_shared_options(sub)
    sub.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
    return sub


def on(arguments: argparse.Namespace) -> Answer:
    if not 1 <= arguments.sampling <= 100:
        raise DeployError(f"--sampling is {arguments.sampling}; allowed: 1 to 100.", 2)
    work = begin(arguments, needs=("bucket",))
    uri = arguments.to or f"s3://{work.place.bucket}/{work.problem.name}/data-capture"
    capture_files.split_uri(uri)
    wanted = {
        "EnableCapture": True,
        "InitialSamplingPercentage": arguments.sampling,
        "DestinationS3Uri": uri,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": CSV_TYPES,
            "JsonContentTypes": JSON_TYPES,
        },
    }
    return _change(work, wanted, f"{arguments.sampling} % of the requests to {uri}")


def off(arguments: argparse.Namespace) -> Answer:
    work = begin(arguments)
    there = existing(work.sagemaker, work.endpoint)
    now = there["kept"].get("DataCaptureConfig")
    if now is None:
        return Answer(f"Endpoint {work.endpoint} captures nothing already.", {"changed": False})
    return _change(work, {**now, "EnableCapture": False}, "nothing any more")


def _change(work: Work, wanted: dict[str, Any], words: str) -> Answer:
    """Another configuration, with this capture, for the same variants as they are now."""
    there = settled(work) or existing(work.sagemaker, work.endpoint)
    document = {"endpoint": work.endpoint, "capture": wanted}
    if there["kept"].get("DataCaptureConfig") == wanted:
        text = f"Endpoint {work.endpoint} captures {words} already; nothing changed."
        return Answer(text, {**document, "changed": False})
    kept = {**there["kept"], "DataCaptureConfig": wanted}
    variants = [plain(each) for each in there["variants"]]
    shadows = [plain(each) for each in there["shadows"]]
    tags = _tags(work, there)
    config = making.config(work, making.stem(work, "capture"), variants, kept, tags, shadows)
    work.requests.send(
        work.sagemaker,
        "update_endpoint",
        EndpointName=work.endpoint,
        EndpointConfigName=config,
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DataCaptureConfig"}],
    )
    work.wait()
    text = work.said(f"Endpoint {work.endpoint} captures {words}.")
    return Answer(text, {**document, "config": config, "changed": True, **work.shown()})


def _tags(work: Work, there: dict[str, Any]) -> dict[str, str]:
    """What the other configuration was tagged with, so that nothing of it is forgotten."""
    found = work.sagemaker.list_tags(ResourceArn=there["config_arn"])["Tags"]
    ours = {each["Key"] for each in work.tags()}
    return {
        each["Key"]: each["Value"]
        for each in found
        if each["Key"] not in ours and not each["Key"].startswith("aws:")
    }


def show(arguments: argparse.Namespace) -> Answer:
    if arguments.limit < 0:
        raise DeployError(f"--limit is {arguments.limit}; allowed: 0 (all) or more.", 2)
    work = begin(arguments)
    columns = [column.name for column in work.problem.features]
    rows = (
        row
        for variant, each in found(work, arguments)
        for row in captured.rows(each, variant, columns)
    )
    if arguments.csv is not None:
        count = _write(rows, arguments.csv)
        return Answer(
            f"{count} rows -> {arguments.csv}", {"rows": count, "file": str(arguments.csv)}
        )
    shown = list(islice(rows, arguments.limit or None))
    return Answer(_table(shown, work.endpoint), {"endpoint": work.endpoint, "rows": shown})


def found(work: Work, arguments: argparse.Namespace) -> Iterator[tuple[str, Captured]]:
    """(variant, record) of the time and variants that the command line names, one by one."""
    now = datetime.now(UTC)
    until = moment(arguments.until, "--until", now) if arguments.until else now
    window = Window(moment(arguments.since, "--since", now), until)
    if window.start >= window.end:
        raise DeployError(f"--since {arguments.since} is not before --until.", 2)
    endpoint = work.sagemaker.describe_endpoint(EndpointName=work.endpoint)
    summaries = [
        *endpoint["ProductionVariants"],
        *endpoint.get("ShadowProductionVariants", ()),
    ]
    names = [each["VariantName"] for each in summaries]
    # A variant that is gone has left its records; one that is there is not asked to have some.
    wanted = [arguments.variant] if arguments.variant else names
    root, s3 = capture_files.destination(endpoint), settings.s3(work.place)
    for name in wanted:
        try:
            for each in capture_files.records(s3, f"{root}/{name}", window):
                yield name, each
        except CaptureError as error:
            raise DeployError(f"{root}/{name}: {error}") from error


def _write(rows: Iterator[dict[str, Any]], path: Path) -> int:
    """Rows as CSV, one at a time; columns that only come later than the first rows are refused."""
    first = list(islice(rows, HEADER_ROWS))
    # A dict, because its keys keep their order; output comes last.
    names = [*dict.fromkeys(name for row in first for name in row if name != "output"), "output"]
    count = 0
    try:
        with ExitStack() as stack:
            writer = csv.DictWriter(stack.enter_context(path.open("w", newline="")), names)
            writer.writeheader()
            for row in chain(first, rows):
                writer.writerow(row)
                count += 1
    except ValueError as error:
        raise DeployError(f"{path}, row {count + 1}: {error}; show a --variant alone.") from error
    except OSError as error:
        raise DeployError(f"--csv {path}: {error.strerror}", 2) from error
    return count


def _table(rows: list[dict[str, Any]], endpoint: str) -> str:
    if not rows:
        return f"Nothing captured of endpoint {endpoint} in that time."
    names = [*dict.fromkeys(name for row in rows for name in row if name != "output")]
    shown = names[:MOST_COLUMNS]
    left = len(names) - len(shown)
    cells = [
        [*(row.get(name, "")[:CELL_WIDTH] for name in shown), row["output"][:OUTPUT_WIDTH]]
        for row in ({**each, "inference_id": each["inference_id"][:CELL_WIDTH]} for each in rows)
    ]
    more = f"\n{left} more columns: --csv FILE or --json has them." if left else ""
    return commands.table([*shown, "output"], cells) + more


def replay(arguments: argparse.Namespace) -> Answer:
    work = begin(arguments)
    summary = replaying.replay(work, arguments, found(work, arguments))
    return Answer(replaying.text(summary), json.loads(json.dumps(summary)))


if __name__ == "__main__":
    sys.exit(main())
