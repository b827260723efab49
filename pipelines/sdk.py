"""The one door to the SageMaker SDK v3: its traps are mended here, and its names come from here.

    environment -> import -> session() -> steps and pipeline (pipelines/training.py)

- Its import needs a region, and makes a client: region default, placeholder credentials meanwhile.
- It reports usage unless a config file says no: both override variables point at ours.
- It asks hard-coded AWS endpoints for the account: STS follows AWS_ENDPOINT_URL again.
- It asks IAM about the role while compiling: off, CreatePipeline checks the role anyway.
- It logs and warns about every step: silenced.
- It proves a constant JSON schema valid 100 times a compile (7 s of CPU), and makes a local-mode
  client for every ProcessingStep, which looks for credentials: both are left out.
- ModelTrainer uploads timestamped driver scripts: CommandTrainingStep names our own command
  instead, so that compiling uploads nothing and gives the same bytes every time.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3

from pipelines import settings

CONFIG_FILE = Path(__file__).with_name("sagemaker_config.yaml")
_PLACEHOLDER = {"aws_access_key_id": "compile-only", "aws_secret_access_key": "compile-only"}


@contextmanager
def _default_boto_session_without_lookup() -> Iterator[None]:
    """The SDK's import makes a client; do not let it search the network for credentials."""
    before = boto3.DEFAULT_SESSION
    boto3.setup_default_session(**_PLACEHOLDER)
    try:
        yield
    finally:
        boto3.DEFAULT_SESSION = before


settings.export_defaults({"AWS_DEFAULT_REGION": settings.DEFAULT_REGION})
settings.export(
    {
        "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(CONFIG_FILE),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(CONFIG_FILE),
        "SAGEMAKER_VALIDATE_ROLE": "false",
    }
)
with warnings.catch_warnings(), _default_boto_session_without_lookup():
    warnings.simplefilter("ignore")  # its dependencies' deprecations are not our user's
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    from sagemaker.core import image_uris
    from sagemaker.core.config import config as sdk_config
    from sagemaker.core.config import config_manager as sdk_config_manager
    from sagemaker.core.helper import session_helper
    from sagemaker.core.local.local_session import LocalSagemakerClient
    from sagemaker.core.processing import Processor
    from sagemaker.core.shapes import (
        ProcessingInput,
        ProcessingOutput,
        ProcessingS3Input,
        ProcessingS3Output,
    )
    from sagemaker.core.workflow.conditions import (
        ConditionEquals,
        ConditionGreaterThanOrEqualTo,
        ConditionLessThanOrEqualTo,
    )
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.core.workflow.parameters import (
        ParameterFloat,
        ParameterInteger,
        ParameterString,
    )
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.core.workflow.properties import PropertyFile
    from sagemaker.mlops.workflow import steps as sdk_steps
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.endpoint_step import EndpointConfigStep, EndpointStep
    from sagemaker.mlops.workflow.fail_step import FailStep
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.retry import (
        SageMakerJobExceptionTypeEnum,
        SageMakerJobStepRetryPolicy,
        StepExceptionTypeEnum,
        StepRetryPolicy,
    )
    from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
    from sagemaker.train import ModelTrainer
    from sagemaker.train.configs import Compute, InputData, OutputDataConfig, StoppingCondition

# Several of its loggers set their own level, so silencing their parent is not enough.
for _name in [name for name in logging.root.manager.loggerDict if name.startswith("sagemaker")]:
    logging.getLogger(_name).setLevel(logging.ERROR)
# It also opens the root logger for INFO, where botocore then tells about every endpoint it found.
for _name in ("botocore", "boto3"):
    logging.getLogger(_name).setLevel(logging.WARNING)

__all__ = [
    "CONFIG_FILE",
    "CacheConfig",
    "CommandTrainingStep",
    "Compute",
    "ConditionEquals",
    "ConditionGreaterThanOrEqualTo",
    "ConditionLessThanOrEqualTo",
    "ConditionStep",
    "EndpointConfigStep",
    "EndpointStep",
    "ExecutionVariables",
    "FailStep",
    "InputData",
    "Join",
    "JsonGet",
    "ModelStep",
    "ModelTrainer",
    "OutputDataConfig",
    "ParameterFloat",
    "ParameterInteger",
    "ParameterString",
    "Pipeline",
    "PipelineSession",
    "ProcessingInput",
    "ProcessingOutput",
    "ProcessingS3Input",
    "ProcessingS3Output",
    "ProcessingStep",
    "Processor",
    "PropertyFile",
    "SageMakerJobExceptionTypeEnum",
    "SageMakerJobStepRetryPolicy",
    "StepExceptionTypeEnum",
    "StepRetryPolicy",
    "StoppingCondition",
    "captured",
    "image_uri",
    "quiet",
    "session",
]


def _mend() -> None:
    """Put right what no argument or configuration of the SDK can; see the list on top."""
    sts_of_aws = session_helper.sts_regional_endpoint

    def sts_endpoint(region: str) -> str:
        return settings.endpoint_override("sts") or str(sts_of_aws(region))

    def validate(body: Any, schema: Any) -> None:
        validator_for(schema)(schema).validate(body)

    session_helper.sts_regional_endpoint = sts_endpoint
    for module in (sdk_config, sdk_config_manager):
        module.jsonschema = SimpleNamespace(validate=validate)
    # ProcessingStep asks an instance for the name of one of its methods; the class knows it too.
    sdk_steps.LocalSagemakerClient = lambda: LocalSagemakerClient


_mend()


def session(region: str, bucket: str, compile_only: bool = False) -> PipelineSession:
    """A session that captures requests; compile_only gives it no credentials to call AWS with."""
    keys = _PLACEHOLDER if compile_only else {}
    boto_session = boto3.Session(region_name=region, **keys)
    return PipelineSession(boto_session=boto_session, default_bucket=bucket)


def image_uri(framework: str, version: str, region: str) -> str:
    """AWS's own image for a framework: a lookup in the SDK's tables, no request."""
    return str(image_uris.retrieve(framework, region, version=version, image_scope="training"))


def captured(session: PipelineSession, operation: str, request: dict[str, Any]) -> Any:
    """A request of ours as the step arguments that the SDK's methods would have captured.

    For CreateModel, CreateModelPackage, CreateEndpointConfig and CreateEndpoint, where the SDK's
    own producers cannot say what the API can (a PrimaryContainer that names a model package, a
    pipeline parameter as instance type). operation: the SDK's name, as in "create_model".
    """
    session.init_model_step_arguments(SimpleNamespace(sagemaker_session=session))
    arguments = session._intercept_create_request(request, None, operation)
    session.context = None
    return arguments


class CommandTrainingStep(TrainingStep):  # type: ignore[misc]  # the SDK has no types
    """A TrainingStep whose container runs a command instead of the SDK's uploaded drivers."""

    def __init__(self, name: str, command: list[str], arguments: list[str], **rest: Any) -> None:
        super().__init__(name, **rest)
        self._container = {"ContainerEntrypoint": command, "ContainerArguments": arguments}

    @property
    def arguments(self) -> Any:
        request = super().arguments
        specification = {**request["AlgorithmSpecification"], **self._container}
        return {**request, "AlgorithmSpecification": specification}


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warning, once a step, that no job is started: that is what a pipeline is for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Running within a PipelineSession")
        yield
