"""Pipeline executions: starting, stopping, retrying and describing them. What they do: engine/."""

import secrets
import string
from typing import Any

from local_sagemaker import paging
from local_sagemaker.engine import (
    experiments,
    parameters,
    pipeline_rows,
    pipeline_versions,
    pipelines,
    selection,
)
from local_sagemaker.engine.definition import Definition
from local_sagemaker.engine.expressions import ExpressionError, Scope, as_text, evaluate
from local_sagemaker.engine.pipeline_rows import ACTIVE_EXECUTION, EXECUTION, PIPELINE
from local_sagemaker.engine.scope import execution_variables
from local_sagemaker.errors import ApiError, conflict, resource_not_found, validation
from local_sagemaker.events import Change
from local_sagemaker.lifecycle import IllegalTransition, announce
from local_sagemaker.operations import Body, check, operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Missing, Row

_ID = string.ascii_lowercase + string.digits
_PAGING = ("NextToken", "MaxResults")
_SORT_KEYS = {"CreationTime": "CreationTime", "PipelineExecutionArn": "PipelineExecutionArn"}
_STEP_PAGES = paging.Spec("StepName", None, {"StartTime": "StartTime"}, "Descending", 100)
_PARAMETER_PAGES = paging.Spec("Name", None, {"Name": "Name"}, "Ascending", 100)


@operation(
    "StartPipelineExecution",
    supports=(
        "PipelineName",
        "PipelineParameters",
        "PipelineExecutionDisplayName",
        "PipelineExecutionDescription",
        "ParallelismConfiguration",
        "SelectiveExecutionConfig",
        "PipelineVersionId",
        "PipelineVersionAlias",
        "ClientRequestToken",
    ),
    kept=("RoleArn",),
)
def start_pipeline_execution(plane: Plane, request: Body) -> Body:
    pipeline = pipeline_rows.find_pipeline(plane, request["PipelineName"])
    version = pipeline_versions.asked_for(plane, pipeline, request)["PipelineVersionId"]
    row = {**_new_execution(plane, pipeline, request), "PipelineVersionId": version}
    definition = pipeline_rows.definition(plane, row)
    row["Parameters"] = _parameter_values(definition, request)
    row["PipelineExperimentConfig"] = _experiment(definition, row)
    if selection.CONFIG in row:
        row["Steps"] = _brought_along(plane, definition, row)
    experiments.record_execution(plane, row)
    arn = row["PipelineExecutionArn"]
    ran = {"LastRunTime": row["CreationTime"]}
    try:
        plane.store.edit(PIPELINE, pipeline["PipelineName"], lambda now: {**now, **ran})
    except Missing:  # deleted since we looked
        raise resource_not_found(f"Pipeline '{request['PipelineName']}' does not exist.") from None
    plane.store.insert(EXECUTION, arn, row)
    announce(plane, EXECUTION, arn)
    pipelines.start_execution(plane, arn)
    return row


@operation("StopPipelineExecution", supports=("PipelineExecutionArn", "ClientRequestToken"))
def stop_pipeline_execution(plane: Plane, request: Body) -> Body:
    row = pipeline_rows.find_execution(plane, request["PipelineExecutionArn"])
    try:
        pipelines.stop_execution(plane, row["PipelineExecutionArn"])
    except IllegalTransition:
        raise _wrong_status(plane, row, "stopped", "Executing") from None
    return row


@operation(
    "RetryPipelineExecution",
    supports=("PipelineExecutionArn", "ParallelismConfiguration", "ClientRequestToken"),
)
def retry_pipeline_execution(plane: Plane, request: Body) -> Body:
    row = pipeline_rows.find_execution(plane, request["PipelineExecutionArn"])
    members = {
        member: request[member] for member in ("ParallelismConfiguration",) if member in request
    }
    try:
        pipelines.retry_execution(plane, row["PipelineExecutionArn"], **members)
    except IllegalTransition:
        raise _wrong_status(plane, row, "retried", "Failed or Stopped") from None
    return row


@operation(
    "UpdatePipelineExecution",
    supports=(
        "PipelineExecutionArn",
        "PipelineExecutionDescription",
        "PipelineExecutionDisplayName",
        "ParallelismConfiguration",
    ),
)
def update_pipeline_execution(plane: Plane, request: Body) -> Body:
    row = pipeline_rows.find_execution(plane, request["PipelineExecutionArn"])
    changes = {key: value for key, value in request.items() if key != "PipelineExecutionArn"}
    changes["LastModifiedTime"] = plane.clock.now()
    arn = row["PipelineExecutionArn"]
    changed = plane.store.edit(EXECUTION, arn, lambda now: {**now, **changes})
    status = changed["PipelineExecutionStatus"]
    # No change of status, but more steps may run at once now: let the execution's thread look.
    plane.bus.publish(Change(EXECUTION, arn, status, status, changed))
    return changed


@operation("DescribePipelineExecution", supports=("PipelineExecutionArn",))
def describe_pipeline_execution(plane: Plane, request: Body) -> Body:
    row = pipeline_rows.find_execution(plane, request["PipelineExecutionArn"])
    pipeline = pipeline_rows.find_pipeline(plane, row["PipelineArn"])
    aliases = pipeline_versions.aliases_of(pipeline, row["PipelineVersionId"])
    return {**row, "PipelineVersionAliases": aliases}


@operation(
    "ListPipelineExecutions",
    supports=(
        "PipelineName",
        "PipelineVersionAlias",
        "CreatedAfter",
        "CreatedBefore",
        "SortBy",
        "SortOrder",
        *_PAGING,
    ),
)
def list_pipeline_executions(plane: Plane, request: Body) -> Body:
    pipeline = pipeline_rows.find_pipeline(plane, request["PipelineName"])
    alias = request.get("PipelineVersionAlias")
    version = None if alias is None else pipeline_versions.aliased(pipeline, alias)

    def is_ours(row: Row) -> bool:
        ours = row["PipelineArn"] == pipeline["PipelineArn"]
        return bool(ours and version in (None, row["PipelineVersionId"]))

    rows, token = plane.store.page(
        EXECUTION, request, sort_keys=_SORT_KEYS, where=is_ours, default_order="Descending"
    )
    return {"PipelineExecutionSummaries": [_summary(row) for row in rows], "NextToken": token}


@operation("ListPipelineExecutionSteps", supports=("PipelineExecutionArn", "SortOrder", *_PAGING))
def list_pipeline_execution_steps(plane: Plane, request: Body) -> Body:
    if "PipelineExecutionArn" not in request:
        raise validation("ListPipelineExecutionSteps needs a PipelineExecutionArn")
    row = pipeline_rows.find_execution(plane, request["PipelineExecutionArn"])
    steps, token = paging.page(list(enumerate(row["Steps"].values())), request, _STEP_PAGES)
    return {"PipelineExecutionSteps": steps, "NextToken": token}


@operation("ListPipelineParametersForExecution", supports=("PipelineExecutionArn", *_PAGING))
def list_pipeline_parameters_for_execution(plane: Plane, request: Body) -> Body:
    row = pipeline_rows.find_execution(plane, request["PipelineExecutionArn"])
    values = [{"Name": n, "Value": as_text(value)} for n, value in row["Parameters"].items()]
    page, token = paging.page(list(enumerate(values)), request, _PARAMETER_PAGES)
    return {"PipelineParameters": page, "NextToken": token}


@operation("DescribePipelineDefinitionForExecution", supports=("PipelineExecutionArn",))
def describe_pipeline_definition_for_execution(plane: Plane, request: Body) -> Body:
    row = pipeline_rows.find_execution(plane, request["PipelineExecutionArn"])
    text = pipeline_rows.definition_text(plane, row)
    return {"PipelineDefinition": text, "CreationTime": row["CreationTime"]}


def _new_execution(plane: Plane, pipeline: Row, request: Body) -> Row:
    now = plane.clock.now()
    execution_id = "".join(secrets.choice(_ID) for _ in range(12))
    inherited = ("PipelineName", "PipelineArn")
    overridable = ("ParallelismConfiguration", "RoleArn")
    described = (
        "PipelineExecutionDisplayName",
        "PipelineExecutionDescription",
        selection.CONFIG,
        *overridable,
    )
    return {
        "PipelineExecutionDisplayName": f"execution-{int(now * 1000)}",
        **{member: pipeline[member] for member in overridable if member in pipeline},
        **{member: request[member] for member in described if member in request},
        **{member: pipeline[member] for member in inherited},
        "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{execution_id}",
        "PipelineExecutionStatus": "Executing",
        "CreationTime": now,
        "LastModifiedTime": now,
        "Steps": {},
    }


def _parameter_values(definition: Definition, request: Body) -> dict[str, Any]:
    try:
        return parameters.resolve(definition.parameters, request.get("PipelineParameters") or [])
    except parameters.ParameterError as error:
        raise validation(f"Pipeline '{request['PipelineName']}': {error}") from None


def _brought_along(plane: Plane, definition: Definition, row: Row) -> dict[str, Row]:
    """The results that a selective execution takes from its source."""
    config = row[selection.CONFIG]
    source_arn = config.get("SourcePipelineExecutionArn")
    source = pipeline_rows.find_execution(plane, source_arn) if source_arn else None
    if source is not None and source["PipelineArn"] != row["PipelineArn"]:
        raise validation(
            f"SourcePipelineExecutionArn {source_arn} is an execution of another pipeline, "
            f"'{source['PipelineName']}'; give one of '{row['PipelineName']}'"
        )
    if source is not None and source["PipelineExecutionStatus"] in ACTIVE_EXECUTION:
        raise validation(
            f"SourcePipelineExecutionArn {source_arn} is {source['PipelineExecutionStatus']}; "
            "wait until it has ended, or give another"
        )
    try:
        return selection.begin(definition, config, source, row["CreationTime"])
    except selection.SelectionError as error:
        raise validation(f"SelectiveExecutionConfig: {error}") from None


def _experiment(definition: Definition, row: Row) -> dict[str, Any] | None:
    """The experiment's names. They may not refer to steps: lint has seen to that."""

    def nothing(*_: str) -> Any:
        raise ExpressionError("an experiment refers to parameters and the execution only")

    variables = execution_variables(row, row["CreationTime"])
    scope = Scope(row["Parameters"], variables, nothing, nothing, nothing)
    try:
        names = evaluate(definition.experiment, scope)
        if not names:
            return None
        _, checked = check("CreateTrial" if "TrialName" in names else "CreateExperiment", names)
    except ExpressionError as error:
        raise validation(f"PipelineExperimentConfig: {error}") from None
    except ApiError as error:
        raise validation(f"PipelineExperimentConfig: {error.message}") from None
    return checked


def _summary(row: Row) -> dict[str, Any]:
    reason = row.get("FailureReason")
    return {**row, "StartTime": row["CreationTime"], "PipelineExecutionFailureReason": reason}


def _wrong_status(plane: Plane, row: Row, what: str, needed: str) -> Exception:
    arn = row["PipelineExecutionArn"]
    status = pipeline_rows.find_execution(plane, arn)["PipelineExecutionStatus"]
    return conflict(
        f"Pipeline execution {arn} is {status}; only one that is {needed} can be {what}"
    )
