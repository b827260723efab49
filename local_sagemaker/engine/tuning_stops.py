"""When a tuning job has seen enough: of one trial (early stopping, Hyperband), or of all of them
(TuningJobCompletionCriteria).

The rules are early_stopping.py's; here is where their numbers come from: the logs of the jobs.
"""

from __future__ import annotations

import functools
from pathlib import Path

from local_sagemaker.engine import (
    early_stopping,
    metrics,
    progress,
    tuning_definitions,
    tuning_rows,
    workspace,
)
from local_sagemaker.engine.tuning_definitions import Definition
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
    if not looks(row):
        return []
    return [
        each
        for definition in tuning_definitions.read(row)
        for each in _hopeless_of(plane, row, definition, tuning_definitions.own(definition, found))
    ]


def _hopeless_of(plane: Plane, row: Row, definition: Definition, found: list[Row]) -> list[Row]:
    """Each is compared with those of its own definition."""
    running = [each for each in found if each["TrainingJobStatus"] == "InProgress"]
    if not running:
        return []
    emitted = {each["TrainingJobName"]: _emitted(plane, definition, each) for each in found}
    return [each for each in running if _is_hopeless(row, definition, found, emitted, each)]


def seconds_left(plane: Plane, row: Row) -> float:
    """Until MaxRuntimeInSeconds is over; endless without it."""
    limits = row["HyperParameterTuningJobConfig"]["ResourceLimits"]
    most = float(limits.get("MaxRuntimeInSeconds", "inf"))
    return float(row["CreationTime"]) + most - plane.clock.now()


def resources(row: Row, definition: Definition) -> tuple[int, int] | None:
    """(MinResource, MaxResource) of Hyperband; None when the latter is neither given nor to be
    inferred.
    """
    config = row["HyperParameterTuningJobConfig"]
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    static = definition.static
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
    maximize = tuning_rows.is_maximized(row)
    patience = criteria.get("BestObjectiveNotImproving", {}).get(
        "MaxNumberOfTrainingJobsNotImproving"
    )
    if patience is not None and progress.not_improving(found, maximize=maximize) >= patience:
        return True
    wanted = criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled"
    return wanted and progress.converged_at(found, maximize=maximize) is not None


def _is_auto(row: Row) -> bool:
    config = row["HyperParameterTuningJobConfig"]
    return bool(config.get("TrainingJobEarlyStoppingType") == "Auto")


def _is_hopeless(
    row: Row,
    definition: Definition,
    found: list[Row],
    emitted: dict[str, list[float]],
    one: Row,
) -> bool:
    name, maximize = one["TrainingJobName"], definition.is_maximized
    limits = resources(row, definition)
    if row["HyperParameterTuningJobConfig"]["Strategy"] == "Hyperband" and limits is not None:
        others = [values for other, values in emitted.items() if other != name]
        return early_stopping.loses_at_a_rung(emitted[name], others, *limits, maximize=maximize)
    finished = [
        emitted[each["TrainingJobName"]]
        for each in found
        if each["TrainingJobStatus"] == "Completed"
    ]
    return early_stopping.worse_than_median(emitted[name], finished, maximize=maximize)


def _emitted(plane: Plane, definition: Definition, summary: Row) -> list[float]:
    """Every value of the objective metric in the log of a trial, in order: one an epoch."""
    name = summary["TrainingJobName"]
    child = plane.store.get(CHILD, name) or {}
    wanted = definition.objective["MetricName"]
    for each in child.get("AlgorithmSpecification", {}).get("MetricDefinitions", ()):
        if each["Name"] == wanted:
            log = workspace.log_file(plane.config.home, CHILD, name)
            return _series(each["Regex"], log, log.stat().st_size) if log.exists() else []
    return []


@functools.lru_cache(1024)
def _series(regex: str, log: Path, _size: int) -> list[float]:
    """What a log holds at a size: those of finished trials are looked at again and again."""
    return metrics.series(regex, log)
