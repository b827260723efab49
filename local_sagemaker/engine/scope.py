"""The values behind expressions: parameters, execution variables, steps, property files."""

import json
from datetime import UTC, datetime
from typing import Any

from local_sagemaker.engine import iterations, pipeline_rows, steps
from local_sagemaker.engine.definition import Definition, Step
from local_sagemaker.engine.expressions import ExpressionError, Scope
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row


class Values:
    """Makes the Scope of one step; remembers Describe answers: finished steps do not change."""

    def __init__(self, plane: Plane, definition: Definition) -> None:
        self._plane = plane
        self._definition = definition
        self._described: dict[str, dict[str, Any]] = {}

    def scope(self, row: Row, step: Step, job_name: str | None = None) -> Scope:
        """The scope of `step` in the execution `row`; `job_name` is the job that it launches."""

        def properties(name: str) -> dict[str, Any]:
            return self._properties(row, name)

        def property_file(name: str, file_name: str) -> str:
            producer = self._definition.steps[name]
            return steps.property_file_uri(producer, properties(name), file_name)

        execution = execution_variables(row, self._plane.clock.now())
        if job_name is not None:
            execution[steps.resource_of(step).name_member] = job_name
        item = step.iteration.item if step.iteration else None
        return Scope(row["Parameters"], execution, properties, property_file, self._document, item)

    def _properties(self, row: Row, name: str) -> dict[str, Any]:
        if name not in self._described:
            step = self._definition.steps[name]
            result = pipeline_rows.step_result(row, name)
            if "Metadata" not in result:
                # Only a step with a trigger may ask: it runs after one that did not succeed.
                raise ExpressionError(f"step '{name}' ended before it started anything")
            if iterations.is_loop(step):

                def describe(child: str) -> dict[str, Any]:
                    return self._properties(row, child)

                found = iterations.properties(self._definition, step, result, describe)
            else:
                found = steps.properties(self._plane, step, result)
            self._described[name] = found
        return self._described[name]

    def _document(self, uri: str) -> Any:
        try:
            return json.loads(self._plane.storage.read_text(uri))
        except ValueError as error:  # not JSON, or not even text
            raise ExpressionError(f"Std:JsonGet: {uri} is not JSON: {error}") from None


def execution_variables(row: Row, now: float) -> dict[str, Any]:
    """`Execution.<variable>` -> its value, for an execution (but for names of jobs)."""
    return {
        "StartDateTime": _date_time(row["CreationTime"]),
        "CurrentDateTime": _date_time(now),
        "PipelineName": row["PipelineName"],
        "PipelineArn": row["PipelineArn"],
        "PipelineExecutionId": pipeline_rows.execution_id(row),
        "PipelineExecutionArn": row["PipelineExecutionArn"],
    }


def _date_time(moment: float) -> str:
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
