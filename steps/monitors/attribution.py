"""Which features a model listens to on a data set: exact SHAP values, local and global.

The values are TreeSHAP's, computed by XGBoost (`pred_contribs`) in the model's margin: log-odds for
classes. Clarify's Kernel SHAP estimates the same kind of value from samples against a baseline.
`steps.explain` says it of a run's test rows, cut to a budget; here every row counts.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-explainability.html
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from inference.transform import CellError, Features, Transform, import_xgboost
from steps.monitors.bias_table import Config, Table, column, named, numbers
from steps.monitors.environment import MonitorError

Contributions: TypeAlias = npt.NDArray[np.float64]
# AWS's agg_method: how the values of all rows become one of the feature.
AGGREGATES: dict[str, Callable[[Contributions], Contributions]] = {
    "mean_abs": lambda values: np.abs(values).mean(axis=0),
    "median": lambda values: np.asarray(np.median(values, axis=0)),
    "mean_sq": lambda values: (values**2).mean(axis=0),
}
NOTE = "exact TreeSHAP values in the model's margin (log-odds for classes), not Kernel SHAP"
# Columns of the data that no model sees.
ANSWERS = ("predicted_label", "probability")


class Explained(NamedTuple):
    """The names of k features, and (rows, labels, k + 1) contributions, the last the expected."""

    names: Sequence[str]
    values: Contributions


def explain(folder: Path, config: Config, table: Table) -> Explained:
    """The contributions of every row to the model in folder: a bundle of `steps.package`, or one
    XGBoost file (.ubj or .json), whose features are the columns beside label and predictions.

    Raises MonitorError naming the file or column that does not fit.
    """
    xgboost = import_xgboost()
    if (folder / "bundle.json").is_file():
        file, transform = _bundled(folder, config)
        names, kinds = transform.names, transform.feature_types
        features = _encoded(transform, table)
    else:
        file = _single(folder)
        names, features = _plain(config, table)
        kinds = None
    booster = _load(file)
    if booster.num_features() != len(names):
        raise MonitorError(
            f"{file} has {booster.num_features()} features, the data {len(names)}:"
            f" {', '.join(names)}"
        )
    matrix = xgboost.DMatrix(
        features,
        feature_names=booster.feature_names,
        feature_types=kinds or booster.feature_types,
        enable_categorical=True,
        nthread=1,
    )
    values = booster.predict(matrix, pred_contribs=True).astype(np.float64)
    return Explained(names, values.reshape(len(features), -1, len(names) + 1))


def analyse(explained: Explained, config: Config) -> dict[str, Any]:
    """The `explanations` of analysis.json: global values, largest first, and expected value."""
    method = config["methods"]["shap"].get("agg_method", "mean_abs")
    if method not in AGGREGATES:
        raise MonitorError(f"agg_method {method!r} is not one of {', '.join(AGGREGATES)}")
    found = {}
    for label in range(explained.values.shape[1]):
        values = explained.values[:, label]
        aggregated = AGGREGATES[method](values[:, :-1]).tolist()
        pairs = zip(explained.names, aggregated, strict=True)
        found[f"label{label}"] = {
            "global_shap_values": dict(sorted(pairs, key=lambda pair: -abs(pair[1]))),
            "expected_value": float(values[:, -1].mean()),
        }
    return {"kernel_shap": found, "note": NOTE}


def write_local(explained: Explained, path: Path) -> None:
    """One line a row, one column a feature and label: age_label0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, labels, _ = explained.values.shape
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(f"{name}_label{i}" for i in range(labels) for name in explained.names)
        writer.writerows(explained.values[:, :, :-1].reshape(rows, -1).tolist())


def _bundled(folder: Path, config: Config) -> tuple[Path, Transform]:
    """The bundle's only model, or the one whose target is the config's label."""
    bundle = json.loads((folder / "bundle.json").read_text("utf-8"))
    installed = import_xgboost().__version__
    if bundle["xgboost_version"] != installed:
        # Another version may read the base score wrongly, without an error.
        raise MonitorError(
            f"{folder} was trained with xgboost {bundle['xgboost_version']}, and {installed} is"
            " installed; explain it with the one that trained it"
        )
    models = bundle["models"]
    fitting = [m for m in models if m["target"] == config.get("label")]
    (chosen,) = models if len(models) == 1 else fitting if len(fitting) == 1 else (None,)
    if chosen is None:
        targets = ", ".join(str(m["target"]) for m in models)
        raise MonitorError(
            f"{folder} holds models of {targets}; set label in the analysis config to one of them"
        )
    transform = Transform.from_json((folder / "transform.json").read_text("utf-8"))
    return folder / "models" / chosen["name"] / "model.ubj", transform


def _single(folder: Path) -> Path:
    files = sorted(p for p in folder.iterdir() if p.suffix in (".ubj", ".json"))
    if len(files) != 1:
        raise MonitorError(f"{folder} holds {len(files)} .ubj or .json files; give one model")
    return files[0]


def _load(file: Path) -> Any:
    xgboost = import_xgboost()
    try:
        return xgboost.Booster({"nthread": 1}, model_file=str(file))
    except xgboost.core.XGBoostError as error:
        reason = next((line for line in str(error).splitlines() if line), "unknown reason")
        raise MonitorError(f"{file} is no XGBoost model: {reason}") from error


def _encoded(transform: Transform, table: Table) -> Features:
    columns = {}
    try:
        for feature in transform.features:
            cells = column(table, feature.name)
            columns[feature.name] = transform.parse_column(feature, cells.tolist())
        return transform.encode(columns)
    except CellError as error:
        raise MonitorError(str(error)) from error


def _plain(config: Config, table: Table) -> tuple[list[str], Features]:
    outside = {str(config.get(name, name)) for name in ANSWERS}
    if "label" in config:
        outside.add(named(table, config["label"]))
    names = [name for name in table if name not in outside]
    columns: dict[str, Any] = {name: numbers(table[name]) for name in names}
    if texts := [name for name, values in columns.items() if values is None]:
        raise MonitorError(f"{', '.join(texts)} is not numbers; encode it as the model was trained")
    return names, np.column_stack(list(columns.values())).astype(np.float32)


def scores(explanations: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """label -> feature -> global value, of an analysis.json's explanations."""
    found = explanations["kernel_shap"]
    return {label: dict(entry["global_shap_values"]) for label, entry in found.items()}
