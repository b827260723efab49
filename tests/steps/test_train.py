"""train: a model of every kind, reproducible, with what serving needs beside it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.transform import import_xgboost
from steps import train

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("model", ["score", "left", "pick", "odd"])
def test_a_model_beats_guessing(shop: Any, model: str) -> None:
    metadata = _metadata(shop, model)
    (score,) = metadata["scores"].values()
    test = shop.folder / "prepare/processing/output/validation"
    target = np.load(test / f"target-{model}.npy")
    guessing = {
        "score": lambda: target.std(),
        "left": lambda: (
            -np.log([1 - target.mean(), target.mean()]) @ np.bincount(target > 0) / len(target)
        ),
        "pick": lambda: np.log(3),
        "odd": lambda: target.mean(),
    }[model]()
    assert score > guessing if model == "odd" else score < guessing


def test_two_runs_give_identical_bytes(shop: Any) -> None:
    first = shop.folder / "train-pick/model"
    again = shop.train("pick", run="again")
    assert (first / "model.ubj").read_bytes() == (again / "model.ubj").read_bytes()
    assert (first / "metadata.json").read_bytes() == (again / "metadata.json").read_bytes()


def test_the_model_ends_at_its_best_round(make_shop: Any) -> None:
    made = make_shop()
    plan_path = made.prepare() / "transform/models.json"
    plan = json.loads(plan_path.read_text("utf-8"))
    eager = {"learning_rate": 0.9, "max_depth": 8}
    plan["models"][1] |= {"rounds": 300, "parameters": eager}
    plan_path.write_text(json.dumps(plan), encoding="utf-8")
    made.train("left")
    booster = _booster(made, "left")
    best = _metadata(made, "left")["best_iteration"]
    assert booster.num_boosted_rounds() == best + 1 < 300
    assert int(booster.attr("best_iteration")) == best


def test_metadata_says_what_serving_and_judging_need(shop: Any) -> None:
    metadata = _metadata(shop, "pick")
    assert metadata["kind"] == "multiclass"
    assert metadata["labels"] == ["book", "game", "song"]
    assert metadata["features"] == ["age", "spend", "city", "member", "joined"]
    assert metadata["xgboost_version"] == import_xgboost().__version__
    assert metadata["threshold"] is None
    chosen = _metadata(shop, "left")["threshold"]
    assert chosen["maximises"] == "f1"
    assert 0 < chosen["value"] < 1


def test_progress_is_printed_the_way_metric_definitions_read_it(
    shop: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.train("score", run="printed")
    first = capsys.readouterr().out.splitlines()[0]
    assert re.fullmatch(r"\[0\]\ttrain-rmse:\d+\.\d+\tvalidation-rmse:\d+\.\d+", first)


def test_a_model_that_is_not_in_the_problem_is_refused(shop: Any) -> None:
    with pytest.raises(train.TrainError, match=r'"nope".*score, left, pick, odd'):
        train.main(["--root", str(shop.folder / "train-score"), "--model", "nope"])


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"objective": "binary:hinge"}, "objective 'binary:hinge' does not fit a binary model"),
        ({"booster": "gblinear"}, "booster 'gblinear'"),
        ({"max_depth": -5}, "XGBoost refused.*max_depth"),
    ],
)
def test_parameters_that_cannot_work_are_refused(
    make_shop: Any, parameters: dict[str, Any], said: str
) -> None:
    made = make_shop()
    plan_path = made.prepare() / "transform/models.json"
    plan = json.loads(plan_path.read_text("utf-8"))
    plan["models"][1]["parameters"] = parameters
    plan_path.write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(train.TrainError, match=said):
        made.train("left")


def test_a_constant_target_is_refused_with_its_value(make_shop: Any) -> None:
    made = make_shop()
    target = made.prepare() / "train/target-left.npy"
    np.save(target, np.zeros_like(np.load(target)))
    with pytest.raises(train.TrainError, match="all 840 train rows have left = 0"):
        made.train("left")


def test_training_imports_neither_sklearn_nor_pandas_nor_pydantic(shop: Any) -> None:
    code = (
        "import sys; from steps import train;"
        f"train.main(['--root', {str(shop.folder / 'train-score')!r}, '--model', 'score']);"
        "heavy = {'sklearn', 'pandas', 'pydantic', 'yaml', 'pyarrow'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _metadata(shop: Any, model: str) -> dict[str, Any]:
    path = shop.folder / f"train-{model}/model/metadata.json"
    return dict(json.loads(path.read_text("utf-8")))


def _booster(shop: Any, model: str) -> Any:
    path = shop.folder / f"train-{model}/model/model.ubj"
    return import_xgboost().Booster(model_file=str(path))
