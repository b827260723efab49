"""The autoscaler's algorithm by itself: properties of every decision, and the cases by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import scaling_rules as rules
from local_sagemaker.engine.scaling_rules import State, Step, Stepping, Tracking

NOW = 1_000_000.0
values = st.floats(0, 1e6, allow_nan=False)
points = st.lists(st.none() | values, max_size=20)
trackings = st.lists(
    st.builds(
        Tracking,
        name=st.sampled_from("abc"),
        target=st.floats(0.1, 1e4),
        points=points,
        scales_in=st.booleans(),
    ),
    max_size=3,
)
steppings = st.lists(
    st.builds(
        Stepping,
        name=st.just("s"),
        alarm=st.just("alarm"),
        difference=st.floats(-100, 100),
        adjustment_type=st.sampled_from(
            ["ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"]
        ),
        steps=st.just((Step(-2, upper=0), Step(1, lower=0, upper=10), Step(50, lower=10))),
        least_change=st.integers(0, 5),
    ),
    max_size=2,
)


@st.composite
def states(draw: st.DrawFn) -> State:
    least = draw(st.integers(0, 10))
    return State(
        capacity=draw(st.integers(0, 50)),
        least=least,
        most=least + draw(st.integers(0, 30)),
        out_until=NOW + draw(st.integers(-100, 100)),
        out_base=draw(st.integers(0, 50)),
        in_until=NOW + draw(st.integers(-100, 100)),
        out_suspended=draw(st.booleans()),
        in_suspended=draw(st.booleans()),
    )


@given(states(), trackings, steppings)
def test_a_decision_is_within_the_range_and_changes_something(
    state: State, tracking: list[Tracking], stepping: list[Stepping]
) -> None:
    decision = rules.decide(state, tracking, stepping, NOW)
    if decision is not None:
        assert state.least <= decision.capacity <= state.most
        assert decision.capacity != state.capacity


@given(states(), trackings, steppings)
def test_suspended_and_cooling_targets_do_not_move(
    state: State, tracking: list[Tracking], stepping: list[Stepping]
) -> None:
    decision = rules.decide(state, tracking, stepping, NOW)
    if decision is not None and decision.capacity > state.capacity:
        assert not state.out_suspended
    if decision is not None and decision.capacity < state.capacity:
        assert not state.in_suspended
        assert state.in_until <= NOW


@given(
    states(),
    st.floats(0.1, 1e4),
    st.lists(values, min_size=15, max_size=15),
    st.lists(values, min_size=15, max_size=15),
)
def test_more_load_never_means_less_capacity(
    state: State, target: float, load: list[float], more: list[float]
) -> None:
    def capacity(found: list[float]) -> int:
        decision = rules.decide(state, [Tracking("p", target, found)], [], NOW)
        return decision.capacity if decision else state.capacity

    higher = [one + other for one, other in zip(load, more, strict=True)]
    assert capacity(load) <= capacity(higher)


@given(
    st.floats(0, 1e5), st.floats(1, 1e4), st.integers(1, 30), st.integers(1, 10), st.integers(0, 20)
)
def test_at_a_constant_load_it_settles_on_what_the_load_needs(
    load: float, target: float, capacity: int, least: int, more: int
) -> None:
    state = State(min(max(capacity, least), least + more), least, least + more)
    measured: list[float | None] = []
    changes: list[int] = []
    for minute in range(90):
        measured.append(load / state.capacity)
        now = NOW + 60.0 * minute
        policy = Tracking("p", target, measured[-15:])
        decision = rules.decide(state, [policy], [], now)
        if decision is not None:
            changes.append(minute)
            state = rules.after(state, decision, now)
    assert not [each for each in changes if each > 60]
    needed = min(max(rules._needed(1, load, target), least), least + more)
    low = load / state.capacity < target * rules.IN_SHARE
    assert state.capacity == needed or (state.capacity > needed and not low)


def test_three_minutes_above_the_target_add_capacity_in_proportion() -> None:
    state = State(2, 1, 20)
    assert rules.decide(state, [Tracking("p", 100, [90, 101, 250])], [], NOW) is None
    found = rules.decide(state, [Tracking("p", 100, [101, 101, 250])], [], NOW)
    assert found is not None
    assert (found.capacity, found.alarm) == (5, "AlarmHigh")


@pytest.mark.parametrize(
    ("seen", "capacity"), [([80.0] * 15, None), ([80.0] * 14, None), ([89.0] + [30.0] * 14, 9)]
)
def test_fifteen_minutes_below_take_away_what_the_highest_does_not_need(
    seen: list[float], capacity: int | None
) -> None:
    state = State(10, 1, 20) if capacity else State(2, 1, 20)
    found = rules.decide(state, [Tracking("p", 100, seen)], [], NOW)
    assert (found.capacity if found else None) == capacity


def test_a_minute_without_a_value_lets_no_alarm_go_off() -> None:
    assert rules.high_alarm(10, [50, None, 50]) == "OK"
    assert rules.low_alarm(10, [1.0] * 14 + [None]) == "OK"
    assert rules.low_alarm(10, []) == rules.high_alarm(10, [None] * 3) == "INSUFFICIENT_DATA"


def test_the_cooldown_of_a_scale_out_counts_its_capacity_as_part_of_the_next() -> None:
    state = State(1, 1, 20)
    policy = Tracking("p", 100, [400.0] * 3, out_seconds=60)
    first = rules.decide(state, [policy], [], NOW)
    assert first is not None
    state = rules.after(state, first, NOW)
    assert state.capacity == 4
    assert rules.decide(state, [policy], [], NOW + 30) is None  # 4 x 4 would be too many
    larger = rules.decide(state, [replace(policy, points=[700.0] * 3)], [], NOW + 30)
    assert larger is not None
    assert larger.capacity == 7
    later = rules.decide(state, [policy], [], NOW + 60)
    assert later is not None
    assert later.capacity == 16


def test_a_scale_in_waits_for_its_cooldown_and_a_scale_out_ends_that() -> None:
    quiet, loud = Tracking("p", 100, [10.0] * 15), Tracking("p", 100, [300.0] * 15)
    state = State(10, 1, 20)
    first = rules.decide(state, [quiet], [], NOW)
    assert first is not None
    state = rules.after(state, first, NOW)
    assert state.capacity == 1
    state = replace(state, capacity=5)
    assert rules.decide(state, [quiet], [], NOW + 299) is None
    out = rules.decide(state, [loud], [], NOW + 1)
    assert out is not None
    assert rules.after(state, out, NOW + 1).in_until == 0


def test_the_largest_wish_scales_out_and_only_all_together_scale_in() -> None:
    quiet, loud = Tracking("q", 100, [10.0] * 15), Tracking("l", 100, [200.0] * 15)
    louder = replace(loud, name="m", points=[300.0] * 15)
    steady = Tracking("s", 100, [95.0] * 15)
    state = State(4, 1, 20)
    out = rules.decide(state, [quiet, loud, louder], [], NOW)
    assert out is not None
    assert (out.capacity, out.policy) == (12, "m")
    assert rules.decide(state, [quiet, steady], [], NOW) is None
    alone = rules.decide(state, [quiet, replace(steady, scales_in=False)], [], NOW)
    assert alone is not None
    assert alone.capacity == 1


@pytest.mark.parametrize(
    ("kind", "difference", "capacity"),
    [
        ("ChangeInCapacity", 0.0, 11),
        ("ChangeInCapacity", 10.0, 60),
        ("ChangeInCapacity", -0.5, 8),
        ("PercentChangeInCapacity", 10.0, 15),
        ("PercentChangeInCapacity", 5.0, 13),  # 1 % of 10, but at least 3
        ("ExactCapacity", 20.0, 50),
    ],
)
def test_a_step_is_chosen_by_the_distance_from_the_threshold(
    kind: str, difference: float, capacity: int
) -> None:
    steps = (Step(-2, upper=0), Step(1, lower=0, upper=10), Step(50, lower=10))
    least = 3 if kind.startswith("Percent") else 0
    policy = Stepping("s", "alarm", difference, kind, steps, least)
    found = rules.decide(State(10, 0, 100), [], [policy], NOW)
    assert found is not None
    assert (found.capacity, found.alarm) == (capacity, "alarm")
