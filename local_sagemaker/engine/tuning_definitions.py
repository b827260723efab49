"""What a tuning job trains: one TrainingJobDefinition, or several of which each is a search of its
own.

A single one takes its objective and its ranges from the tuning job's config; several bring their
own, and a name. A trial says by that name whose it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from local_sagemaker.engine import search
from local_sagemaker.engine.search import Range
from local_sagemaker.store import Row

NAME = "TrainingJobDefinitionName"  # of a trial, as AWS's summaries have it
CHOICE = "HyperParameterTuningResourceConfig"  # instead of ResourceConfig: several instance types
INSTANCES = ("InstanceType", "InstanceCount", "VolumeSizeInGB")
# Members that a training job takes from its definition as they are.
TAKEN_OVER = (
    "AlgorithmSpecification",
    "CheckpointConfig",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "EnableNetworkIsolation",
    "Environment",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "RetryStrategy",
    "RoleArn",
    "StoppingCondition",
    "VpcConfig",
)


@dataclass(frozen=True)
class Definition:
    """One of them: what its trials are asked with, what counts, and where it searches."""

    name: str
    request: Row
    objective: dict[str, str]  # {"Type", "MetricName"}
    parameter_ranges: Row

    @property
    def ranges(self) -> list[Range]:
        return search.read(self.parameter_ranges)

    @property
    def static(self) -> dict[str, str]:
        found: dict[str, str] = self.request.get("StaticHyperParameters", {})
        return found

    @property
    def is_maximized(self) -> bool:
        return self.objective["Type"] == "Maximize"


def read(row: Row) -> list[Definition]:
    """Of a tuning job's request or row."""
    config = row["HyperParameterTuningJobConfig"]
    given = row.get("TrainingJobDefinitions") or [row["TrainingJobDefinition"]]
    return [
        Definition(
            each.get("DefinitionName", ""),
            each,
            _either(config, "HyperParameterTuningJobObjective", each, "TuningObjective"),
            _either(config, "ParameterRanges", each, "HyperParameterRanges"),
        )
        for each in given
    ]


def of(row: Row, trial: Row) -> Definition:
    """The definition of a trial, or of its summary."""
    found = read(row)
    return next((each for each in found if each.name == trial.get(NAME, "")), found[0])


def own(definition: Definition, trials: Sequence[Row]) -> list[Row]:
    """Those of the trials (or summaries) that are the definition's."""
    return [each for each in trials if each.get(NAME, "") == definition.name]


def deal(row: Row) -> Definition:
    """Whose trial is next: of those that have room, the one with the fewest so far."""
    found = read(row)
    room = [each for each in found if len(own(each, row["Trials"])) < _most(row, each)]
    return min(room, key=lambda each: len(own(each, row["Trials"])))


def jobs_wanted(row: Row) -> int:
    """How many trials a tuning job has when nothing ends it before."""
    most = row["HyperParameterTuningJobConfig"]["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    return min(sum(_most(row, each) for each in read(row)), most or search.MOST_JOBS)


def child_request(definition: Definition, name: str, tuned: search.Parameters) -> Row:
    """The CreateTrainingJob request of one trial."""
    given = definition.request
    return {
        **{member: given[member] for member in TAKEN_OVER if member in given},
        **({"ResourceConfig": _first_choice(given[CHOICE])} if CHOICE in given else {}),
        "TrainingJobName": name,
        "HyperParameters": {
            **definition.static,
            **tuned,
            "_tuning_objective_metric": definition.objective["MetricName"],
        },
    }


def _first_choice(given: Row) -> Row:
    """A training job's ResourceConfig: of several instance types the first one, which is the one
    asked for most; here there is always room for it.
    """
    first = given["InstanceConfigs"][0] if given.get("InstanceConfigs") else given
    members = {member: first[member] for member in INSTANCES if member in first}
    key = {"VolumeKmsKeyId": given["VolumeKmsKeyId"]} if "VolumeKmsKeyId" in given else {}
    return {**members, **key}


def _either(config: Row, shared: str, definition: Row, own: str) -> Row:
    found: Row = config[shared] if shared in config else definition[own]
    return found


def _most(row: Row, definition: Definition) -> int:
    strategy = row["HyperParameterTuningJobConfig"]["Strategy"]
    if strategy == "Grid":
        return search.grid_size(definition.ranges)
    return search.MOST_JOBS_OF.get(strategy, search.MOST_JOBS)
