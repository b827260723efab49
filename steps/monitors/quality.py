"""One model-quality job: a baseline's statistics and constraints, or violations of them.

    dataset_source -> quality_rows -> quality_metrics -> statistics.json
                      no baseline_constraints          -> constraints.json
                      with them                        -> constraint_violations.json

Told by the environment of AWS's container (docs/monitoring-quality-and-bias.md).
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from steps.metrics import MetricsError
from steps.monitors import (
    cloudwatch,
    environment,
    quality_constraints,
    quality_metrics,
    quality_rows,
    scripts,
)
from steps.monitors.environment import MonitorError, Settings

Variables = Mapping[str, str]
CLEAN = "Completed: Job completed successfully with no violations."
FOUND = "CompletedWithViolations: Job completed successfully with {} violations."


def run(variables: Variables, root: Path) -> str:
    """Does the job and gives the sentence for the exit message."""
    settings = environment.read(variables)
    kind = variables.get("problem_type", "")
    if kind not in PROBLEMS:
        raise MonitorError(f"problem_type {kind!r} is not one of {', '.join(PROBLEMS)}")
    if settings.preprocessor:
        raise MonitorError("record_preprocessor_script is not supported for model quality")
    prefix, measure = PROBLEMS[kind]
    try:
        rows, found = measure(settings, variables)
    except MetricsError as error:
        raise MonitorError(str(error)) from error
    metrics, constraints = f"{prefix}_metrics", f"{prefix}_constraints"
    statistics = {"version": 0.0, "dataset": _dataset(rows, variables), metrics: found}
    _write(settings.output / "statistics.json", statistics)
    violations = []
    if settings.constraints:
        violations = quality_constraints.evaluate(
            found, _baseline(settings.constraints, constraints)
        )
        _write(settings.output / "constraint_violations.json", {"violations": violations})
    else:
        suggested = {"version": 0.0, constraints: quality_constraints.suggest(found)}
        _write(settings.output / "constraints.json", suggested)
    if settings.publish:
        cloudwatch.write(root, variables, _published(found))
    if settings.post_processor:
        scripts.post_process(settings.post_processor)
    return FOUND.format(len(violations)) if violations else CLEAN


def _regression(settings: Settings, variables: Variables) -> tuple[int, dict[str, Any]]:
    name = quality_rows.attribute(variables, "inference_attribute")
    truths, (predictions,) = _columns(settings, variables, [name])
    targets = quality_rows.numbers(truths, "the ground truth")
    predicted = quality_rows.numbers(predictions, name)
    return len(truths), quality_metrics.regression(targets, predicted)


def _binary(settings: Settings, variables: Variables) -> tuple[int, dict[str, Any]]:
    label, score = variables.get("inference_attribute"), variables.get("probability_attribute")
    names = [name for name in (label, score) if name]
    if not names:
        raise MonitorError(
            "neither inference_attribute nor probability_attribute is set; give one of them, the"
            " second with probability_threshold_attribute"
        )
    truths, columns = _columns(settings, variables, names)
    targets = np.array(quality_rows.decisions(truths, "the ground truth"), np.intp)
    probabilities = quality_rows.numbers(columns[-1], score) if score else None
    if label or probabilities is None:
        decisions = np.array(quality_rows.decisions(columns[0], names[0]), np.intp)
    else:
        decisions = np.asarray(probabilities >= quality_rows.threshold(variables), np.intp)
    return len(truths), quality_metrics.binary(targets, decisions, probabilities)


def _multiclass(settings: Settings, variables: Variables) -> tuple[int, dict[str, Any]]:
    name = quality_rows.attribute(variables, "inference_attribute")
    truths, (predictions,) = _columns(settings, variables, [name])
    texts = quality_rows.classes(truths + predictions)
    labels, codes = np.unique(texts, return_inverse=True)
    targets, predicted = np.split(codes.astype(np.intp), 2)
    return len(truths), quality_metrics.multiclass(targets, predicted, labels.tolist())


# AWS's ProblemType: the prefix of its keys in the files, and who computes it.
Measure = Callable[[Settings, Variables], tuple[int, dict[str, Any]]]
PROBLEMS: dict[str, tuple[str, Measure]] = {
    "Regression": ("regression", _regression),
    "BinaryClassification": ("binary_classification", _binary),
    "MulticlassClassification": ("multiclass_classification", _multiclass),
}


def _columns(
    settings: Settings, variables: Variables, attributes: list[str]
) -> tuple[list[str], list[list[str]]]:
    truth = variables.get("ground_truth_attribute", "")
    truths, columns = quality_rows.columns(settings, truth, attributes)
    if not truths:
        raise MonitorError(f"Job inputs had no data: {settings.source} holds no labelled rows")
    return truths, columns


def _dataset(rows: int, variables: Variables) -> dict[str, Any]:
    window = {name: variables[name] for name in ("start_time", "end_time") if variables.get(name)}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"item_count": rows, **window, "evaluation_time": now}


def _baseline(path: Path, key: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise MonitorError(f"the baseline {path} cannot be read: {error}") from error
    if key not in content:
        raise MonitorError(f"{path} has no {key}; it holds {', '.join(content)}")
    return dict(content[key])


def _published(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"MetricName": name, "Value": metric["value"]}
        for name, metric in found.items()
        if isinstance(metric.get("value"), float)
    ]


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))
