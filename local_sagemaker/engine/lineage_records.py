"""What AWS records of a resource by itself: which entities, and how they are associated. Pure.

From AWS's page "Amazon SageMaker-Created Tracking Entities": a job's image, inputs and outputs; a
model package's containers, its group and its approvals; an endpoint and its deployments.
Directions are those of its query examples: DataSet -> TrainingJob -> Model -> model package ->
ModelDeployment -> Endpoint. AWS documents no names: an approval's
(`<group>-<version>-<status>-<time>-aws-model-package`) ends as the SDK expects it, its other parts
are from memory; that of a deployment is chosen here: `<endpoint>-<time>-aws-model-deployment`.
AWS's page gives a transform job its data alone; here its model contributes too, so that a model's
descendants tell where it was used. Times in names are seconds since the epoch (a deployment's
milliseconds), of what happened to the resource, so that recording it again gives the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from local_sagemaker.arns import arn
from local_sagemaker.config import Config
from local_sagemaker.engine import lineage
from local_sagemaker.engine.lineage import ACTION, ARTIFACT, CONTEXT, NOUNS, Vertex
from local_sagemaker.engine.model_containers import CONTAINERS
from local_sagemaker.store import Row

Look = Callable[[str, str], Row | None]  # kind, name -> the resource's row
CONTRIBUTED, PRODUCED, WITH = "ContributedTo", "Produced", "AssociatedWith"
EXECUTION = ":pipeline/"  # in the ARN of an execution

# Kind of job -> the members that hold its image, its inputs and its outputs; a list is walked.
JOB_PARTS: dict[str, list[tuple[str, str, str]]] = {
    "training-job": [
        ("AlgorithmSpecification.TrainingImage", "Image", CONTRIBUTED),
        ("InputDataConfig.DataSource.S3DataSource.S3Uri", "DataSet", CONTRIBUTED),
        ("ModelArtifacts.S3ModelArtifacts", "Model", PRODUCED),
        ("CheckpointConfig.S3Uri", "Checkpoint", PRODUCED),
        ("TensorBoardOutputConfig.S3OutputPath", "TensorBoard", PRODUCED),
    ],
    "processing-job": [
        ("AppSpecification.ImageUri", "Image", CONTRIBUTED),
        ("ProcessingInputs.S3Input.S3Uri", "DataSet", CONTRIBUTED),
        ("ProcessingOutputConfig.Outputs.S3Output.S3Uri", "DataSet", PRODUCED),
    ],
    "transform-job": [
        ("TransformInput.DataSource.S3DataSource.S3Uri", "DataSet", CONTRIBUTED),
        ("TransformOutput.S3OutputPath", "DataSet", PRODUCED),
    ],
}


@dataclass
class Record:
    """Entities (kind and row) in the order of their making, then the associations."""

    config: Config
    entities: list[tuple[str, Row]] = field(default_factory=list)
    associations: list[tuple[Vertex, Vertex, str]] = field(default_factory=list)

    def add(self, kind: str, name: str | None, type_: str, source: Row, **members: Any) -> Vertex:
        its_arn = (
            lineage.artifact_arn(self.config, source)
            if kind == ARTIFACT
            else arn(self.config, kind, str(name))
        )
        noun = NOUNS[kind]
        named = {f"{noun}Name": name} if name else {}
        row = {**named, f"{noun}Type": type_, "Source": source, **members}
        self.entities.append((kind, row))
        return Vertex(its_arn, name, type_)

    def artifact(self, uri: str, type_: str, **members: Any) -> Vertex:
        return self.add(ARTIFACT, None, type_, {"SourceUri": uri}, **members)

    def link(self, source: Vertex, destination: Vertex, type_: str) -> None:
        self.associations.append((source, destination, type_))


def job(config: Config, kind: str, row: Row, look: Look) -> Record:
    """Its outputs only when it has not failed."""
    record = Record(config)
    noun = lineage.JOBS[kind]
    component = lineage.component(config, kind, row[f"{noun}Name"])
    written = row[f"{noun}Status"] in ("Completed", "Stopped")
    for path, type_, how in JOB_PARTS[kind]:
        for uri in _values(row, path.split(".")):
            if how == CONTRIBUTED:
                record.link(record.artifact(uri, type_), component, how)
            elif written:
                record.link(component, record.artifact(uri, type_), how)
    if kind == "transform-job":
        for each in _of_model(record, look, row["ModelName"]):
            record.link(each, component, CONTRIBUTED)
    return record


def group(config: Config, row: Row, properties: Row | None = None) -> Record:
    record = Record(config)
    _group(record, row, properties or {})
    return record


def package(config: Config, row: Row, look: Look) -> Record:
    """A version with its containers, its group, and the approval it has now."""
    record = Record(config)
    metadata = row.get("MetadataProperties")
    members = {"MetadataProperties": metadata} if metadata else {}
    itself = record.artifact(row["ModelPackageArn"], "Model", **members)
    for uri, type_ in _contents(row):
        record.link(record.artifact(uri, type_), itself, CONTRIBUTED)
    its_group = look("model-package-group", row.get("ModelPackageGroupName", ""))
    if its_group is None:
        return record
    made_by = str((metadata or {}).get("GeneratedBy", ""))
    properties = {"PipelineExecutionArn": made_by} if EXECUTION in made_by else {}
    record.link(itself, _group(record, its_group, properties), WITH)
    record.link(_approval(record, row), itself, CONTRIBUTED)
    return record


def deployment(config: Config, row: Row, look: Look) -> Record:
    """What an endpoint serves now, by its plan and by its config, if that is still there."""
    record = Record(config)
    name, when = row["EndpointName"], int(row["LastModifiedTime"] * 1000)
    source = {"SourceUri": row["EndpointArn"], "SourceType": "ARN"}
    action = record.add(
        ACTION,
        f"{name}-{when}-aws-model-deployment",
        "ModelDeployment",
        source,
        Status="Completed",
        Properties={"EndpointConfigName": row["EndpointConfigName"]},
    )
    endpoint = record.add(
        CONTEXT, f"{name}-{int(row['CreationTime'])}-aws-endpoint", "Endpoint", source
    )
    for each in dict.fromkeys(_served(record, row, look)):
        record.link(each, action, CONTRIBUTED)
    record.link(action, endpoint, WITH)
    return record


def _group(record: Record, row: Row, properties: Row) -> Vertex:
    return record.add(
        CONTEXT,
        f"{row['ModelPackageGroupName']}-{int(row['CreationTime'])}-aws-model-package-group",
        "ModelGroup",
        {"SourceUri": row["ModelPackageGroupArn"], "SourceType": "ARN"},
        Properties=properties,
    )


def _approval(record: Record, row: Row) -> Vertex:
    status = row["ModelApprovalStatus"]
    when = int(row.get("LastModifiedTime") or row["CreationTime"])
    head = f"{row['ModelPackageGroupName']}-{row['ModelPackageVersion']}-{status}-{when}"
    return record.add(
        ACTION,
        f"{head}-aws-model-package",
        "Approval",
        {"SourceUri": row["ModelPackageArn"], "SourceType": "ARN"},
        Status="Completed",
        Properties={"ModelApprovalStatus": status},
    )


def _contents(row: Row) -> Iterator[tuple[str, str]]:
    for each in row.get("InferenceSpecification", {}).get("Containers", []):
        yield from _typed(each, Image="Image", ModelDataUrl="Model")
    for each in row.get("SourceAlgorithmSpecification", {}).get("SourceAlgorithms", []):
        yield from _typed(each, AlgorithmName="Algorithm", ModelDataUrl="Model")


def _typed(container: Row, **types: str) -> Iterator[tuple[str, str]]:
    yield from ((container[name], type_) for name, type_ in types.items() if container.get(name))


def _served(record: Record, row: Row, look: Look) -> Iterator[Vertex]:
    for planned in row.get("LocalPlan", ()):
        yield from _of_containers(record, planned.get("Containers", ()))
    config = look("endpoint-config", row["EndpointConfigName"]) or {}
    for variant in config.get("ProductionVariants", ()):
        yield from _of_model(record, look, variant.get("ModelName", ""))


def _of_model(record: Record, look: Look, name: str) -> Iterator[Vertex]:
    """The artifacts behind a model: image, data, and the model package it was made from."""
    row = look("model", name) or {}
    yield from _of_containers(record, row.get(CONTAINERS, ()))
    for each in (row.get("PrimaryContainer", {}), *row.get("Containers", ())):
        named = each.get("ModelPackageName", "")
        if named:
            whole = named.startswith("arn:")
            found = named if whole else arn(record.config, "model-package", named)
            yield record.artifact(found, "Model")


def _of_containers(record: Record, containers: Iterable[Row]) -> Iterator[Vertex]:
    for each in containers:
        for uri, type_ in _typed(each, Image="Image", ModelDataUrl="Model"):
            yield record.artifact(uri, type_)


def _values(part: Any, path: list[str]) -> Iterable[str]:
    """Every text at the end of a path of members; lists on the way are walked."""
    if isinstance(part, list):
        return [value for each in part for value in _values(each, path)]
    if not path:
        return [part] if isinstance(part, str) and part else []
    return _values(part.get(path[0]), path[1:]) if isinstance(part, dict) else []
