"""Training jobs: create, describe, list, stop. How one runs is engine/training.py."""

from __future__ import annotations

from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.arns import arn
from local_sagemaker.engine import experiments, job_rows, jobs, training
from local_sagemaker.errors import resource_in_use
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

KIND = "training-job"
SORT_KEYS = {
    "CreationTime": "CreationTime",
    "Name": "TrainingJobName",
    "Status": "TrainingJobStatus",
}


@operation(
    "CreateTrainingJob",
    (
        "TrainingJobName",
        "HyperParameters",
        "AlgorithmSpecification.TrainingImage",
        "AlgorithmSpecification.MetricDefinitions",
        "AlgorithmSpecification.ContainerEntrypoint",
        "AlgorithmSpecification.ContainerArguments",
        "InputDataConfig.ChannelName",
        "InputDataConfig.ContentType",
        "InputDataConfig.DataSource.S3DataSource.S3Uri",
        "InputDataConfig.DataSource.S3DataSource.S3DataDistributionType",
        "InputDataConfig.DataSource.S3DataSource.AttributeNames",
        "InputDataConfig.ShuffleConfig.Seed",
        "OutputDataConfig.S3OutputPath",
        "OutputDataConfig.CompressionType",
        "CheckpointConfig.S3Uri",
        "CheckpointConfig.LocalPath",
        "ResourceConfig.InstanceCount",
        "StoppingCondition.MaxRuntimeInSeconds",
        "Environment",
        "ExperimentConfig",
        "EnableNetworkIsolation",
        "Tags",
    ),
    kept=(
        "RoleArn",
        "VpcConfig",
        "EnableInterContainerTrafficEncryption",
        # The SDK v2 adds these to every job. They watch it, and change nothing of what it makes.
        "DebugHookConfig",
        "ProfilerConfig",
        "ProfilerRuleConfigurations",
        "RetryStrategy",
        "SessionChainingConfig",
        "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries",
        "OutputDataConfig.KmsKeyId",
        "ResourceConfig.InstanceType",
        "ResourceConfig.VolumeSizeInGB",
        "ResourceConfig.VolumeKmsKeyId",
        "ResourceConfig.KeepAlivePeriodInSeconds",
    ),
    only={
        "AlgorithmSpecification.TrainingInputMode": ("File", "FastFile", "Pipe"),
        "EnableManagedSpotTraining": (False,),
        "InfraCheckConfig.EnableInfraCheck": (False,),
        "InputDataConfig.CompressionType": ("None", "Gzip"),
        "InputDataConfig.DataSource.S3DataSource.S3DataType": (
            "S3Prefix",
            "ManifestFile",
            "AugmentedManifestFile",
        ),
        "InputDataConfig.InputMode": ("File", "FastFile", "Pipe"),
        "InputDataConfig.RecordWrapperType": ("None", "RecordIO"),
        "RemoteDebugConfig.EnableRemoteDebug": (False,),
    },
)
def create_training_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = request["TrainingJobName"]
    training.check(plane, request)
    now = plane.clock.now()
    row = {
        **{member: value for member, value in request.items() if member != "Tags"},
        **experiments.job_config(plane, request, name),
        **training.algorithm_metrics(plane, request),
        "TrainingJobArn": arn(plane.config, KIND, name),
        "TrainingJobStatus": "InProgress",
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    row |= training.secondary(row, "Starting", now)
    try:
        plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        raise resource_in_use(
            "Training job names must be unique within an AWS account and region, and a training "
            f"job with this name already exists ({row['TrainingJobArn']})"
        ) from cause
    lifecycle.announce(plane, KIND, name)
    jobs.start_training_job(plane, name)
    return row


@operation("DescribeTrainingJob")
def describe_training_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return job_rows.existing(plane, KIND, request["TrainingJobName"])


@operation(
    "ListTrainingJobs",
    (
        "NextToken",
        "MaxResults",
        "CreationTimeAfter",
        "CreationTimeBefore",
        "LastModifiedTimeAfter",
        "LastModifiedTimeBefore",
        "NameContains",
        "StatusEquals",
        "SortBy",
        "SortOrder",
    ),
)
def list_training_jobs(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS)
    return {"TrainingJobSummaries": rows, "NextToken": token}


@operation("StopTrainingJob")
def stop_training_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return job_rows.stop(plane, KIND, request["TrainingJobName"])


@operation("DeleteTrainingJob")
def delete_training_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return job_rows.delete(plane, KIND, request["TrainingJobName"])
