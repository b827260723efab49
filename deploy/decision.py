"""From evidence to promote, hold or roll back, with the reasons in words. Pure.

    promote     the gain is shown to be above --min-effect (or above -margin: non-inferior)
    roll back   shown to be worse, or a guardrail (errors, latency) is shown to be crossed
    hold        neither yet

Of a challenger that deserves no promotion at most alpha are ever promoted; of one that harms
nothing at most alpha are ever rolled back, all harms together (each has its part of alpha).
Sources and assumptions: docs/experiments.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from deploy import bounded
from deploy.sequential import Blocks, Floats, Sequence, gain_sequence, gains_to_try, log_evidence

Aim = Literal["better", "non-inferior"]
METRICS = {
    "errors": "answers without a server error",
    "correct": "answers that turned out right",
    "loss": "mean loss",
}
# Fewer minutes than this say nothing by an argument that holds for many.
LEAST_MINUTES = 15


@dataclass(frozen=True)
class Rules:
    """What counts as a gain and as a harm; shares between 0 and 1."""

    metric: str = "errors"
    aim: Aim = "better"
    alpha: float = 0.05
    min_effect: float = 0.0
    margin: float = 0.01
    more_errors: float = 0.01
    more_latency: float = 0.25

    @property
    def promote_above(self) -> float:
        return self.min_effect if self.aim == "better" else -self.margin

    @property
    def worse_below(self) -> float:
        return 0.0 if self.aim == "better" else -self.margin


class Losses(NamedTuple):
    """Losses in 0..1 of both variants in order of arrival, and how many there were at each time."""

    champion: Floats
    challenger: Floats
    champion_seen: Floats
    challenger_seen: Floats


@dataclass(frozen=True)
class Evidence:
    """What was seen. Times are seconds since 1970, one for each block; latency in milliseconds."""

    traffic_times: Floats
    traffic: Blocks
    latency_times: Floats
    champion_latency: Floats
    challenger_latency: Floats
    label_times: Floats
    labelled: Blocks | Losses | None = None


@dataclass(frozen=True)
class Finding:
    """One test: what it asks, whether the answer is yes, and the figures it rests on."""

    name: str
    asks: str
    alpha: float
    yes: bool
    exact: bool
    values: dict[str, float]
    log_evidence: Floats | None = None

    @property
    def document(self) -> dict[str, Any]:
        found = {"name": self.name, "asks": self.asks, "yes": self.yes, "alpha": self.alpha}
        kind = "always valid" if self.exact else "always valid, asymptotic"
        return {**found, "kind": kind, **self.values}


@dataclass(frozen=True)
class Verdict:
    """The answer, why, each test, and the confidence sequence of the gain."""

    answer: Literal["promote", "hold", "roll back"]
    why: tuple[str, ...]
    promotion: Finding
    harms: tuple[Finding, ...]
    times: Floats
    gain: Sequence
    rules: Rules


def decide(evidence: Evidence, rules: Rules) -> Verdict:
    """The verdict by what has been seen so far; ValueError for labels that the metric needs."""
    times, seen = _primary(evidence, rules)
    gain = _gain(seen, rules)
    promotion = _promotion(seen, gain, rules)
    count = 2 if rules.metric == "errors" else 3
    harms = [_worse(seen, rules, rules.alpha / count)]
    if rules.metric != "errors":
        harms.append(_errors(evidence.traffic, rules, rules.alpha / count))
    harms.append(_latency(evidence, rules, rules.alpha / count))
    crossed = [each for each in harms if each.yes]
    answer: Literal["promote", "hold", "roll back"] = (
        "roll back" if crossed else "promote" if promotion.yes else "hold"
    )
    why = _why(answer, promotion, crossed, gain, rules)
    return Verdict(answer, why, promotion, tuple(harms), times, gain, rules)


def _primary(evidence: Evidence, rules: Rules) -> tuple[Floats, Blocks | Losses]:
    if rules.metric == "errors":
        return evidence.traffic_times, evidence.traffic
    if evidence.labelled is None:
        raise ValueError(f"metric {rules.metric!r} needs ground truth")
    return evidence.label_times, evidence.labelled


def _gain(seen: Blocks | Losses, rules: Rules) -> Sequence:
    """Both bounds together are wrong with probability alpha at most twice over: each one alpha."""
    if isinstance(seen, Losses):
        return bounded.loss_gain(*seen, rules.alpha)
    return gain_sequence(seen, rules.alpha, gains_to_try(rules.promote_above, rules.worse_below))


def _promotion(seen: Blocks | Losses, gain: Sequence, rules: Rules) -> Finding:
    limit = rules.promote_above
    asks = f"is the gain above {limit:+.4g}?"
    lower, upper = _last(gain.lower, -1.0), _last(gain.upper, 1.0)
    values = {**_rates(seen), "gain_low": lower, "gain_high": upper}
    if isinstance(seen, Losses):
        return Finding("gain", asks, rules.alpha, lower > limit, True, values)
    return _tested("gain", asks, rules.alpha, log_evidence(seen, limit), values)


def _worse(seen: Blocks | Losses, rules: Rules, alpha: float) -> Finding:
    limit = rules.worse_below
    asks = f"is the gain below {limit:+.4g}?"
    if isinstance(seen, Losses):
        upper = _last(bounded.loss_gain(*seen, alpha).upper, 1.0)
        return Finding("worse", asks, alpha, upper < limit, True, {"gain_high": upper})
    return _tested("worse", asks, alpha, log_evidence(seen.mirrored, -limit), {})


def _errors(traffic: Blocks, rules: Rules, alpha: float) -> Finding:
    asks = f"are there more than {100 * rules.more_errors:.4g} points more server errors?"
    evidence = log_evidence(traffic.mirrored, rules.more_errors)
    return _tested("errors", asks, alpha, evidence, _rates(traffic))


def _latency(evidence: Evidence, rules: Rules, alpha: float) -> Finding:
    """Is challenger - (1 + allowed) champion above 0 on average, by minutes that have both?"""
    champion, challenger = evidence.champion_latency, evidence.challenger_latency
    asks = f"is the mean latency more than {100 * rules.more_latency:.4g} % higher?"
    values = {"minutes": float(champion.size)}
    if champion.size:
        values |= {"champion_ms": float(champion.mean()), "challenger_ms": float(challenger.mean())}
    if champion.size < LEAST_MINUTES:
        return Finding("latency", asks, alpha, False, False, values)
    excess = challenger - (1 + rules.more_latency) * champion
    lower = bounded.asymptotic_mean(excess, alpha).lower[LEAST_MINUTES - 1 :]
    values["excess_low_ms"] = float(lower.max())
    return Finding("latency", asks, alpha, bool(lower.max() > 0), False, values)


def _tested(
    name: str, asks: str, alpha: float, evidence: Floats, values: dict[str, float]
) -> Finding:
    """Yes once the evidence has ever been 1/alpha to one."""
    most = float(evidence.max()) if evidence.size else 0.0
    values = {**values, "evidence": math.exp(min(most, 300.0)), "needed": 1 / alpha}
    return Finding(name, asks, alpha, most >= math.log(1 / alpha), True, values, evidence)


def _rates(seen: Blocks | Losses) -> dict[str, float]:
    if isinstance(seen, Losses):
        pairs = [(len(each), each.sum()) for each in seen[:2]]
    else:
        pairs = [(seen[0].sum(), seen[1].sum()), (seen[2].sum(), seen[3].sum())]
    names = ("champion", "challenger")
    found = {f"{name}_n": float(n) for name, (n, _) in zip(names, pairs, strict=True)}
    means = {n: float(total / size) for n, (size, total) in zip(names, pairs, strict=True) if size}
    return {**found, **means}


def _last(values: Floats, otherwise: float) -> float:
    return float(values[-1]) if np.size(values) else otherwise


def _why(
    answer: str, promotion: Finding, crossed: list[Finding], gain: Sequence, rules: Rules
) -> tuple[str, ...]:
    lines = [_seen(promotion, rules)]
    low, high = promotion.values["gain_low"], promotion.values["gain_high"]
    lines.append(f"The gain lies above {low:+.4g} and below {high:+.4g}, however often one looks.")
    if answer == "roll back":
        return (*lines, *(_harm(each) for each in crossed))
    limit = rules.promote_above
    if answer == "promote":
        return (*lines, f"It is shown to be above {limit:+.4g}{_odds(promotion)}.")
    if high <= limit:
        lines.append(f"It is shown not to be above {limit:+.4g}: this experiment can end.")
    else:
        lines.append(f"It is not shown to be above {limit:+.4g}{_odds(promotion)}: go on.")
    return tuple(lines)


def _seen(promotion: Finding, rules: Rules) -> str:
    values = promotion.values
    parts = []
    for name in ("champion", "challenger"):
        if name in values:
            rate = f"{values[name]:.4g}" if rules.metric == "loss" else f"{values[name]:.2%}"
            parts.append(f"{name} {rate} of {values[f'{name}_n']:,.0f}")
        else:
            parts.append(f"{name} nothing yet")
    return f"{METRICS[rules.metric].capitalize()}: {', '.join(parts)}."


def _odds(finding: Finding) -> str:
    if "evidence" not in finding.values:
        return ""
    return (
        f" (evidence {finding.values['evidence']:,.3g} to 1, "
        f"{finding.values['needed']:,.3g} to 1 is enough)"
    )


def _harm(finding: Finding) -> str:
    question = finding.asks[:1].upper() + finding.asks[1:]
    if finding.name == "latency":
        values = finding.values
        return (
            f"{question} Yes: champion {values['champion_ms']:.4g} ms, challenger "
            f"{values['challenger_ms']:.4g} ms (asymptotic, {values['minutes']:.0f} minutes)."
        )
    return f"{question} Yes{_odds(finding)}."
