"""Ending a Callback step by its token. What the step does until then: engine/callbacks.py."""

from local_sagemaker.engine import callbacks
from local_sagemaker.operations import Body, operation
from local_sagemaker.plane import Plane

NO_REASON = "the callback failed; no FailureReason was given"


@operation("SendPipelineExecutionStepSuccess")
def send_pipeline_execution_step_success(plane: Plane, request: Body) -> Body:
    return callbacks.succeed(plane, request["CallbackToken"], request.get("OutputParameters") or [])


@operation("SendPipelineExecutionStepFailure")
def send_pipeline_execution_step_failure(plane: Plane, request: Body) -> Body:
    return callbacks.fail(plane, request["CallbackToken"], request.get("FailureReason", NO_REASON))
