"""Step 4: judges every model on the test rows that none of them has seen.

    processing/input/{test,transform}/, processing/input/models/<model>/model.tar.gz
      -> processing/output/evaluation/{evaluation.json, predictions.npz, report.html}
         processing/output/explanation/explanation.json

Thresholds and limits come as arguments, because they are pipeline parameters; the spec's own hold
otherwise. A failed gate is a finding, not a failure: the pipeline decides what follows. Equal
inputs give equal bytes. The measuring is in metrics, fairness, curves and explain; the page in
report.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inference.transform import Features, Transform, import_xgboost
from steps import artifact, curves, explain, fairness, gates, job, metrics, report, tables
from steps import predictions as kept
from steps.problem import FAIRNESS_LIMITS, DataFormat, Model, Problem

YES_OR_NO = ("binary", "anomaly")
REGISTRY_GROUPS = {
    "regression": "regression_metrics",
    "binary": "binary_classification_metrics",
    "anomaly": "binary_classification_metrics",
    "multiclass": "multiclass_classification_metrics",
}
SIGNIFICANT_DIGITS = 8  # beyond them lies rounding noise, which must not change the bytes


class EvaluateError(Exception):
    """The models cannot be judged."""


class Predicted(NamedTuple):
    """A trained model and what it says about the test rows."""

    spec: Model
    metadata: dict[str, Any]
    booster: Any
    targets: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]

    @property
    def threshold(self) -> float:
        return float((self.metadata["threshold"] or {"value": 0.5})["value"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = job.parser("evaluate", "Judge the models on the test rows.")
    job.add_problem(parser)
    parser.add_argument("--threshold", action="append", default=[], metavar="MODEL=VALUE")
    parser.add_argument("--limit", action="append", default=[], metavar="MEASURE=VALUE")
    arguments = parser.parse_args(argv)
    problem = job.problem(arguments)
    names = [model.name for model in problem.models]
    thresholds = {model.name: model.gate.threshold for model in problem.models}
    thresholds |= _assignments("--threshold", arguments.threshold, names)
    limits = problem.fairness.limits | _assignments("--limit", arguments.limit, FAIRNESS_LIMITS)

    source = arguments.root / "processing/input"
    transform = Transform.from_json((source / "transform/transform.json").read_text("utf-8"))
    features = np.load(source / "test/features.npy", allow_pickle=False)
    models = [_predict(spec, source, features) for spec in problem.models]
    facets = _facets(problem, source / "test/rows.csv", len(features))

    judged = {m.spec.name: _rounded(_judge(m, problem, transform, facets)) for m in models}
    gates.apply(problem, judged, thresholds, limits)
    evaluation = _summary(problem, judged, len(features))
    explanation = _rounded(_explain(models, transform, features))
    output = arguments.root / "processing/output"
    _write(output / "evaluation/evaluation.json", _json(evaluation))
    _write(output / "explanation/explanation.json", _json(explanation))
    said = {m.spec.name: _said(m) for m in models}
    kept.write(output / "evaluation" / kept.NAME, source / "test/rows.csv", said)
    drawings = {m.spec.name: _drawing(m) for m in models}
    _write(output / "evaluation/report.html", report.render(evaluation, explanation, drawings))
    print(f"evaluate: {evaluation['gates']['failed'] or 'every gate passed'}")
    return 0


def _predict(spec: Model, source: Path, features: Features) -> Predicted:
    xgboost = import_xgboost()
    path = source / "models" / spec.name / "model.tar.gz"
    trained = artifact.read(path)
    if trained.metadata["xgboost_version"] != xgboost.__version__:
        raise EvaluateError(
            f"{path} was trained with xgboost {trained.metadata['xgboost_version']}, but"
            f" {xgboost.__version__} is installed, which may predict differently; use one version"
        )
    booster = xgboost.Booster({"nthread": job.threads()})
    booster.load_model(bytearray(trained.booster))
    targets = np.load(source / f"test/target-{spec.name}.npy", allow_pickle=False)
    values = booster.inplace_predict(features, validate_features=False)
    return Predicted(spec, trained.metadata, booster, targets, values)


def _judge(
    model: Predicted,
    problem: Problem,
    transform: Transform,
    facets: Mapping[str, fairness.Groups],
) -> dict[str, Any]:
    """Everything about one model but its gate."""
    spec, rows = model.spec, len(model.targets)
    try:
        score = metrics.scorer(spec.kind, model.targets, model.values, model.threshold)
    except metrics.MetricsError as error:
        raise EvaluateError(f'model "{spec.name}": {error}') from error
    estimates = metrics.bootstrap(score, rows, problem.split.seed)
    verdict: dict[str, Any] = {
        "kind": spec.kind,
        "target": spec.target,
        "metric": spec.metric,
        "rows": rows,
        "metrics": {name: estimate._asdict() for name, estimate in estimates.items()},
        "calibration": _calibration(model),
        "importance": explain.gain_shares(model.booster, transform),
        "best_iteration": model.metadata["best_iteration"],
    }
    if spec.kind in YES_OR_NO:
        verdict["threshold"] = model.metadata["threshold"]
        decisions = model.values >= model.threshold
        compared = {
            name: fairness.compare(facet, decisions, model.targets)
            for name, facet in facets.items()
        }
        verdict["fairness"] = compared
        verdict["fairness_limits"] = fairness.worst(compared) if compared else {}
    elif spec.kind == "regression":
        verdict["fairness"] = {
            name: fairness.mean_predictions(facet, model.values) for name, facet in facets.items()
        }
    return verdict


def _calibration(model: Predicted) -> dict[str, Any]:
    if model.spec.kind == "multiclass":
        return curves.top_label_calibration(model.targets, model.values)
    return curves.calibration(model.targets, model.values)


def _summary(problem: Problem, judged: Mapping[str, dict[str, Any]], rows: int) -> dict[str, Any]:
    failed = "; ".join(gates.failures(judged))
    summary: dict[str, Any] = {
        "problem": problem.name,
        "description": problem.description,
        "rows": rows,
        "intervals": {"method": "bootstrap", "resamples": metrics.RESAMPLES, "level": 0.95},
        "models": dict(judged),
        "gates": {"passed": not failed, "failed": failed},
    }
    for verdict in judged.values():
        summary.setdefault(
            REGISTRY_GROUPS[verdict["kind"]],
            {
                name: {key: estimate[key] for key in ("value", "standard_deviation")}
                for name, estimate in verdict["metrics"].items()
            },
        )
    return summary


def _facets(problem: Problem, path: Path, rows: int) -> dict[str, fairness.Groups]:
    """The groups of the test rows, per facet."""
    if not problem.fairness.facets:
        return {}
    plain = DataFormat(header=True, separator=",", missing=problem.data.missing)
    frame = tables.read(problem.model_copy(update={"data": plain}), [path])
    if len(frame) != rows:
        raise EvaluateError(f"{path} has {len(frame)} rows, features.npy {rows}; run prepare again")
    return {
        facet.column: fairness.groups(frame[facet.column].to_numpy(), facet.bins)
        for facet in problem.fairness.facets
    }


def _explain(
    models: Iterable[Predicted], transform: Transform, features: Features
) -> dict[str, Any]:
    """Laid out like Clarify's analysis; the method is named for what it is."""
    return {
        "method": "tree_shap",
        "models": {
            m.spec.name: explain.global_shap(m.booster, transform, features) for m in models
        },
    }


def _said(model: Predicted) -> kept.Said:
    labels = tuple(model.metadata["labels"] or kept.NO_LABELS)
    return kept.Said(model.targets, model.values, labels)


def _drawing(model: Predicted) -> dict[str, Any]:
    if model.spec.kind == "regression":
        return {"scatter": curves.scatter(model.targets, model.values)}
    if model.spec.kind == "multiclass":
        matrix = curves.confusion(model.targets, model.values)
        return {"confusion": matrix, "labels": model.metadata["labels"]}
    return {**curves.roc_and_pr(model.targets, model.values)}


def _assignments(option: str, given: Sequence[str], allowed: Iterable[str]) -> dict[str, float]:
    """["churn=0.8"] -> {"churn": 0.8}; EvaluateError naming the option and what is allowed."""
    found = {}
    for text in given:
        name, _, value = text.rpartition("=")
        if name not in allowed:
            raise EvaluateError(f"{option} {text}: allowed names are {', '.join(allowed)}")
        try:
            found[name] = float(value)
        except ValueError:
            raise EvaluateError(f"{option} {text}: {value!r} is not a number") from None
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value


def _json(content: Mapping[str, Any]) -> str:
    """Unsorted: features come largest first, models in the spec's order. No NaN gets through."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
