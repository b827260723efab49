"""`python -m steps.monitors [--root /opt/ml]`: one monitoring job, told by the environment."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steps.monitors import (
    clarify,
    cloudwatch,
    constraints,
    environment,
    estimated_quality,
    quality,
    reading,
    scripts,
    statistics,
    violations,
)
from steps.monitors.columns import Column
from steps.monitors.environment import MonitorError, Settings

# Analyses other than data quality, by analysis_type.
ANALYSES = {"MODEL_QUALITY": quality.run, "ESTIMATED_MODEL_QUALITY": estimated_quality.run}


def run(variables: Mapping[str, str], root: Path) -> str:
    """Does the job and gives the sentence for the exit message. An analysis config makes it
    Clarify's."""
    if (root / clarify.CONFIG).is_file():
        return clarify.run(variables, root)
    if kind := variables.get("analysis_type"):
        if kind not in ANALYSES:
            raise MonitorError(
                f"analysis_type {kind!r} is not supported; use {', '.join(ANALYSES)}, or leave it"
                " out for data quality"
            )
        return ANALYSES[kind](variables, root)
    settings = environment.read(variables)
    rows, columns = statistics.collect(reading.batches(settings))
    if not rows:
        raise MonitorError(f"Job inputs had no data: {_why_empty(settings)}")
    _write(settings.output / "statistics.json", statistics.to_json(rows, columns))
    found: list[dict[str, str]] = []
    drifts: dict[str, float] = {}
    limits = constraints.suggest(rows, columns)
    if settings.constraints:
        limits = _read(settings.constraints)
        baseline = _read(settings.statistics) if settings.statistics else {}
        found, drifts = violations.find(rows, columns, limits, baseline, settings.drift_method)
        _write(settings.output / "constraint_violations.json", {"violations": found})
    else:
        _write(settings.output / "constraints.json", limits)
    if settings.publish:
        _publish(root, variables, limits, columns, drifts)
    if settings.post_processor:
        scripts.post_process(settings.post_processor)
    if found:
        return f"CompletedWithViolations: Job completed successfully with {len(found)} violations."
    return "Completed: Job completed successfully with no violations."


def _why_empty(settings: Settings) -> str:
    window = f" from {settings.start} to {settings.end}" if settings.start else ""
    return f"{settings.source} holds no {settings.kind} records{window}"


def _publish(
    root: Path,
    variables: Mapping[str, str],
    limits: dict[str, Any],
    columns: dict[str, Column],
    drifts: dict[str, float],
) -> None:
    rules = {rule["name"]: rule for rule in limits.get("features", [])}
    lines: list[dict[str, Any]] = []
    for name, column in columns.items():
        if constraints.config(limits, rules.get(name, {}))["emit_metrics"] == "Enabled":
            lines += _metrics(name, column, drifts.get(name))
    cloudwatch.write(root, variables, lines)


def _metrics(name: str, column: Column, drift: float | None) -> list[dict[str, Any]]:
    share = column.present / (column.present + column.missing)
    lines: list[dict[str, Any]] = [{"MetricName": f"feature_non_null_{name}", "Value": share}]
    if column.inferred_type in ("Integral", "Fractional"):
        values = (float(column.numbers), column.total, column.low, column.high)
        keys = ("SampleCount", "Sum", "Minimum", "Maximum")
        statistic = dict(zip(keys, values, strict=True))
        lines.append({"MetricName": f"feature_data_{name}", "StatisticValues": statistic})
    if drift is not None:
        lines.append({"MetricName": f"feature_baseline_drift_{name}", "Value": drift})
    return lines


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise MonitorError(f"the baseline {path} cannot be read: {error}") from error


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(prog="steps.monitors", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"))
    root = parser.parse_args().root
    code = 0
    try:
        message = run(os.environ, root)
    except (MonitorError, OSError, UnicodeDecodeError) as error:
        code, message = 1, str(error)
    path = root / "output" / "message"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(message)
    sys.stdout.write(message + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
