"""promote, hold, roll back: by which evidence."""

from typing import Any

import numpy as np
import pytest

from deploy.decision import Evidence, Losses, Rules, Verdict, decide
from deploy.sequential import Blocks, Floats

MINUTES = 200
TIMES = 1_700_000_000.0 + 60 * np.arange(MINUTES)
LABELS = Rules(metric="correct")


def outcomes(rate_a: float, rate_b: float, each: int = 10, seed: int = 0) -> Blocks:
    draw = np.random.default_rng(seed)
    n_a, n_b = np.full(MINUTES, 4.0 * each), np.full(MINUTES, 1.0 * each)
    return Blocks(
        n_a, draw.binomial(4 * each, rate_a, MINUTES) * 1.0, n_b, _successes(draw, each, rate_b)
    )


def _successes(draw: Any, each: int, rate: float) -> Floats:
    found: Floats = draw.binomial(each, rate, MINUTES) * 1.0
    return found


def seen(
    errors: tuple[float, float] = (0.001, 0.001),
    right: tuple[float, float] | None = None,
    slower: float = 1.0,
    minutes: int = MINUTES,
) -> Evidence:
    draw = np.random.default_rng(1)
    latency = draw.gamma(20, 1, (2, MINUTES))[:, :minutes]
    traffic = outcomes(1 - errors[0], 1 - errors[1])
    labelled = outcomes(*right, seed=2) if right else None
    return Evidence(
        TIMES, traffic, TIMES[:minutes], latency[0], slower * latency[1], TIMES, labelled
    )


def answer(evidence: Evidence, rules: Rules = LABELS) -> tuple[str, list[str]]:
    found = decide(evidence, rules)
    return found.answer, [each.name for each in found.harms if each.yes]


def test_a_better_challenger_is_promoted_and_the_words_say_the_numbers() -> None:
    found = decide(seen(right=(0.8, 0.9)), LABELS)
    assert found.answer == "promote"
    assert "champion 8" in found.why[0]
    assert "It is shown to be above +0" in found.why[-1]


def test_equal_variants_are_held() -> None:
    found = decide(seen(right=(0.85, 0.85)), LABELS)
    assert (found.answer, found.why[-1].endswith("go on.")) == ("hold", True)


def test_a_worse_challenger_is_rolled_back() -> None:
    assert answer(seen(right=(0.9, 0.8))) == ("roll back", ["worse"])


def test_a_gain_that_is_too_small_is_not_promoted_and_the_experiment_may_end() -> None:
    found = decide(seen(right=(0.8, 0.82)), Rules(metric="correct", min_effect=0.2))
    assert (found.answer, found.why[-1].endswith("can end.")) == ("hold", True)


def test_as_good_as_the_champion_is_enough_when_that_is_the_aim() -> None:
    rules = Rules(metric="correct", aim="non-inferior", margin=0.1)
    assert answer(seen(right=(0.85, 0.85)), rules) == ("promote", [])
    assert answer(seen(right=(0.85, 0.60)), rules) == ("roll back", ["worse"])


def test_errors_are_a_guardrail_even_of_a_better_challenger() -> None:
    assert answer(seen(right=(0.8, 0.9), errors=(0.001, 0.1))) == ("roll back", ["errors"])


def test_latency_is_a_guardrail_once_there_are_enough_minutes() -> None:
    assert answer(seen(right=(0.8, 0.9), slower=2.0)) == ("roll back", ["latency"])
    assert answer(seen(right=(0.8, 0.9), slower=2.0, minutes=10)) == ("promote", [])
    assert answer(seen(right=(0.8, 0.9), slower=1.1)) == ("promote", [])


def test_without_labels_fewer_errors_are_the_gain() -> None:
    assert answer(seen(errors=(0.08, 0.01)), Rules()) == ("promote", [])
    assert answer(seen(errors=(0.01, 0.08)), Rules()) == ("roll back", ["worse"])


def test_a_smaller_loss_is_a_gain() -> None:
    draw = np.random.default_rng(3)
    losses = Losses(
        draw.beta(4, 6, 4000),
        draw.beta(2, 8, 1000),
        20.0 * np.arange(1, MINUTES + 1),
        5.0 * np.arange(1, MINUTES + 1),
    )
    evidence = seen()
    found = Evidence(**{**evidence.__dict__, "labelled": losses})
    assert answer(found, Rules(metric="loss")) == ("promote", [])


def test_nothing_seen_is_hold() -> None:
    none = np.array([])
    found: Verdict = decide(Evidence(none, Blocks(*[none] * 4), *[none] * 4), Rules())
    assert found.answer == "hold"
    assert "nothing yet" in found.why[0]


def test_a_metric_of_labels_needs_them() -> None:
    with pytest.raises(ValueError, match="needs ground truth"):
        decide(seen(), LABELS)
