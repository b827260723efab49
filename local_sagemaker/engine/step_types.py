"""The table of step types: what each one starts, watches, caches and may carry in a definition.

A new step type is a row here plus, when it does more than start a resource, an entry in steps.py.
Types that are not here, or whose operations this server does not have, are refused by name when a
pipeline is created.
"""

from dataclasses import dataclass, field
from typing import Any

from local_sagemaker.engine import check_types
from local_sagemaker.engine.retries import JOB_EXCEPTIONS, STEP_EXCEPTIONS
from local_sagemaker.operations import OPERATIONS

COMMON_KEYS = ("Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description")


@dataclass(frozen=True)
class StepResource:
    """The resource that a step starts, and how to follow it."""

    kind: str  # in the store
    create: str | None  # the operation; None for a resource of our own
    describe: str | None
    name_member: str  # of the Create request and of the Describe request
    arn_member: str  # of the Create response
    # "job": always, a given name is a prefix; "missing": only when absent; "token"; "never"
    generate_name: str
    stop: str | None = None
    status_member: str | None = None  # None: done as soon as it is created
    outcomes: dict[str, str] = field(default_factory=dict)  # resource status -> StepStatus
    longest_name: int = 63
    also_calls: tuple[str, ...] = ()  # operations that a step of this type cannot do without

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations that must be there for a step of this type to run."""
        named = (self.create, self.describe, self.stop, *self.also_calls)
        return tuple(name for name in named if name is not None)


@dataclass(frozen=True)
class StepType:
    """One step type. `cache` names the key attributes (dotted: a member below); () all Arguments,
    None not cacheable. `metadata` is the member of the step's Metadata that tells of its resource.
    `members` are the keys beside Arguments that say what is to be done: with the Arguments they are
    the step's request. `payload` is the request's member that holds Arguments which are data.
    """

    name: str
    resource: StepResource | None = None
    metadata: str = ""
    cache: tuple[str, ...] | None = None
    retry: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    payload: str | None = None

    @property
    def allowed_keys(self) -> tuple[str, ...]:
        caches = ("CacheConfig",) if self.cache is not None else ()
        retries = ("RetryPolicies",) if self.retry else ()
        return (*COMMON_KEYS, *self.keys, *self.members, *caches, *retries)


_JOB = {"Completed": "Succeeded", "Failed": "Failed", "Stopped": "Stopped"}
_OWN = {"Succeeded": "Succeeded", "Failed": "Failed"}
_ENDPOINT = {
    "InService": "Succeeded",
    "Failed": "Failed",
    "OutOfService": "Failed",
    "UpdateRollbackFailed": "Failed",
    "Deleting": "Failed",
}
_PROCESSING_KEY = ("AppSpecification", "Environment", "ProcessingInputs")
_RETRIED = (*STEP_EXCEPTIONS, *JOB_EXCEPTIONS)


def _resource(kind: str, noun: str, generate_name: str, **more: Any) -> StepResource:
    """The resource of AWS's `Create<noun>`, whose members are named after it."""
    names = (f"Create{noun}", f"Describe{noun}", f"{noun}Name", f"{noun}Arn")
    return StepResource(kind, *names, generate_name, **more)


def _job(kind: str, noun: str, **more: Any) -> StepResource:
    follow = {"stop": f"Stop{noun}", "status_member": f"{noun}Status", "outcomes": _JOB}
    return _resource(kind, noun, "job", **follow, **more)


def _check(name: str) -> StepType:
    """A check's key also has FailOnViolation: with it, what was a success may be none."""
    members = check_types.members_of_step(name)
    return StepType(
        name,
        _job("processing-job", "ProcessingJob"),
        name,
        cache=(*_PROCESSING_KEY, *members),
        retry=_RETRIED,
        members=members,
    )


STEP_TYPES: dict[str, StepType] = {
    each.name: each
    for each in (
        StepType(
            "Processing",
            _job("processing-job", "ProcessingJob"),
            "ProcessingJob",
            cache=_PROCESSING_KEY,
            retry=_RETRIED,
            keys=("PropertyFiles",),
        ),
        StepType(
            "Training",
            _job("training-job", "TrainingJob"),
            "TrainingJob",
            cache=(
                "AlgorithmSpecification",
                "CheckpointConfig",
                "DebugHookConfig",
                "DebugRuleConfigurations",
                "Environment",
                "HyperParameters",
                "InputDataConfig",
            ),
            retry=_RETRIED,
        ),
        StepType(
            "Tuning",
            _job(
                "hyper-parameter-tuning-job",
                "HyperParameterTuningJob",
                longest_name=32,
                also_calls=("ListTrainingJobsForHyperParameterTuningJob",),
            ),
            "TuningJob",
            cache=(
                "HyperParameterTuningJobConfig",
                "TrainingJobDefinition.AlgorithmSpecification",
                "TrainingJobDefinition.HyperParameterRanges",
                "TrainingJobDefinition.InputDataConfig",
                "TrainingJobDefinition.StaticHyperParameters",
                "TrainingJobDefinition.TuningObjective",
                "TrainingJobDefinitions",
            ),
            retry=_RETRIED,
        ),
        StepType(
            "Transform",
            _job("transform-job", "TransformJob"),
            "TransformJob",
            cache=("DataProcessing", "Environment", "ModelName", "TransformInput"),
            retry=_RETRIED,
        ),
        StepType("Model", _resource("model", "Model", "job"), "Model", retry=STEP_EXCEPTIONS),
        StepType(
            "RegisterModel",
            _resource("model-package", "ModelPackage", "never"),
            "RegisterModel",
            retry=STEP_EXCEPTIONS,
        ),
        StepType(
            "Lambda",
            StepResource(
                "lambda-invocation",
                None,
                None,
                "InvocationName",
                "FunctionArn",
                "job",
                status_member="Status",
                outcomes=_OWN,
            ),
            "Lambda",
            # Not in AWS's list of what is cached, but the SDK writes CacheConfig here.
            cache=("FunctionArn", "Payload", "OutputParameters"),
            members=("FunctionArn", "OutputParameters"),
            payload="Payload",
        ),
        StepType(
            "Callback",
            StepResource(
                "pipeline-callback",
                None,
                None,
                "CallbackToken",
                "SqsQueueUrl",
                "token",
                status_member="Status",
                outcomes=_OWN,
            ),
            "Callback",
            cache=("SqsQueueUrl", "Payload", "OutputParameters"),
            members=("SqsQueueUrl", "OutputParameters"),
            payload="Payload",
        ),
        _check("QualityCheck"),
        _check("ClarifyCheck"),
        StepType(
            "Cleanup",
            StepResource(
                "pipeline-cleanup",
                None,
                None,
                "CleanupName",
                "CleanupName",
                "job",
                status_member="Status",
                outcomes=_OWN,
            ),
            "Cleanup",
        ),
        StepType(
            "Lineage",
            StepResource(
                "pipeline-lineage",
                None,
                None,
                "LineageName",
                "LineageName",
                "job",
                status_member="Status",
                outcomes=_OWN,
            ),
            "Lineage",
        ),
        StepType("Condition"),
        StepType("Fail"),
        StepType("ForEach"),
        StepType(
            "EndpointConfig",
            _resource("endpoint-config", "EndpointConfig", "missing"),
            "EndpointConfig",
            cache=(),
            retry=STEP_EXCEPTIONS,
        ),
        StepType(
            "Endpoint",
            _resource(
                "endpoint",
                "Endpoint",
                "missing",
                status_member="EndpointStatus",
                outcomes=_ENDPOINT,
            ),
            "Endpoint",
            cache=(),
        ),
        StepType(
            "InferenceComponent",
            _resource(
                "inference-component",
                "InferenceComponent",
                "missing",
                status_member="InferenceComponentStatus",
                outcomes={"InService": "Succeeded", "Failed": "Failed", "Deleting": "Failed"},
                also_calls=("UpdateInferenceComponent",),
            ),
            "InferenceComponent",
        ),
    )
}


def missing_operations(kind: StepType) -> list[str]:
    """The operations that a step of this type calls and that this server does not have."""
    needed = kind.resource.operations if kind.resource else ()
    return [name for name in needed if name not in OPERATIONS]


def supported() -> list[str]:
    """The step types that can run here."""
    return sorted(name for name, kind in STEP_TYPES.items() if not missing_operations(kind))
