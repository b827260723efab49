"""A tiny bundle on disk: one model of every kind over four features of every kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.transform import Feature, Transform, import_xgboost

TRANSFORM = Transform(
    features=(
        Feature("age", "numeric"),
        Feature("city", "categorical", categories=("Köln", 'Paris, "Est"', "Rio")),
        Feature("member", "boolean", true=("Yes",), false=("No",)),
        Feature("joined", "timestamp"),
    ),
    missing=("", "?"),
    ignored=("id", "left"),
)
OBJECTIVES = {
    "score": ("regression", {"objective": "reg:squarederror"}),
    "left": ("binary", {"objective": "binary:logistic"}),
    "pick": ("multiclass", {"objective": "multi:softprob", "num_class": 3}),
}
LABELS = ["book", "game, new", "song"]


@pytest.fixture(scope="session")
def transform() -> Transform:
    return TRANSFORM


@pytest.fixture(scope="session")
def features() -> Any:
    """300 encoded rows, missing values and an unseen category among them."""
    draw = np.random.default_rng(2)
    columns = {
        "age": np.where(draw.random(300) < 0.1, np.nan, draw.integers(18, 80, 300)),
        "city": np.array([[*TRANSFORM.features[1].categories, None][i % 4] for i in range(300)]),
        "member": draw.integers(0, 2, 300).astype(float),
        "joined": draw.integers(1_500_000_000, 1_700_000_000, 300).astype(float),
    }
    return TRANSFORM.encode(columns)


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory, features: Any) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    xgboost = import_xgboost()
    age, city = np.nan_to_num(features[:, 0]), np.nan_to_num(features[:, 1])
    targets = {"score": age / 10, "left": (age > 40).astype(float), "pick": city}
    for name, (kind, parameters) in OBJECTIVES.items():
        matrix = xgboost.QuantileDMatrix(
            features,
            targets[name],
            feature_types=TRANSFORM.feature_types,
            enable_categorical=True,
        )
        booster = xgboost.train({**parameters, "max_depth": 3, "nthread": 1}, matrix, 8)
        target = folder / "models" / name
        target.mkdir(parents=True)
        booster.save_model(str(target / "model.ubj"))
        labels = LABELS if kind == "multiclass" else []
        (target / "metadata.json").write_text(json.dumps({"kind": kind, "labels": labels}))
    (folder / "transform.json").write_text(TRANSFORM.to_json(), encoding="utf-8")
    content = {
        "problem": "shop",
        "version": "abc123",
        "xgboost_version": xgboost.__version__,
        "models": [{"name": name, "kind": kind} for name, (kind, _) in OBJECTIVES.items()],
    }
    (folder / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
