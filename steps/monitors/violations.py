"""constraint_violations.json: a table of checks, each a function of one column."""

from dataclasses import dataclass
from typing import Any

from steps.monitors import constraints, distances, sketch
from steps.monitors.columns import Column
from steps.monitors.environment import MonitorError

NOT_MET = "Value: {} does not meet the constraint requirement! "


@dataclass(frozen=True)
class Case:
    """One column beside what the baseline says of it."""

    column: Column
    rows: int
    rule: dict[str, Any]
    baseline: dict[str, Any]
    config: dict[str, Any]
    drift_method: str


def find(
    rows: int,
    columns: dict[str, Column],
    limits: dict[str, Any],
    baseline: dict[str, Any],
    drift_method: str = "",
) -> tuple[list[dict[str, str]], dict[str, float]]:
    """The violations, and the drift distance of every feature compared."""
    rules = {rule["name"]: rule for rule in limits.get("features", [])}
    if (changed := _changed_columns(columns, rules)) and _enabled(limits):
        return changed, {}
    known = {feature["name"]: feature for feature in baseline.get("features", [])}
    found: list[dict[str, str]] = []
    drifts: dict[str, float] = {}
    for name, rule in rules.items():
        if name not in columns:
            continue
        config = constraints.config(limits, rule)
        case = Case(columns[name], rows, rule, known.get(name, {}), config, drift_method)
        if (distance := drift(case)) is not None:
            drifts[name] = distance[0]
        if config["evaluate_constraints"] == "Enabled":
            texts = ((check, text(case)) for check, text in CHECKS.items())
            found += [_violation(name, check, text) for check, text in texts if text]
    return found, drifts


def drift(case: Case) -> tuple[float, float, str] | None:
    """The distance, its threshold and the word for it; None when nothing is to compare."""
    rules = case.config["distribution_constraints"]
    if rules["perform_comparison"] != "Enabled":
        return None
    method = rules["comparison_method"]
    old = case.baseline.get("numerical_statistics", {})
    if "distribution" in old and case.column.numbers:
        one, n = sketch.from_json(old["distribution"]["kll"]), old["common"]["num_present"]
        distance = distances.numeric(one, n, case.column.sketch, case.column.numbers, method)
        return distance, rules["comparison_threshold"], "Numerical"
    old = case.baseline.get("string_statistics", {})
    if "distribution" in old and case.column.values:
        kind = case.drift_method or rules["categorical_drift_method"]
        if kind != "LInfinity":
            raise MonitorError(f"categorical_drift_method {kind!r} is not supported; use LInfinity")
        before = {b["value"]: b["count"] for b in old["distribution"]["categorical"]["buckets"]}
        distance = distances.categorical(before, case.column.values, method)
        return distance, rules["categorical_comparison_threshold"], "Categorical"
    return None


def _data_type(case: Case) -> str:
    wanted, column = case.rule["inferred_type"], case.column
    if wanted in ("Unknown", "String") or not column.present:
        return ""
    fits = column.types["Integral"] + (column.types["Fractional"] if wanted == "Fractional" else 0)
    share, threshold = fits / column.present, case.config["datatype_check_threshold"]
    if share >= threshold:
        return ""
    return (
        f"Data type match requirement is not met. Expected data type: {wanted}, Expected match: "
        f"{threshold * 100}%. Observed: Only {share * 100}% of data is {wanted}."
    )


def _completeness(case: Case) -> str:
    share = case.column.present / case.rows
    return NOT_MET.format(share) if share < case.rule.get("completeness", 0) else ""


def _domain(case: Case) -> str:
    domain = case.rule.get("string_constraints", {}).get("domains")
    if not domain or case.column.values is None or not case.column.present:
        return ""
    share = sum(case.column.values[value] for value in set(domain)) / case.column.present
    return NOT_MET.format(share) if share < case.config["domain_content_threshold"] else ""


def _baseline_drift(case: Case) -> str:
    found = drift(case)
    if found is None or found[0] <= found[1]:
        return ""
    distance, threshold, word = found
    return f"{word} distance: {distance} exceeds {word.lower()} threshold: {threshold}"


CHECKS = {
    "data_type_check": _data_type,
    "completeness_check": _completeness,
    "categorical_values_check": _domain,
    "baseline_drift_check": _baseline_drift,
}


def _enabled(limits: dict[str, Any]) -> bool:
    return bool(constraints.config(limits, {})["evaluate_constraints"] == "Enabled")


def _changed_columns(columns: dict[str, Column], rules: dict[str, Any]) -> list[dict[str, str]]:
    text = (
        f"Number of columns in current dataset: {len(columns)}, "
        f"Number of columns in baseline constraints: {len(rules)}"
    )
    missing = [
        _violation(name, "missing_column_check", text) for name in rules if name not in columns
    ]
    extra = [_violation(name, "extra_column_check", text) for name in columns if name not in rules]
    return missing + extra


def _violation(name: str, check: str, text: str) -> dict[str, str]:
    return {"feature_name": name, "constraint_check_type": check, "description": text}
