"""The table of step types: what each one starts, watches, caches and may carry in a definition.

A new step type is a row here plus, when it does more than start a resource, an entry in steps.py.
Types that are not here are refused by name when a pipeline is created.
"""

from dataclasses import dataclass, field

from local_sagemaker.engine.retries import JOB_EXCEPTIONS, STEP_EXCEPTIONS

COMMON_KEYS = ("Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description")


@dataclass(frozen=True)
class StepResource:
    """The resource that a step starts, and how to follow it."""

    kind: str  # in the store
    create: str
    describe: str
    name_member: str  # of the Create request and of the Describe request
    arn_member: str  # of the Create response
    generate_name: (
        str  # "job": always, a given name is a prefix; "missing": only when absent; "never"
    )
    stop: str | None = None
    status_member: str | None = None  # None: done as soon as it is created
    outcomes: dict[str, str] = field(default_factory=dict)  # resource status -> StepStatus


@dataclass(frozen=True)
class StepType:
    """One step type. `cache` names the key attributes; () all Arguments, None not cacheable."""

    name: str
    resource: StepResource | None = None
    cache: tuple[str, ...] | None = None
    retry: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def allowed_keys(self) -> tuple[str, ...]:
        caches = ("CacheConfig",) if self.cache is not None else ()
        retries = ("RetryPolicies",) if self.retry else ()
        return (*COMMON_KEYS, *self.keys, *caches, *retries)


_JOB = {"Completed": "Succeeded", "Failed": "Failed", "Stopped": "Stopped"}
_ENDPOINT = {
    "InService": "Succeeded",
    "Failed": "Failed",
    "OutOfService": "Failed",
    "UpdateRollbackFailed": "Failed",
    "Deleting": "Failed",
}

STEP_TYPES: dict[str, StepType] = {
    each.name: each
    for each in (
        StepType(
            "Processing",
            StepResource(
                "processing-job",
                "CreateProcessingJob",
                "DescribeProcessingJob",
                "ProcessingJobName",
                "ProcessingJobArn",
                "job",
                stop="StopProcessingJob",
                status_member="ProcessingJobStatus",
                outcomes=_JOB,
            ),
            cache=("AppSpecification", "Environment", "ProcessingInputs"),
            retry=(*STEP_EXCEPTIONS, *JOB_EXCEPTIONS),
            keys=("PropertyFiles",),
        ),
        StepType(
            "Training",
            StepResource(
                "training-job",
                "CreateTrainingJob",
                "DescribeTrainingJob",
                "TrainingJobName",
                "TrainingJobArn",
                "job",
                stop="StopTrainingJob",
                status_member="TrainingJobStatus",
                outcomes=_JOB,
            ),
            cache=(
                "AlgorithmSpecification",
                "CheckpointConfig",
                "DebugHookConfig",
                "DebugRuleConfigurations",
                "Environment",
                "HyperParameters",
                "InputDataConfig",
            ),
            retry=(*STEP_EXCEPTIONS, *JOB_EXCEPTIONS),
        ),
        StepType(
            "Model",
            StepResource("model", "CreateModel", "DescribeModel", "ModelName", "ModelArn", "job"),
            retry=STEP_EXCEPTIONS,
        ),
        StepType(
            "RegisterModel",
            StepResource(
                "model-package",
                "CreateModelPackage",
                "DescribeModelPackage",
                "ModelPackageName",
                "ModelPackageArn",
                "never",
            ),
            retry=STEP_EXCEPTIONS,
        ),
        StepType("Condition"),
        StepType("Fail"),
        StepType(
            "EndpointConfig",
            StepResource(
                "endpoint-config",
                "CreateEndpointConfig",
                "DescribeEndpointConfig",
                "EndpointConfigName",
                "EndpointConfigArn",
                "missing",
            ),
            cache=(),
            retry=STEP_EXCEPTIONS,
        ),
        StepType(
            "Endpoint",
            StepResource(
                "endpoint",
                "CreateEndpoint",
                "DescribeEndpoint",
                "EndpointName",
                "EndpointArn",
                "missing",
                status_member="EndpointStatus",
                outcomes=_ENDPOINT,
            ),
            cache=(),
        ),
    )
}

# The one member of a step's Metadata that holds the ARN of its resource.
METADATA = {
    "Processing": "ProcessingJob",
    "Training": "TrainingJob",
    "Model": "Model",
    "RegisterModel": "RegisterModel",
    "EndpointConfig": "EndpointConfig",
    "Endpoint": "Endpoint",
}
