"""What an execution whose steps have all ended has come to: its status, and why it failed.

Pure. When that is the case is executor.py's.
"""

from collections.abc import Mapping

from local_sagemaker.engine import graph, steps
from local_sagemaker.engine.definition import Definition
from local_sagemaker.store import Row

STEPS_FAILED = "Step failure: One or multiple steps failed."
MAX_REASON = 1300


def of(
    definition: Definition, results: Mapping[str, Row], stopping: bool
) -> tuple[str, str | None]:
    """(PipelineExecutionStatus, FailureReason). What failed in the body of a ForEach counts as its
    ForEach does.
    """
    if stopping and not any(map(steps.outlasted_stop, results.values())):
        return "Stopped", None
    statuses = {name: result["StepStatus"] for name, result in results.items()}
    if not any(status in graph.UNSUCCESSFUL for status in statuses.values()):
        return "Succeeded", None
    unanswered = graph.unanswered(definition, statuses, statuses)
    if all(definition.steps[name].loop is not None for name in unanswered):
        return "CompletedWithFailures", None
    meant = [
        result["Metadata"]["Fail"]["ErrorMessage"]
        for result in results.values()
        if "Fail" in result.get("Metadata", {})
    ]
    return "Failed", (meant[0] if meant else STEPS_FAILED)[:MAX_REASON]
