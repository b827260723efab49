"""evaluate: the numbers, the gates and limits, the registry's layout, the same bytes again."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from inference.transform import import_xgboost
from steps import artifact, curves, evaluate, gates


@pytest.fixture
def judged(shop: Any, tmp_path: Path) -> Any:
    """judged(*arguments) -> evaluation.json of the shop's models, in a folder of its own."""

    def judge(*arguments: str) -> dict[str, Any]:
        root = tmp_path / "job"
        if not root.exists():
            shutil.copytree(shop.folder / "evaluate/processing/input", root / "processing/input")
        told = ["--root", str(root), "--problem", str(shop.spec_path), *arguments]
        assert evaluate.main(told) == 0
        path = root / "processing/output/evaluation/evaluation.json"
        return dict(json.loads(path.read_text("utf-8")))

    judge.root = tmp_path / "job"  # type: ignore[attr-defined]
    return judge


def test_auc_is_what_scikit_learn_says_of_the_same_predictions(shop: Any) -> None:
    test = shop.folder / "prepare/processing/output/test"
    model = shop.folder / "train-left/model/model.ubj"
    booster = import_xgboost().Booster(model_file=str(model))
    predicted = booster.inplace_predict(np.load(test / "features.npy"), validate_features=False)
    expected = roc_auc_score(np.load(test / "target-left.npy"), predicted)
    found = _evaluation(shop)["models"]["left"]["metrics"]["auc"]
    assert found["value"] == pytest.approx(expected, abs=1e-7)
    assert found["low"] < found["value"] < found["high"]
    assert found["standard_deviation"] > 0


def test_every_kind_has_its_metrics(shop: Any) -> None:
    models = _evaluation(shop)["models"]
    yes_or_no = {"auc", "pr_auc", "f1", "log_loss", "accuracy", "precision", "recall"}
    assert {name: set(found["metrics"]) for name, found in models.items()} == {
        "score": {"rmse", "mae", "r2", "mse"},
        "left": yes_or_no,
        "pick": {"accuracy", "f1", "log_loss", "ndcg"},
        "odd": yes_or_no,
    }


def test_the_registry_finds_the_first_model_of_each_kind(shop: Any) -> None:
    evaluation = _evaluation(shop)
    left = evaluation["models"]["left"]["metrics"]
    group = evaluation["binary_classification_metrics"]
    assert group["auc"] == {key: left["auc"][key] for key in ("value", "standard_deviation")}
    assert set(evaluation["regression_metrics"]) == {"rmse", "mae", "r2", "mse"}
    assert "ndcg" in evaluation["multiclass_classification_metrics"]


def test_the_same_inputs_give_the_same_bytes(shop: Any, judged: Any) -> None:
    judged()
    first = _files(shop.folder / "evaluate/processing/output")
    names = {"evaluation.json", "predictions.npz", "report.html", "explanation.json"}
    assert set(first) == names
    assert _files(judged.root / "processing/output") == first


def test_gates_pass_by_the_specs_thresholds(shop: Any) -> None:
    evaluation = _evaluation(shop)
    assert evaluation["gates"] == {"passed": True, "failed": ""}
    gate = evaluation["models"]["score"]["gate"]
    assert (gate["metric"], gate["direction"], gate["threshold"]) == ("rmse", "max", 5.0)


def test_thresholds_given_as_arguments_decide(judged: Any) -> None:
    evaluation = judged("--threshold", "left=0.99", "--threshold", "score=0.01")
    assert not evaluation["gates"]["passed"]
    assert re.fullmatch(
        r"score: rmse [\d.]+ is above 0.01; left: auc 0\.\d+ is below 0.99",
        evaluation["gates"]["failed"],
    )


def test_fairness_limits_name_the_worst_facet(judged: Any) -> None:
    evaluation = judged("--limit", "disparate_impact=0.95")
    found = evaluation["models"]["left"]["fairness_limits"]
    assert set(found) == {
        "demographic_parity_difference",
        "equal_opportunity_difference",
        "disparate_impact",
    }
    facets = evaluation["models"]["left"]["fairness"]
    worst = min(facets, key=lambda name: facets[name]["disparate_impact"])
    assert found["disparate_impact"]["facet"] == worst == "age"
    assert found["disparate_impact"]["value"] == facets[worst]["disparate_impact"]
    assert "left: disparate_impact for age" in evaluation["gates"]["failed"]
    assert found["demographic_parity_difference"]["passed"]
    assert "limit" not in evaluation["models"]["odd"]["fairness_limits"]["disparate_impact"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threshold", "nope=1"], "allowed names are score, left, pick, odd"),
        (["--threshold", "left=high"], "'high' is not a number"),
        (["--limit", "fairness=1"], "allowed names are demographic_parity_difference"),
    ],
)
def test_bad_arguments_are_refused_by_name(judged: Any, arguments: list[str], said: str) -> None:
    with pytest.raises(evaluate.EvaluateError, match=said):
        judged(*arguments)


def test_test_rows_of_one_class_are_refused_with_the_model(shop: Any, judged: Any) -> None:
    judged()
    inputs = judged.root / "processing/input/test"
    np.save(inputs / "target-left.npy", np.zeros(240, dtype=np.float32))
    with pytest.raises(evaluate.EvaluateError, match='model "left": all 240 rows have target 0'):
        judged()


def test_a_missing_model_is_refused_with_its_path(judged: Any) -> None:
    judged()
    (judged.root / "processing/input/models/pick/model.tar.gz").unlink()
    with pytest.raises(artifact.ArtifactError, match=r"pick/model.tar.gz is missing"):
        judged()


def test_another_xgboost_than_the_training_one_is_refused(
    judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_xgboost(), "__version__", "3.0.5")
    with pytest.raises(evaluate.EvaluateError, match=r"trained with xgboost 3.2.0, but 3.0.5"):
        judged()


def test_a_near_miss_is_not_shown_as_a_tie() -> None:
    gate = {
        "metric": "auc",
        "direction": "min",
        "threshold": 0.8,
        "value": 0.79999,
        "passed": False,
    }
    assert list(gates.failures({"m": {"gate": gate}})) == ["m: auc 0.79999 is below 0.8"]


def test_importance_finds_what_the_data_was_made_of(shop: Any) -> None:
    models = _evaluation(shop)["models"]
    assert next(iter(models["left"]["importance"])) == "age"
    assert next(iter(models["pick"]["importance"])) == "city"
    assert sum(models["left"]["importance"].values()) == pytest.approx(1, abs=1e-6)


def test_calibration_bins_hold_all_rows_and_ties_stay_together() -> None:
    targets = np.r_[np.zeros(60), np.ones(40)]
    found = curves.calibration(targets, np.full(100, 0.3))
    assert found["bins"] == [
        {"rows": 100, "mean_predicted": pytest.approx(0.3), "mean_observed": 0.4}
    ]
    assert found["expected_calibration_error"] == pytest.approx(0.1)
    spread = curves.calibration(targets, np.linspace(0, 1, 100))
    assert [found["rows"] for found in spread["bins"]] == [10] * 10


def test_curves_begin_and_end_where_they_must() -> None:
    found = curves.roc_and_pr(np.array([0.0, 1, 1, 0]), np.array([0.1, 0.9, 0.6, 0.7]))
    assert found["roc"] == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]
    assert found["pr"][0] == (0, 1)
    assert found["pr"][-1] == (1, 0.5)


def test_a_thinned_curve_keeps_its_ends_and_its_corner() -> None:
    targets = np.r_[np.ones(3000), np.zeros(3000)]
    found = curves.roc_and_pr(targets, np.linspace(1, 0, 6000))["roc"]
    assert len(found) <= curves.CURVE_POINTS + 1
    assert (found[0], found[-1]) == ((0, 0), (1, 1))
    assert max(y - x for x, y in found) > 0.98


def _evaluation(shop: Any) -> dict[str, Any]:
    path = shop.folder / "evaluate/processing/output/evaluation/evaluation.json"
    return dict(json.loads(path.read_text("utf-8")))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
