"""A pipeline execution as its row tells it: its definition, its steps' results, what may start.

executor.py makes it go on; a change of a step's result is written by `_record` and nowhere else.
"""

from typing import Any

from local_sagemaker.engine import graph, pipeline_rows, selection
from local_sagemaker.engine.definition import Step
from local_sagemaker.engine.scope import Values
from local_sagemaker.plane import Plane
from local_sagemaker.store import Missing, Row


class Execution:
    """Lives in one thread, which alone writes the row's `Steps`."""

    def __init__(self, plane: Plane, arn: str) -> None:
        self._plane = plane
        self._row = pipeline_rows.find_execution(plane, arn)
        self._plan()

    def _plan(self) -> None:
        """Read the definition, anew when items of a ForEach have become known."""
        self._definition = pipeline_rows.definition(self._plane, self._row)
        self._graph = graph.dependencies(self._definition)
        self._order = graph.order(self._graph)
        self._chosen = selection.chosen(self._row, self._definition)
        self._values = Values(self._plane, self._definition)

    @property
    def _arn(self) -> str:
        return str(self._row["PipelineExecutionArn"])

    @property
    def _stopping(self) -> bool:
        return bool(self._row["PipelineExecutionStatus"] == "Stopping")

    @property
    def _statuses(self) -> dict[str, str]:
        return {name: result["StepStatus"] for name, result in self._row["Steps"].items()}

    def _result(self, step: Step) -> dict[str, Any]:
        return pipeline_rows.step_result(self._row, step.name)

    def _active(self) -> list[Step]:
        return [
            self._definition.steps[name]
            for name, result in self._row["Steps"].items()
            if result["StepStatus"] in graph.ACTIVE
        ]

    def _record(self, step: Step, **members: Any) -> None:
        """Write members of one step's result; None removes one."""

        def change(result: Row) -> Row:
            changed = {**result, **members}
            return {key: value for key, value in changed.items() if value is not None}

        head, result = self._plane.store.edit_part(
            pipeline_rows.EXECUTION, self._arn, step.name, change
        )
        self._row = {**head, "Steps": {**self._row["Steps"], step.name: result}}

    def _refresh(self) -> None:
        """What others may have changed of the row: all but `Steps`."""
        head = self._plane.store.head(pipeline_rows.EXECUTION, self._arn)
        if head is None:
            raise Missing(f"the execution {self._arn} was deleted while it ran")
        self._row = {**head, "Steps": self._row["Steps"]}

    def _ready(self) -> list[str]:
        """What may start now, but for limits on how many."""
        if self._stopping:
            return []
        results, statuses = self._row["Steps"], self._statuses
        outcomes = {name: r["Outcome"] for name, r in results.items() if "Outcome" in r}
        ready = graph.ready(self._definition, self._graph, self._order, statuses, outcomes)
        allowed = graph.going_on(self._definition, self._graph, self._order, statuses, self._chosen)
        return [name for name in ready if name in allowed]

    def _limit(self) -> float:
        config = self._row.get("ParallelismConfiguration") or {}
        limit: float = config.get("MaxParallelExecutionSteps", float("inf"))
        return limit
