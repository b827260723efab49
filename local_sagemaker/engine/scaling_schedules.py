"""When a scheduled action is due: at(), rate() and cron(), as Application Auto Scaling writes them.

Times without a zone are of the action's Timezone (UTC without one). cron has six fields: minutes,
hours, day of month, month, day of week, year, with * , - / and ?; one of the two days is ?.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass

UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# name, least, most, words of the values from the least on
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of week", 1, 7, DAYS),
    ("year", 1970, 2199, ()),
)
FARTHEST_DAYS = 366 * 9  # a 29th of February comes at least every eight years
ONE_DAY = datetime.timedelta(days=1)

# The first due moment after another; None when there is none. Both in epoch seconds.
Next = Callable[[float], float | None]


def parse(schedule: str, timezone: str | None, begin: float) -> Next:
    """`begin`: what a rate counts from. Raises ValueError, which says what is wrong."""
    zone = _zone(timezone)
    found = re.fullmatch(r"(at|rate|cron)\((.*)\)", schedule.strip())
    if found is None:
        raise ValueError(f"Schedule {schedule!r} must be at(...), rate(...) or cron(...)")
    kind, inner = found[1], found[2].strip()
    if kind == "at":
        return _at(inner, zone)
    return _rate(inner, begin) if kind == "rate" else _cron(inner, zone)


def _zone(timezone: str | None) -> datetime.tzinfo:
    try:
        return zoneinfo.ZoneInfo(timezone) if timezone else datetime.UTC
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as cause:
        raise ValueError(f"Timezone {timezone!r} is no canonical name of the IANA list") from cause


def _at(text: str, zone: datetime.tzinfo) -> Next:
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone)
        due = moment.timestamp()
    except (ValueError, OverflowError) as cause:
        raise ValueError(f"at({text}) must be at(yyyy-mm-ddThh:mm:ss)") from cause
    return lambda after: due if due > after else None


def _rate(text: str, begin: float) -> Next:
    found = re.fullmatch(r"([1-9]\d{0,5}) +(minute|hour|day)(s?)", text)
    if found is None or (found[1] == "1") == (found[3] == "s"):
        raise ValueError(
            f"rate({text}) must be rate(value unit): a positive number and minutes, hours or days "
            "(minute, hour or day after 1)"
        )
    seconds = int(found[1]) * UNITS[found[2]]
    return lambda after: begin + seconds * max(1, int((after - begin) // seconds) + 1)


@dataclass(frozen=True)
class _Cron:
    zone: datetime.tzinfo
    minutes: list[int]
    hours: list[int]
    days: list[int]
    months: list[int]
    weekdays: list[int]
    years: list[int]

    def next(self, after: float) -> float | None:
        start = datetime.datetime.fromtimestamp(after, self.zone)
        for each in range(FARTHEST_DAYS):
            day = start.date() + each * ONE_DAY
            if self._is_on(day):
                due = self._moment(day, after)
                if due is not None:
                    return due
        return None

    def _is_on(self, day: datetime.date) -> bool:
        return (
            day.year in self.years
            and day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 + 1 in self.weekdays
        )

    def _moment(self, day: datetime.date, after: float) -> float | None:
        for hour in self.hours:
            for minute in self.minutes:
                time = datetime.time(hour, minute, tzinfo=self.zone)
                due = datetime.datetime.combine(day, time).timestamp()
                if due > after:
                    return due
        return None


def _cron(text: str, zone: datetime.tzinfo) -> Next:
    fields = text.upper().split()
    if len(fields) != len(FIELDS):
        raise ValueError(f"cron({text}) must have {len(FIELDS)} fields; it has {len(fields)}")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise ValueError(f"cron({text}): one of day of month and day of week must be ?, not both")
    values = [_values(*pair) for pair in zip(fields, FIELDS, strict=True)]
    return _Cron(zone, *values).next


def _values(text: str, field: tuple[str, int, int, tuple[str, ...]]) -> list[int]:
    name, least, most, _ = field
    if text in ("*", "?") and (text == "*" or name.startswith("day")):
        return list(range(least, most + 1))
    values: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", part)
        if found is None:
            raise ValueError(f"cron: {part!r} is not understood as {name} (L, W and # are not)")
        low = least if found[1] == "*" else _number(found[1], field)
        whole = found[1] == "*" or (found[2] is None and found[3] is not None)
        high = _number(found[2], field) if found[2] else most if whole else low
        step = int(found[3] or 1)
        if step < 1 or high < low:
            raise ValueError(f"cron: {part!r} is no range of {name}")
        values.update(range(low, high + 1, step))
    return sorted(values)


def _number(text: str, field: tuple[str, int, int, tuple[str, ...]]) -> int:
    name, least, most, words = field
    value = words.index(text) + least if text in words else int(text) if text.isdecimal() else -1
    if not least <= value <= most:
        raise ValueError(f"cron: {text!r} is no {name}; it may be {least} to {most}")
    return value
