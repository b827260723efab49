"""Which writes are news for EventBridge, and the note of each that is kept until it was told.

`watch` is asked by the store within the transaction of a write. A note holds what the event needs
and can change later; notice_shapes.py makes the event of it, forwarding.py delivers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from local_sagemaker.clock import Clock
from local_sagemaker.store import Row

# Kind -> the members whose change is news; its creation always is. AWS tells of a training job
# with each secondary status as well, and of a model package with each approval.
NEWS: dict[str, tuple[str, ...]] = {
    "training-job": ("TrainingJobStatus", "SecondaryStatus"),
    "processing-job": ("ProcessingJobStatus",),
    "transform-job": ("TransformJobStatus",),
    "hyper-parameter-tuning-job": ("HyperParameterTuningJobStatus",),
    "endpoint": ("EndpointStatus",),
    "endpoint-config": (),
    "model": (),
    "model-package": ("ModelPackageStatus", "ModelApprovalStatus", "ModelLifeCycle"),
}
# Kind -> what the last event of a resource that is gone says of it: nothing, but for an endpoint.
GONE: dict[str, Row] = {
    "endpoint": {"EndpointStatus": "Deleted"},
    "endpoint-config": {},
    "model": {},
}
EXECUTION, STEP = "pipeline-execution", "pipeline-step"
ENDPOINT, DEPLOYMENT = "endpoint", "endpoint-deployment"
EXECUTION_MEMBERS = (
    "PipelineArn",
    "PipelineExecutionArn",
    "PipelineExecutionDisplayName",
    "PipelineExecutionDescription",
    "PipelineExecutionStatus",
    "CreationTime",
    "LastModifiedTime",
)
STATUS, STEP_STATUS = "PipelineExecutionStatus", "StepStatus"


def watcher(clock: Clock, wake: Callable[[], None]) -> Callable[..., list[Row]]:
    """The store's `watch`; `wake` is called whenever there is news."""

    def watch(kind: str, before: Row | None, after: Row | None) -> list[Row]:
        found = list(
            _of_execution(before, after) if kind == EXECUTION else _of(kind, before, after)
        )
        if not found:
            return []
        wake()
        now = clock.now()
        return [{"Time": now, **note} for note in found]

    return watch


def _of(kind: str, before: Row | None, after: Row | None) -> Iterator[Row]:
    if after is None:
        if before is not None and kind in GONE:
            yield {"Kind": kind, "Row": {**before, **GONE[kind]}}
    elif kind in NEWS and (before is None or _differ(NEWS[kind], before, after)):
        yield {"Kind": kind, "Row": after}
    if kind == ENDPOINT and before is not None and after is not None:
        doing = _doing(after)
        if doing and doing != _doing(before):
            yield {"Kind": DEPLOYMENT, "Row": after}


def _doing(endpoint: Row) -> list[Row]:
    """What a deployment does to the variants, of the new fleet and of the old one."""
    fleets = (endpoint, endpoint.get("PendingDeploymentSummary") or {})
    shown = [each for fleet in fleets for each in fleet.get("ProductionVariants", ())]
    return [status for each in shown for status in each.get("VariantStatus", ())]


def _differ(members: tuple[str, ...], before: Row, after: Row) -> bool:
    return any(before.get(member) != after.get(member) for member in members)


def _of_execution(before: Row | None, after: Row | None) -> Iterator[Row]:
    if after is None:
        return
    previous = before[STATUS] if before else None
    if previous != after[STATUS]:
        row = {member: after.get(member) for member in EXECUTION_MEMBERS}
        yield {"Kind": EXECUTION, "Row": row, "Previous": previous}
    # Steps that an execution begins with were brought along from another: no news.
    for name, step in after["Steps"].items() if before else ():
        yield from _of_step(after, before["Steps"].get(name, {}) if before else {}, step)


def _of_step(execution: Row, before: Row, after: Row) -> Iterator[Row]:
    previous = before.get(STEP_STATUS)
    if previous != after[STEP_STATUS]:
        arns = {arn: execution[arn] for arn in ("PipelineArn", "PipelineExecutionArn")}
        yield {"Kind": STEP, "Row": {**after, **arns}, "Previous": previous}
