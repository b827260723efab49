"""The hyperparameters of XGBoost's algorithm mode: names, types and ranges as AWS's image has them.

They arrive as strings. `read` checks them all and sorts them into what XGBoost is told and what
the training around it needs. AWS's page: "XGBoost hyperparameters". Left out, and so refused by
name: what XGBoost itself no longer has (sketch_eps, predictor, gpu_hist) and what needs several
machines or models (_kfold, use_dask_gpu_training, process_type).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NATIVE_METRICS = frozenset(
    [
        "aft-nloglik",
        "auc",
        "aucpr",
        "cox-nloglik",
        "error",
        "gamma-deviance",
        "gamma-nloglik",
        "logloss",
        "mae",
        "map",
        "mape",
        "merror",
        "mlogloss",
        "mphe",
        "ndcg",
        "poisson-nloglik",
        "rmse",
        "rmsle",
        "tweedie-nloglik",
    ]
)
# Computed by AWS's image itself: classes against classes, or numbers where the name says so.
CUSTOM_METRICS = frozenset(
    [
        "accuracy",
        "balanced_accuracy",
        "f1",
        "f1_binary",
        "f1_macro",
        "mse",
        "precision",
        "precision_macro",
        "precision_micro",
        "r2",
        "recall",
        "recall_macro",
        "recall_micro",
    ]
)
METRICS = NATIVE_METRICS | CUSTOM_METRICS
MAXIMIZED = frozenset({"auc", "aucpr", "map", "ndcg", *(CUSTOM_METRICS - {"mse"})})
WITH_THRESHOLD = frozenset({"error", "map", "ndcg"})  # error@0.4
MULTICLASS = ("multi:softmax", "multi:softprob")

INTEGERS = {
    "csv_weights": "[0, 1]",
    "early_stopping_rounds": "[1, inf)",
    "max_bin": "[2, inf)",
    "max_depth": "[0, inf)",
    "max_leaves": "[0, inf)",
    "nthread": "[1, inf)",
    "num_class": "[2, inf)",
    "num_parallel_tree": "[1, inf)",
    "num_round": "[1, inf)",
    "one_drop": "[0, 1]",
    "seed": "(-2147483648, 2147483647)",
    "silent": "[0, 1]",
    "verbosity": "[0, 3]",
}
NUMBERS = {
    "aft_loss_distribution_scale": "(0, inf)",
    "alpha": "[0, inf)",
    "base_score": "[0, inf)",
    "colsample_bylevel": "(0, 1]",
    "colsample_bynode": "(0, 1]",
    "colsample_bytree": "(0, 1]",
    "eta": "[0, 1]",
    "gamma": "[0, inf)",
    "lambda": "[0, inf)",
    "max_delta_step": "[0, inf)",
    "min_child_weight": "[0, inf)",
    "rate_drop": "[0, 1]",
    "scale_pos_weight": "(0, inf)",
    "skip_drop": "[0, 1]",
    "subsample": "(0, 1]",
    "tweedie_variance_power": "(1, 2)",
}
CHOICES = {
    "aft_loss_distribution": "normal logistic extreme",
    "booster": "gbtree gblinear dart",
    "deterministic_histogram": "true false",
    "grow_policy": "depthwise lossguide",
    "normalize_type": "tree forest",
    "objective": "binary:hinge binary:logistic binary:logitraw count:poisson multi:softmax "
    "multi:softprob reg:absoluteerror reg:gamma reg:linear reg:logistic reg:pseudohubererror "
    "reg:squarederror reg:squaredlogerror reg:tweedie survival:aft survival:cox",
    "sample_type": "uniform weighted",
    "save_model_on_termination": "true false",
    "tree_method": "auto exact approx hist",
}
JSON_LISTS = ("interaction_constraints", "monotone_constraints")
METRIC_LISTS = ("_tuning_objective_metric", "eval_metric")
KNOWN = frozenset((*INTEGERS, *NUMBERS, *CHOICES, *JSON_LISTS, *METRIC_LISTS))
# What the training around XGBoost reads; everything else is XGBoost's own parameter.
OURS = frozenset(("csv_weights", "early_stopping_rounds", "num_round", "save_model_on_termination"))
RENAMED = {"reg:linear": "reg:squarederror"}  # XGBoost dropped the old name, AWS still takes it


class UserError(Exception):
    """A mistake in the request or the data; the message becomes /opt/ml/output/failure."""


@dataclass(frozen=True)
class Settings:
    """Checked hyperparameters. `booster` goes to XGBoost as it is; `metrics` is in asked order."""

    rounds: int
    early_stopping_rounds: int | None
    metrics: tuple[str, ...]
    csv_weights: bool
    save_on_termination: bool
    booster: Mapping[str, Any]

    @property
    def objective(self) -> str:
        return str(self.booster["objective"])


def read(given: Mapping[str, str]) -> Settings:
    """Check and type all hyperparameters. Raises UserError that names the first mistake."""
    unknown = sorted(given.keys() - KNOWN)
    if unknown:
        known = ", ".join(sorted(KNOWN))
        raise UserError(f"Unknown hyperparameter {unknown[0]!r}; XGBoost here knows: {known}")
    if "num_round" not in given:
        raise UserError("Hyperparameter 'num_round' is required: how many rounds to train")
    typed = {name: _typed(name, value) for name, value in given.items() if name not in METRIC_LISTS}
    if typed.pop("silent", 0):  # XGBoost dropped it for verbosity, AWS still takes it
        typed.setdefault("verbosity", 0)
    typed["objective"] = RENAMED.get(typed.get("objective", ""), typed.get("objective"))
    typed["objective"] = typed["objective"] or "reg:squarederror"
    _check_classes(typed)
    return Settings(
        rounds=typed["num_round"],
        early_stopping_rounds=typed.get("early_stopping_rounds"),
        metrics=_metrics(given),
        csv_weights=bool(typed.get("csv_weights", 0)),
        save_on_termination=typed.get("save_model_on_termination") == "true",
        booster={name: value for name, value in typed.items() if name not in OURS},
    )


def _typed(name: str, value: str) -> Any:
    if name in INTEGERS:
        return _number(name, value, int, INTEGERS[name])
    if name in NUMBERS:
        return _number(name, value, float, NUMBERS[name])
    if name in CHOICES:
        choices = CHOICES[name].split()
        if value not in choices:
            raise UserError(
                f"Hyperparameter {name!r}: {value!r} is not one of {', '.join(choices)}"
            )
        return value
    return _json_list(name, value)


def _number(name: str, value: str, kind: type[int] | type[float], interval: str) -> int | float:
    wanted = "an integer" if kind is int else "a number"
    try:
        number = kind(value)
    except ValueError as cause:
        raise UserError(f"Hyperparameter {name!r}: {value!r} is not {wanted}") from cause
    if not _within(number, interval):
        raise UserError(f"Hyperparameter {name!r}: {value!r} is not {wanted} within {interval}")
    return number


def _within(number: float, interval: str) -> bool:
    low, high = (float(each) for each in interval[1:-1].split(","))
    above = low <= number if interval[0] == "[" else low < number
    return (
        math.isfinite(number)
        and above
        and (number <= high if interval[-1] == "]" else number < high)
    )


def _json_list(name: str, value: str) -> str:
    text = value.replace("(", "[").replace(")", "]")
    try:
        is_list = isinstance(json.loads(text), list)
    except ValueError:
        is_list = False
    if not is_list:
        raise UserError(f"Hyperparameter {name!r}: {value!r} is not a list like [1, 0, -1]")
    return value if name == "monotone_constraints" else text


def _check_classes(typed: Mapping[str, Any]) -> None:
    if typed["objective"] in MULTICLASS and "num_class" not in typed:
        raise UserError(
            f"Hyperparameter 'num_class' is required for objective {typed['objective']!r}"
        )
    if typed["objective"] not in MULTICLASS and "num_class" in typed:
        raise UserError(
            f"Hyperparameter 'num_class' is not for objective {typed['objective']!r}; leave it out"
        )


def _metrics(given: Mapping[str, str]) -> tuple[str, ...]:
    """eval_metric, and the metric a tuning job looks at (`validation:rmse`) when not among them."""
    text = given.get("eval_metric", "").strip("[]")
    names = [each.strip(" '\"") for each in text.split(",") if each.strip()]
    objective_metric = given.get("_tuning_objective_metric", "").rpartition(":")[2]
    wanted = tuple(dict.fromkeys([*names, *([objective_metric] if objective_metric else [])]))
    for name in wanted:
        _check_metric(name)
    return wanted


def _check_metric(name: str) -> None:
    base, at, threshold = name.partition("@")
    if base not in METRICS or (at and base not in WITH_THRESHOLD):
        raise UserError(
            f"Metric {name!r} is not supported; it may be one of {', '.join(sorted(METRICS))}"
        )
    try:
        float(threshold or 0)
    except ValueError as cause:
        raise UserError(f"Metric {name!r}: what follows @ must be a number") from cause
