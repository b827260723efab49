"""Pipelines: definitions and descriptions. Their versions: pipeline_versions.py; running them:
pipeline_executions.py.
"""

import threading
from typing import Any

from local_sagemaker.arns import arn
from local_sagemaker.engine import cached_results, lint, pipeline_rows, pipeline_versions
from local_sagemaker.engine.definition import DefinitionError
from local_sagemaker.engine.pipeline_rows import ACTIVE_EXECUTION, EXECUTION, PIPELINE
from local_sagemaker.errors import ApiError, conflict, resource_not_found, validation
from local_sagemaker.operations import Body, operation
from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError
from local_sagemaker.store import Duplicate, Missing, Row

_DESCRIPTION = (
    "PipelineDisplayName",
    "PipelineDescription",
    "ParallelismConfiguration",
)
_DEFINITION = (
    "PipelineDefinition",
    "PipelineDefinitionS3Location.Bucket",
    "PipelineDefinitionS3Location.ObjectKey",
)
# A version's number is read, its definition kept and the number written: one update at a time.
_NUMBERING = threading.Lock()
_SORT_KEYS = {"CreationTime": "CreationTime", "Name": "PipelineName"}


@operation(
    "CreatePipeline",
    supports=(
        "PipelineName",
        "ClientRequestToken",
        "Tags",
        "PipelineVersionAliases",
        *_DESCRIPTION,
        *_DEFINITION,
    ),
    kept=("RoleArn",),
)
def create_pipeline(plane: Plane, request: Body) -> Body:
    name = request["PipelineName"]
    text = _definition_text(plane, request)
    if text is None:
        raise validation(
            f"Pipeline '{name}' needs a PipelineDefinition or a PipelineDefinitionS3Location"
        )
    _check_definition(name, text)
    pipeline_arn = arn(plane.config, PIPELINE, name)
    if plane.store.find_arn(pipeline_arn) is not None:
        raise _not_unique(name)
    now = plane.clock.now()
    row = {
        "PipelineName": name,
        "PipelineDisplayName": name,
        **_described(request),
        "PipelineArn": pipeline_arn,
        "PipelineStatus": "Active",
        "PipelineVersionId": 1,
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    row = pipeline_versions.with_aliases(row, 1, request.get("PipelineVersionAliases", ()))
    pipeline_versions.add(plane, pipeline_arn, 1, text)
    try:
        plane.store.insert(PIPELINE, name, row, tags=request.get("Tags") or ())
    except Duplicate:
        raise _not_unique(name) from None
    return row


@operation(
    "UpdatePipeline",
    supports=("PipelineName", "PipelineVersionAliases", *_DESCRIPTION, *_DEFINITION),
    kept=("RoleArn",),
)
def update_pipeline(plane: Plane, request: Body) -> Body:
    name = request["PipelineName"]
    text = _definition_text(plane, request)
    aliases = request.get("PipelineVersionAliases", ())
    if text is not None:
        _check_definition(name, text)
    elif aliases:
        raise validation(
            "PipelineVersionAliases are those of a new version: give a PipelineDefinition, or "
            "change the aliases of an existing version with UpdatePipelineVersion"
        )
    with _NUMBERING:
        row = pipeline_rows.find_pipeline(plane, name)
        version = row["PipelineVersionId"] + (text is not None)
        changes = {
            **_described(request),
            "PipelineVersionId": version,
            "LastModifiedTime": plane.clock.now(),
        }

        def change(now: Row) -> Row:
            return pipeline_versions.with_aliases({**now, **changes}, version, aliases)

        change(row)  # refused before a version is made for nothing
        if text is not None:
            pipeline_versions.add(plane, row["PipelineArn"], version, text)
        try:
            return plane.store.edit(PIPELINE, row["PipelineName"], change)
        except Missing:  # deleted since we looked
            raise resource_not_found(f"Pipeline '{name}' does not exist.") from None


@operation("DeletePipeline", supports=("PipelineName", "ClientRequestToken"))
def delete_pipeline(plane: Plane, request: Body) -> Body:
    row = pipeline_rows.find_pipeline(plane, request["PipelineName"])
    executions = pipeline_rows.executions_of(plane, row)
    running = [e for e in executions if e["PipelineExecutionStatus"] in ACTIVE_EXECUTION]
    if running:
        raise conflict(
            f"Pipeline '{row['PipelineName']}' has {len(running)} running execution(s), such as "
            f"{running[0]['PipelineExecutionArn']}; wait for them or StopPipelineExecution first"
        )
    # The pipeline goes last: if we are killed on the way, deleting it again finishes the work.
    for execution in executions:
        plane.store.delete(EXECUTION, execution["PipelineExecutionArn"])
    cached_results.forget(plane, row["PipelineArn"])
    pipeline_versions.delete_all(plane, row)
    plane.store.delete(PIPELINE, row["PipelineName"])
    return {"PipelineArn": row["PipelineArn"]}


@operation(
    "DescribePipeline", supports=("PipelineName", "PipelineVersionId", "PipelineVersionAlias")
)
def describe_pipeline(plane: Plane, request: Body) -> Body:
    row = pipeline_rows.find_pipeline(plane, request["PipelineName"])
    version = pipeline_versions.asked_for(plane, row, request)
    members = ("PipelineDefinition", "PipelineVersionDisplayName", "PipelineVersionDescription")
    return {
        **row,
        **{member: version[member] for member in members if member in version},
        "PipelineVersionAliases": pipeline_versions.aliases_of(row, version["PipelineVersionId"]),
    }


@operation(
    "ListPipelines",
    supports=(
        "PipelineNamePrefix",
        "CreatedAfter",
        "CreatedBefore",
        "SortBy",
        "SortOrder",
        "NextToken",
        "MaxResults",
    ),
)
def list_pipelines(plane: Plane, request: Body) -> Body:
    prefix = request.get("PipelineNamePrefix", "")

    def has_prefix(row: Row) -> bool:
        return str(row["PipelineName"]).startswith(prefix)

    rows, token = plane.store.page(
        PIPELINE, request, sort_keys=_SORT_KEYS, where=has_prefix, default_order="Descending"
    )
    summaries = [{**row, "LastExecutionTime": row.get("LastRunTime")} for row in rows]
    return {"PipelineSummaries": summaries, "NextToken": token}


def _described(request: Body) -> dict[str, Any]:
    members = (*_DESCRIPTION, "RoleArn")
    return {member: request[member] for member in members if member in request}


def _definition_text(plane: Plane, request: Body) -> str | None:
    """The definition in the request, or at the place it names; None when it has neither."""
    place = request.get("PipelineDefinitionS3Location")
    if place is None:
        return request.get("PipelineDefinition")
    if "PipelineDefinition" in request:
        raise validation("PipelineDefinition and PipelineDefinitionS3Location exclude each other")
    try:
        return plane.storage.read_text(f"s3://{place['Bucket']}/{place['ObjectKey']}")
    except StorageError as error:
        raise validation(f"PipelineDefinitionS3Location cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise validation(f"PipelineDefinitionS3Location is not text: {error}") from None


def _check_definition(name: str, text: str) -> None:
    try:
        lint.parse(text)
    except DefinitionError as error:
        raise validation(f"The definition of pipeline '{name}' is not valid: {error}") from None


def _not_unique(name: str) -> ApiError:
    return validation(
        "Pipeline names must be unique within an AWS account and region. "
        f"Pipeline with name '{name}' already exists."
    )
