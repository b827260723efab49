"""What the model cannot say of a CreateHyperParameterTuningJob request; every check raises
ApiError.
"""

from __future__ import annotations

from collections.abc import Callable

from local_sagemaker.engine import search, training, tuning_stops
from local_sagemaker.engine.search import CATEGORICAL, Range
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

MOST_JOBS = {"Random": 10_000}
MOST_JOBS_ELSE = 750
MOST_PARALLEL = 100


def check(request: Row) -> None:
    config = request["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinition" not in request:
        raise validation("TrainingJobDefinition is required")
    for member in ("HyperParameterTuningJobObjective", "ParameterRanges"):
        if member not in config:
            raise validation(f"HyperParameterTuningJobConfig.{member} is required")
    ranges = search.read(config["ParameterRanges"])
    _check_static(request, ranges)
    _check_limits(config, ranges)
    if "StrategyConfig" in config and config["Strategy"] != "Hyperband":
        raise validation(f"StrategyConfig is for Strategy Hyperband, not {config['Strategy']}")
    if config["Strategy"] in BY_STRATEGY:
        BY_STRATEGY[config["Strategy"]](request, ranges)


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


def _check_static(request: Row, ranges: list[Range]) -> None:
    static = request["TrainingJobDefinition"].get("StaticHyperParameters", {})
    both = sorted(each.name for each in ranges if each.name in static)
    if both:
        raise validation(f"Hyperparameter {both[0]!r} is both static and tuned; keep one")


def _check_limits(config: Row, ranges: list[Range]) -> None:
    limits, strategy = config["ResourceLimits"], config["Strategy"]
    if limits["MaxParallelTrainingJobs"] > MOST_PARALLEL:
        raise validation(f"MaxParallelTrainingJobs may be {MOST_PARALLEL} at most")
    count, most = limits.get("MaxNumberOfTrainingJobs"), MOST_JOBS.get(strategy, MOST_JOBS_ELSE)
    if strategy == "Grid":
        count = search.grid_size(ranges) if count is None else count
    if count is None:
        raise validation(f"MaxNumberOfTrainingJobs is required for Strategy {strategy}")
    if count > most:
        raise validation(f"{count} training jobs are too many for {strategy}; {most} at most")


def _check_grid(request: Row, ranges: list[Range]) -> None:
    numeric = [each.name for each in ranges if each.kind != CATEGORICAL]
    if numeric:
        raise validation(
            f"Strategy Grid takes CategoricalParameterRanges alone; {numeric[0]!r} is none"
        )
    limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
    size = search.grid_size(ranges)
    if limits.get("MaxNumberOfTrainingJobs", size) != size:
        raise validation(
            f"MaxNumberOfTrainingJobs {limits['MaxNumberOfTrainingJobs']}: the grid has {size} "
            "points; leave it out"
        )


def _check_hyperband(request: Row, _: list[Range]) -> None:
    config = request["HyperParameterTuningJobConfig"]
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise validation("Strategy Hyperband stops jobs itself: TrainingJobEarlyStoppingType = Off")
    limits = tuning_stops.resources(request)
    if limits is None:
        raise validation(
            "Strategy Hyperband needs StrategyConfig.HyperbandStrategyConfig.MaxResource, or one "
            f"of the static hyperparameters {', '.join(tuning_stops.EPOCHS)}"
        )
    if limits[0] > limits[1]:
        raise validation(f"MinResource {limits[0]} is above MaxResource {limits[1]}")


BY_STRATEGY: dict[str, Callable[[Row, list[Range]], None]] = {
    "Grid": _check_grid,
    "Hyperband": _check_hyperband,
}
