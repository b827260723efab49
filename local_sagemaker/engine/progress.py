"""Does a tuning job still get better? How many of its trials in a row did not, and since when it
counts as converged.

AWS calls less than 1 % no improvement; by which rule it tells convergence it does not say. Pure
functions of the summaries of its training jobs, in the order of their creation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from local_sagemaker.store import Row

IMPROVEMENT = 0.01
CONVERGED_AFTER = 10  # trials in a row without improvement
ENDED = ("Completed", "Failed", "Stopped")


def not_improving(found: Sequence[Row], *, maximize: bool) -> int:
    """How many of the last trials that ended have not improved on those before them."""
    return next(reversed([count for count, _ in _counts(found, maximize)]), 0)


def converged_at(found: Sequence[Row], *, maximize: bool) -> float | None:
    """The end of the trial with which it converged; None as long as it has not."""
    reached = (one for count, one in _counts(found, maximize) if count == CONVERGED_AFTER)
    last = next(reached, None)
    if last is None:
        return None
    return float(last["TrainingEndTime"] if "TrainingEndTime" in last else last["CreationTime"])


def details(found: Sequence[Row], *, maximize: bool) -> Row:
    """TuningJobCompletionDetails."""
    time = converged_at(found, maximize=maximize)
    count = not_improving(found, maximize=maximize)
    shown: Row = {"NumberOfTrainingJobsObjectiveNotImproving": count}
    return shown if time is None else {**shown, "ConvergenceDetectedTime": time}


def _counts(found: Sequence[Row], maximize: bool) -> Iterator[tuple[int, Row]]:
    """After each trial that ended: how many there were since the last improvement."""
    best: float | None = None
    count = 0
    for each in found:
        if each["TrainingJobStatus"] not in ENDED:
            continue
        value = each.get("FinalObjectiveMetricValue")
        if value is not None and (best is None or _gain(value, best, maximize)):
            best, count = value, 0
        elif best is not None:
            count += 1
        yield count, each


def _gain(value: float, best: float, maximize: bool) -> bool:
    difference = value - best if maximize else best - value
    return difference > 0 and difference >= IMPROVEMENT * abs(best)
