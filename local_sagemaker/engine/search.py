"""Where a tuning job looks next: hyperparameter ranges, and one function per strategy.

A proposal depends on nothing but the ranges, the seed, the number of the trial and what the trials
before it gave, so a tuning job continues after a restart as if nothing had happened. Everything is
a string at the edge, as AWS has it. optuna is imported when a Bayesian job runs, not before.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_sagemaker.errors import ApiError, validation

INTEGER, CONTINUOUS, CATEGORICAL = "Integer", "Continuous", "Categorical"
LINEAR, LOG, REVERSE_LOG = "Linear", "Logarithmic", "ReverseLogarithmic"
# ScalingType Auto: AWS decides; here a range over this many times its lower end is logarithmic.
AUTO_LOG_FACTOR = 1000
STARTUP_TRIALS = 5  # that TPE samples at random before it models
MOST_TUNABLES = 30
MOST_VALUES = 30
MOST_JOBS, MOST_JOBS_OF = 750, {"Random": 10_000}  # of one tuning job, by strategy

Parameters = dict[str, str]


@dataclass(frozen=True)
class Range:
    """One tuned hyperparameter: numbers from `low` to `high`, or `values`."""

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    scaling: str = LINEAR
    values: tuple[str, ...] = ()

    def holds(self, value: str | None) -> bool:
        """Is this hyperparameter's value one that the range may give?"""
        if value is None or self.kind == CATEGORICAL:
            return value in self.values
        try:
            number = int(value) if self.kind == INTEGER else float(value)
        except ValueError:
            return False
        return self.low <= number <= self.high


@dataclass(frozen=True)
class Trial:
    """What was tried, and its objective: None while it runs, or when it gave none."""

    parameters: Parameters
    objective: float | None
    running: bool


@dataclass(frozen=True)
class Question:
    """All that a strategy may look at. `number` counts from 1."""

    ranges: Sequence[Range]
    seed: int
    number: int
    trials: Sequence[Trial]
    maximize: bool


def read(given: Mapping[str, Any]) -> list[Range]:
    """The ParameterRanges of a request. Raises ApiError for a range that holds nothing."""
    ranges = [
        *(_numeric(INTEGER, each) for each in given.get("IntegerParameterRanges", ())),
        *(_numeric(CONTINUOUS, each) for each in given.get("ContinuousParameterRanges", ())),
        *(_categorical(each) for each in given.get("CategoricalParameterRanges", ())),
    ]
    names = [each.name for each in ranges]
    for name in names:
        if names.count(name) > 1:
            raise validation(f"ParameterRanges: {name!r} has two ranges; give it one")
    if not 1 <= len(ranges) <= MOST_TUNABLES:
        raise validation(f"ParameterRanges: give 1 to {MOST_TUNABLES} ranges, not {len(ranges)}")
    return ranges


def _numeric(kind: str, given: Mapping[str, str]) -> Range:
    name = given["Name"]
    try:
        number = int if kind == INTEGER else float
        low, high = number(given["MinValue"]), number(given["MaxValue"])
    except ValueError as cause:
        raise _bad(name, f"MinValue and MaxValue must be {kind.lower()} numbers") from cause
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise _bad(name, f"MinValue {low} must not be above MaxValue {high}")
    scaling = given.get("ScalingType", "Auto")
    if scaling == LOG and low <= 0:
        raise _bad(name, f"Logarithmic scaling needs MinValue above 0, not {low}")
    if scaling == REVERSE_LOG and (kind == INTEGER or not 0 <= low <= high < 1):
        raise _bad(name, "ReverseLogarithmic scaling is for continuous ranges within [0, 1)")
    if scaling == "Auto":
        scaling = LOG if low > 0 and high >= AUTO_LOG_FACTOR * low else LINEAR
    return Range(name, kind, low, high, scaling)


def _categorical(given: Mapping[str, Any]) -> Range:
    values = tuple(given["Values"])
    if not 1 <= len(values) <= MOST_VALUES or len(set(values)) != len(values):
        raise _bad(given["Name"], f"Values must be 1 to {MOST_VALUES} different strings")
    return Range(given["Name"], CATEGORICAL, values=values)


def _bad(name: str, rule: str) -> ApiError:
    return validation(f"ParameterRanges {name!r}: {rule}")


def grid_size(ranges: Sequence[Range]) -> int:
    return math.prod(len(each.values) for each in ranges)


def propose(strategy: str, question: Question) -> Parameters:
    """The hyperparameters of the next trial."""
    return STRATEGIES[strategy](question)


def _random(question: Question) -> Parameters:
    chance = random.Random(f"{question.seed}-{question.number}")  # noqa: S311 - no secret
    return {each.name: _sample(each, chance.random()) for each in question.ranges}


def _sample(one: Range, at: float) -> str:
    """The value at a place in [0, 1) of the range, as its scale spreads it."""
    if one.kind == CATEGORICAL:
        return one.values[int(at * len(one.values))]
    # An integer's ends get their whole share when each stands for half a step on either side.
    half = 0.5 if one.kind == INTEGER else 0.0
    low, high = _scaled(one, one.low - half), _scaled(one, one.high + half)
    return _written(one, _unscaled(one, low + at * (high - low)))


def _scaled(one: Range, value: float) -> float:
    if one.scaling == LOG:
        return math.log(value)
    return -math.log(1 - value) if one.scaling == REVERSE_LOG else value


def _unscaled(one: Range, value: float) -> float:
    if one.scaling == LOG:
        return math.exp(value)
    return 1 - math.exp(-value) if one.scaling == REVERSE_LOG else value


def _written(one: Range, value: float) -> str:
    value = min(max(value, one.low), one.high)
    return str(round(value)) if one.kind == INTEGER else repr(float(value))


def _grid(question: Question) -> Parameters:
    combinations = itertools.product(*(each.values for each in question.ranges))
    values = next(itertools.islice(combinations, question.number - 1, None))
    return {each.name: value for each, value in zip(question.ranges, values, strict=True)}


def _bayesian(question: Question) -> Parameters:
    """Tree-structured Parzen estimators over what is finished; running trials count as bad, so that
    parallel ones spread.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=STARTUP_TRIALS,
        seed=(question.seed + question.number) % 2**32,
        constant_liar=True,
    )
    study = optuna.create_study(
        sampler=sampler, direction="maximize" if question.maximize else "minimize"
    )
    distributions = {each.name: _distribution(optuna, each) for each in question.ranges}
    for trial in question.trials:
        if trial.running or trial.objective is not None:
            study.add_trial(_known(optuna, question, distributions, trial))
    asked = study.ask(distributions)
    return {each.name: _from_optuna(each, asked.params[each.name]) for each in question.ranges}


def _known(optuna: Any, question: Question, distributions: Mapping[str, Any], trial: Trial) -> Any:
    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        state=states.RUNNING if trial.running else states.COMPLETE,
        params={
            each.name: _to_optuna(each, trial.parameters[each.name]) for each in question.ranges
        },
        distributions=dict(distributions),
        value=None if trial.running else trial.objective,
    )


def _distribution(optuna: Any, one: Range) -> Any:
    kinds = optuna.distributions
    if one.kind == CATEGORICAL:
        return kinds.CategoricalDistribution(one.values)
    if one.kind == INTEGER:
        return kinds.IntDistribution(int(one.low), int(one.high), log=one.scaling == LOG)
    if one.scaling == REVERSE_LOG:
        return kinds.FloatDistribution(1 - one.high, 1 - one.low, log=True)
    return kinds.FloatDistribution(one.low, one.high, log=one.scaling == LOG)


def _to_optuna(one: Range, value: str) -> str | float | int:
    if one.kind == CATEGORICAL:
        return value
    if one.kind == INTEGER:
        return int(value)
    if one.scaling == REVERSE_LOG:
        return min(max(1 - float(value), 1 - one.high), 1 - one.low)
    return float(value)


def _from_optuna(one: Range, value: Any) -> str:
    if one.kind == CATEGORICAL:
        return str(value)
    return _written(one, 1 - value if one.scaling == REVERSE_LOG else value)


STRATEGIES: dict[str, Callable[[Question], Parameters]] = {
    "Bayesian": _bayesian,
    "Grid": _grid,
    "Hyperband": _random,  # it draws at random; what it saves is in early_stopping.py
    "Random": _random,
}
