"""Sticky assignment: stable, in proportion to the weights, and calm when they move."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import sticky

ENTITIES = [f"customer-{n}" for n in range(3000)]
WEIGHTS = st.dictionaries(
    st.sampled_from("ABCDE"), st.floats(0, 100, allow_subnormal=False), min_size=1
).filter(lambda weights: sum(weights.values()) > 0.01)


def test_the_formula_is_the_documented_one() -> None:
    """Other languages compute the same: printf 'engagement:customer-1' | sha256sum"""
    assert sticky.point("customer-1", "engagement") == pytest.approx(
        int("b58d0a96dffa322e", 16) / 2**64, abs=1e-12
    )


@given(weights=WEIGHTS, salt=st.text(max_size=8))
def test_shares_are_those_of_the_weights(weights: dict[str, float], salt: str) -> None:
    found = [sticky.assign(each, weights, salt) for each in ENTITIES]
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        spread = math.sqrt(share * (1 - share) / len(ENTITIES))
        assert abs(found.count(name) / len(ENTITIES) - share) <= 6 * spread + 1 / len(ENTITIES)
        assert weight > 0 or name not in found


@given(before=st.integers(0, 100), after=st.integers(0, 100))
def test_only_entities_of_the_moved_share_change(before: int, after: int) -> None:
    for entity in ENTITIES[:300]:
        first = sticky.assign(entity, {"A": 100 - before, "B": before}, "e")
        then = sticky.assign(entity, {"A": 100 - after, "B": after}, "e")
        assert first == then or (then == "B") == (after > before)


@given(entity=st.text(), weights=WEIGHTS)
def test_an_entity_meets_the_same_variant_whatever_the_scale(
    entity: str, weights: dict[str, float]
) -> None:
    scaled = {name: weight * 4 for name, weight in weights.items()}
    assert sticky.assign(entity, weights, "e") == sticky.assign(entity, scaled, "e")


def test_another_salt_is_another_grouping() -> None:
    halves = {"A": 1.0, "B": 1.0}
    same = [sticky.assign(e, halves, "one") == sticky.assign(e, halves, "two") for e in ENTITIES]
    assert 0.4 < sum(same) / len(same) < 0.6


def test_no_weight_is_an_error() -> None:
    with pytest.raises(ValueError, match="no variant has a weight above 0"):
        sticky.assign("x", {"A": 0.0}, "e")
