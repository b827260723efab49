"""Versions of a pipeline: listing them, naming them, moving their aliases."""

from local_sagemaker.engine import pipeline_rows, pipeline_versions
from local_sagemaker.engine.pipeline_rows import PIPELINE, VERSION
from local_sagemaker.errors import resource_not_found, validation
from local_sagemaker.operations import Body, operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Missing, Row

_NAMES = ("PipelineVersionDisplayName", "PipelineVersionDescription")
_PAGES = {"PipelineVersionId": "PipelineVersionId"}


@operation(
    "ListPipelineVersions",
    supports=(
        "PipelineName",
        "CreatedAfter",
        "CreatedBefore",
        "SortOrder",
        "NextToken",
        "MaxResults",
    ),
)
def list_pipeline_versions(plane: Plane, request: Body) -> Body:
    pipeline = pipeline_rows.find_pipeline(plane, request["PipelineName"])
    rows, token = plane.store.page(
        VERSION,
        request,
        sort_keys=_PAGES,
        where=pipeline_versions.of(pipeline),
        default_order="Descending",
    )
    ran = {
        execution["PipelineVersionId"]: execution["PipelineExecutionArn"]
        for execution in pipeline_rows.executions_of(plane, pipeline)
    }
    summaries = [_summary(pipeline, row, ran) for row in rows]
    return {"PipelineVersionSummaries": summaries, "NextToken": token}


@operation(
    "UpdatePipelineVersion",
    supports=("PipelineArn", "PipelineVersionId", "PipelineVersionAliasOperations", *_NAMES),
)
def update_pipeline_version(plane: Plane, request: Body) -> Body:
    pipeline = pipeline_rows.find_pipeline(plane, request["PipelineArn"])
    version = request["PipelineVersionId"]
    pipeline_rows.find_version(plane, pipeline, version)
    operations = request.get("PipelineVersionAliasOperations", {})
    added, removed = operations.get("Add", ()), operations.get("Remove", ())
    both = sorted(set(added) & set(removed))
    if both:
        raise validation(f"Alias '{both[0]}' stands in Add and in Remove; name it once")

    def with_aliases(row: Row) -> Row:
        changed = pipeline_versions.with_aliases(row, version, added, removed)
        return {**changed, "LastModifiedTime": plane.clock.now()}

    names = {member: request[member] for member in _NAMES if member in request}
    try:
        plane.store.edit(PIPELINE, pipeline["PipelineName"], with_aliases)
        name = pipeline_rows.version_name(pipeline["PipelineArn"], version)
        plane.store.edit(VERSION, name, lambda row: {**row, **names})
    except Missing:  # deleted since we looked
        raise resource_not_found(f"Pipeline '{request['PipelineArn']}' does not exist.") from None
    return {"PipelineArn": pipeline["PipelineArn"], "PipelineVersionId": version}


def _summary(pipeline: Row, version: Row, ran: dict[int, str]) -> Row:
    number = version["PipelineVersionId"]
    return {
        **version,
        "LastExecutionPipelineExecutionArn": ran.get(number),
        "PipelineVersionAliases": pipeline_versions.aliases_of(pipeline, number),
    }
