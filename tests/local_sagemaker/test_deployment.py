"""The plans of deployments, for any sizes and fleets: within the limits, always to an end."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import deployment, deployment_rules
from local_sagemaker.engine.deployment import Counts, Step
from local_sagemaker.errors import ApiError

FLEETS = st.dictionaries(st.sampled_from(["A", "B", "C"]), st.integers(1, 12), min_size=1)
SINGLE = st.integers(1, 20).map(lambda count: {"A": count})


def percent(low: int, high: int) -> Any:
    return st.integers(low, high).map(lambda value: {"Type": "CAPACITY_PERCENT", "Value": value})


def shifting(kind: str, **size: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": 7, **size}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 5}
    return {"BlueGreenUpdatePolicy": policy}


def rolling(size: Any, rollback: Any = None) -> dict[str, Any]:
    more = {"RollbackMaximumBatchSize": rollback} if rollback else {}
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 7, **more}}


BLUE_GREEN = st.one_of(
    st.just(shifting("ALL_AT_ONCE")),
    percent(1, 50).map(lambda size: shifting("CANARY", CanarySize=size)),
    percent(10, 50).map(lambda size: shifting("LINEAR", LinearStepSize=size)),
)
ROLLING = st.builds(rolling, percent(5, 50), st.none() | percent(1, 100))


def check_way(steps: list[Step], blue: Counts, green: Counts) -> None:
    """Forward: shares and the new fleet only grow, the old only shrinks, up to all traffic."""
    before = Step({}, blue, {})
    for step in steps:
        for name, share in step.shares.items():
            assert before.shares.get(name, Fraction(0)) <= share <= 1
            assert 1 <= step.green[name] <= green[name]
            assert step.green[name] >= before.green.get(name, 0)
            assert 0 <= step.blue.get(name, 0) <= before.blue.get(name, 0)
            assert step.green[name] >= share * green[name], "more traffic than instances for it"
            assert step.blue.get(name, 0) >= (1 - share) * blue.get(name, 0) or step.is_full
        before = step
    assert steps[-1].is_full
    assert steps[-1].green == green


def check_return(steps: list[Step], here: Step, blue: Counts) -> None:
    before = here
    for step in steps:
        for name, share in step.shares.items():
            assert 0 <= share <= before.shares[name]
            assert step.green[name] <= before.green[name]
            assert step.green[name] >= 1 or share == 0, "traffic for nobody"
            assert before.blue[name] <= step.blue[name] <= blue[name]
        before = step
    assert steps[-1].blue == blue
    assert not any(steps[-1].shares.values())
    assert not any(steps[-1].green.values())


@given(BLUE_GREEN, FLEETS)
def test_a_blue_green_way_keeps_the_old_fleet_and_ends_with_the_new_one(
    config: dict[str, Any], fleet: Counts
) -> None:
    steps = deployment.steps(config, fleet, fleet)
    check_way(steps, fleet, fleet)
    assert all(step.blue == fleet for step in steps)
    assert [step.seconds for step in steps] == [7] * (len(steps) - 1) + [5]


@given(ROLLING, SINGLE, SINGLE)
def test_a_rolling_way_ends_as_much_of_the_old_fleet_as_the_new_one_replaces(
    config: dict[str, Any], blue: Counts, green: Counts
) -> None:
    steps = deployment.steps(config, blue, green)
    check_way(steps, blue, green)
    assert steps[-1].blue == {"A": 0}
    assert all(step.blue["A"] for step in steps[:-1]), "the old fleet must not be shrunk to nothing"


@given(st.one_of(BLUE_GREEN, ROLLING), SINGLE, st.data())
def test_from_anywhere_there_is_a_way_back_to_the_old_fleet(
    config: dict[str, Any], fleet: Counts, data: st.DataObject
) -> None:
    steps = [Step({}, fleet, {}), *deployment.steps(config, fleet, fleet)]
    here = data.draw(st.sampled_from(steps))
    check_return(deployment.back(config, here, fleet), here, fleet)


def test_a_canary_of_an_instance_is_its_share_of_the_traffic() -> None:
    config = shifting("CANARY", CanarySize={"Type": "INSTANCE_COUNT", "Value": 1})
    canary, full = deployment.steps(config, {"A": 4}, {"A": 4})
    assert (canary.green, canary.shares) == ({"A": 1}, {"A": Fraction(1, 4)})
    assert (full.green, full.blue) == ({"A": 4}, {"A": 4})


def test_a_share_in_percent_is_exact_and_its_instances_are_rounded_up() -> None:
    config = shifting("LINEAR", LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 40})
    steps = deployment.steps(config, {"A": 3}, {"A": 3})
    assert [(step.green["A"], float(step.shares["A"])) for step in steps] == [
        (2, 0.4),
        (3, 0.8),
        (3, 1.0),
    ]


@given(st.one_of(BLUE_GREEN, ROLLING), SINGLE)
def test_sizes_in_percent_within_the_limits_are_allowed(config: dict[str, Any], f: Counts) -> None:
    deployment_rules.check(config, False, f, f)


COUNTED = [
    ("CANARY", "CanarySize", 3, 5, "less than or equal to 50%"),
    ("LINEAR", "LinearStepSize", 1, 11, "10-50%"),
    ("LINEAR", "LinearStepSize", 3, 5, "10-50%"),
]


@pytest.mark.parametrize(("kind", "member", "value", "count", "words"), COUNTED)
def test_sizes_in_instances_outside_the_limits_are_refused(
    kind: str, member: str, value: int, count: int, words: str
) -> None:
    config = shifting(kind, **{member: {"Type": "INSTANCE_COUNT", "Value": value}})
    with pytest.raises(ApiError, match=words):
        deployment_rules.check(config, False, {"A": count}, {"A": count})
