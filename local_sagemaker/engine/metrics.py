"""Metric definitions: regular expressions applied to every line of a job's log. The last value of
each is the job's; its trial component also shows the smallest, the largest and so on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_sagemaker.errors import validation

# AWS's log carries a tab as "#011" and its built-in regexes look for that; ours carries the tab.
ESCAPED_TAB = "#011"
SUMMARIES = "MetricSummaries"  # in a job's row, a member of ours: see summaries()


def check(definitions: Iterable[Mapping[str, str]]) -> None:
    """Raise ApiError for a regular expression that cannot be used."""
    for each in definitions:
        try:
            groups = re.compile(each["Regex"]).groups
        except re.error as cause:
            raise validation(
                f"MetricDefinitions {each['Name']!r}: Regex {each['Regex']!r}: {cause}"
            ) from cause
        if groups == 0:
            raise validation(
                f"MetricDefinitions {each['Name']!r}: Regex {each['Regex']!r} has no group; put "
                "the number in ( )"
            )


@dataclass
class Summary:
    """Running figures of one metric (Welford's method: no value is kept but the last)."""

    last: float = math.nan
    least: float = math.inf
    most: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.last = value
        self.least, self.most = min(self.least, value), max(self.most, value)
        self.count += 1
        distance = value - self.mean
        self.mean += distance / self.count
        self.squares += distance * (value - self.mean)

    def members(self, name: str, timestamp: float) -> dict[str, Any]:
        """As AWS's TrialComponentMetricSummary; StdDev is the population's."""
        return {
            "MetricName": name,
            "TimeStamp": timestamp,
            "Max": self.most,
            "Min": self.least,
            "Last": self.last,
            "Count": self.count,
            "Avg": self.mean,
            "StdDev": math.sqrt(self.squares / self.count),
        }


def summaries(
    definitions: Iterable[Mapping[str, str]], logs: list[Path], timestamp: float
) -> list[dict[str, Any]]:
    """What each definition's first group found, for those that found a number. The logs are those
    of the hosts: Last is that of an earlier one before that of a later one.
    """
    patterns = {each["Name"]: compiled(each["Regex"]) for each in definitions}
    found = {name: Summary() for name in patterns}
    for log in reversed(logs if patterns else []):
        _read(patterns, found, log)
    return [each.members(name, timestamp) for name, each in found.items() if each.count]


def final(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """FinalMetricDataList: the last value of each metric."""
    return [
        {"MetricName": each["MetricName"], "Value": each["Last"], "Timestamp": each["TimeStamp"]}
        for each in found
    ]


def _read(patterns: Mapping[str, re.Pattern[str]], found: dict[str, Summary], log: Path) -> None:
    if not log.exists():
        return
    with log.open(errors="replace") as lines:
        for line in lines:
            for name, pattern in patterns.items():
                value = _value(pattern, line)
                if value is not None:
                    found[name].add(value)


def series(regex: str, log: Path) -> list[float]:
    """Every number that one definition finds in a log, in order; the log may still grow."""
    pattern = compiled(regex)
    with log.open(errors="replace") as lines:
        found = (_value(pattern, line) for line in lines if line.endswith("\n"))
        return [value for value in found if value is not None]


def compiled(regex: str) -> re.Pattern[str]:
    """The expression, with an escaped tab also matching a real one (where `\\S+` then ends)."""
    return re.compile(regex.replace(ESCAPED_TAB, rf"(?:{ESCAPED_TAB}|\t)"))


def _value(pattern: re.Pattern[str], line: str) -> float | None:
    found = pattern.search(line)
    try:
        return float(found[1]) if found else None
    except (TypeError, ValueError):  # the group matched nothing, or no number
        return None
