"""The bundle in memory: every model of a problem, loaded once, answering a matrix in one go.

    /opt/ml/model/{bundle.json, transform.json, models/<name>/{model.ubj, metadata.json}}

`load(directory) -> Bundle`, then `Bundle.predict(features)`. Formats of bodies are in `codecs.py`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.transform import Features, Transform, import_xgboost


class BundleError(Exception):
    """The model directory cannot be served; the text says which file and why."""


@dataclass(frozen=True)
class Model:
    """One booster with what is needed to read its output."""

    name: str
    kind: str
    labels: tuple[str, ...]
    booster: Any

    def predict(self, features: Features) -> npt.NDArray[np.float32]:
        """(n, features) -> (n,) values or probabilities; (n, labels) for multiclass."""
        raw = self.booster.inplace_predict(features, validate_features=False)
        return np.asarray(raw, dtype=np.float32)


@dataclass(frozen=True)
class Bundle:
    """The models in bundle order and the transform that they were all trained with."""

    problem: str
    version: str
    transform: Transform
    models: tuple[Model, ...]

    def predict(self, features: Features) -> list[dict[str, Any]]:
        """One dictionary per row: model -> number, or label and probabilities for multiclass."""
        answers = [_answers(model, model.predict(features)) for model in self.models]
        names = [model.name for model in self.models]
        return [dict(zip(names, row, strict=True)) for row in zip(*answers, strict=True)]


def load(directory: Path) -> Bundle:
    """Read a bundle. Raises BundleError for a missing file or another XGBoost than trained it."""
    content = json.loads(_read(directory / "bundle.json"))
    _check_xgboost(content["xgboost_version"], directory)
    return Bundle(
        problem=content["problem"],
        version=content["version"],
        transform=Transform.from_json(_read(directory / "transform.json")),
        models=tuple(_load_model(directory, entry["name"]) for entry in content["models"]),
    )


def _load_model(directory: Path, name: str) -> Model:
    folder = directory / "models" / name
    metadata = json.loads(_read(folder / "metadata.json"))
    if not (folder / "model.ubj").is_file():
        raise BundleError(f"{folder / 'model.ubj'} is missing from the bundle; package it again")
    xgboost = import_xgboost()
    try:
        # One thread a request: requests run side by side, and a row is too little work to share.
        booster = xgboost.Booster({"nthread": 1}, model_file=str(folder / "model.ubj"))
    except xgboost.core.XGBoostError as error:
        reason = next((line for line in str(error).splitlines() if line), "unknown reason")
        raise BundleError(f"{folder / 'model.ubj'} is no XGBoost model: {reason}") from error
    return Model(name, metadata["kind"], tuple(metadata["labels"]), booster)


def _check_xgboost(trained_with: str, directory: Path) -> None:
    """XGBoost 3.2 writes base_score as a list, which 3.0 silently reads as 0.5: wrong answers."""
    installed = import_xgboost().__version__
    if installed != trained_with:
        raise BundleError(
            f"{directory / 'bundle.json'}: the models were trained with xgboost {trained_with}, but"
            f" {installed} is installed and may answer differently without an error; serve with"
            f" xgboost {trained_with}, or train again"
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); is this a bundle?") from None


def _answers(model: Model, predicted: npt.NDArray[np.float32]) -> list[Any]:
    if not model.labels:
        return [_plain(value) for value in predicted]
    best = predicted.argmax(axis=1)
    return [
        {
            "label": model.labels[winner],
            "probabilities": dict(zip(model.labels, map(_plain, row), strict=True)),
        }
        for winner, row in zip(best, predicted, strict=True)
    ]


def _plain(value: np.float32) -> float:
    """The shortest decimal that reads back as the same float32."""
    return float(str(value))
