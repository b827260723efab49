"""Warm start: what a tuning job takes over from finished ones, its parents.

Everything is copied into the new row when it is created (`Inherited`, `InheritedBest`): parents may
be deleted while it runs, and its proposals follow from its own row alone. Rules: the API reference,
HyperParameterTuningJobWarmStartConfig.
"""

from __future__ import annotations

from collections.abc import Sequence

from local_sagemaker.engine import tuning_definitions, tuning_rows
from local_sagemaker.engine.search import Trial
from local_sagemaker.engine.tuning_definitions import Definition
from local_sagemaker.errors import ApiError, resource_not_found, validation
from local_sagemaker.images import URI
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

IDENTICAL = "IdenticalDataAndAlgorithm"
PARENTS = "ParentHyperParameterTuningJobs"
ENDED = ("Completed", "Failed", "Stopped")


def inherited(plane: Plane, request: Row) -> Row:
    """Members for the row of a new tuning job; empty without WarmStartConfig. Raises ApiError."""
    config = request.get("WarmStartConfig")
    if config is None:
        return {}
    if "TrainingJobDefinitions" in request:
        raise validation(
            "WarmStartConfig is for a tuning job with one TrainingJobDefinition; leave it out, or "
            "tune one algorithm at a time"
        )
    parents = [_parent(plane, each) for each in _names(config)]
    (mine,) = tuning_definitions.read(request)
    identical = config["WarmStartType"] == IDENTICAL
    for parent in parents:
        _check_alike(parent, mine, identical=identical)
    found = [(parent, tuning_rows.summaries(plane, parent)) for parent in parents]
    tried = [_tried(parent, summaries) for parent, summaries in found]
    if not identical:
        return {"Inherited": tried}
    best = tuning_rows.best(request, [each for _, summaries in found for each in summaries])
    return {"Inherited": tried, **({"InheritedBest": best} if best is not None else {})}


def known(row: Row, definition: Definition, own: Sequence[Trial]) -> list[Trial]:
    """The trials that a proposal may look at: the parents' before its own.

    The data of TransferLearning's parents is other data, of which an objective says nothing here;
    but where it stands among its fellows does. So all are told as standard scores of their job.
    """
    groups = [[_trial(each) for each in group] for group in row.get("Inherited", ())]
    if not groups:
        return list(own)
    if row["WarmStartConfig"]["WarmStartType"] != IDENTICAL:
        groups = [_standardized(group) for group in groups]
        own = _standardized(own)
    usable = [each for group in groups for each in group if _is_within(definition, each)]
    return [*usable, *own]


def _names(config: Row) -> list[str]:
    names = [each.get("HyperParameterTuningJobName", "") for each in config[PARENTS]]
    for name in names:
        if names.count(name) > 1:
            raise validation(f"{PARENTS}: {name!r} is given twice")
    return names


def _parent(plane: Plane, name: str) -> Row:
    row = plane.store.get(tuning_rows.KIND, name)
    if row is None:
        raise resource_not_found(f"Amazon SageMaker can't find a parent tuning job {name!r}.")
    status = row["HyperParameterTuningJobStatus"]
    if status not in ENDED:
        raise validation(
            f"Parent tuning job {name!r} is {status}; wait until it is {' or '.join(ENDED)}"
        )
    if "TrainingJobDefinitions" in row:
        raise validation(f"Parent tuning job {name!r} has several training job definitions")
    return row


def _check_alike(row: Row, mine: Definition, *, identical: bool) -> None:
    (parent,) = tuning_definitions.read(row)
    name = row["HyperParameterTuningJobName"]
    if parent.objective != mine.objective:
        raise _differs(name, "objective", parent.objective, mine.objective)
    if _hyperparameters(parent) != _hyperparameters(mine):
        numbers = (_hyperparameters(parent), _hyperparameters(mine))
        raise _differs(name, "number of static and tuned hyperparameters", *numbers)
    if not identical:
        return
    for what, read in (("InputDataConfig", _data), ("training image", _image)):
        theirs, ours = read(parent.request), read(mine.request)
        if theirs != ours:
            raise _differs(name, what, theirs, ours, " Use TransferLearning for that.")


def _differs(name: str, what: str, theirs: object, ours: object, more: str = "") -> ApiError:
    return validation(
        f"WarmStartConfig: the {what} must be that of parent tuning job {name!r}, which is "
        f"{theirs!r}, not {ours!r}.{more}"
    )


def _hyperparameters(definition: Definition) -> int:
    return len({*definition.static, *(each.name for each in definition.ranges)})


def _data(request: Row) -> object:
    return request.get("InputDataConfig", [])


def _image(request: Row) -> object:
    """The repository: a new version of the same algorithm may be one that changes nothing."""
    uri = str(request["AlgorithmSpecification"].get("TrainingImage", ""))
    match = URI.match(uri)
    return match["name"] if match else uri


def _tried(parent: Row, summaries: list[Row]) -> list[Row]:
    (definition,) = tuning_definitions.read(parent)
    return [
        {
            "HyperParameters": {**definition.static, **each["TunedHyperParameters"]},
            "Objective": each["FinalObjectiveMetricValue"],
        }
        for each in summaries
        if "FinalObjectiveMetricValue" in each
    ]


def _trial(tried: Row) -> Trial:
    return Trial(tried["HyperParameters"], tried["Objective"], running=False)


def _standardized(trials: Sequence[Trial]) -> list[Trial]:
    values = [each.objective for each in trials if each.objective is not None]
    center = sum(values) / len(values) if values else 0.0
    spread = (sum((each - center) ** 2 for each in values) / max(len(values), 1)) ** 0.5
    return [
        Trial(
            each.parameters,
            None if each.objective is None else (each.objective - center) / (spread or 1.0),
            each.running,
        )
        for each in trials
    ]


def _is_within(definition: Definition, trial: Trial) -> bool:
    """Does it lie where this tuning job searches?"""
    return all(each.holds(trial.parameters.get(each.name)) for each in definition.ranges)
