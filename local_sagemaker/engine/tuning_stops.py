"""When a tuning job has seen enough: of one trial (early stopping, Hyperband), or of all of them
(TuningJobCompletionCriteria).

The rules are early_stopping.py's; here is where their numbers come from: the logs of the jobs.
"""

from __future__ import annotations

import functools
from pathlib import Path

from local_sagemaker.engine import early_stopping, metrics, tuning_rows, workspace
from local_sagemaker.engine.tuning_rows import CHILD
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

# Static hyperparameters that say MaxResource where the request does not, as AWS infers it.
EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")


def looks(row: Row) -> bool:
    """Does this tuning job look into the logs of running trials?"""
    config = row["HyperParameterTuningJobConfig"]
    return config["Strategy"] == "Hyperband" or _is_auto(row)


def hopeless(plane: Plane, row: Row, found: list[Row]) -> list[Row]:
    """Summaries of the running trials that should be stopped now."""
    running = [each for each in found if each["TrainingJobStatus"] == "InProgress"]
    if not running or not looks(row):
        return []
    emitted = {each["TrainingJobName"]: _emitted(plane, row, each) for each in found}
    return [each for each in running if _is_hopeless(row, found, emitted, each)]


def resources(row: Row) -> tuple[int, int] | None:
    """(MinResource, MaxResource) of Hyperband; None when the latter is neither given nor to be
    inferred.
    """
    config = row["HyperParameterTuningJobConfig"]
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    static = row["TrainingJobDefinition"].get("StaticHyperParameters", {})
    inferred = (static[name] for name in EPOCHS if str(static.get(name, "")).isdecimal())
    most = given.get("MaxResource") or next(inferred, None)
    return (given.get("MinResource", 1), int(most)) if most else None


def is_satisfied(row: Row, found: list[Row]) -> bool:
    """Do TuningJobCompletionCriteria say that no further trial is needed?"""
    criteria = row["HyperParameterTuningJobConfig"].get("TuningJobCompletionCriteria", {})
    best = tuning_rows.best(row, found)
    if best is None:
        return False
    target = criteria.get("TargetObjectiveMetricValue")
    value = best["FinalObjectiveMetricValue"]
    if target is not None and (
        value >= target if tuning_rows.is_maximized(row) else value <= target
    ):
        return True
    patience = criteria.get("BestObjectiveNotImproving", {}).get(
        "MaxNumberOfTrainingJobsNotImproving"
    )
    return patience is not None and not_improving(found, best) >= patience


def not_improving(found: list[Row], best: Row) -> int:
    """How many trials after the best one have ended without being better."""
    after = found[found.index(best) + 1 :]
    return sum(not tuning_rows.is_running(each) for each in after)


def _is_auto(row: Row) -> bool:
    config = row["HyperParameterTuningJobConfig"]
    return bool(config.get("TrainingJobEarlyStoppingType") == "Auto")


def _is_hopeless(row: Row, found: list[Row], emitted: dict[str, list[float]], one: Row) -> bool:
    name, maximize = one["TrainingJobName"], tuning_rows.is_maximized(row)
    limits = resources(row)
    if row["HyperParameterTuningJobConfig"]["Strategy"] == "Hyperband" and limits is not None:
        others = [values for other, values in emitted.items() if other != name]
        return early_stopping.loses_at_a_rung(emitted[name], others, *limits, maximize=maximize)
    finished = [
        emitted[each["TrainingJobName"]]
        for each in found
        if each["TrainingJobStatus"] == "Completed"
    ]
    return early_stopping.worse_than_median(emitted[name], finished, maximize=maximize)


def _emitted(plane: Plane, row: Row, summary: Row) -> list[float]:
    """Every value of the objective metric in the log of a trial, in order: one an epoch."""
    name = summary["TrainingJobName"]
    child = plane.store.get(CHILD, name) or {}
    wanted = tuning_rows.objective(row)["MetricName"]
    for each in child.get("AlgorithmSpecification", {}).get("MetricDefinitions", ()):
        if each["Name"] == wanted:
            log = workspace.log_file(plane.config.home, CHILD, name)
            return _series(each["Regex"], log, log.stat().st_size) if log.exists() else []
    return []


@functools.lru_cache(1024)
def _series(regex: str, log: Path, _size: int) -> list[float]:
    """What a log holds at a size: those of finished trials are looked at again and again."""
    return metrics.series(regex, log)
