"""constraints.json: what a baseline suggests, and what a monitor reads."""

from typing import Any

from steps.monitors.columns import Column
from steps.monitors.statistics import MOST_CATEGORIES

MONITORING = {
    "evaluate_constraints": "Enabled",
    "emit_metrics": "Enabled",
    "datatype_check_threshold": 1.0,
    "domain_content_threshold": 1.0,
    "distribution_constraints": {
        "perform_comparison": "Enabled",
        "comparison_threshold": 0.1,
        "comparison_method": "Robust",
        "categorical_comparison_threshold": 0.1,
        "categorical_drift_method": "LInfinity",
    },
}
# The developer guide prints the one, the SDK writes the other.
OVERRIDES = ("monitoring_config_overrides", "monitoringConfigOverrides")


def suggest(rows: int, columns: dict[str, Column]) -> dict[str, Any]:
    features = [_feature(name, column, rows) for name, column in columns.items()]
    return {"version": 0.0, "features": features, "monitoring_config": MONITORING}


def config(constraints: dict[str, Any], feature: dict[str, Any]) -> dict[str, Any]:
    """The monitoring_config that holds for this feature."""
    found = _over(MONITORING, constraints.get("monitoring_config", {}))
    for holder in (feature, feature.get("string_constraints", {})):
        for key in OVERRIDES:
            found = _over(found, holder.get(key) or {})
    return found


def _over(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    inner = "distribution_constraints"
    return {**base, **more, inner: {**base[inner], **more.get(inner, {})}}


def _feature(name: str, column: Column, rows: int) -> dict[str, Any]:
    feature: dict[str, Any] = {
        "name": name,
        "inferred_type": column.inferred_type,
        "completeness": column.present / rows,
    }
    if column.inferred_type in ("Integral", "Fractional"):
        feature["num_constraints"] = {"is_non_negative": column.low >= 0}
    elif column.values is not None and 0 < len(column.values) <= MOST_CATEGORIES:
        feature["string_constraints"] = {"domains": sorted(column.values)}
    return feature
