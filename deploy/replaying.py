"""Captured requests sent again, and their new answers compared with those captured.

One request at a time, no faster than --rate, whatever the number of records: sums and the worst
rows alone are kept.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice, zip_longest
from typing import Any, TypeGuard

from botocore.exceptions import ClientError

from deploy import commands
from deploy.captured import Captured, Side, values
from deploy.commands import DeployError
from deploy.work import Work

WORST = 5
TEXT_WIDTH = 60


@dataclass
class Comparison:
    """What the answers compared so far have in common, and where they differ most."""

    threshold: float | None
    requests: int = 0
    failed: int = 0
    rows: int = 0
    same: int = 0
    numbers: int = 0
    differences: float = 0.0
    largest: float = 0.0
    labels: int = 0
    changed: int = 0
    worst: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)

    def add(self, found: Captured, then: list[Any], now: list[Any]) -> None:
        """The rows of one answer, in their order; a row that is missing now differs in all."""
        for index, (old, new) in enumerate(zip_longest(then, now)):
            self.rows += 1
            self.same += old == new
            size = self._compare(_leaves(old), _leaves(new))
            if old != new:
                self._keep(size, {"inference_id": found.key, "row": index, "then": old, "now": new})

    def _compare(self, old: dict[str, Any], new: dict[str, Any]) -> float:
        """How far two rows are apart: a label that changed counts for more than any number."""
        size = 0.0
        for name in {*old, *new}:
            a, b = old.get(name), new.get(name)
            if _is_number(a) and _is_number(b):
                self.numbers += 1
                self.differences += abs(a - b)
                self.largest = max(self.largest, abs(a - b))
                size = max(size, abs(a - b))
                changed = self.threshold is not None and (a >= self.threshold) != (
                    b >= self.threshold
                )
                self.labels += self.threshold is not None
            else:
                self.labels += 1
                changed = a != b
                size = math.inf if changed else size
            self.changed += changed
        return size

    def _keep(self, size: float, row: dict[str, Any]) -> None:
        entry = (size, -next(self._order), row)
        if len(self.worst) < WORST:
            heapq.heappush(self.worst, entry)
        else:
            heapq.heappushpop(self.worst, entry)

    @property
    def document(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "failed": self.failed,
            "rows": self.rows,
            "same_rows": self.same,
            "mean_difference": self.differences / self.numbers if self.numbers else None,
            "largest_difference": self.largest if self.numbers else None,
            "labels": self.labels,
            "label_changes": self.changed,
            "worst": [row for _, _, row in sorted(self.worst, key=lambda e: e[:2], reverse=True)],
        }


def add_options(sub: argparse.ArgumentParser) -> None:
    to = sub.add_mutually_exclusive_group(required=True)
    to.add_argument("--to-variant", metavar="NAME", help="of the same endpoint")
    to.add_argument("--to-endpoint", metavar="ENDPOINT")
    sub.add_argument("--rate", type=float, default=10, metavar="N", help="requests a second (10)")
    sub.add_argument("--limit", type=int, default=1000, metavar="N", help="requests (1000)")
    sub.add_argument("--threshold", type=float, metavar="X", help="a score from here on is a yes")


def replay(
    work: Work,
    arguments: argparse.Namespace,
    records: Iterator[tuple[str, Captured]],
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Send the records' requests to where the command line says; the comparison's document."""
    if arguments.rate <= 0 or arguments.limit < 1:
        raise DeployError("--rate must be above 0 and --limit 1 or more.", 2)
    target = {"EndpointName": arguments.to_endpoint or work.endpoint}
    if arguments.to_variant:
        target["TargetVariant"] = arguments.to_variant
    compared, began = Comparison(arguments.threshold), time.monotonic()
    whole = (each for variant, each in records if each.request and each.answer)
    for index, each in enumerate(islice(whole, arguments.limit)):
        sleep(max(0.0, began + index / arguments.rate - time.monotonic()))
        compared.requests += 1
        now = _ask(work, target, each)
        if now is None:
            compared.failed += 1
        else:
            compared.add(each, values(each.answer), values(now))
    to = arguments.to_variant or arguments.to_endpoint
    return {"endpoint": work.endpoint, "to": to, **compared.document}


def _ask(work: Work, target: dict[str, str], record: Captured) -> Side | None:
    """The new answer; None when the model failed. What else AWS refuses is the command's end."""
    assert record.request is not None  # noqa: S101 - for the type: the caller has looked
    assert record.answer is not None  # noqa: S101
    try:
        answer = work.runtime.invoke_endpoint(
            **target,
            Body=record.request.data,
            **_header("ContentType", record.request.content_type),
            **_header("Accept", record.answer.content_type),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ModelError", "ModelNotReadyException"):
            return None
        raise
    return Side(answer.get("ContentType", ""), answer["Body"].read())


def _header(name: str, value: str) -> dict[str, str]:
    return {name: value} if value else {}


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Path -> number or text, of everything that a row holds."""
    if isinstance(value, dict):
        pairs = [(f"{name}.{key}", each) for key, each in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{name}[{index}]", each) for index, each in enumerate(value)]
    else:
        return {name: value}
    return {path: leaf for key, each in pairs for path, leaf in _leaves(each, key).items()}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float | int) and not isinstance(value, bool)


def text(summary: dict[str, Any]) -> str:
    lines = [
        f"{summary['requests']} requests of {summary['endpoint']} sent to {summary['to']}, "
        f"{summary['failed']} failed.",
        f"{summary['same_rows']} of {summary['rows']} rows have the same answer.",
    ]
    if summary["mean_difference"] is not None:
        mean, largest = summary["mean_difference"], summary["largest_difference"]
        lines.append(f"Numbers differ by {mean:.4g} on average, by {largest:.4g} at most.")
    if summary["labels"]:
        lines.append(f"{summary['label_changes']} of {summary['labels']} labels changed.")
    if summary["worst"]:
        rows = [
            (each["inference_id"], each["row"], _short(each["then"]), _short(each["now"]))
            for each in summary["worst"]
        ]
        lines.append(commands.table(("Inference", "Row", "Then", "Now"), rows))
    return "\n".join(lines)


def _short(value: Any) -> str:
    return json.dumps(value)[:TEXT_WIDTH]
