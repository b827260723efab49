"""What the steps of the training pipeline share: one Plan, its Parameters, and retry policies.

A Plan holds facts (problem, role, bucket, images) and the pipeline's parameters; which steps there
are stands in pipelines/training.py and pipelines/release.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines import sdk
from steps.problem import Problem

_STEP = sdk.StepExceptionTypeEnum
_JOB = sdk.SageMakerJobExceptionTypeEnum

# The most that Model, RegisterModel and EndpointConfig steps may retry is Step.*.
API_RETRIES = [
    sdk.StepRetryPolicy([_STEP.SERVICE_FAULT, _STEP.THROTTLING], interval_seconds=1, max_attempts=5)
]
JOB_RETRIES = [
    *API_RETRIES,
    sdk.SageMakerJobStepRetryPolicy(
        [_JOB.INTERNAL_ERROR, _JOB.CAPACITY_ERROR], interval_seconds=30, max_attempts=3
    ),
    sdk.SageMakerJobStepRetryPolicy(
        [_JOB.RESOURCE_LIMIT], interval_seconds=60, expire_after_mins=120
    ),
]


@dataclass(frozen=True)
class Parameters:
    """The pipeline's parameters; gates by model name, limits by fairness measure."""

    data_uri: Any
    processing_type: Any
    processing_count: Any
    training_type: Any
    endpoint_type: Any
    approval: Any
    gates: dict[str, Any]
    limits: dict[str, Any]

    def all(self) -> list[Any]:
        return [
            self.data_uri,
            self.processing_type,
            self.processing_count,
            self.training_type,
            self.endpoint_type,
            self.approval,
            *self.gates.values(),
            *self.limits.values(),
        ]


@dataclass(frozen=True)
class Plan:
    """Everything that the steps are made from."""

    problem: Problem
    session: Any
    role: str
    bucket: str
    prefix: str
    code_uri: str
    group: str
    sklearn_image: str
    xgboost_image: str
    parameters: Parameters
    project_arn: str | None = None

    def output_uri(self, step: str, folder: str) -> Any:
        """Where an output of this execution goes: no two executions write to the same place."""
        execution = sdk.ExecutionVariables.PIPELINE_EXECUTION_ID
        base = f"s3://{self.bucket}/{self.prefix}/executions"
        return sdk.Join(on="/", values=[base, execution, step, folder])
