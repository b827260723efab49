"""Metric definitions: regular expressions applied to every line of a job's log; the last value of
each counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from local_sagemaker.errors import validation

# AWS's log carries a tab as "#011" and its built-in regexes look for that; ours carries the tab.
ESCAPED_TAB = "#011"


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


def final(
    definitions: Iterable[Mapping[str, str]], logs: list[Path], timestamp: float
) -> list[dict[str, Any]]:
    """FinalMetricDataList: the last number each definition's first group found, if any. The logs
    are those of the hosts: an earlier one comes before a later one.
    """
    patterns = {each["Name"]: compiled(each["Regex"]) for each in definitions}
    found: dict[str, float] = {}
    for log in reversed(logs if patterns else []):
        found |= _last(patterns, log)
    return [
        {"MetricName": name, "Value": found[name], "Timestamp": timestamp}
        for name in patterns
        if name in found
    ]


def _last(patterns: Mapping[str, re.Pattern[str]], log: Path) -> dict[str, float]:
    last: dict[str, float] = {}
    if not log.exists():
        return last
    with log.open(errors="replace") as lines:
        for line in lines:
            for name, pattern in patterns.items():
                value = _value(pattern, line)
                if value is not None:
                    last[name] = value
    return last


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
