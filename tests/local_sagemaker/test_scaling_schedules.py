"""at, rate and cron: when a scheduled action is due."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import scaling_schedules


def moment(text: str) -> float:
    return datetime.datetime.fromisoformat(text + "+00:00").timestamp()


def due(schedule: str, after: str, timezone: str | None = None) -> str | None:
    following = scaling_schedules.parse(schedule, timezone, moment("2024-01-01T00:00"))
    found = following(moment(after))
    if found is None:
        return None
    return f"{datetime.datetime.fromtimestamp(found, datetime.UTC):%Y-%m-%dT%H:%M}"


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("at(2024-03-01T08:00:00)", "2024-02-01T00:00", "2024-03-01T08:00"),
        ("at(2024-03-01T08:00:00)", "2024-03-01T08:00", None),
        ("rate(1 minute)", "2024-01-01T00:00", "2024-01-01T00:01"),
        ("rate(6 hours)", "2024-01-01T06:00", "2024-01-01T12:00"),
        ("cron(0 8 * * ? *)", "2024-01-01T08:00", "2024-01-02T08:00"),
        ("cron(*/20 9-17 ? * MON-FRI *)", "2024-01-05T17:40", "2024-01-08T09:00"),
        ("cron(15,45 10 1 1/3 ? *)", "2024-01-01T10:20", "2024-01-01T10:45"),
        ("cron(15,45 10 1 1/3 ? *)", "2024-01-01T11:00", "2024-04-01T10:15"),
        ("cron(0 0 29 2 ? *)", "2024-03-01T00:00", "2028-02-29T00:00"),
        ("cron(0 0 1 1 ? 2020)", "2024-03-01T00:00", None),
    ],
)
def test_the_next_time(schedule: str, after: str, expected: str | None) -> None:
    assert due(schedule, after) == expected


def test_a_timezone_keeps_the_hour_when_summer_begins() -> None:
    zone = "Europe/Berlin"
    assert due("cron(0 8 * * ? *)", "2024-03-30T00:00", zone) == "2024-03-30T07:00"
    assert due("cron(0 8 * * ? *)", "2024-03-31T00:00", zone) == "2024-03-31T06:00"


@given(st.floats(0, 4e9), st.sampled_from(["rate(7 minutes)", "cron(3/7 * * * ? *)"]))
def test_what_is_due_next_is_later_and_due_again(after: float, schedule: str) -> None:
    following = scaling_schedules.parse(schedule, None, 0.0)
    first = following(after)
    assert first is not None
    assert first > after
    assert following(first - 0.5) == first


@pytest.mark.parametrize(
    ("schedule", "timezone"),
    [
        ("rate(1 minutes)", None),
        ("rate(2 minute)", None),
        ("rate(0 days)", None),
        ("at(tomorrow)", None),
        ("cron(0 8 * * * *)", None),
        ("cron(0 8 ? * ? *)", None),
        ("cron(0 8 * * ?)", None),
        ("cron(60 8 * * ? *)", None),
        ("cron(0 8 * FOO ? *)", None),
        ("cron(0 9-8 * * ? *)", None),
        ("cron(0 8 ? * 2#1 *)", None),
        ("cron(? 8 * * ? *)", None),
        ("rate(1 minute)", "Middle/Earth"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: str, timezone: str | None) -> None:
    with pytest.raises(ValueError, match=r".+"):
        scaling_schedules.parse(schedule, timezone, 0.0)
