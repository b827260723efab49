"""What the model cannot say of a CreateHyperParameterTuningJob request; every check raises
ApiError.
"""

from __future__ import annotations

from collections.abc import Callable

from local_sagemaker.engine import search, training, tuning_definitions, tuning_stops
from local_sagemaker.engine.search import CATEGORICAL
from local_sagemaker.engine.tuning_definitions import Definition
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

MOST_PARALLEL = 100
ONE, SEVERAL = "TrainingJobDefinition", "TrainingJobDefinitions"
# What says the objective and the ranges: a member of the config, or one of the definition.
OBJECTIVE = ("HyperParameterTuningJobObjective", "TuningObjective")
RANGES = ("ParameterRanges", "HyperParameterRanges")


def check(request: Row) -> None:
    config = request["HyperParameterTuningJobConfig"]
    check_shape(request)
    definitions = tuning_definitions.read(request)
    for each in definitions:
        _check_static(each)
        _check_resources(each)
    _check_directions(definitions)
    _check_limits(config, sum(search.grid_size(each.ranges) for each in definitions))
    if "StrategyConfig" in config and config["Strategy"] != "Hyperband":
        raise validation(f"StrategyConfig is for Strategy Hyperband, not {config['Strategy']}")
    if config["Strategy"] in BY_STRATEGY:
        BY_STRATEGY[config["Strategy"]](request, definitions)


def check_shape(request: Row) -> None:
    """One definition or several, each with one objective and one set of ranges."""
    if (ONE in request) == (SEVERAL in request):
        raise validation(f"give either {ONE} or {SEVERAL}")
    config = request["HyperParameterTuningJobConfig"]
    if ONE in request:
        for shared, own in (OBJECTIVE, RANGES):
            if (shared in config) == (own in request[ONE]):
                raise validation(
                    f"HyperParameterTuningJobConfig.{shared} is required with {ONE}, "
                    f"or {own} in the definition instead; give one of them"
                )
        return
    names = [each.get("DefinitionName") for each in request[SEVERAL]]
    for each in request[SEVERAL]:
        for member in ("DefinitionName", OBJECTIVE[1], RANGES[1]):
            if member not in each:
                raise validation(f"{SEVERAL}: {member} is required in each of them")
        if names.count(each["DefinitionName"]) > 1:
            raise validation(f"{SEVERAL}: DefinitionName {each['DefinitionName']!r} is given twice")
    for shared, own in (OBJECTIVE, RANGES):
        if shared in config:
            raise validation(
                f"HyperParameterTuningJobConfig.{shared} is for one {ONE}; with {SEVERAL} each "
                f"has its own {own}"
            )
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise validation(f"TrainingJobEarlyStoppingType must be Off with {SEVERAL}")


def check_child(plane: Plane, request: Row, metric: str) -> None:
    """Can a training job of it run, and will it tell the objective?"""
    training.check(plane, request)
    own = training.algorithm_metrics(plane, request) or request
    names = [each["Name"] for each in own["AlgorithmSpecification"].get("MetricDefinitions", ())]
    if metric not in names:
        raise validation(
            f"The objective metric {metric!r} is not defined; give it in "
            "AlgorithmSpecification.MetricDefinitions. Defined: "
            f"{', '.join(sorted(names)) or 'none'}"
        )


def _check_static(definition: Definition) -> None:
    both = sorted(each.name for each in definition.ranges if each.name in definition.static)
    if both:
        raise validation(f"Hyperparameter {both[0]!r} is both static and tuned; keep one")


def _check_resources(definition: Definition) -> None:
    choice = tuning_definitions.CHOICE
    given = definition.request.get(choice)
    if (given is None) == ("ResourceConfig" not in definition.request):
        raise validation(f"give either ResourceConfig or {choice}")
    if given is None:
        return
    named = [member for member in tuning_definitions.INSTANCES if member in given]
    several = bool(given.get("InstanceConfigs"))
    if several == bool(named) or (named and len(named) < len(tuning_definitions.INSTANCES)):
        raise validation(
            f"{choice}: give either InstanceConfigs or all of "
            f"{', '.join(tuning_definitions.INSTANCES)}"
        )


def _check_directions(definitions: list[Definition]) -> None:
    types = sorted({each.objective["Type"] for each in definitions})
    if len(types) > 1:
        raise validation(
            f"TuningObjective: Type is {' and '.join(types)}; it must be the same in all of "
            f"{SEVERAL}, or none of their training jobs would be the best"
        )


def _check_limits(config: Row, grid: int) -> None:
    limits, strategy = config["ResourceLimits"], config["Strategy"]
    if limits["MaxParallelTrainingJobs"] > MOST_PARALLEL:
        raise validation(f"MaxParallelTrainingJobs may be {MOST_PARALLEL} at most")
    most = search.MOST_JOBS_OF.get(strategy, search.MOST_JOBS)
    count = limits.get("MaxNumberOfTrainingJobs", grid if strategy == "Grid" else None)
    if count is None and not _has_another_end(config):
        raise validation(
            f"MaxNumberOfTrainingJobs is required for Strategy {strategy} without "
            "MaxRuntimeInSeconds or TuningJobCompletionCriteria"
        )
    if count is not None and count > most:
        raise validation(f"{count} training jobs are too many for {strategy}; {most} at most")


def _has_another_end(config: Row) -> bool:
    criteria = config.get("TuningJobCompletionCriteria", {})
    ends = (
        "MaxRuntimeInSeconds" in config["ResourceLimits"],
        criteria.get("BestObjectiveNotImproving"),
        criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled",
    )
    return any(ends)


def _check_grid(request: Row, definitions: list[Definition]) -> None:
    ranges = [each for definition in definitions for each in definition.ranges]
    numeric = [each.name for each in ranges if each.kind != CATEGORICAL]
    if numeric:
        raise validation(
            f"Strategy Grid takes CategoricalParameterRanges alone; {numeric[0]!r} is none"
        )
    limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
    size = sum(search.grid_size(each.ranges) for each in definitions)
    if limits.get("MaxNumberOfTrainingJobs", size) != size:
        raise validation(
            f"MaxNumberOfTrainingJobs {limits['MaxNumberOfTrainingJobs']}: the grid has {size} "
            "points; leave it out"
        )


def _check_hyperband(request: Row, definitions: list[Definition]) -> None:
    config = request["HyperParameterTuningJobConfig"]
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise validation("Strategy Hyperband stops jobs itself: TrainingJobEarlyStoppingType = Off")
    for each in definitions:
        limits = tuning_stops.resources(request, each)
        if limits is None:
            raise validation(
                "Strategy Hyperband needs StrategyConfig.HyperbandStrategyConfig.MaxResource, or "
                f"one of the static hyperparameters {', '.join(tuning_stops.EPOCHS)}"
            )
        if limits[0] > limits[1]:
            raise validation(f"MinResource {limits[0]} is above MaxResource {limits[1]}")


BY_STRATEGY: dict[str, Callable[[Row, list[Definition]], None]] = {
    "Grid": _check_grid,
    "Hyperband": _check_hyperband,
}
