"""Lineage entities (artifacts, actions, contexts) and the associations between them.

Stored as every resource is; the graph of the associations is also kept in memory, so that a query
reads no row that it does not answer with. Whoever writes lineage holds `exclusive` first, so that
the graph and the store agree. What is recorded by itself is lineage_records.py's.

An artifact is what its Source says: its ARN is a digest of that, and AWS allows one artifact a
source. Its name need not be unique, whatever CreateArtifact's page says: the SDK's own tests
create namesakes. A job is in the graph under the ARN of its trial component.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from local_sagemaker.arns import arn, is_arn
from local_sagemaker.config import Config
from local_sagemaker.engine.lineage_graph import Graph
from local_sagemaker.errors import resource_not_found, validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import KINDS, Duplicate, Row

ARTIFACT, ACTION, CONTEXT = "artifact", "action", "context"
ASSOCIATION = "association"
GROUP, DEFAULT_GROUP = "lineage-group", "sagemaker-default-lineage-group"
COMPONENT = "experiment-trial-component"
# The part of an ARN that tells what it is of -> LineageType. An experiment groups, as a context.
LINEAGE_TYPES = {
    ARTIFACT: "Artifact",
    ACTION: "Action",
    CONTEXT: "Context",
    COMPONENT: "TrialComponent",
    "experiment": "Context",
}
NOUNS = {ARTIFACT: "Artifact", ACTION: "Action", CONTEXT: "Context"}
# Kind of a job -> the type of its trial component in lineage.
JOBS = {
    "training-job": "TrainingJob",
    "processing-job": "ProcessingJob",
    "transform-job": "TransformJob",
}


@dataclass(frozen=True)
class Vertex:
    """One end of an association."""

    arn: str
    name: str | None
    type: str

    @property
    def lineage_type(self) -> str:
        return lineage_type(self.arn)


@dataclass
class _Known:
    lock: threading.RLock = field(default_factory=threading.RLock)
    graph: Graph | None = None


_KNOWN: weakref.WeakKeyDictionary[Plane, _Known] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


@contextlib.contextmanager
def exclusive(plane: Plane) -> Iterator[Graph]:
    """The graph, while nobody else changes it. After an error it is read from the store again."""
    with _LOCK:
        known = _KNOWN.setdefault(plane, _Known())
    with known.lock:
        if known.graph is None:
            known.graph = _read(plane)
        try:
            yield known.graph
        except BaseException:
            known.graph = None
            raise


def _read(plane: Plane) -> Graph:
    graph = Graph()
    for row in plane.store.rows(ASSOCIATION):
        _draw(graph, row)
    return graph


def _draw(graph: Graph, row: Row) -> None:
    graph.add(row["SourceArn"], row["DestinationArn"], row.get("AssociationType"))
    graph.types[row["SourceArn"]] = row["SourceType"]
    graph.types[row["DestinationArn"]] = row["DestinationType"]


def lineage_type(text: str) -> str:
    return LINEAGE_TYPES[text.split(":", 5)[5].partition("/")[0]]


def artifact_arn(config: Config, source: Row) -> str:
    """The ARN of the one artifact that has this Source."""
    types = sorted((each["SourceIdType"], each["Value"]) for each in source.get("SourceTypes", ()))
    text = json.dumps([source["SourceUri"], types])
    return arn(config, ARTIFACT, hashlib.sha256(text.encode()).hexdigest()[:32])


def component(config: Config, kind: str, job_name: str) -> Vertex:
    """The trial component that stands for a job of this kind."""
    name = f"{job_name.lower()}-aws-{kind}"
    return Vertex(arn(config, COMPONENT, name), name, JOBS[kind])


def new(plane: Plane, kind: str, request: Row) -> Row:
    """The row of an entity that is asked for; nothing is stored."""
    members = KINDS[kind]
    name = request.get(members.name)
    its_arn = (
        artifact_arn(plane.config, request["Source"])
        if kind == ARTIFACT
        else arn(plane.config, kind, str(name))
    )
    now = plane.clock.now()
    row: Row = {member: value for member, value in request.items() if member != "Tags"}
    return {
        "Properties": {},
        **row,
        members.arn: its_arn,
        "LineageGroupArn": arn(plane.config, GROUP, DEFAULT_GROUP),
        "CreationTime": now,
        "CreatedBy": {},
        "LastModifiedTime": now,
        "LastModifiedBy": {},
    }


def create(plane: Plane, kind: str, request: Row) -> Row:
    """Store what a Create request asks for; refuses what is there already."""
    row = new(plane, kind, request)
    key = row[KINDS[kind].name]
    with exclusive(plane):
        try:
            plane.store.insert(kind, key, row, tags=request.get("Tags", ()))
        except Duplicate as cause:
            raise validation(_is_there(kind, row)) from cause
    return row


def _is_there(kind: str, row: Row) -> str:
    if kind == ARTIFACT:
        return (
            "Artifacts must be unique by Source within an AWS account and region. Artifact with "
            f"SourceUri ({row['Source']['SourceUri']}) already exists: {row['ArtifactArn']}"
        )
    noun = NOUNS[kind]
    return (
        f"{noun} names must be unique within an AWS account and region. {noun} with name "
        f"({row[f'{noun}Name']}) already exists."
    )


def find(plane: Plane, kind: str, name_or_arn: str) -> Row:
    """The row of an entity, by name or ARN. Raises ResourceNotFound."""
    row = None
    if not is_arn(name_or_arn):
        row = plane.store.get(kind, name_or_arn)
    elif (found := plane.store.find_arn(name_or_arn)) is not None and found[0] == kind:
        row = found[2]
    if row is None:
        raise resource_not_found(f"{NOUNS[kind]} '{name_or_arn}' does not exist.")
    return row


def update(plane: Plane, kind: str, name_or_arn: str, request: Row) -> Row:
    """Properties are overwritten as a whole, then those to be removed go."""
    changed: Row = {
        member: request[member]
        for member in ("ArtifactName", "Description", "Status", "Properties")
        if member in request
    }
    gone = set(request.get("PropertiesToRemove", ()))
    now = plane.clock.now()

    def change(before: Row) -> Row:
        after: Row = {**before, **changed, "LastModifiedTime": now}
        after["Properties"] = {k: v for k, v in after["Properties"].items() if k not in gone}
        return after

    with exclusive(plane):
        row = find(plane, kind, name_or_arn)
        return plane.store.edit(kind, row[KINDS[kind].name], change)


def delete(plane: Plane, kind: str, name_or_arn: str) -> Row:
    with exclusive(plane) as graph:
        row = find(plane, kind, name_or_arn)
        its_arn = row[KINDS[kind].arn]
        if graph.has_edges(its_arn):
            raise validation(
                f"{NOUNS[kind]} {its_arn} still has associations; list them with ListAssociations "
                "by SourceArn and by DestinationArn and delete them first"
            )
        plane.store.delete(kind, row[KINDS[kind].name])
    return row


def vertex(plane: Plane, text: str) -> Vertex | None:
    """What has this ARN and may be associated: an entity, a trial component, an experiment."""
    found = plane.store.find_arn(text)
    if found is None:
        return _job_vertex(plane, text)
    kind, name, row = found
    if kind in NOUNS:
        noun = NOUNS[kind]
        return Vertex(row[f"{noun}Arn"], row.get(f"{noun}Name"), row[f"{noun}Type"])
    its_arn = row[KINDS[kind].arn]
    if its_arn.split(":", 5)[5].partition("/")[0] not in LINEAGE_TYPES:
        return None
    source = str((row.get("Source") or {}).get("SourceType", ""))
    return Vertex(its_arn, name, source.removeprefix("SageMaker") or lineage_type(its_arn))


def _job_vertex(plane: Plane, text: str) -> Vertex | None:
    place, _, name = text.partition("/")
    for kind in JOBS:
        job = name.removesuffix(f"-aws-{kind}")
        if place.endswith(f":{COMPONENT}") and job != name and plane.store.get(kind, job):
            found = component(plane.config, kind, job)
            return found if found.arn == text.lower() else None
    return None


def described(plane: Plane, text: str) -> Row:
    """The row of what has this ARN; of a trial component that nobody has stored, its job's."""
    found = plane.store.find_arn(text)
    if found is not None:
        return found[2]
    name = text.partition("/")[2]
    jobs = (plane.store.get(kind, name.removesuffix(f"-aws-{kind}")) for kind in JOBS)
    return next((job for job in jobs if job is not None), {})


def existing(plane: Plane, text: str) -> Vertex:
    found = vertex(plane, text)
    if found is None:
        raise resource_not_found(f"Entity '{text}' does not exist; create it first.")
    return found


def join(plane: Plane, request: Row) -> Row:
    """Do what an AddAssociation request asks for. Raises Duplicate, and ApiError."""
    with exclusive(plane):
        source = existing(plane, request["SourceArn"])
        destination = existing(plane, request["DestinationArn"])
        if source.arn == destination.arn:
            raise validation(f"{source.arn} cannot be associated with itself")
        if all(_is_of_experiment(each) for each in (source, destination)):
            raise validation(
                "Associations cannot be created between two experiment entities: "
                f"{source.arn}, {destination.arn}"
            )
        return associate(plane, source, destination, request.get("AssociationType"))


def _is_of_experiment(end: Vertex) -> bool:
    return any(f":{part}/" in end.arn for part in ("experiment", COMPONENT))


def associate(plane: Plane, source: Vertex, destination: Vertex, kind: str | None) -> Row:
    """Store an association. Raises Duplicate."""
    row: dict[str, Any] = {
        "SourceArn": source.arn,
        "DestinationArn": destination.arn,
        "SourceType": source.type,
        "DestinationType": destination.type,
        "CreationTime": plane.clock.now(),
        "CreatedBy": {},
        **({"AssociationType": kind} if kind else {}),
    }
    with exclusive(plane) as graph:
        plane.store.insert(ASSOCIATION, key(source.arn, destination.arn), row)
        _draw(graph, row)
    return row


def key(source: str, destination: str) -> str:
    """What an association is stored under."""
    return f"{source} {destination}".lower()
