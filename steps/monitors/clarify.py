"""One Clarify job: bias of the data and of its predictions, and drift from a baseline.

    processing/input/config/analysis_config.json + processing/input/data
      -> processing/output/analysis.json
      -> processing/output/constraint_violations.json    with baseline_constraints alone

Nothing here calls an endpoint: predictions are a column of the data.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from steps.monitors import bias, bias_drift, bias_table, cloudwatch
from steps.monitors.environment import MonitorError
from steps.monitors.quality import CLEAN, FOUND

Variables = Mapping[str, str]
METHODS = (*bias.STAGES, "report")
# What AWS publishes for an infinite metric.
INFINITE = 2.348543e108
PUBLISHED_STAGES = {"pre_training_bias": "Pre-training", "post_training_bias": "Post-Training"}


def run(variables: Variables, root: Path) -> str:
    """Does the job and gives the sentence for the exit message."""
    if "sagemakerCaptureJson" in variables.get("dataset_format", ""):
        raise MonitorError(
            "captured data is not supported for bias; merge the labels, write features, label and"
            f" {bias.PREDICTED} as CSV into processing/input/data, and leave dataset_format out"
        )
    processing = root / "processing"
    config = _config(processing / "input/config/analysis_config.json")
    table = bias_table.read(processing / "input/data", config)
    sides = bias.sides(config, table)
    analysis = {"version": "1.0", **bias.analyse(config, table, sides)}
    output = processing / "output"
    _write(output / "analysis.json", analysis)
    found: list[dict[str, str]] = []
    if baseline := variables.get("baseline_constraints"):
        found = bias_drift.violations(analysis, _read(Path(baseline)), sides)
        content = {"version": "1.0", "violations": found}
        _write(output / "constraint_violations.json", content)
    if variables.get("publish_cloudwatch_metrics") == "Enabled":
        cloudwatch.write(root, variables, _published(analysis))
    return FOUND.format(len(found)) if found else CLEAN


def _config(path: Path) -> dict[str, Any]:
    config = _read(path)
    for name in ("label", "methods"):
        if not config.get(name) and config.get(name) != 0:
            raise MonitorError(f"{name} is not set in {path}")
    if unknown := [name for name in config["methods"] if name not in METHODS]:
        raise MonitorError(
            f"methods {', '.join(unknown)} is not supported in {path}; use {', '.join(METHODS)}"
        )
    if not bias.stages(config):
        raise MonitorError(f"methods in {path} asks for none of {', '.join(bias.STAGES)}")
    return config


def _published(analysis: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for stage, shown in PUBLISHED_STAGES.items():
        section = analysis.get(f"{stage}_metrics", {"facets": {}})
        for facet, values in section["facets"].items():
            for entry in values:
                names = {
                    "BiasStage": shown,
                    "Label": str(section["label"]),
                    "LabelValue": section["label_value_or_threshold"],
                    "Facet": facet,
                    "FacetValue": entry["value_or_threshold"],
                }
                for metric in entry["metrics"]:
                    if metric["value"] is not None:
                        value = max(-INFINITE, min(INFINITE, float(metric["value"])))
                        yield {
                            "MetricName": f"bias_metric_{metric['name']}",
                            "Value": value,
                            "Dimensions": cloudwatch.dimensions(names),
                        }


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise MonitorError(f"{path} cannot be read: {error}") from error


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
