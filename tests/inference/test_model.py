"""model: the bundle answers as XGBoost does, and refuses what would answer wrongly."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import model
from inference.transform import import_xgboost


def test_answers_equal_xgboosts_own(bundle_folder: Path, features: Any) -> None:
    bundle = model.load(bundle_folder)
    answers = bundle.predict(features)
    xgboost = import_xgboost()
    matrix = xgboost.DMatrix(
        features, feature_types=bundle.transform.feature_types, enable_categorical=True
    )
    for served in bundle.models:
        expected = served.booster.predict(matrix)
        found = [row[served.name] for row in answers]
        if served.labels:
            assert [a["label"] for a in found] == [
                served.labels[i] for i in expected.argmax(axis=1)
            ]
            found = [list(a["probabilities"].values()) for a in found]
        np.testing.assert_array_equal(np.array(found, dtype=np.float32), expected)


def test_models_answer_in_bundle_order(bundle_folder: Path, features: Any) -> None:
    (answer,) = model.load(bundle_folder).predict(features[:1])
    assert list(answer) == ["score", "left", "pick"]
    assert list(answer["pick"]["probabilities"]) == ["book", "game, new", "song"]


def test_requests_side_by_side_do_not_mix(bundle_folder: Path, features: Any) -> None:
    bundle = model.load(bundle_folder)
    alone = [bundle.predict(row[None]) for row in features[:80]]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda row: bundle.predict(row[None]), features[:80]))
    assert together == alone


def test_another_xgboost_than_the_training_one_is_refused(
    bundle_folder: Path, tmp_path: Path
) -> None:
    folder = _copy(bundle_folder, tmp_path)
    content = json.loads((folder / "bundle.json").read_text("utf-8"))
    (folder / "bundle.json").write_text(json.dumps({**content, "xgboost_version": "3.0.5"}))
    with pytest.raises(model.BundleError, match=r"trained with xgboost 3.0.5, but 3.2.0"):
        model.load(folder)


@pytest.mark.parametrize(
    "name", ["bundle.json", "transform.json", "models/left/metadata.json", "models/left/model.ubj"]
)
def test_a_missing_file_is_named(bundle_folder: Path, tmp_path: Path, name: str) -> None:
    folder = _copy(bundle_folder, tmp_path)
    (folder / name).unlink()
    with pytest.raises(model.BundleError, match=name):
        model.load(folder)


def test_a_file_that_is_no_model_is_named(bundle_folder: Path, tmp_path: Path) -> None:
    folder = _copy(bundle_folder, tmp_path)
    (folder / "models/left/model.ubj").write_bytes(b"nonsense")
    with pytest.raises(model.BundleError, match=r"models/left/model.ubj is no XGBoost model"):
        model.load(folder)


def _copy(bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))
