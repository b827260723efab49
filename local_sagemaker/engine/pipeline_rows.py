"""Pipelines, their versions and their executions in the store: how they are named, found and read.

A pipeline's row holds no definition: each definition is a version of its own, so an execution keeps
the one it was started with. An execution's row holds `Parameters` (typed values) and `Steps` (step
name -> the members of AWS's PipelineExecutionStep plus what the executor needs to go on).
"""

from typing import Any, Protocol

from local_sagemaker.arns import is_arn
from local_sagemaker.engine import iterations, lint
from local_sagemaker.engine.definition import Definition, Step
from local_sagemaker.engine.paths import did_you_mean
from local_sagemaker.errors import resource_not_found
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row, Store

PIPELINE = "pipeline"
VERSION = "pipeline-version"
EXECUTION = "pipeline-execution"
ACTIVE_EXECUTION = ("Executing", "Stopping")


class UnknownStep(Exception):  # noqa: N818 - it says what is the case
    """There is no such execution or step; the message names those there are."""


class Stored(Protocol):
    """Whatever has a store: the running Plane, or a command that only reads."""

    store: Store


def find_pipeline(plane: Plane, name_or_arn: str) -> Row:
    """The pipeline's row, by exact name or by ARN. Raises ResourceNotFound."""
    if is_arn(name_or_arn):
        found = plane.store.find_arn(name_or_arn)
        row = found[2] if found is not None and found[0] == PIPELINE else None
    else:
        row = plane.store.get(PIPELINE, name_or_arn)
    if row is None:
        raise resource_not_found(f"Pipeline '{name_or_arn}' does not exist.")
    return row


def find_execution(plane: Plane, arn: str) -> Row:
    """The execution's row, by ARN. Raises ResourceNotFound."""
    found = plane.store.find_arn(arn)
    if found is None or found[0] != EXECUTION:
        raise resource_not_found(f"Pipeline execution '{arn}' does not exist.")
    return found[2]


def executions_of(stored: Stored, pipeline: Row) -> list[Row]:
    """Every execution of a pipeline (given itself, or by an execution of it), oldest first."""
    arn = pipeline["PipelineArn"]
    return stored.store.rows(EXECUTION, lambda row: row["PipelineArn"] == arn)


def definition_text(stored: Stored, row: Row) -> str:
    """The definition of a pipeline (its newest) or of an execution (the one it began with)."""
    return str(find_version(stored, row, row["PipelineVersionId"])["PipelineDefinition"])


def definition(stored: Stored, row: Row) -> Definition:
    """An execution's definition, its bodies copied as far as their items are known."""
    return iterations.expanded(lint.parse(definition_text(stored, row)), row["Steps"])


def version_name(pipeline_arn: str, version: int) -> str:
    return f"{pipeline_arn}/version/{version}"


def find_version(stored: Stored, row: Row, version: int) -> Row:
    """A version of a pipeline (given itself, or by an execution of it). Raises ResourceNotFound."""
    found = stored.store.get(VERSION, version_name(row["PipelineArn"], version))
    if found is None:
        raise resource_not_found(
            f"Pipeline '{row['PipelineName']}' has no version {version}; "
            "ListPipelineVersions tells which it has"
        )
    return found


def find_step(stored: Stored, execution: str, step: str) -> tuple[Row, Step]:
    """An execution, by ARN or id, and a step of its definition, by name. Raises UnknownStep."""
    rows = stored.store.rows(EXECUTION)
    found = [row for row in rows if execution in (row["PipelineExecutionArn"], execution_id(row))]
    if not found:
        newest = ", ".join(execution_id(row) for row in rows[:-6:-1])
        raise UnknownStep(f"no execution {execution!r}; the newest: {newest or 'there are none'}")
    steps = definition(stored, found[0]).steps
    if step not in steps:
        raise UnknownStep(f"no step {step!r} in that execution; {did_you_mean(step, steps)}")
    return found[0], steps[step]


def execution_id(row: Row) -> str:
    return str(row["PipelineExecutionArn"]).rpartition("/")[2]


def step_result(row: Row, name: str) -> dict[str, Any]:
    """What an execution knows about one of its steps; empty when the step was not started."""
    return dict(row["Steps"].get(name, {}))
