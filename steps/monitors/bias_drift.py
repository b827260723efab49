"""Whether bias has become worse than the baseline's, with the doubt of small samples. Pure.

A metric may be as far from 0 as in the baseline (disparate impact: as far from 1). Its value on the
current rows is uncertain: the normal bootstrap gives an interval, and only an interval that lies
wholly outside the allowed range is a violation.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-monitor-bias-drift.html
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from steps.monitors import bias_metrics
from steps.monitors.bias import STAGES, Side
from steps.monitors.bias_metrics import BiasError, Rows
from steps.monitors.environment import MonitorError

Interval: TypeAlias = tuple[float, float]

RESAMPLES = 100
SEED = 0
NORMAL_95 = 1.959964
EQUAL = {"DI": 1.0}


def violations(
    analysis: Mapping[str, Any], baseline: Mapping[str, Any], sides: Sequence[Side]
) -> list[dict[str, str]]:
    """The metrics of analysis that are worse than in baseline; both are analysis.json's content.

    What the baseline could not compute is not compared. Raises MonitorError when the baseline lacks
    a section, facet or value.
    """
    found = []
    for stage, metrics in STAGES.items():
        section = f"{stage}_metrics"
        if section in analysis and section not in baseline:
            raise MonitorError(f"the baseline has no {section}; make it with methods.{stage}")
        for side in sides if section in analysis else ():
            allowed = _values(_entry(baseline[section], side))
            now = _values(_entry(analysis[section], side))
            for name in now.keys() & allowed.keys():
                limits = allowed_range(name, allowed[name])
                interval = confidence_interval(metrics[name][1], side.rows, now[name])
                if interval[0] > limits[1] or interval[1] < limits[0]:
                    found.append(_violation(side, name, now[name]))
    return sorted(found, key=lambda v: (v["facet"], v["facet_value"], v["metric_name"]))


def allowed_range(name: str, value: float) -> Interval:
    """As far from equality as the baseline's value, to both sides."""
    equal = EQUAL.get(name, 0.0)
    distance = abs(value - equal)
    return equal - distance, equal + distance


def confidence_interval(metric: Callable[[Rows], float], rows: Rows, value: float) -> Interval:
    """value ± 1.96 bootstrap deviations; draws in which the metric does not exist are left out.

    The flip test's neighbours stay those of the whole sample. An infinite value has no width.
    """
    if not np.isfinite(value):
        return value, value
    generator = np.random.default_rng(SEED)
    draws = []
    for _ in range(RESAMPLES):
        places = generator.integers(0, len(rows.facet), len(rows.facet))
        try:
            draws.append(bias_metrics.measure(metric, rows.take(places)))
        except BiasError:
            continue
    finite = [draw for draw in draws if np.isfinite(draw)]
    width = NORMAL_95 * float(np.std(finite, ddof=1)) if len(finite) > 1 else float("inf")
    return value - width, value + width


def _entry(section: Mapping[str, Any], side: Side) -> Mapping[str, Any]:
    values = section["facets"].get(side.facet, [])
    for entry in values:
        if _key(entry["value_or_threshold"]) == _key(side.value):
            return dict(entry)
    known = ", ".join(entry["value_or_threshold"] for entry in values) or "no value of it"
    raise MonitorError(f"the baseline knows {known}, not {side.value} of facet {side.facet}")


def _values(entry: Mapping[str, Any]) -> dict[str, float]:
    return {
        metric["name"]: float(metric["value"])
        for metric in entry["metrics"]
        if metric["value"] is not None
    }


def _key(shown: str) -> str:
    """(40, 90] is the threshold 40, whatever the largest value of the day."""
    return shown[1:].split(",")[0] if shown.startswith("(") and shown.endswith("]") else shown


def _violation(side: Side, name: str, value: float) -> dict[str, str]:
    return {
        "facet": side.facet,
        "facet_value": _key(side.value),
        "metric_name": name,
        "constraint_check_type": "bias_drift_check",
        "description": f"Value {value} does not meet the constraint requirement",
    }
