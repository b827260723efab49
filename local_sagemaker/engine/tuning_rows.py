"""What a tuning job's row and its training jobs say: summaries, counters, the best one. Reads only.

The row keeps `Trials`, in order: [{"TrainingJobName", "TunedHyperParameters"}] and of several
definitions whose it is, each written before its training job is created. All else is read from the
training jobs themselves.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from local_sagemaker.engine import progress, tuning_definitions
from local_sagemaker.engine.search import Trial
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

KIND, CHILD = "hyper-parameter-tuning-job", "training-job"
RUNNING = ("InProgress", "Stopping")
TAKEN_OVER = (
    "TrainingJobArn",
    "TrainingStartTime",
    "TrainingEndTime",
    "TrainingJobStatus",
    "FailureReason",
)
# What a user changes nothing by asking again, and AWS would: its own machines and software.
RETRYABLE = "InternalServerError"


def is_maximized(row: Row) -> bool:
    """Of all its definitions: they have one direction, or none would be the best of all."""
    return tuning_definitions.read(row)[0].is_maximized


def summaries(plane: Plane, row: Row) -> list[Row]:
    """HyperParameterTrainingJobSummary of every training job, in the order of their creation."""
    found = ((each, plane.store.get(CHILD, each["TrainingJobName"])) for each in row["Trials"])
    return [_summary(row, trial, child) for trial, child in found if child is not None]


def _summary(row: Row, trial: Row, child: Row) -> Row:
    objective = tuning_definitions.of(row, trial).objective
    value = _final(child, objective["MetricName"])
    ended = child["TrainingJobStatus"] not in RUNNING
    summary = {
        **{member: child[member] for member in TAKEN_OVER if child.get(member) is not None},
        **trial,
        "TuningJobName": row["HyperParameterTuningJobName"],
        "CreationTime": child["CreationTime"],
        "ObjectiveStatus": "Succeeded" if value is not None else "Failed" if ended else "Pending",
    }
    if value is not None:
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = {**objective, "Value": value}
        summary["FinalObjectiveMetricValue"] = value
    return summary


def _final(child: Row, metric: str) -> float | None:
    found = {each["MetricName"]: each["Value"] for each in child.get("FinalMetricDataList", ())}
    value = found.get(metric)
    return float(value) if value is not None and math.isfinite(value) else None


def best(row: Row, found: list[Row]) -> Row | None:
    """The summary with the best objective; the earliest of equals."""
    with_value = [each for each in found if "FinalObjectiveMetricValue" in each]
    sign = -1.0 if is_maximized(row) else 1.0
    return min(with_value, key=lambda each: sign * each["FinalObjectiveMetricValue"], default=None)


def is_running(summary: Row) -> bool:
    return summary["TrainingJobStatus"] in RUNNING


def trial(summary: Row) -> Trial:
    return Trial(
        parameters=summary["TunedHyperParameters"],
        objective=summary.get("FinalObjectiveMetricValue"),
        running=is_running(summary),
    )


def counters(found: list[Row]) -> Row:
    """TrainingJobStatusCounters and ObjectiveStatusCounters."""
    statuses = Counter(_counted(each) for each in found)
    objectives = Counter(each["ObjectiveStatus"] for each in found)
    names = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
    return {
        "TrainingJobStatusCounters": {name: statuses[name] for name in names},
        "ObjectiveStatusCounters": {
            name: objectives[name] for name in ("Succeeded", "Pending", "Failed")
        },
    }


def _counted(summary: Row) -> str:
    status = str(summary["TrainingJobStatus"])
    if status == "Failed":
        retryable = str(summary.get("FailureReason", "")).startswith(RETRYABLE)
        return "RetryableError" if retryable else "NonRetryableError"
    return "InProgress" if status == "Stopping" else status


def described(plane: Plane, row: Row) -> Row:
    """The row as Describe and List show it."""
    found = summaries(plane, row)
    shown: dict[str, Any] = {**row, **counters(found)}
    config = row["HyperParameterTuningJobConfig"]
    shown["Strategy"], shown["ResourceLimits"] = config["Strategy"], config["ResourceLimits"]
    until = row.get("HyperParameterTuningEndTime", plane.clock.now())
    shown["ConsumedResources"] = {"RuntimeInSeconds": int(until - row["CreationTime"])}
    shown["TuningJobCompletionDetails"] = progress.details(found, maximize=is_maximized(row))
    winner = best(row, found)
    if winner is not None:
        shown["BestTrainingJob"] = winner
    if "InheritedBest" in row:
        shown["OverallBestTrainingJob"] = best(row, [row["InheritedBest"], *found])
    elif winner is not None and _is_identical(row):
        shown["OverallBestTrainingJob"] = winner
    return shown


def _is_identical(row: Row) -> bool:
    kind = row.get("WarmStartConfig", {}).get("WarmStartType")
    return bool(kind == "IdenticalDataAndAlgorithm")
