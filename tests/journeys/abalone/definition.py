"""AWS's abalone model-build pipeline, as a user writes it with the SageMaker SDK v3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sagemaker.core import image_uris
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import (
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
)
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.conditions import ConditionLessThanOrEqualTo
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep, TransformStep
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig

HERE = Path(__file__).parent


def source(name: str, uri: Any, path: str) -> ProcessingInput:
    return ProcessingInput(
        input_name=name,
        s3_input=ProcessingS3Input(
            s3_uri=uri, local_path=path, s3_data_type="S3Prefix", s3_input_mode="File"
        ),
    )


def result(name: str) -> ProcessingOutput:
    return ProcessingOutput(
        output_name=name,
        s3_output=ProcessingS3Output(
            s3_uri=f"s3://{BUCKET}/abalone/{name}",
            local_path=f"/opt/ml/processing/{name}",
            s3_upload_mode="EndOfJob",
        ),
    )


BUCKET = "abalone-bucket"


def uri(step: ProcessingStep, name: str) -> Any:
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def build(role: str, region: str = "us-east-1") -> Pipeline:
    session = PipelineSession(default_bucket=BUCKET)
    count = ParameterInteger("ProcessingInstanceCount", default_value=1)
    approval = ParameterString("ModelApprovalStatus", default_value="PendingManualApproval")
    data = ParameterString("InputData", default_value=f"s3://{BUCKET}/input/abalone.csv")
    limit = ParameterFloat("MseThreshold", default_value=6.0)
    sklearn = image_uris.retrieve("sklearn", region, version="1.9-0", image_scope="training")
    xgb = image_uris.retrieve("xgboost", region, version="3.2-0", image_scope="training")

    preprocess = ScriptProcessor(
        image_uri=sklearn,
        command=["python3"],
        instance_type="ml.m5.xlarge",
        instance_count=count,
        role=role,
        sagemaker_session=session,
        base_job_name="abalone-process",
    )
    process = ProcessingStep(
        name="AbaloneProcess",
        step_args=preprocess.run(
            code=str(HERE / "preprocess.py"),
            inputs=[source("input", data, "/opt/ml/processing/input")],
            outputs=[result(name) for name in ("train", "validation", "test", "batch")],
        ),
    )
    trainer = ModelTrainer(
        training_image=xgb,
        role=role,
        sagemaker_session=session,
        base_job_name="abalone-train",
        compute=Compute(instance_type="ml.m5.xlarge", instance_count=1, volume_size_in_gb=30),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/abalone/models"),
        hyperparameters={
            "objective": "reg:squarederror",
            "num_round": 50,
            "max_depth": 5,
            "eta": 0.2,
            "gamma": 4,
            "min_child_weight": 6,
            "subsample": 0.7,
        },
    )
    train = TrainingStep(
        name="AbaloneTrain",
        step_args=trainer.train(
            input_data_config=[
                InputData(channel_name=n, data_source=uri(process, n), content_type="text/csv")
                for n in ("train", "validation")
            ]
        ),
    )
    judge = ScriptProcessor(
        image_uri=xgb,
        command=["python3"],
        instance_type="ml.m5.xlarge",
        instance_count=1,
        role=role,
        sagemaker_session=session,
        base_job_name="abalone-eval",
    )
    report = PropertyFile(
        name="AbaloneEvaluationReport", output_name="evaluation", path="evaluation.json"
    )
    artifact = train.properties.ModelArtifacts.S3ModelArtifacts
    evaluate = ProcessingStep(
        name="AbaloneEval",
        step_args=judge.run(
            code=str(HERE / "evaluate.py"),
            inputs=[
                source("model", artifact, "/opt/ml/processing/model"),
                source("test", uri(process, "test"), "/opt/ml/processing/test"),
            ],
            outputs=[result("evaluation")],
        ),
        property_files=[report],
    )
    model = ModelBuilder(
        s3_model_data_url=artifact, image_uri=xgb, role_arn=role, sagemaker_session=session
    )
    create = ModelStep(name="AbaloneCreateModel", step_args=model.build())
    transformer = Transformer(
        model_name=create.properties.ModelName,
        instance_type="ml.m5.xlarge",
        instance_count=1,
        output_path=f"s3://{BUCKET}/AbaloneTransform",
        sagemaker_session=session,
    )
    transform = TransformStep(
        name="AbaloneTransform",
        step_args=transformer.transform(
            data=uri(process, "batch"), content_type="text/csv", split_type="Line"
        ),
    )
    register = ModelStep(
        name="AbaloneRegisterModel",
        step_args=model.register(
            content_types=["text/csv"],
            response_types=["text/csv"],
            inference_instances=["ml.t2.medium", "ml.m5.xlarge"],
            transform_instances=["ml.m5.xlarge"],
            model_package_group_name="AbaloneModelPackageGroup",
            approval_status=approval,
            model_metrics=ModelMetrics(
                model_statistics=MetricsSource(
                    s3_uri=Join(on="/", values=[uri(evaluate, "evaluation"), "evaluation.json"]),
                    content_type="application/json",
                )
            ),
        ),
    )
    mse = JsonGet(
        step_name=evaluate.name, property_file=report, json_path="regression_metrics.mse.value"
    )
    fail = FailStep(
        name="AbaloneMSEFail", error_message=Join(on=" ", values=["MSE above", limit.to_string()])
    )
    gate = ConditionStep(
        name="AbaloneMSECond",
        conditions=[ConditionLessThanOrEqualTo(left=mse, right=limit)],
        if_steps=[register, create, transform],
        else_steps=[fail],
    )
    return Pipeline(
        name="AbalonePipeline",
        parameters=[count, approval, data, limit],
        steps=[process, train, evaluate, gate],
        sagemaker_session=session,
    )
