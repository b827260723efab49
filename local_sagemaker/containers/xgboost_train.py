"""Train as AWS's XGBoost image does without a program of the user's: `docker run <image> train`.

channels train, validation -> xgboost.train -> /opt/ml/model/xgboost-model

Each round is a line `[5]<tab>train-rmse:0.41<tab>validation-rmse:0.52` on stdout, where the
built-in metric definitions look. A mistake of the user's ends it with exit code 1 and its text in
/opt/ml/output/failure.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

if not __package__:  # run by its path: no program of a user's is here that our packages could hide
    sys.path[0] = str(Path(__file__).parents[2])

import numpy as np
import xgboost

from local_sagemaker.containers import xgboost_data
from local_sagemaker.containers.xgboost_parameters import (
    CUSTOM_METRICS,
    MAXIMIZED,
    Settings,
    UserError,
    read,
)

MODEL = "xgboost-model"
GIVES_CLASSES = ("multi:softmax", "binary:hinge")


def main(root: Path) -> int:
    try:
        settings = read(_config(root, "hyperparameters"))
        data = _load(root, settings)
        save(train(settings, data, root / "model"), root / "model")
    except (UserError, xgboost.core.XGBoostError) as mistake:
        message = str(mistake).partition("Stack trace:")[0].strip()
        print(message, file=sys.stderr)
        (root / "output").mkdir(parents=True, exist_ok=True)
        (root / "output" / "failure").write_text(message)
        return 1
    return 0


def train(settings: Settings, data: Mapping[str, Any], model_dir: Path) -> xgboost.Booster:
    """The booster after the last round, or after the best one when early stopping ended it."""
    native = [name for name in settings.metrics if name not in CUSTOM_METRICS]
    custom = [name for name in settings.metrics if name in CUSTOM_METRICS]
    parameters = {"nthread": int(os.environ.get("SM_NUM_CPUS", "0")) or None, **settings.booster}
    return xgboost.train(
        {name: value for name, value in parameters.items() if value is not None}
        | ({"eval_metric": native} if native else {}),
        data["train"],
        num_boost_round=settings.rounds,
        evals=[(matrix, name) for name, matrix in data.items()],
        custom_metric=_custom_metric(custom, settings.objective) if custom else None,
        callbacks=_callbacks(settings, [*native, *custom], data, model_dir),
        verbose_eval=True,
    )


def save(booster: xgboost.Booster, directory: Path) -> None:
    """Under AWS's name, in one step; XGBoost chooses its format by the ending, which that name has
    not.
    """
    part = directory / f".{MODEL}.ubj"
    booster.save_model(part)
    part.replace(directory / MODEL)


def _load(root: Path, settings: Settings) -> dict[str, Any]:
    channels = _config(root, "inputdataconfig")
    if "train" not in channels:
        raise UserError(f"Channel 'train' is required; given: {', '.join(sorted(channels)) or '-'}")
    tables: dict[str, xgboost_data.Table] = {
        name: xgboost_data.read(
            root / "input" / "data" / name,
            channels[name].get("ContentType", ""),
            csv_weights=settings.csv_weights,
        )
        for name in ("train", "validation")
        if name in channels
    }
    return xgboost_data.matrices(tables)


class _KeepEveryRound(xgboost.callback.TrainingCallback):  # type: ignore[misc] # not followed
    """save_model_on_termination: SIGTERM finds the model of the last finished round in place."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        save(model, self._directory)
        return False


def _callbacks(
    settings: Settings, metrics: list[str], data: Mapping[str, Any], model_dir: Path
) -> list[Any]:
    found: list[Any] = []
    if settings.early_stopping_rounds:
        last = metrics[-1] if metrics else None
        found.append(
            xgboost.callback.EarlyStopping(
                settings.early_stopping_rounds,
                metric_name=last,
                data_name=list(data)[-1],
                maximize=last.partition("@")[0] in MAXIMIZED if last else None,
                save_best=settings.booster.get("booster", "gbtree") == "gbtree",
            )
        )
    if settings.save_on_termination:
        found.append(_KeepEveryRound(model_dir))
    return found


def _custom_metric(
    names: list[str], objective: str
) -> Callable[[Any, Any], list[tuple[str, float]]]:
    """What XGBoost calls each round with (predictions, DMatrix); gives (name, value) pairs."""
    from sklearn import metrics

    table: dict[str, Callable[[Any, Any], float]] = {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "f1": lambda y, p: metrics.f1_score(y, p, average="macro"),
        "f1_binary": lambda y, p: metrics.f1_score(y, p, average="binary"),
        "f1_macro": lambda y, p: metrics.f1_score(y, p, average="macro"),
        "mse": metrics.mean_squared_error,
        "r2": metrics.r2_score,
    }
    for base, score in (("precision", metrics.precision_score), ("recall", metrics.recall_score)):
        for average in ("binary", "macro", "micro"):
            name = base if average == "binary" else f"{base}_{average}"
            table[name] = _averaged(score, average)

    def evaluate(predictions: Any, matrix: Any) -> list[tuple[str, float]]:
        label = matrix.get_label()
        classes = _classes(predictions, objective)
        return [
            (name, float(table[name](label, predictions if name in ("mse", "r2") else classes)))
            for name in names
        ]

    return evaluate


def _averaged(score: Any, average: str) -> Callable[[Any, Any], float]:
    return lambda y, p: float(score(y, p, average=average, zero_division=0))


def _classes(predictions: Any, objective: str) -> Any:
    """Class numbers of (rows x classes) probabilities, of one number a row, or as they are."""
    if predictions.ndim > 1:
        return np.argmax(predictions, axis=1)
    if objective in GIVES_CLASSES:
        return predictions
    return (predictions > (0.0 if objective == "binary:logitraw" else 0.5)).astype(int)


def _config(root: Path, name: str) -> dict[str, Any]:
    path = root / "input" / "config" / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
