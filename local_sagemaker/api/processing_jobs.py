"""Processing jobs: create, describe, list, stop. How one runs is engine/processing.py."""

from __future__ import annotations

from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.arns import arn
from local_sagemaker.engine import experiments, job_rows, jobs, processing
from local_sagemaker.errors import resource_in_use
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

KIND = "processing-job"
DEFAULT_RUNTIME_SECONDS = 86_400
SORT_KEYS = {
    "CreationTime": "CreationTime",
    "Name": "ProcessingJobName",
    "Status": "ProcessingJobStatus",
}


@operation(
    "CreateProcessingJob",
    (
        "ProcessingJobName",
        "ProcessingInputs.InputName",
        "ProcessingInputs.S3Input.S3Uri",
        "ProcessingInputs.S3Input.LocalPath",
        "ProcessingInputs.S3Input.S3DataDistributionType",
        "ProcessingOutputConfig.Outputs.OutputName",
        "ProcessingOutputConfig.Outputs.S3Output",
        "ProcessingResources.ClusterConfig.InstanceCount",
        "AppSpecification",
        "Environment",
        "NetworkConfig.EnableNetworkIsolation",
        "StoppingCondition",
        "ExperimentConfig",
        "Tags",
    ),
    kept=(
        "RoleArn",
        "NetworkConfig.VpcConfig",
        "NetworkConfig.EnableInterContainerTrafficEncryption",
        "ProcessingOutputConfig.KmsKeyId",
        "ProcessingResources.ClusterConfig.InstanceType",
        "ProcessingResources.ClusterConfig.VolumeSizeInGB",
        "ProcessingResources.ClusterConfig.VolumeKmsKeyId",
    ),
    only={
        "ProcessingInputs.AppManaged": (False,),
        "ProcessingInputs.S3Input.S3DataType": ("S3Prefix", "ManifestFile"),
        # Gzip goes with Pipe mode alone, at AWS too.
        "ProcessingInputs.S3Input.S3InputMode": ("File",),
        "ProcessingInputs.S3Input.S3CompressionType": ("None",),
        "ProcessingOutputConfig.Outputs.AppManaged": (False,),
    },
)
def create_processing_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = request["ProcessingJobName"]
    processing.check(plane, request)
    now = plane.clock.now()
    limits = {"MaxRuntimeInSeconds": DEFAULT_RUNTIME_SECONDS} | request.get("StoppingCondition", {})
    row = {
        **{member: value for member, value in request.items() if member != "Tags"},
        **experiments.job_config(plane, request, name),
        "ProcessingJobArn": arn(plane.config, KIND, name),
        "ProcessingJobStatus": "InProgress",
        "StoppingCondition": limits,
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    try:
        plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        raise resource_in_use(
            "Job name must be unique within an AWS account and region, and a job with this name "
            f"already exists ({row['ProcessingJobArn']})"
        ) from cause
    lifecycle.announce(plane, KIND, name)
    jobs.start_processing_job(plane, name)
    return row


@operation("DescribeProcessingJob")
def describe_processing_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return job_rows.existing(plane, KIND, request["ProcessingJobName"])


@operation("ListProcessingJobs")
def list_processing_jobs(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS)
    return {"ProcessingJobSummaries": rows, "NextToken": token}


@operation("StopProcessingJob")
def stop_processing_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return job_rows.stop(plane, KIND, request["ProcessingJobName"])


@operation("DeleteProcessingJob")
def delete_processing_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return job_rows.delete(plane, KIND, request["ProcessingJobName"])
