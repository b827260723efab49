"""One Clarify job: bias of data and predictions, what a model listens to, drift from a baseline.

    processing/input/config/analysis_config.json + processing/input/data [+ processing/input/model]
      -> processing/output/analysis.json, processing/output/explanations_shap/out.csv
      -> processing/output/constraint_violations.json    with baseline_constraints alone

Nothing here calls an endpoint: predictions are a column of the data.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from steps.monitors import (
    attribution,
    attribution_drift,
    bias,
    bias_drift,
    bias_table,
    cloudwatch,
)
from steps.monitors.bias_table import Config, Table
from steps.monitors.environment import MonitorError
from steps.monitors.quality import CLEAN, FOUND

Variables = Mapping[str, str]
CONFIG = Path("processing/input/config/analysis_config.json")
ANALYSES = (*bias.STAGES, "shap")
METHODS = (*ANALYSES, "report")
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
    config = _config(root / CONFIG)
    table = bias_table.read(processing / "input/data", config)
    baseline = _baseline(variables)
    analysis: dict[str, Any] = {"version": "1.0"}
    found: list[dict[str, str]] = []
    if bias.stages(config):
        sides = bias.sides(config, table)
        analysis |= bias.analyse(config, table, sides)
        if baseline:
            found += bias_drift.violations(analysis, baseline, sides)
    if "shap" in config["methods"]:
        analysis["explanations"] = _explanations(processing, config, table)
        if baseline:
            found += attribution_drift.violations(analysis, baseline)
    output = processing / "output"
    _write(output / "analysis.json", analysis)
    if baseline:
        content = {"version": "1.0", "violations": found}
        _write(output / "constraint_violations.json", content)
    if variables.get("publish_cloudwatch_metrics") == "Enabled":
        metrics = (*_published(analysis), *_published_shap(analysis))
        cloudwatch.write(root, variables, metrics)
    return FOUND.format(len(found)) if found else CLEAN


def _explanations(processing: Path, config: Config, table: Table) -> dict[str, Any]:
    folder = processing / "input/model"
    if not folder.is_dir():
        raise MonitorError(
            "methods.shap needs the model, and a predictor with a live endpoint is not supported"
            f" here; put an unpacked bundle or an XGBoost file (.ubj, .json) into {folder}"
        )
    explained = attribution.explain(folder, config, table)
    if config["methods"]["shap"].get("save_local_shap_values", True):
        attribution.write_local(explained, processing / "output/explanations_shap/out.csv")
    return attribution.analyse(explained, config)


def _baseline(variables: Variables) -> dict[str, Any]:
    path = variables.get("baseline_constraints")
    return _read(Path(path)) if path else {}


def _config(path: Path) -> dict[str, Any]:
    config = _read(path)
    if not config.get("methods"):
        raise MonitorError(f"methods is not set in {path}; use {', '.join(ANALYSES)}")
    if unknown := [name for name in config["methods"] if name not in METHODS]:
        raise MonitorError(
            f"methods {', '.join(unknown)} is not supported in {path}; use {', '.join(METHODS)}"
        )
    if not any(name in config["methods"] for name in ANALYSES):
        raise MonitorError(f"methods in {path} asks for none of {', '.join(ANALYSES)}")
    if bias.stages(config) and "label" not in config:
        raise MonitorError(f"label is not set in {path}; bias is measured on it")
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


def _published_shap(analysis: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "explanations" not in analysis:
        return
    for label, entry in analysis["explanations"]["kernel_shap"].items():
        values = {f"feature_{name}": value for name, value in entry["global_shap_values"].items()}
        for kind, metrics in (
            ("GlobalShapValues", values),
            ("ExpectedValue", {"ExpectedValue": entry["expected_value"]}),
        ):
            names = {"ExplainabilityMethod": "KernelShap", "Label": label, "ValueType": kind}
            for name, value in metrics.items():
                own = cloudwatch.dimensions(names)
                yield {"MetricName": name, "Value": value, "Dimensions": own}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise MonitorError(f"{path} cannot be read: {error}") from error


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
