"""What the tests of List operations ask about: for each operation a world of five resources.

Where an operation's request needs more than its own kind of resource, WORLDS says what.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

from local_sagemaker.engine import lineage, pipeline_versions
from local_sagemaker.store import KINDS, Kind
from tests.local_sagemaker.conftest import Local

MODEL = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
PAGES = Loader().load_service_model("sagemaker", "paginators-1")["pagination"]
NAMES = ("delta", "alpha", "Echo", "bravo", "charlie")
MOST = 100
BEGIN, GAP = 1_700_000_000.0, 60.0
BETWEEN = BEGIN + 1.5 * GAP
ARN = "arn:aws:sagemaker:us-east-1:000000000000"

Row = dict[str, Any]


@dataclass
class World:
    """What a List operation is asked about: its resources, oldest first, and what must be asked."""

    client: Any
    operation: str
    rows: list[Row]
    kind: Kind
    request: Row = field(default_factory=dict)
    identity: str = ""

    def answer(self, **request: Any) -> Any:
        call = getattr(self.client, xform_name(self.operation))
        return call(**{**self.request, **request})

    def listed(self, **request: Any) -> list[Any]:
        """Which there are in the answer, in its order."""
        size = {"MaxResults": MOST} if "MaxResults" in members(self.operation) else {}
        found = self.answer(**{**size, **request})[PAGES[self.operation]["result_key"]]
        return [each[self.identity or self.kind.arn] for each in found]

    def meant(self, true: Callable[[Row], bool]) -> set[Any]:
        return {row[self.identity or self.kind.arn] for row in self.rows if true(row)}

    def filters(self, member: str, value: Any, true: Callable[[Row], bool]) -> None:
        wanted = self.meant(true)
        assert 0 < len(wanted) < len(self.rows), "the test would show nothing"
        assert set(self.listed(**{member: value})) == wanted


def members(operation: str) -> dict[str, Any]:
    shape = MODEL.operation_model(operation).input_shape
    return dict(shape.members) if shape else {}


def new_rows(kind: Kind, statuses: list[str], **more: Any) -> list[Row]:
    """Five resources whose names, times and statuses are in different orders."""
    return [
        {
            kind.name: name,
            kind.arn: f"{ARN}:{kind.arn.removesuffix('Arn').lower()}/{name.lower()}",
            **({kind.status: statuses[index % len(statuses)]} if kind.status else {}),
            "CreationTime": BEGIN + index * GAP,
            "LastModifiedTime": BEGIN + (len(NAMES) - 1 - index) * GAP,
            **more,
        }
        for index, name in enumerate(NAMES)
    ]


def of_kind(local: Local, operation: str) -> World:
    """ListModels: five models, all that DescribeModel knows of being their names and times."""
    name = kind_of(operation)
    kind = KINDS[name]
    statuses = ["InProgress", "Completed", "Failed"]
    if "StatusEquals" in members(operation):
        statuses = members(operation)["StatusEquals"].enum
    rows = new_rows(kind, statuses, **MORE.get(operation, {}))
    for row in local.plane.store.rows(name):  # what is there from the start
        local.plane.store.delete(name, row[kind.name])
    for index, row in enumerate(rows):
        row |= {member: each[index % len(each)] for member, each in VARIED.get(name, {}).items()}
        local.plane.store.insert(name, row[kind.name], row)
    for parent, more in PARENTS.items():
        if not local.plane.store.rows(parent):
            row = {KINDS[parent].name: more, KINDS[parent].arn: f"{ARN}:{parent}/{more}"}
            local.plane.store.insert(
                parent, more, {**row, "Trials": ["alpha"], "ExperimentName": "one"}
            )
    return World(local.client(), operation, rows, kind)


def kind_of(operation: str) -> str:
    words = re.findall(r"[A-Z][a-z]*", operation.removeprefix("List"))
    kind = "-".join(words).lower().removesuffix("s")
    return f"experiment-{kind}" if kind.startswith("trial") else kind


# Members without which a row of the kind cannot be listed.
TUNING = {
    "Strategy": "Random",
    "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
    "ResourceLimits": {"MaxParallelTrainingJobs": 1},
    "ParameterRanges": {},
}
MORE: dict[str, Row] = {
    "ListHyperParameterTuningJobs": {
        "Trials": [],
        "HyperParameterTuningJobConfig": TUNING,
        "TrainingJobDefinition": {},
    },
    "ListTrialComponents": {"Metrics": []},
}
SOURCES = [{"SourceUri": f"s3://b/{each}", "SourceArn": f"{ARN}:job/{each}"} for each in "xyz"]
# Kind -> members whose values take turns.
VARIED: dict[str, dict[str, list[Any]]] = {
    "action": {"Source": SOURCES, "ActionType": ["Deploy", "Approve"]},
    "artifact": {"Source": SOURCES, "ArtifactType": ["Model", "DataSet"]},
    "context": {"Source": SOURCES, "ContextType": ["Endpoint", "Group"]},
    "inference-component": {"EndpointName": ["one", "two"], "VariantName": ["a", "b", "c"]},
    "experiment-trial": {"ExperimentName": ["one", "two"]},
    "experiment-trial-component": {"Source": SOURCES, "Trials": [["first"], []]},
}
PARENTS = {
    "experiment": "one",
    "experiment-trial": "first",
    "experiment-trial-component": "part",
}


def versions_of_packages(local: Local, operation: str) -> World:
    kind = KINDS["model-package"]
    group = {"ModelPackageGroupName": "churn", "ModelPackageGroupArn": f"{ARN}:group/churn"}
    local.plane.store.insert("model-package-group", "churn", group)
    statuses = ["Approved", "Rejected", "PendingManualApproval"]
    rows = new_rows(kind, ["Completed"])
    for index, row in enumerate(rows):
        row["ModelApprovalStatus"] = statuses[index % 3]
        name = row[kind.name]
        if index < 3:
            row |= {"ModelPackageGroupName": "churn", "ModelPackageVersion": 12 - index}
            del row[kind.name]
            name = f"churn/{row['ModelPackageVersion']}"
        local.plane.store.insert("model-package", name, row)
    return World(local.client(), operation, rows, kind, {"ModelPackageType": "Both"})


def executions(local: Local, operation: str) -> World:
    pipeline(local)
    rows = new_rows(KINDS["pipeline-execution"], ["Executing", "Succeeded"])
    for index, row in enumerate(rows):
        row["PipelineExecutionArn"] = f"{ARN}:pipeline/p/execution/{NAMES[index].lower()}"
        row |= {"PipelineArn": f"{ARN}:pipeline/p", "PipelineVersionId": 1 + index % 2, "Steps": {}}
        local.plane.store.insert("pipeline-execution", row["PipelineExecutionArn"], row)
    kind = KINDS["pipeline-execution"]
    return World(local.client(), operation, rows, kind, {"PipelineName": "p"})


def pipeline(local: Local) -> None:
    row = {
        "PipelineName": "p",
        "PipelineArn": f"{ARN}:pipeline/p",
        "PipelineVersionId": 5,
        pipeline_versions.ALIASES: {"live": 2},
    }
    local.plane.store.insert("pipeline", "p", row)


def versions_of_a_pipeline(local: Local, operation: str) -> World:
    pipeline(local)
    rows = [
        {
            "PipelineArn": f"{ARN}:pipeline/p",
            "PipelineVersionId": index + 1,
            "CreationTime": BEGIN + index * GAP,
        }
        for index in range(5)
    ]
    for row in rows:
        name = f"{ARN}:pipeline/p/version/{row['PipelineVersionId']}"
        local.plane.store.insert("pipeline-version", name, row)
    world = World(local.client(), operation, rows, Kind("", ""), {"PipelineName": "p"})
    world.identity = "PipelineVersionId"
    return world


def inside_an_execution(local: Local, operation: str) -> World:
    arn = f"{ARN}:pipeline/p/execution/x"
    steps = [
        {"StepName": name, "StepStatus": "Succeeded", "StartTime": BEGIN + index * GAP}
        for index, name in enumerate(NAMES)
    ]
    row = {
        "PipelineExecutionArn": arn,
        "PipelineExecutionStatus": "Succeeded",
        "Steps": {step["StepName"]: step for step in steps},
        "Parameters": dict.fromkeys(NAMES, 1),
    }
    local.plane.store.insert("pipeline-execution", arn, row)
    request = {"PipelineExecutionArn": arn}
    is_step = operation == "ListPipelineExecutionSteps"
    rows = [{**s, "CreationTime": s["StartTime"], "Name": s["StepName"]} for s in steps]
    world = World(local.client(), operation, rows, Kind("Name", ""), request)
    world.identity = "StepName" if is_step else "Name"
    return world


def tags(local: Local, operation: str) -> World:
    model = {"ModelName": "m", "ModelArn": f"{ARN}:model/m"}
    # More than AddTags allows: MaxResults begins with all that it does.
    rows = [{"Key": f"{name}-{index}", "Value": "x"} for index in range(11) for name in NAMES]
    local.plane.store.insert("model", "m", model, tags=rows)
    request = {"ResourceArn": model["ModelArn"]}
    return World(local.client(), operation, rows, Kind("Key", "Key"), request)


def trials(local: Local, operation: str) -> World:
    kind = KINDS["training-job"]
    rows = new_rows(kind, members(operation)["StatusEquals"].enum)
    for index, row in enumerate(rows):
        value = (index * 7) % 5
        row["FinalMetricDataList"] = [{"MetricName": "loss", "Value": value}]
        row["FinalObjectiveMetricValue"] = value
        local.plane.store.insert("training-job", row[kind.name], row)
    job = {
        "HyperParameterTuningJobName": "tune",
        "HyperParameterTuningJobArn": f"{ARN}:tuning/tune",
        "HyperParameterTuningJobConfig": TUNING,
        "TrainingJobDefinition": {},
        "Trials": [{"TrainingJobName": name, "TunedHyperParameters": {}} for name in NAMES],
    }
    local.plane.store.insert("hyper-parameter-tuning-job", "tune", job)
    request = {"HyperParameterTuningJobName": "tune"}
    return World(local.client(), operation, rows, kind, request, "TrainingJobName")


def associations(local: Local, operation: str) -> World:
    """Five artifacts, each a source of the next."""
    vertices = of_kind(local, "ListArtifacts").rows
    rows = [
        {
            "SourceArn": one["ArtifactArn"],
            "SourceType": one["ArtifactType"],
            "DestinationArn": other["ArtifactArn"],
            "DestinationType": other["ArtifactType"],
            "AssociationType": ("Produced", "DerivedFrom")[index % 2],
            "CreationTime": BEGIN + index * GAP,
        }
        for index, (one, other) in enumerate(
            zip(vertices, vertices[1:] + vertices[:1], strict=True)
        )
    ]
    for row in rows:
        name = lineage.key(row["SourceArn"], row["DestinationArn"])
        local.plane.store.insert(lineage.ASSOCIATION, name, row)
    return World(local.client(), operation, rows, Kind("", ""), identity="SourceArn")


WORLDS: dict[str, Callable[[Local, str], World]] = {
    "ListAssociations": associations,
    "ListModelPackages": versions_of_packages,
    "ListPipelineExecutionSteps": inside_an_execution,
    "ListPipelineExecutions": executions,
    "ListPipelineParametersForExecution": inside_an_execution,
    "ListPipelineVersions": versions_of_a_pipeline,
    "ListTags": tags,
    "ListTrainingJobsForHyperParameterTuningJob": trials,
}
