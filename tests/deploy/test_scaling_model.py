"""The simulation's algorithm and queue: properties, and that it decides as the local SageMaker."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import scaling_model
from deploy.scaling_model import Policy, Server, simulate
from local_sagemaker.engine import scaling_rules

traces = st.lists(st.floats(0, 1e5), min_size=1, max_size=150)
policies = st.builds(
    lambda least, more, target, in_minutes, out_minutes: Policy(
        least, least + more, target, in_minutes, out_minutes
    ),
    st.integers(1, 5),
    st.integers(0, 20),
    st.floats(1, 1e4),
    st.floats(0, 10),
    st.floats(0, 10),
)


@settings(deadline=None)
@given(traces, policies, st.integers(0, 5))
def test_instances_stay_in_the_range_and_no_request_is_lost(
    trace: list[float], policy: Policy, startup: int
) -> None:
    minutes = simulate(trace, policy, Server(0.05, 1, startup))
    assert [each.requests for each in minutes] == trace
    assert all(policy.least <= each.instances <= policy.most for each in minutes)
    assert all(each.paid >= each.instances for each in minutes)
    assert all(math.isfinite(m.latency_seconds) and m.latency_seconds >= 0.05 for m in minutes)


@settings(deadline=None)
@given(traces, policies)
def test_it_decides_as_the_local_sagemaker_does(trace: list[float], policy: Policy) -> None:
    """With instances that start at once, minute by minute the same numbers."""
    state = scaling_rules.State(policy.least, policy.least, policy.most, out_until=-1.0)
    seen: list[float | None] = []
    expected = []
    for now, requests in enumerate(trace, start=1):
        expected.append(state.capacity)
        seen.append(requests / state.capacity)
        tracking = scaling_rules.Tracking(
            "p", policy.target, seen[-15:], policy.out_minutes, policy.in_minutes
        )
        decision = scaling_rules.decide(state, [tracking], [], float(now))
        if decision is not None:
            state = scaling_rules.after(state, decision, float(now))
    minutes = simulate(trace, policy, Server(0.05, 1, 0))
    assert [each.instances for each in minutes] == expected


def test_a_queue_with_one_server_waits_as_the_formula_says() -> None:
    """M/M/1 with load 0.5: the mean time in the system is service / (1 - load)."""
    (minute,) = simulate([600], Policy(1, 1, 1000, 5, 1), Server(0.05))
    assert minute.utilization == pytest.approx(0.5)
    assert minute.latency_seconds == pytest.approx(0.1)


def test_what_cannot_be_done_waits_for_the_next_minute() -> None:
    minutes = simulate([2400, 0, 0], Policy(1, 1, 1e6, 5, 1), Server(0.05))
    assert [each.waiting for each in minutes] == [1200, 0, 0]
    assert minutes[0].latency_seconds > 30
    assert minutes[2].latency_seconds == pytest.approx(0.05)


def test_instances_answer_only_when_they_have_started_but_are_paid_before() -> None:
    minutes = simulate([300] * 10, Policy(1, 5, 100, 5, 1), Server(0.05, 1, 4))
    assert [each.instances for each in minutes] == [1] * 7 + [3] * 3
    assert [each.paid for each in minutes] == [1] * 3 + [3] * 7


def test_the_wave_is_a_day_with_a_peak() -> None:
    wave = scaling_model.wave(1000)
    assert len(wave) == 1440
    assert max(wave) <= 1000
    assert min(wave) == 50


def test_a_scale_out_ends_the_cooldown_of_a_scale_in() -> None:
    trace = [900.0] * 5 + [0.0] * 20 + [900.0] * 5 + [0.0] * 20
    minutes = simulate(trace, Policy(1, 10, 100, 120, 1), Server(0.05, 1, 0))
    assert [minutes[at].instances for at in (24, 29, 49)] == [1, 9, 1]
