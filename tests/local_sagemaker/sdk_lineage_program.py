"""Lineage as a user of the SDK v3 writes it, unpatched.

`python sdk_lineage_program.py DATA_URI`, after a training job that read it; the endpoints come from
the environment. Prints one JSON document of what was found.
"""

from __future__ import annotations

import json
import sys

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.lineage.action import Action
from sagemaker.core.lineage.artifact import Artifact, DatasetArtifact
from sagemaker.core.lineage.association import Association
from sagemaker.core.lineage.context import Context
from sagemaker.core.lineage.query import (
    LineageEntityEnum,
    LineageFilter,
    LineageQuery,
    LineageQueryDirectionEnum,
    LineageSourceEnum,
)
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.lineage_step import (
    LineageAssociation,
    LineageEntityReference,
    LineageStep,
)
from sagemaker.mlops.workflow.pipeline import Pipeline

SESSION = Session(boto_session=boto3.Session(), default_bucket="b")
ROLE = "arn:aws:iam::000000000000:role/local"


def by_hand(found: dict[str, object]) -> None:
    one = {"sagemaker_session": SESSION}
    code = Artifact.create(
        "code", "s3://b/code", artifact_type="Code", properties={"a": "1"}, **one
    )
    review = Action.create(
        "review", "s3://b/review", action_type="Review", status="InProgress", **one
    )
    team = Context.create("team", "s3://b/team", context_type="Team", **one)
    Association.create(code.artifact_arn, review.action_arn, "ContributedTo", **one)
    Association.create(review.action_arn, team.context_arn, "AssociatedWith", **one)
    code.properties, code.properties_to_remove = {"b": "2"}, ["a"]
    code.save()
    found["properties"] = Artifact.load(code.artifact_arn, sagemaker_session=SESSION).properties
    found["listed"] = [each.artifact_name for each in Artifact.list(artifact_type="Code", **one)]
    query = LineageQuery(SESSION).query([team.context_arn], LineageQueryDirectionEnum.ASCENDANTS)
    found["edges"] = sorted(each.association_type for each in query.edges)
    found["vertices"] = [each.to_lineage_object().source.source_uri for each in query.vertices]
    code.delete(disassociate=True)
    left = Association.list(destination_arn=review.action_arn, **one)
    found["left"] = [each.source_name for each in left]


def recorded(found: dict[str, object], uri: str) -> None:
    (summary,) = DatasetArtifact.list(source_uri=uri, sagemaker_session=SESSION)
    data = DatasetArtifact.load(summary.artifact_arn, sagemaker_session=SESSION)
    query = LineageQuery(SESSION).query(
        [data.artifact_arn],
        LineageQueryDirectionEnum.DESCENDANTS,
        include_edges=False,
        query_filter=LineageFilter([LineageEntityEnum.ARTIFACT], [LineageSourceEnum.MODEL]),
    )
    found["models"] = [each.to_lineage_object().source.source_uri for each in query.vertices]


def in_a_pipeline() -> str:
    captured = {"sagemaker_session": PipelineSession(boto_session=boto3.Session())}
    step = LineageStep(
        name="Record",
        actions=[Action.create("run", "s3://b/run", action_type="Training", **captured)],
        artifacts=[Artifact.create("made", "s3://b/made", artifact_type="Model", **captured)],
        associations=[
            LineageAssociation(
                LineageEntityReference(name="run", type="Action"),
                LineageEntityReference(name="made", type="Artifact"),
                "Produced",
            )
        ],
    )
    pipeline = Pipeline(name="p", steps=[step], sagemaker_session=SESSION)
    pipeline.upsert(role_arn=ROLE)
    return str(pipeline.start().arn)


def main() -> None:
    found: dict[str, object] = {}
    recorded(found, sys.argv[1])
    by_hand(found)
    found["execution"] = in_a_pipeline()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
