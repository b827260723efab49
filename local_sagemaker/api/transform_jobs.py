"""Transform jobs: create, describe, list, stop. How one runs is engine/transform.py."""

from __future__ import annotations

from typing import Any

from local_sagemaker import lifecycle
from local_sagemaker.arns import arn
from local_sagemaker.engine import experiments, job_rows, jobs, transform, variants
from local_sagemaker.engine.model_containers import (
    CONTAINERS,
    DIRECT,
    execution_mode,
    is_multi_model,
)
from local_sagemaker.errors import resource_in_use, validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

KIND = "transform-job"
SORT_KEYS = {
    "CreationTime": "CreationTime",
    "Name": "TransformJobName",
    "Status": "TransformJobStatus",
}


@operation(
    "CreateTransformJob",
    (
        "TransformJobName",
        "ModelName",
        "MaxConcurrentTransforms",
        "ModelClientConfig",
        "MaxPayloadInMB",
        "BatchStrategy",
        "Environment",
        "TransformInput.DataSource.S3DataSource.S3Uri",
        "TransformInput.ContentType",
        "TransformInput.CompressionType",
        "TransformInput.SplitType",
        "TransformOutput.S3OutputPath",
        "TransformOutput.Accept",
        "TransformOutput.AssembleWith",
        "TransformResources.InstanceCount",
        "DataCaptureConfig.DestinationS3Uri",
        "DataCaptureConfig.GenerateInferenceId",
        "DataProcessing",
        "ExperimentConfig",
        "Tags",
    ),
    kept=(
        "DataCaptureConfig.KmsKeyId",
        "TransformOutput.KmsKeyId",
        "TransformResources.InstanceType",
        "TransformResources.TransformAmiVersion",
        "TransformResources.VolumeKmsKeyId",
    ),
    only={
        "TransformInput.DataSource.S3DataSource.S3DataType": ("S3Prefix", "ManifestFile"),
    },
)
def create_transform_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    name = request["TransformJobName"]
    model = variants.model_row(plane, request["ModelName"])
    transform.check(request)
    if is_multi_model(model[CONTAINERS]):
        raise validation(
            f"Model {request['ModelName']} is a multi-model; a transform job needs a model of its "
            "own: CreateModel with the ModelDataUrl of one model.tar.gz"
        )
    if execution_mode(model) == DIRECT:
        raise validation(
            f"Model {request['ModelName']} has InferenceExecutionConfig.Mode Direct; a batch "
            "transform goes through all containers in turn (Serial)."
        )
    now = plane.clock.now()
    row = {
        **{member: value for member, value in request.items() if member != "Tags"},
        **experiments.job_config(plane, request, name),
        "TransformJobArn": arn(plane.config, KIND, name),
        "TransformJobStatus": "InProgress",
        "CreationTime": now,
        "LastModifiedTime": now,
        # The job goes on when its model is deleted meanwhile, as an endpoint does.
        CONTAINERS: model[CONTAINERS],
    }
    try:
        plane.store.insert(KIND, name, row, tags=request.get("Tags", ()))
    except Duplicate as cause:
        raise resource_in_use(
            "Job name must be unique within an AWS account and region, and a job with this name "
            f"already exists ({row['TransformJobArn']})"
        ) from cause
    lifecycle.announce(plane, KIND, name)
    jobs.start_transform_job(plane, name)
    return row


@operation("DescribeTransformJob")
def describe_transform_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return job_rows.existing(plane, KIND, request["TransformJobName"])


@operation("ListTransformJobs")
def list_transform_jobs(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = plane.store.page(KIND, request, sort_keys=SORT_KEYS, default_order="Descending")
    return {"TransformJobSummaries": rows, "NextToken": token}


@operation("StopTransformJob")
def stop_transform_job(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    return job_rows.stop(plane, KIND, request["TransformJobName"])
