"""Strategies and early stopping, without a server: what is proposed, what is given up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from local_sagemaker.engine import early_stopping, search
from local_sagemaker.engine.search import Question, Trial


def one(kind: str, low: str, high: str, scaling: str = "Linear") -> list[search.Range]:
    given = {"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scaling}
    return search.read({f"{kind}ParameterRanges": [given]})


def ask(strategy: str, ranges: list[search.Range], number: int, *trials: Trial) -> str:
    question = Question(ranges, seed=3, number=number, trials=trials, maximize=False)
    return search.propose(strategy, question)["x"]


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
@pytest.mark.parametrize(
    ("kind", "low", "high", "scaling"),
    [
        ("Integer", "-2", "3", "Linear"),
        ("Integer", "1", "1000", "Logarithmic"),
        ("Continuous", "0.5", "0.5", "Linear"),
        ("Continuous", "1e-6", "10", "Auto"),
        ("Continuous", "0", "0.999", "ReverseLogarithmic"),
    ],
)
def test_proposals_stay_in_the_range(
    strategy: str, kind: str, low: str, high: str, scaling: str
) -> None:
    ranges = one(kind, low, high, scaling)
    trials: list[Trial] = []
    for number in range(1, 12):
        value = ask(strategy, ranges, number, *trials)
        assert float(low) <= float(value) <= float(high)
        assert kind == "Continuous" or value == str(int(value))
        trials.append(Trial({"x": value}, float(value), running=number % 3 == 0))


def test_every_integer_is_drawn_about_as_often() -> None:
    drawn = [ask("Random", one("Integer", "1", "4"), number) for number in range(400)]
    assert all(70 <= drawn.count(value) <= 130 for value in "1234")


def test_scaling_decides_where_the_middle_is() -> None:
    def middle(scaling: str, low: str, high: str) -> float:
        ranges = one("Continuous", low, high, scaling)
        drawn = sorted(float(ask("Random", ranges, number)) for number in range(301))
        return drawn[150]

    assert middle("Linear", "0.0001", "1") == pytest.approx(0.5, abs=0.1)
    assert middle("Logarithmic", "0.0001", "1") == pytest.approx(0.01, rel=0.5)
    assert middle("Auto", "0.0001", "1") == middle("Logarithmic", "0.0001", "1")
    assert 1 - middle("ReverseLogarithmic", "0", "0.9999") == pytest.approx(0.01, rel=0.5)


def test_a_bayesian_search_goes_where_it_was_good() -> None:
    ranges = one("Continuous", "0", "1")
    trials: list[Trial] = []
    for number in range(1, 31):
        value = ask("Bayesian", ranges, number, *trials)
        trials.append(Trial({"x": value}, abs(float(value) - 0.8), running=False))
    late = [abs(float(each.parameters["x"]) - 0.8) for each in trials[-10:]]
    assert sum(late) / 10 < 0.2  # drawn at random it would be 0.34


def test_a_bayesian_proposal_depends_on_its_question_alone() -> None:
    ranges = one("Continuous", "0", "1")
    trials = [Trial({"x": str(n / 9)}, n * 0.1, running=False) for n in range(8)]
    assert ask("Bayesian", ranges, 9, *trials) == ask("Bayesian", ranges, 9, *trials)


def test_the_server_does_not_import_what_only_some_jobs_need() -> None:
    code = (
        "import sys; from local_sagemaker import boot; boot.load_api(); "
        "print([m for m in ('optuna', 'numpy', 'pandas', 'xgboost') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_median_rule_waits_for_three_and_compares_running_averages() -> None:
    finished = [[4.0, 2.0], [3.0, 1.0], [5.0, 5.0]]  # averages after two epochs: 3, 2, 5
    worse = early_stopping.worse_than_median
    assert worse([9.0, 3.1], finished, maximize=False)
    assert not worse([9.0, 2.9], finished, maximize=False)
    assert worse([9.0, 2.9], finished, maximize=True)
    assert not worse([9.0, 9.0], finished[:2], maximize=False)
    assert not worse([], finished, maximize=False)


def test_hyperband_lets_the_best_third_go_on_from_a_rung() -> None:
    others = [[1.0], [2.0], [3.0, 3.0], [4.0], [5.0]]
    loses = early_stopping.loses_at_a_rung
    assert not loses([1.5], others, 1, 9, maximize=False)
    assert loses([2.5], others, 1, 9, maximize=False)
    assert loses([2.5], others, 1, 9, maximize=True)
    assert not loses([9.0], others[:1], 1, 9, maximize=False)
    assert not loses([9.0, 9.0], others, 3, 9, maximize=False)
    assert loses([0.0] * 9, others, 1, 9, maximize=False)
