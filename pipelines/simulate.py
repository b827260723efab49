"""`python -m pipelines.simulate`: traffic for an endpoint, with planted drift if asked for.

    rows of the problem's data -> drifts (pipelines/drifts.py) -> InvokeEndpoint, one row a request

Each request has an inference id, `<run>-<row>`. What really happened to the rows that were answered
can be kept with --labels: a CSV of inference id and targets, as a warehouse would know it later.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines import data, settings
from pipelines.drifts import DRIFTS, DriftError, Planted, parse
from pipelines.options import CONFIG
from pipelines.settings import TARGETS, SettingsError
from steps.problem import Problem, ProblemError, load

CONNECTIONS = 8
MOST_ROWS = 100_000  # they are kept while they are sent
INFERENCE_ID = "inference_id"
EXAMPLES = "examples:\n  python -m pipelines.simulate --requests 500\n" + "".join(
    f"  python -m pipelines.simulate --drift {name:10} # {drift.words}\n"
    for name, drift in DRIFTS.items()
)


@dataclass(frozen=True)
class Sent:
    """One request: of which row, and the variant that answered, or why none did."""

    row: int
    variant: str = ""
    error: str = ""


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        document = simulate(arguments)
    except (DriftError, ProblemError) as error:
        return _failed(str(error), 2)
    except (SettingsError, data.DataError) as error:
        return _failed(str(error), error.exit_code)
    except (ClientError, BotoCoreError, OSError) as error:
        return _failed(str(error), 1)
    print(json.dumps(document) if arguments.json else _text(document))
    return 1 if document["refused"] else 0


def simulate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Send it all; a document of what was sent and answered. Raises as `main` catches."""
    problem = load(Path(arguments.config))
    drifts = [parse(each, problem) for each in arguments.drift]
    for name, low, high in (("requests", 1, MOST_ROWS), ("rate", 0, 1e6)):
        if not low <= getattr(arguments, name) <= high:
            raise DriftError(f"--{name} is {getattr(arguments, name)}; allowed: {low} to {high:g}")
    source = data.start(problem, arguments.data, None)
    if source.uri is not None:
        raise data.DataError(f"--data {source.uri}: give a file of this machine.")
    rows = sample(problem, data.finish(source), arguments.requests, arguments.seed)
    for drift in drifts:
        drift.plant(rows, arguments.seed)
    place = settings.resolve(arguments.target, region=arguments.region, needs=())
    run, endpoint = f"sim-{uuid.uuid4().hex[:8]}", arguments.name or problem.deploy.endpoint
    runtime = settings.sagemaker_runtime(place)
    runtime_describes = settings.sagemaker(place).describe_endpoint(EndpointName=endpoint)
    sent = list(_send(runtime, runtime_describes["EndpointName"], problem, rows, run, arguments))
    if arguments.labels is not None:
        _write_labels(arguments.labels, problem, rows, run, sent)
    return _document(endpoint, run, drifts, sent)


def sample(problem: Problem, path: Path, count: int, seed: int) -> list[dict[str, str]]:
    """`count` rows of the file, evenly by chance, missing cells empty; again from the first when it
    has fewer. The file is read as a stream.
    """
    dice, kept = random.Random(seed), []  # noqa: S311  it chooses rows, no secrets
    for number, row in enumerate(_read(problem, path)):
        if number < count:
            kept.append(row)
        elif (place := dice.randrange(number + 1)) < count:
            kept[place] = row
    if not kept:
        raise data.DataError(f"{path} has no rows.")
    return [dict(row) for row in itertools.islice(itertools.cycle(kept), count)]


def _read(problem: Problem, path: Path) -> Iterator[dict[str, str]]:
    missing = {word.strip() for word in problem.data.missing} | {""}
    wanted = [column.name for column in (*problem.features, *problem.targets)]
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=problem.data.separator, skipinitialspace=True)
        given = [column.name for column in problem.columns]
        names = [cell.strip() for cell in next(lines, [])] if problem.data.header else given
        if absent := [name for name in wanted if name not in names]:
            raise data.DataError(f"{path} has no column {', '.join(absent)}; it has {names}")
        for number, cells in enumerate(lines, 1):
            if not cells:
                continue
            if len(cells) != len(names):
                raise data.DataError(f"{path}, row {number}: {len(cells)} cells, not {len(names)}")
            row = dict(zip(names, map(str.strip, cells), strict=True))
            yield {name: "" if row[name] in missing else row[name] for name in wanted}


def _send(
    runtime: Any,
    endpoint: str,
    problem: Problem,
    rows: list[dict[str, str]],
    run: str,
    arguments: argparse.Namespace,
) -> Iterator[Sent]:
    names = [column.name for column in problem.features]
    begun = time.monotonic()

    def one(number: int) -> Sent:
        if arguments.rate:
            time.sleep(max(0.0, begun + number / arguments.rate - time.monotonic()))
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint,
                ContentType="text/csv",
                Accept=arguments.accept,
                InferenceId=f"{run}-{number}",
                Body=_line([rows[number][name] for name in names]),
            )
            answer["Body"].read()
        except ClientError as error:
            return Sent(number, error=str(error.response["Error"]["Message"]))
        return Sent(number, variant=answer.get("InvokedProductionVariant", ""))

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        yield from pool.map(one, range(len(rows)))


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _write_labels(
    path: Path, problem: Problem, rows: list[dict[str, str]], run: str, sent: list[Sent]
) -> None:
    names = [column.name for column in problem.targets]
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow([INFERENCE_ID, *names])
        for each in sent:
            if not each.error:
                labels = [rows[each.row][name] for name in names]
                lines.writerow([f"{run}-{each.row}", *labels])


def _document(endpoint: str, run: str, drifts: list[Planted], sent: list[Sent]) -> dict[str, Any]:
    refused = [each.error for each in sent if each.error]
    return {
        "endpoint": endpoint,
        "run": run,
        "drift": [
            {"kind": each.kind, "column": each.column.name, "amount": each.amount}
            for each in drifts
        ],
        "answered": dict(Counter(each.variant for each in sent if not each.error)),
        "refused": len(refused),
        "first_refusal": refused[0] if refused else None,
    }


def _text(document: dict[str, Any]) -> str:
    planted = [f"{each['kind']} of {each['column']}" for each in document["drift"]]
    by_variant = [f"{name} {count}" for name, count in sorted(document["answered"].items())]
    lines = [
        f"Endpoint {document['endpoint']}: {sum(document['answered'].values())} rows answered"
        f" ({', '.join(by_variant) or 'by nobody'}), {document['refused']} refused;"
        f" drift: {', '.join(planted) or 'none'}; inference ids {document['run']}-0 and on."
    ]
    if document["first_refusal"]:
        lines.append(f"First refusal: {document['first_refusal']}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.simulate",
        description="Send rows of the problem's data to its endpoint, with drift if asked for.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", default=CONFIG, metavar="FILE", help="the problem")
    parser.add_argument("--data", metavar="FILE", help="a CSV; default: generated rows")
    parser.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
    parser.add_argument("--requests", type=int, default=500, metavar="N", help="rows to send (500)")
    parser.add_argument("--rate", type=float, default=0, metavar="R", help="requests a second")
    parser.add_argument(
        "--drift",
        action="append",
        default=[],
        metavar="KIND[:COLUMN[=AMOUNT]]",
        help=f"{', '.join(DRIFTS)}; may be repeated",
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="write what really happened")
    parser.add_argument("--accept", default="text/csv", metavar="TYPE", help="(text/csv)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses the rows (1)")
    parser.add_argument("--target", choices=sorted(TARGETS), default="local")
    parser.add_argument("--region", metavar="NAME", help="default: the environment's")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _failed(reason: str, exit_code: int) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
