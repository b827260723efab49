"""The arithmetic of serving a load: what holds for every load, and the figures that are known."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import pricing
from deploy.pricing import Load
from pipelines.prices import load

PRICES = load()
HOSTING = set(PRICES.instances) - {"ml.t3.medium"}
LOADS = st.builds(
    Load,
    requests_per_month=st.floats(1, 1e11),
    latency_ms=st.floats(1, 1e5),
    payload_kb=st.floats(0.1, 1e4),
    peak_factor=st.floats(1, 20),
    utilisation=st.floats(0.1, 1),
    memory_gb=st.floats(0.1, 100),
    min_instances=st.integers(1, 4),
    answer_within=st.sampled_from([0.1, 1.0, 60.0, 7200.0, math.inf]),
    parallel=st.none() | st.integers(1, 100),
)
TEN_MILLION = Load(requests_per_month=1e7, latency_ms=100, payload_kb=2)


def options(load: Load) -> list[pricing.Option]:
    return pricing.options(load, PRICES, HOSTING, HOSTING)


def months(load: Load) -> dict[tuple[str, str], float]:
    return {(each.kind, each.instance_type): each.month for each in options(load)}


@settings(max_examples=60, deadline=None)
@given(LOADS, st.floats(1, 1000))
def test_more_requests_never_cost_less(load: Load, factor: float) -> None:
    few = months(load)
    many = months(replace(load, requests_per_month=load.requests_per_month * factor))
    assert all(many[key] >= few[key] * (1 - 1e-9) for key in few)


@settings(max_examples=60, deadline=None)
@given(LOADS)
def test_the_recommendation_is_the_cheapest_row_that_carries_the_load(load: Load) -> None:
    found = options(load)
    best = pricing.recommended(found)
    assert [each.month for each in found] == sorted(each.month for each in found)
    if best is None:
        assert all(each.unmet for each in found)
    else:
        assert best == next(each for each in found if not each.unmet)
        assert best.slowest_seconds <= load.answer_within


@settings(max_examples=60, deadline=None)
@given(LOADS)
def test_scaling_with_the_load_never_costs_more_than_a_fleet_for_the_peak(load: Load) -> None:
    found = months(load)
    for name in HOSTING:
        assert found["autoscaled", name] <= found["real-time", name] * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(st.floats(1, 1000), st.floats(2, 6), st.floats(0.1, 100))
def test_serverless_is_cheaper_at_low_load_and_dearer_at_high_load_with_one_crossover(
    latency_ms: float, memory_gb: float, payload_kb: float
) -> None:
    dearer = []
    for exponent in range(11):
        load = Load(10.0**exponent * 1000 / latency_ms, latency_ms, payload_kb, memory_gb=memory_gb)
        instances = pricing.autoscaled(load, PRICES, "ml.m5.large").month
        dearer.append(pricing.serverless(load, PRICES).month > instances)
    assert (dearer[0], dearer[-1]) == (False, True)
    assert dearer == sorted(dearer)


def test_ten_million_requests_of_100_ms_as_in_the_tables_that_go_round() -> None:
    instances = pricing.real_time(TEN_MILLION, PRICES, "ml.g4dn.xlarge")
    data = 1e7 * 2 * 2 / 1024**2 * 0.016
    assert instances.instances == "2"
    assert instances.month - data == pytest.approx(1075.14, abs=0.01)
    serverless = pricing.serverless(replace(TEN_MILLION, memory_gb=6), PRICES)
    assert serverless.month - data == pytest.approx(120.0)
    best = pricing.recommended(options(TEN_MILLION))
    assert best
    assert best.month <= serverless.month


def test_the_peak_decides_how_many_instances_are_needed() -> None:
    # 3.8 requests a second x 10 at the peak, 0.1 s each, on a GPU that is busy 70 % of the time.
    peak = replace(TEN_MILLION, peak_factor=10)
    assert pricing.real_time(peak, PRICES, "ml.g4dn.xlarge").instances == "6"
    assert pricing.real_time(peak, PRICES, "ml.m5.xlarge").instances == "2"
    together = replace(peak, parallel=8)
    assert pricing.real_time(together, PRICES, "ml.g4dn.xlarge").instances == "2"
    scaled = pricing.autoscaled(replace(peak, min_instances=1), PRICES, "ml.g4dn.xlarge")
    assert scaled.instances == "1-6"


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"payload_kb": 5000}, "serverless", "a payload is at most 4096 KB"),
        ({"memory_gb": 7}, "serverless", "has 6 GB of memory"),
        ({"requests_per_month": 1e10}, "serverless", "requests at once, at most 200"),
        ({"latency_ms": 61_000}, "real-time", "an answer may take 60 s"),
        ({"payload_kb": 7000}, "autoscaled", "a payload is at most 6144 KB"),
        ({}, "asynchronous", "the slowest answer takes up to 1 h"),
        ({}, "batch", "the slowest answer takes up to 28.1 h"),
        ({"answer_within": 1}, "serverless", "the slowest answer takes 2.1 s"),
    ],
)
def test_what_a_kind_cannot_do_is_said(changes: dict[str, float], kind: str, words: str) -> None:
    found = [each for each in options(replace(TEN_MILLION, **changes)) if each.kind == kind]
    assert all(any(words in text for text in each.unmet) for each in found)


def test_a_machine_without_the_memory_is_not_recommended() -> None:
    big = replace(TEN_MILLION, memory_gb=40)
    best = pricing.recommended(options(big))
    assert best
    assert best.instance_type == "ml.m5.4xlarge"


def test_a_batch_is_paid_for_its_work_and_the_start_of_each_instance() -> None:
    # An hour of work a day on a machine with four workers, and 4 minutes of start.
    day = 4 * 3600 / 0.1
    load = replace(TEN_MILLION, requests_per_month=day * 730 / 24)
    month = pricing.batch(load, PRICES, "ml.m5.xlarge").month
    assert month == pytest.approx((1 + 4 / 60) * 0.23 * 730 / 24)
