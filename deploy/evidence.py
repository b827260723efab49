"""What was seen of two variants: minutes from CloudWatch, labelled answers from S3.

Only what can no longer change is read, in the order in which it became known: minutes that are over
since a while, and labels in the order of their arrival, never of their request. So a later look
continues the sequence of an earlier one, as the tests in sequential.py need.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from deploy import capture_files, captured
from deploy.capture_files import Window
from deploy.commands import DeployError
from deploy.decision import Evidence, Losses
from deploy.sequential import Blocks, Floats

NAMESPACE = "AWS/SageMaker"
# Our name -> CloudWatch's metric and statistic.
SERIES = {
    "requests": ("Invocations", "Sum"),
    "errors": ("Invocation5XXErrors", "Sum"),
    "latency": ("ModelLatency", "Average"),
}
MINUTE = 60
CHUNK = 50
MICROSECONDS = 1000.0  # in a millisecond

Minutes = dict[float, float]
Score = Callable[[Any, str], float]  # (prediction, label) -> success 0 or 1, or loss 0..1


class Scored(NamedTuple):
    """One labelled answer: the second at which it became known, and its score."""

    known: float
    event: str
    score: float


def traffic(
    cloudwatch: Any, endpoint: str, pair: tuple[str, str], window: Window, settle_seconds: float
) -> Evidence:
    """Requests, errors and latency of both variants, minute by minute."""
    start = window.start.timestamp() // MINUTE * MINUTE
    end = (window.end.timestamp() - settle_seconds) // MINUTE * MINUTE
    empty = np.array([])
    if end <= start:
        return Evidence(empty, Blocks(*[empty] * 4), empty, empty, empty, empty)
    seen = _minutes(cloudwatch, endpoint, pair, start, end)
    times = sorted({*seen[pair[0], "requests"], *seen[pair[1], "requests"]})
    both = sorted({*seen[pair[0], "latency"]} & {*seen[pair[1], "latency"]})
    mean_a, mean_b = (_column(seen[each, "latency"], both) / MICROSECONDS for each in pair)
    columns = [each for variant in pair for each in _success(seen, variant, times)]
    return Evidence(np.array(times), Blocks(*columns), np.array(both), mean_a, mean_b, empty)


def _success(
    seen: dict[tuple[str, str], Minutes], variant: str, times: list[float]
) -> tuple[Floats, Floats]:
    """Requests of each minute, and how many of them met no error."""
    requests = np.rint(_column(seen[variant, "requests"], times))
    errors = np.minimum(np.rint(_column(seen[variant, "errors"], times)), requests)
    return requests, requests - errors


def _column(minutes: Minutes, times: Iterable[float]) -> Floats:
    return np.array([minutes.get(each, 0.0) for each in times])


def _minutes(
    cloudwatch: Any, endpoint: str, pair: tuple[str, str], start: float, end: float
) -> dict[tuple[str, str], Minutes]:
    asked = [(variant, name) for variant in pair for name in SERIES]
    queries = [_query(f"q{i}", endpoint, *each) for i, each in enumerate(asked)]
    found: dict[tuple[str, str], Minutes] = {each: {} for each in asked}
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending"
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            pairs = zip(result["Timestamps"], result["Values"], strict=True)
            minutes = {t.timestamp(): v for t, v in pairs if start <= t.timestamp() < end}
            found[asked[int(result["Id"][1:])]].update(minutes)
    return found


def _query(identity: str, endpoint: str, variant: str, name: str) -> dict[str, Any]:
    metric, statistic = SERIES[name]
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    of = {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": named}
    stat = {"Metric": of, "Period": MINUTE, "Stat": statistic}
    return {"Id": identity, "MetricStat": stat, "ReturnData": True}


def labelled(
    s3: Any, root: str, pair: tuple[str, str], window: Window, truth: str, score: Score
) -> list[list[Scored]]:
    """Per variant its labelled answers, in the order in which they became known.

    root: where the endpoint's captured records lie; truth: where the labels lie. Records without a
    label count for nothing, nor do labels without a record: both may still come.
    """
    labels = _labels(s3, truth, window)
    return [
        sorted(_scored(s3, f"{root}/{variant}", window, labels, score), key=_order)
        for variant in pair
    ]


def _labels(s3: Any, truth: str, window: Window) -> dict[str, tuple[float, list[str]]]:
    """By event: when its label came, and the label's rows. The first label of an event counts."""
    there = sorted(capture_files.objects(s3, truth, window), key=_arrival)
    found: dict[str, tuple[float, list[str]]] = {}
    for each in there:
        for line in capture_files.lines(s3, each):
            event, rows = _label(line, each["Key"])
            found.setdefault(event, (_arrival(each)[0], rows))
    return found


def _label(line: bytes, key: str) -> tuple[str, list[str]]:
    try:
        found = json.loads(line)
        data = found["groundTruthData"]["data"]
        return found["eventMetadata"]["eventId"], [row.strip() for row in str(data).split("\n")]
    except (ValueError, KeyError, TypeError) as error:
        text = line.decode("utf-8", errors="replace")[:120]
        raise DeployError(f"{key}: no ground truth record ({error!r}): {text}") from error


def _arrival(found: dict[str, Any]) -> tuple[float, str]:
    modified: datetime = found["LastModified"]
    return modified.timestamp(), str(found["Key"])


def _scored(
    s3: Any, uri: str, window: Window, labels: dict[str, tuple[float, list[str]]], score: Score
) -> Iterator[Scored]:
    for each in capture_files.objects(s3, uri, window):
        written = _arrival(each)[0]
        for line in capture_files.lines(s3, each):
            record = captured.record(line)
            if record.key not in labels or not window.start <= record.time < window.end:
                continue
            known, truths = labels[record.key]
            answers = captured.values(record.answer)
            if len(answers) == len(truths):
                for index, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
                    event = f"{record.key}/{index:06}"
                    yield Scored(max(written, known), event, score(answer, truth))


def blocks_of(scored: list[list[Scored]], settle: float) -> tuple[Floats, Blocks]:
    """Successes in blocks, and the minutes in which they became known, if over by `settle`.

    Labels often come by the day. A block holds at most CHUNK of a minute, so that later ones can
    learn from earlier ones; which is earlier must not depend on the outcome, and does not.
    """
    counts: dict[tuple[float, int], list[float]] = defaultdict(lambda: [0.0] * 4)
    within: Counter[float] = Counter()
    tagged = [(each, side) for side, found in enumerate(scored) for each in found]
    for each, side in sorted(tagged, key=lambda pair: _order(pair[0])):
        minute = _minute(each)
        if minute + MINUTE <= settle:
            block = counts[minute, within[minute] // CHUNK]
            block[2 * side] += 1
            block[2 * side + 1] += each.score
            within[minute] += 1
    table = np.array([counts[key] for key in sorted(counts)]).reshape(-1, 4)
    times = np.array([minute for minute, _ in sorted(counts)])
    return times, Blocks(*(table[:, column] for column in range(4)))


def losses_of(scored: list[list[Scored]], settle: float) -> tuple[Floats, Losses]:
    """Losses in the order in which they became known, and how many there were after each block."""
    times, counted = blocks_of(scored, settle)
    seen = [np.cumsum(counted.champion_n), np.cumsum(counted.challenger_n)]
    kept = [
        np.array([each.score for each in side if _minute(each) + MINUTE <= settle])
        for side in scored
    ]
    return times, Losses(kept[0], kept[1], seen[0], seen[1])


def _minute(found: Scored) -> float:
    return found.known // MINUTE * MINUTE


def _order(found: Scored) -> tuple[float, str]:
    """By minute, and in it by a hash of who it is: nothing that the outcome could sway."""
    return _minute(found), hashlib.sha256(found.event.encode()).hexdigest()
