"""What the baseline demands of each metric, and where the current data fails it. Pure."""

from collections.abc import Mapping
from typing import Any

from steps.monitors.environment import MonitorError
from steps.monitors.quality_metrics import CONSTANT

LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"
# A violation is a value beyond the threshold in the operator's direction.
OPERATORS = {LESS: lambda value, limit: value < limit, GREATER: lambda value, limit: value > limit}
LOWER_IS_BETTER = ("mae", "mse", "rmse", "false_positive_rate", "false_negative_rate")


def suggest(found: Mapping[str, Any]) -> dict[str, Any]:
    """A constraint per metric of the baseline: its value, one standard deviation looser.

    Curves, the confusion matrix, constant classifiers and what could not be computed have none.
    """
    return {
        name: {
            "threshold": _threshold(name, metric),
            "comparison_operator": GREATER if name in LOWER_IS_BETTER else LESS,
        }
        for name, metric in found.items()
        if isinstance(metric.get("value"), float) and not name.endswith(CONSTANT)
    }


def evaluate(found: Mapping[str, Any], constraints: Mapping[str, Any]) -> list[dict[str, str]]:
    """The violations. A metric that the data does not give, or gives as NaN, is one."""
    violations = []
    for name, constraint in constraints.items():
        operator, limit = constraint["comparison_operator"], constraint["threshold"]
        if operator not in OPERATORS:
            raise MonitorError(
                f"comparison_operator {operator!r} of {name} is not one of {', '.join(OPERATORS)}"
            )
        metric = found.get(name, {})
        value = metric.get("value")
        if not isinstance(value, float):
            text = f"Metric {name} cannot be computed on this data; it must not be {operator}"
        elif OPERATORS[operator](value, limit):
            text = f"Metric {name} with {value}{_margin(metric)} was {operator}"
        else:
            continue
        violations.append(
            {
                "metric_name": name,
                "constraint_check_type": operator,
                "description": f"{text} '{limit}'",
            }
        )
    return violations


def _threshold(name: str, metric: Mapping[str, Any]) -> float:
    spread = metric["standard_deviation"]
    slack = 0.0 if spread == "NaN" else float(spread)
    return float(metric["value"]) + (slack if name in LOWER_IS_BETTER else -slack)


def _margin(metric: Mapping[str, Any]) -> str:
    spread = metric["standard_deviation"]
    return "" if spread == "NaN" else f" +/- {spread}"
