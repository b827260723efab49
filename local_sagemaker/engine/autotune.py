"""Autotune: what a tuning job request leaves open is chosen, and written where it was left out, so
that Describe shows what is done.

Ranges come from AWS's tables of recommended ranges, which exist for its own algorithms: of those
XGBoost's runs here. For anything else AWS does not say how a range follows from a ValueHint, and
AutoParameters are refused by name. Source: developer guide, "Tune an XGBoost Model".
"""

from __future__ import annotations

from local_sagemaker.engine import training
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

INTEGER, CONTINUOUS = "IntegerParameterRanges", "ContinuousParameterRanges"
XGBOOST = {
    "alpha": (CONTINUOUS, "0", "1000"),
    "colsample_bylevel": (CONTINUOUS, "0.1", "1"),
    "colsample_bynode": (CONTINUOUS, "0.1", "1"),
    "colsample_bytree": (CONTINUOUS, "0.5", "1"),
    "eta": (CONTINUOUS, "0.1", "0.5"),
    "gamma": (CONTINUOUS, "0", "5"),
    "lambda": (CONTINUOUS, "0", "1000"),
    "max_delta_step": (INTEGER, "0", "10"),
    "max_depth": (INTEGER, "0", "10"),
    "min_child_weight": (CONTINUOUS, "0", "120"),
    "num_round": (INTEGER, "1", "4000"),
    "subsample": (CONTINUOUS, "0.5", "1"),
}
# "The greatest effect on optimizing the XGBoost evaluation metrics": tuned when nothing is named.
FIRST = ("alpha", "min_child_weight", "subsample", "eta", "num_round")
NAMED = "AutoParameters"


def settled(plane: Plane, request: Row) -> Row:
    """The request with what Autotune chooses filled in. Raises ApiError."""
    if "Autotune" not in request:
        _refuse_named(request)
        return request
    config = dict(request["HyperParameterTuningJobConfig"])
    several = "TrainingJobDefinitions" in request
    criteria = dict(config.get("TuningJobCompletionCriteria", {}))
    criteria.setdefault("ConvergenceDetected", {"CompleteOnConvergence": "Enabled"})
    config["TuningJobCompletionCriteria"] = criteria
    if not several and config["Strategy"] != "Hyperband":
        config.setdefault("TrainingJobEarlyStoppingType", "Auto")
    changed = {**request, "HyperParameterTuningJobConfig": config}
    if several:
        changed["TrainingJobDefinitions"] = [
            {**each, "HyperParameterRanges": _chosen(plane, each, each.get("HyperParameterRanges"))}
            for each in request["TrainingJobDefinitions"]
        ]
    elif "TrainingJobDefinition" in request:
        definition = request["TrainingJobDefinition"]
        if "HyperParameterRanges" in definition:
            ranges = _chosen(plane, definition, definition["HyperParameterRanges"])
            changed["TrainingJobDefinition"] = {**definition, "HyperParameterRanges": ranges}
        else:
            config["ParameterRanges"] = _chosen(plane, definition, config.get("ParameterRanges"))
    return changed


def _chosen(plane: Plane, definition: Row, given: Row | None) -> Row:
    """Ranges for the AutoParameters; for the first of the algorithm where nothing is named."""
    ranges: Row = {member: list(each) for member, each in (given or {}).items()}
    names = [each["Name"] for each in ranges.get(NAMED, ())]
    if not any(ranges.values()):
        names = [name for name in FIRST if name not in definition.get("StaticHyperParameters", {})]
    for name in names:
        kind, low, high = _recommended(plane, definition, name)
        ranges.setdefault(kind, []).append({"Name": name, "MinValue": low, "MaxValue": high})
    return ranges


def _recommended(plane: Plane, definition: Row, name: str) -> tuple[str, str, str]:
    if not _is_xgboost(plane, definition):
        raise _unknown(name, "of AWS's algorithms only XGBoost's has recommended ranges here")
    if name not in XGBOOST:
        raise _unknown(name, f"XGBoost has recommended ranges of {', '.join(sorted(XGBOOST))}")
    return XGBOOST[name]


def _unknown(name: str, why: str) -> ApiError:
    return validation(
        f"{NAMED}: Autotune cannot choose a range for {name!r}: {why}. Give it one in "
        "IntegerParameterRanges, ContinuousParameterRanges or CategoricalParameterRanges"
    )


def _is_xgboost(plane: Plane, definition: Row) -> bool:
    """Does AWS's own algorithm train, and no program of the user's?"""
    if not definition["AlgorithmSpecification"].get("TrainingImage"):
        return False
    asked = {**definition, "HyperParameters": definition.get("StaticHyperParameters", {})}
    return bool(training.algorithm_metrics(plane, asked))


def _refuse_named(request: Row) -> None:
    definitions = request.get("TrainingJobDefinitions") or [
        request.get("TrainingJobDefinition", {})
    ]
    places = [
        request["HyperParameterTuningJobConfig"].get("ParameterRanges", {}),
        *(each.get("HyperParameterRanges", {}) for each in definitions),
    ]
    if any(each.get(NAMED) for each in places):
        raise validation(f'{NAMED} need Autotune: {{"Mode": "Enabled"}}')
