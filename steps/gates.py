"""Whether a model may be released: its metric against the gate, its fairness against the limits.

The pipeline compares the same numbers itself, by their path in evaluation.json; here they get a
verdict and, where they fail, a sentence with the numbers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from steps.problem import BIGGER_IS_BETTER, FAIRNESS_LIMITS, Problem

Verdicts = Mapping[str, dict[str, Any]]


def apply(
    problem: Problem,
    judged: Verdicts,
    thresholds: Mapping[str, float],
    limits: Mapping[str, float],
) -> None:
    """Adds `gate` to each verdict, and limit and passed to the limited fairness measures."""
    for name, verdict in judged.items():
        verdict["gate"] = _gate(verdict, thresholds[name])
    for name in problem.fairness_models if problem.fairness.facets else ():
        for measure, limit in limits.items():
            found = judged[name]["fairness_limits"][measure]
            side = FAIRNESS_LIMITS[measure]
            found.update(direction=side, limit=limit, passed=_holds(found["value"], side, limit))


def failures(judged: Verdicts) -> Iterator[str]:
    """One phrase per gate or limit that does not hold: churn: auc 0.71 is below 0.8."""
    for name, verdict in judged.items():
        gate = verdict["gate"]
        if not gate["passed"]:
            yield f"{name}: {gate['metric']} {_miss(gate, gate['threshold'])}"
        for measure, found in verdict.get("fairness_limits", {}).items():
            if not found.get("passed", True):
                yield f"{name}: {measure} for {found['facet']} {_miss(found, found['limit'])}"


def _gate(verdict: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    metric = verdict["metric"]
    value = verdict["metrics"][metric]["value"]
    side = "min" if BIGGER_IS_BETTER[metric] else "max"
    return {
        "metric": metric,
        "direction": side,
        "threshold": threshold,
        "value": value,
        "passed": _holds(value, side, threshold),
    }


def _holds(value: float, side: str, bound: float) -> bool:
    return value >= bound if side == "min" else value <= bound


def _miss(found: Mapping[str, Any], bound: float) -> str:
    """Four digits, and all of them where four would show a miss as a tie."""
    side = "below" if found["direction"] == "min" else "above"
    short = f"{found['value']:.4g}"
    value = f"{found['value']:.8g}" if float(short) == bound else short
    return f"{value} is {side} {bound:g}"
