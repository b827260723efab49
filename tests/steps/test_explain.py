"""explain: SHAP values add up to the prediction; the sample keeps to its budget."""

import json
from typing import Any

import numpy as np
import pytest

from inference.transform import Transform, import_xgboost
from steps import explain


def test_global_values_are_the_mean_of_what_adds_up_to_each_prediction(shop: Any) -> None:
    output = shop.folder / "prepare/processing/output"
    transform = Transform.from_json((output / "transform/transform.json").read_text("utf-8"))
    features = np.load(output / "test/features.npy")
    model = shop.folder / "train-score/model/model.ubj"
    xgboost = import_xgboost()
    booster = xgboost.Booster(model_file=str(model))
    found = explain.global_shap(booster, transform, features)
    assert found["sample_rows"] == len(features) == 240
    matrix = xgboost.DMatrix(
        features, feature_types=transform.feature_types, enable_categorical=True
    )
    parts = booster.predict(matrix, pred_contribs=True)
    predicted = booster.inplace_predict(features, validate_features=False)
    np.testing.assert_allclose(parts.sum(axis=1), predicted, atol=1e-4)
    mean = np.abs(parts[:, 0]).mean()
    assert found["global_shap_values"]["age"] == pytest.approx(mean, rel=1e-4)


def test_the_explanation_is_sorted_and_says_method_and_sample(shop: Any) -> None:
    path = shop.folder / "evaluate/processing/output/explanation/explanation.json"
    explanation = json.loads(path.read_text("utf-8"))
    assert explanation["method"] == "tree_shap"
    assert list(explanation["models"]) == ["score", "left", "pick", "odd"]
    for found in explanation["models"].values():
        values = list(found["global_shap_values"].values())
        assert values == sorted(values, reverse=True)
        assert found["sample_rows"] == 240
    assert next(iter(explanation["models"]["pick"]["global_shap_values"])) == "city"


@pytest.mark.parametrize(
    ("rows", "trees", "expected"),
    [(50, 10, 50), (20_000, 10, 500), (20_000, 300, 200), (20_000, 100_000, 100)],
)
def test_a_larger_model_is_explained_on_fewer_rows(rows: int, trees: int, expected: int) -> None:
    assert explain.sample_rows(rows, trees) == expected
