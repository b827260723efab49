"""What an SDK v3 user writes, unpatched: batch transforms that are monitored.

`python sdk_monitored_transform.py BUCKET` prints the definition of a pipeline with a
MonitorBatchTransformStep of each kind: data quality before the transform, data quality whose
violations fail the step, explainability after the transform.
"""

from __future__ import annotations

import sys
from typing import Any

import boto3
from sagemaker.core.clarify import DataConfig, ModelConfig, SHAPConfig
from sagemaker.core.inputs import BatchDataCaptureConfig
from sagemaker.core.model_monitor import DatasetFormat
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.check_job_config import CheckJobConfig
from sagemaker.mlops.workflow.clarify_check_step import ModelExplainabilityCheckConfig
from sagemaker.mlops.workflow.monitor_batch_transform_step import MonitorBatchTransformStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.quality_check_step import DataQualityCheckConfig

BUCKET = sys.argv[1]
ROLE = "arn:aws:iam::000000000000:role/local"
SESSION = PipelineSession(boto_session=boto3.Session(), default_bucket=BUCKET)
JOB = CheckJobConfig(role=ROLE, instance_type="ml.m5.large", sagemaker_session=SESSION)
DATA = f"s3://{BUCKET}/in/"


def transform(name: str) -> Any:
    transformer = Transformer(
        model_name="one",
        instance_count=1,
        instance_type="ml.m5.large",
        output_path=f"s3://{BUCKET}/out/{name}",
        accept="text/csv",
        assemble_with="Line",
        sagemaker_session=SESSION,
    )
    return transformer.transform(
        data=DATA,
        content_type="text/csv",
        split_type="Line",
        batch_data_capture_config=BatchDataCaptureConfig(
            destination_s3_uri=f"s3://{BUCKET}/captured/{name}", generate_inference_id=True
        ),
    )


def quality(name: str) -> DataQualityCheckConfig:
    return DataQualityCheckConfig(
        baseline_dataset=DATA,
        dataset_format=DatasetFormat.csv(header=False),
        output_s3_uri=f"s3://{BUCKET}/checks/{name}",
    )


def explainability(name: str) -> ModelExplainabilityCheckConfig:
    return ModelExplainabilityCheckConfig(
        data_config=DataConfig(
            s3_data_input_path=DATA,
            s3_output_path=f"s3://{BUCKET}/checks/{name}",
            dataset_type="text/csv",
        ),
        model_config=ModelConfig(
            model_name="one", instance_count=1, instance_type="ml.m5.large", accept_type="text/csv"
        ),
        explainability_config=SHAPConfig(baseline=[[0, 0]], num_samples=10, agg_method="mean_abs"),
    )


def monitored(name: str, configuration: Any, **more: Any) -> MonitorBatchTransformStep:
    return MonitorBatchTransformStep(
        name=name,
        transform_step_args=transform(name),
        monitor_configuration=configuration,
        check_job_configuration=JOB,
        **more,
    )


if __name__ == "__main__":
    baseline = f"s3://{BUCKET}/baseline/constraints.json"
    collections = [
        monitored(
            "Before",
            quality("Before"),
            monitor_before_transform=True,
            fail_on_violation=False,
            supplied_baseline_constraints=baseline,
            supplied_baseline_statistics=f"s3://{BUCKET}/baseline/statistics.json",
        ),
        monitored("Strict", quality("Strict"), supplied_baseline_constraints=baseline),
        monitored(
            "After",
            explainability("After"),
            supplied_baseline_constraints=f"s3://{BUCKET}/baseline/analysis.json",
        ),
    ]
    # This version of the SDK compiles the steps of the collection, and not the collection.
    steps = [step for each in collections for step in each.steps]
    pipeline = Pipeline(name="monitored", steps=steps, sagemaker_session=SESSION)
    print(pipeline.definition())
