"""`python -m deploy.variants`: usage, and how weights move."""

import math

import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from deploy import asking, shift, variants
from tests.deploy.test_endpoint import HERE


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["split", "A"], "weight is 'A'"),
        (["split", "A=x"], "The weight of A is 'x'"),
        (["split", "A=-1", "B=2"], "The weight of A is '-1'"),
        (["split", "A=0", "B=0"], "Every weight is 0"),
        (["split", "A=1", "A=2"], "a name is given twice"),
        (["split", "A=1", "--version", "B=2"], "--version names B"),
        (["shift", "--to", "B", "--steps", "50,10"], "--steps is '50,10'"),
        (["shift", "--to", "B", "--pause", "-1"], "--pause is -1"),
        (["shadow", "on", "--sample", "0"], "--sample is 0"),
    ],
)
def test_bad_usage_is_named_before_anybody_is_asked(
    aws: Stubber, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert variants.main([*words, *HERE]) == 2
    assert says in capsys.readouterr().err


@given(
    weights=st.dictionaries(st.sampled_from("ABCD"), st.floats(0, 1000), min_size=2),
    share=st.floats(0, 100),
)
def test_a_moved_weight_is_the_share_and_the_others_keep_their_proportions(
    weights: dict[str, float], share: float
) -> None:
    to = next(iter(weights))
    found = shift.moved(weights, to, share)
    assert found[to] == share
    assert math.isclose(sum(found.values()), 100, abs_tol=1e-4)
    others = sum(weights.values()) - weights[to]
    for name, each in weights.items():
        if name != to and others > 1e-3:
            wanted = (100 - share) * each / others
            assert math.isclose(found[name], wanted, rel_tol=1e-6, abs_tol=1e-4)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    seconds = [float(each) for each in range(1, 101)]
    assert [asking.percentile(seconds, each) for each in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert asking.percentile([7.0], 99) == 7.0
