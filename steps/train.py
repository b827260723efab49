"""Step 3, once per model: trains one XGBoost model of any kind.

    input/data/{train,validation,transform}/ -> model/{model.ubj, metadata.json}

Early stopping on the validation rows; the model is saved up to its best round. Equal input, seed
and thread count give equal bytes. numpy and XGBoost are all that is imported: the model's settings
come from `models.json`, which `prepare` wrote from the problem spec.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inference.transform import Features, Transform, import_xgboost
from steps import job
from steps.metrics import best_threshold

PRINT_EVERY_ROUNDS = 25
OBJECTIVES = {
    "regression": (
        "reg:squarederror",
        "reg:absoluteerror",
        "reg:gamma",
        "reg:pseudohubererror",
        "reg:squaredlogerror",
        "reg:tweedie",
        "count:poisson",
    ),
    "binary": ("binary:logistic",),
    "anomaly": ("binary:logistic",),
    "multiclass": ("multi:softprob",),
}
BOOSTERS = ("gbtree", "dart")
# What early stopping watches. Log loss notices what AUC and accuracy do not; PR-AUC is kept for
# rare events, whose classes are often weighted, which log loss would punish.
EVAL_METRICS = {
    "regression": "rmse",
    "binary": "logloss",
    "anomaly": "aucpr",
    "multiclass": "mlogloss",
}


class TrainError(Exception):
    """The model cannot be trained."""


class Part(NamedTuple):
    """Rows to learn from or to watch: (n, features) float32 and (n,) float32."""

    features: Features
    target: npt.NDArray[np.float32]


def main(argv: Sequence[str] | None = None) -> int:
    parser = job.parser("train", "Train one model.", "--model churn")
    parser.add_argument("--model", required=True, help="a model's name in the problem")
    arguments = parser.parse_args(argv)
    data = arguments.root / "input/data"
    transform = Transform.from_json((data / "transform/transform.json").read_text("utf-8"))
    plan = json.loads((data / "transform/models.json").read_text("utf-8"))
    spec = _spec(plan, arguments.model)
    train, validation = (_part(data / name, spec["name"]) for name in ("train", "validation"))
    _check_target(spec, train.target)
    parameters = booster_parameters(spec, plan["seed"])
    booster = fit(spec, parameters, transform, train, validation)
    folder = arguments.root / "model"
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(str(folder / "model.ubj"))
    metadata = _metadata(spec, parameters, transform, booster, validation)
    text = json.dumps(metadata, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "metadata.json").write_text(text + "\n", encoding="utf-8")
    shown = " ".join(f"validation-{k}={v:.5f}" for k, v in metadata["scores"].items())
    print(f"train: {spec['name']} best_iteration={metadata['best_iteration']} {shown}")
    return 0


def booster_parameters(spec: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """XGBoost's parameters of a model: the spec's over the defaults of its kind."""
    kind = spec["kind"]
    defaults = {
        "booster": "gbtree",
        "objective": OBJECTIVES[kind][0],
        "tree_method": "hist",
        "seed": seed,
        "eval_metric": "mae" if spec["metric"] == "mae" else EVAL_METRICS[kind],
    }
    parameters = {**defaults, **spec["parameters"]}
    for key, allowed in (("objective", OBJECTIVES[kind]), ("booster", BOOSTERS)):
        if parameters[key] not in allowed:
            raise TrainError(
                f'model "{spec["name"]}": {key} {parameters[key]!r} does not fit a {kind} model;'
                f" allowed: {', '.join(allowed)}"
            )
    if kind == "multiclass":
        parameters["num_class"] = len(spec["labels"])
    return parameters


def fit(
    spec: Mapping[str, Any],
    parameters: Mapping[str, Any],
    transform: Transform,
    train: Part,
    validation: Part,
) -> Any:
    """The trained booster, cut after its best round. Raises TrainError with XGBoost's reason."""
    xgboost = import_xgboost()
    threads = job.threads()
    kinds = transform.feature_types
    options = {"feature_types": kinds, "enable_categorical": "c" in kinds, "nthread": threads}
    try:
        # A plain DMatrix costs 0.7 s of CPU less than a QuantileDMatrix on 70,000 x 49 rows, in
        # building and in every round's look at the validation rows, for 8 bytes a cell.
        learn = xgboost.DMatrix(train.features, train.target, **options)
        watch = xgboost.DMatrix(validation.features, validation.target, **options)
        return xgboost.train(
            {**parameters, "nthread": threads},
            learn,
            num_boost_round=spec["rounds"],
            evals=[(watch, "validation")],
            callbacks=[
                _progress(xgboost, learn),
                xgboost.callback.EarlyStopping(
                    rounds=spec["early_stopping_rounds"], save_best=True
                ),
            ],
            verbose_eval=False,
        )
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()
        said = next((line for line in reason if "rror" in line or "heck" in line), reason[0])
        raise TrainError(f'model "{spec["name"]}": XGBoost refused: {said}') from error


def _progress(xgboost: Any, learn: Any) -> Any:
    """Prints a line now and then. Scoring the train rows every round would cost as much again."""

    class Progress(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if epoch % PRINT_EVERY_ROUNDS == 0:
                # "[25]\ttrain-auc:0.81", and one more pair for each further metric.
                train = model.eval_set([(learn, "train")], epoch).split("\t")[1:]
                watched = evals_log["validation"].items()
                scores = [f"validation-{key}:{values[-1]:.5f}" for key, values in watched]
                print("\t".join([f"[{epoch}]", *map(_shortened, train), *scores]), flush=True)
            return False

    return Progress()


def _shortened(score: str) -> str:
    name, _, value = score.rpartition(":")
    return f"{name}:{float(value):.5f}"


def _metadata(
    spec: Mapping[str, Any],
    parameters: Mapping[str, Any],
    transform: Transform,
    booster: Any,
    validation: Part,
) -> dict[str, Any]:
    best = booster.attr("best_score")
    metric = parameters["eval_metric"]
    watched = metric if isinstance(metric, str) else metric[-1]
    return {
        "name": spec["name"],
        "kind": spec["kind"],
        "target": spec["target"],
        "metric": spec["metric"],
        "labels": spec["labels"],
        "features": transform.names,
        "best_iteration": booster.num_boosted_rounds() - 1,
        "scores": {watched: float(best)},
        "threshold": _threshold(spec, booster, validation),
        "parameters": dict(parameters),
        "xgboost_version": import_xgboost().__version__,
    }


def _threshold(spec: Mapping[str, Any], booster: Any, validation: Part) -> dict[str, Any] | None:
    """From which probability on a binary model says yes: chosen here, on validation rows, so that
    the test rows judge a decision that they did not shape."""
    if spec["kind"] not in ("binary", "anomaly"):
        return None
    goal = "accuracy" if spec["metric"] == "accuracy" else "f1"
    predicted = booster.inplace_predict(validation.features, validate_features=False)
    value = best_threshold(validation.target, predicted, goal)
    return {"value": value, "maximises": goal, "chosen_on": "validation"}


def _spec(plan: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = {model["name"]: model for model in plan["models"]}
    if name not in found:
        raise TrainError(f'--model "{name}" is not in the problem; allowed: {", ".join(found)}')
    return dict(found[name])


def _part(folder: Path, model: str) -> Part:
    features = np.load(folder / "features.npy", allow_pickle=False)
    target = np.load(folder / f"target-{model}.npy", allow_pickle=False)
    if len(features) != len(target) or not len(target):
        raise TrainError(f"{folder.name}: {len(features)} feature rows, {len(target)} targets")
    return Part(features, target)


def _check_target(spec: Mapping[str, Any], target: npt.NDArray[np.float32]) -> None:
    if len(np.unique(target)) < 2:
        raise TrainError(
            f'model "{spec["name"]}": all {len(target)} train rows have {spec["target"]} ='
            f" {target[0]:g}; there is nothing to learn. Check the column and the data"
        )
