"""Whether the features' order of importance has left the baseline's. Pure.

nDCG: the baseline's attributions read in the live order, discounted by log2 of their place, over
the same in the baseline's own order. 1 is the same order; below 0.90 is a violation.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-monitor-feature-attribution-drift.html
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from steps.monitors.attribution import scores
from steps.monitors.environment import MonitorError

THRESHOLD = 0.90
Scores = Mapping[str, float]


def ndcg(baseline: Scores, live: Scores) -> float:
    """0 to 1 for two non-empty maps of the same features; signs do not count. A baseline of zeros
    has no order to lose: 1. Raises MonitorError for features that only one has."""
    if odd := baseline.keys() ^ live.keys():
        raise MonitorError(f"baseline and data differ in features: {', '.join(sorted(odd))}")
    ideal = _gain(baseline, _ranking(baseline))
    return _gain(baseline, _ranking(live)) / ideal if ideal else 1.0


def violations(analysis: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[dict[str, str]]:
    """The labels whose order drifted; both are analysis.json's content."""
    if "explanations" not in baseline:
        raise MonitorError("the baseline has no explanations; make it with methods.shap")
    now, before = scores(analysis["explanations"]), scores(baseline["explanations"])
    if odd := now.keys() ^ before.keys():
        raise MonitorError(f"baseline and data differ in labels: {', '.join(sorted(odd))}")
    found = []
    for label in sorted(now):
        value = ndcg(before[label], now[label])
        if value < THRESHOLD:
            found.append(
                {
                    "label": label,
                    "metric_name": "shap",
                    "constraint_check_type": "feature_attribution_drift_check",
                    "description": (
                        f"Feature attribution drift {value} exceeds threshold {THRESHOLD}"
                    ),
                }
            )
    return found


def _ranking(values: Scores) -> list[str]:
    """Largest first; equal ones by name, so that equal scores are the same order."""
    return sorted(values, key=lambda name: (-abs(values[name]), name))


def _gain(values: Scores, order: Sequence[str]) -> float:
    return sum(abs(values[name]) / math.log2(place + 1) for place, name in enumerate(order, 1))
