"""The step cache: the key of a step, and how long a result stays valid.

Lives here: AWS's key attributes (by step type, see step_types.py) hashed part by part, joined by
the content of every S3 object they point to, so that a changed script or data set under the same
URI is never a false hit. Pure: fingerprints come from the caller. Looking up and keeping results is
cached_results.py's business.
"""

import calendar
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

# Attributes of a key whose URIs are written by the job: their content says nothing about its
# inputs.
_WRITTEN_BY_JOB = ("CheckpointConfig", "DebugHookConfig", "DebugRuleConfigurations")
_OUTPUTS = ("ProcessingOutputConfig", "OutputDataConfig")

_DURATION = re.compile(
    r"P?(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Duration:
    """An ISO 8601 duration as AWS takes it: calendar months, and a time span."""

    months: int
    span: timedelta

    def before(self, now: float) -> float:
        """The moment this long before `now` (epoch seconds, UTC calendar); 0 if before 1970."""
        moment = datetime.fromtimestamp(now, UTC)
        total = moment.year * 12 + moment.month - 1 - self.months
        year, month = divmod(total, 12)
        if year < 1970:
            return 0.0
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        shifted = moment.replace(year=year, month=month + 1, day=day).timestamp()
        return max(0.0, shifted - self.span.total_seconds())


def parse_duration(text: Any) -> Duration:
    """`P30D`, `p30d`, `30d`, `PT1H`, `T16m`, `30dT5h`, `P1Y2M`. Raises ValueError."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    values = (
        {unit: int(count) for unit, count in match.groupdict().items() if count} if match else {}
    )
    if not values:
        raise ValueError(
            f"ExpireAfter {text!r} is not an ISO 8601 duration; "
            "write for example P30D, PT1H or P4DT12H"
        )
    months = values.pop("years", 0) * 12 + values.pop("months", 0)
    try:
        return Duration(months, timedelta(**values))
    except OverflowError:
        raise ValueError(f"ExpireAfter {text!r} is too long") from None


def key_parts(
    attributes: tuple[str, ...], arguments: dict[str, Any], fingerprint: Callable[[str], str]
) -> dict[str, str]:
    """The parts of a step's key, each hashed by itself: one per attribute and one per S3 URI in
    them.

    `attributes` () means every argument. Naming the parts is what lets one say later which of them
    changed.
    """
    chosen = attributes or tuple(sorted(arguments))
    values = {name: _member(arguments, name) for name in chosen}
    parts = {name: digest(value) for name, value in values.items()}
    own = tuple(_uris([arguments.get(name) for name in _OUTPUTS]))
    for uri in sorted(set(_uris(values))):
        if not uri.startswith(own or ("\0",)):
            parts[f"content of {uri}"] = fingerprint(uri)
    return parts


def digest(value: Any) -> str:
    """The hash of a JSON value, whatever the order of its members."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _member(arguments: dict[str, Any], path: str) -> Any:
    value: Any = arguments
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _uris(value: Any) -> Iterator[str]:
    """Every S3 URI in a value, but for what the job writes."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in (*_WRITTEN_BY_JOB, *_OUTPUTS):
                yield from _uris(item)
    elif isinstance(value, list):
        for item in value:
            yield from _uris(item)
    elif isinstance(value, str):
        # SDK script mode writes hyperparameters as JSON inside a string: "\"s3://...\"".
        text = value.strip('"')
        if text.startswith("s3://"):
            yield text
