"""Joins what was captured with the labels that came later.

A label belongs to the captured record whose inferenceId, or else eventId, is the label's eventId.
Labels are held in memory, captured records pass through one by one. Both folders are JSON lines.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steps.monitors.environment import MonitorError

Event = dict[str, Any]
Line = tuple[str, Event]


@dataclass
class Counts:
    """What became of the records and labels of one merge."""

    matched: int = 0
    unmatched_records: int = 0
    unmatched_labels: int = 0
    duplicate_labels: int = 0

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def merge(captured: Path, labels: Path, output: Path) -> Counts:
    """Writes the matched records with their groundTruthData below output, one file a captured file.

    A label may lie in any hour's folder: late ones match like the others. Of several labels with
    one eventId the last in the order of files and lines counts. Raises MonitorError naming the
    line that is neither a record nor a label.
    """
    counts = Counts()
    known = collect(read(labels), counts)
    used: set[str] = set()
    for file in files(captured):
        target = output / file.relative_to(captured)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", encoding="utf-8") as lines:
            for event in join(_lines(file), known, used, counts):
                lines.write(json.dumps(event) + "\n")
    counts.unmatched_labels = len(known.keys() - used)
    return counts


def collect(labels: Iterable[Line], counts: Counts) -> dict[str, Any]:
    """eventId -> groundTruthData; the last one wins, the others are counted."""
    known: dict[str, Any] = {}
    for where, event in labels:
        try:
            key, truth = event["eventMetadata"]["eventId"], event["groundTruthData"]
            truth["data"], truth["encoding"]
        except (KeyError, TypeError) as error:
            raise MonitorError(f"{where} is not a ground truth label: {error!r}") from error
        counts.duplicate_labels += key in known
        known[key] = truth
    return known


def join(
    records: Iterable[Line], known: Mapping[str, Any], used: set[str], counts: Counts
) -> Iterator[Event]:
    """The records that have a label, with it. The keys of labels used are added to `used`."""
    for where, event in records:
        try:
            metadata = event["eventMetadata"]
            key = metadata.get("inferenceId") or metadata["eventId"]
        except (KeyError, TypeError, AttributeError) as error:
            raise MonitorError(f"{where} is not a captured record: {error!r}") from error
        if key in known:
            counts.matched += 1
            used.add(key)
            yield {**event, "groundTruthData": known[key]}
        else:
            counts.unmatched_records += 1


def files(folder: Path) -> list[Path]:
    """Data files below folder in order; names with "." or "_" in front are other tools' marks."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name[0] not in "._")


def read(folder: Path) -> Iterator[Line]:
    """(where it stands, event) of every line below folder."""
    for file in files(folder):
        yield from _lines(file)


def _lines(file: Path) -> Iterator[Line]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield f"{file}, line {number}", json.loads(line)
                except ValueError as error:
                    raise MonitorError(f"{file}, line {number} is not JSON: {error}") from error
