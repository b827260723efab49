"""What an SDK v3 user writes, unpatched: one job of every kind, and @step functions.

`python sdk_program.py BUCKET` in a folder that holds train/ and process/; the endpoints come from
the environment. Prints `<label> <job name>` for every job, `pipeline <execution ARN>` at the end.
"""

from __future__ import annotations

import sys
from typing import Any

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import FrameworkProcessor, ScriptProcessor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output
from sagemaker.mlops.workflow.function_step import step
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, OutputDataConfig, SourceCode

BUCKET = sys.argv[1]
ROLE = "arn:aws:iam::000000000000:role/local"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
INSTANCE = "ml.m5.large"
SESSION = Session(boto_session=boto3.Session(), default_bucket=BUCKET)
SOURCES = {
    "script": {"entry_script": "train.py"},
    "shell": {"entry_script": "train.sh"},
    "command": {"command": "python3 train.py --depth 7"},
    "requirements": {"entry_script": "train.py", "requirements": "requirements.txt"},
}


def train(label: str, **source: Any) -> None:
    trainer = ModelTrainer(
        sagemaker_session=SESSION,
        training_image=IMAGE,
        role=ROLE,
        base_job_name=label,
        source_code=SourceCode(source_dir="train", **source),
        compute=Compute(instance_type=INSTANCE, instance_count=1),
        hyperparameters={"depth": 4},
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/models"),
    )
    trainer.train(wait=False)
    print(label, trainer._latest_training_job.training_job_name)


def process(label: str, kind: Any, **run: Any) -> None:
    processor = kind(
        image_uri=IMAGE,
        command=["python3"],
        role=ROLE,
        instance_count=1,
        instance_type=INSTANCE,
        sagemaker_session=SESSION,
        base_job_name=label,
    )
    target = ProcessingS3Output(
        s3_uri=f"s3://{BUCKET}/{label}",
        local_path="/opt/ml/processing/output",
        s3_upload_mode="EndOfJob",
    )
    outputs = [ProcessingOutput(output_name="o", s3_output=target)]
    processor.run(outputs=outputs, arguments=["a", "b c"], wait=False, logs=False, **run)
    print(label, processor.latest_job.processing_job_name)


@step(name="one", image_uri=IMAGE, instance_type=INSTANCE, role=ROLE)
def one(number: int) -> int:
    return number + 1


@step(name="ten", image_uri=IMAGE, instance_type=INSTANCE, role=ROLE)
def ten(number: int) -> int:
    print("the answer is", number * 10)
    return number * 10


def main() -> None:
    for label, source in SOURCES.items():
        train(label, **source)
    process("script-processor", ScriptProcessor, code="process/process.py")
    process("framework-processor", FrameworkProcessor, code="process.py", source_dir="process")
    pipeline = Pipeline(name="functions", steps=[ten(one(1))], sagemaker_session=SESSION)
    pipeline.upsert(role_arn=ROLE)
    print("pipeline", pipeline.start().arn)


if __name__ == "__main__":
    main()
