"""What the tests of pipelines share: tiny steps of shell scripts, and running them."""

from __future__ import annotations

import json
from typing import Any

ROLE = "arn:aws:iam::000000000000:role/local"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
EXECUTION = "pipeline-execution"
ENDS = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
CACHED = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"}}


def processing(name: str, script: str = "true", **more: Any) -> dict[str, Any]:
    """A Processing step that runs a shell script."""
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
    arguments = {
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["/bin/sh", "-c", script],
        },
        "ProcessingResources": {"ClusterConfig": cluster},
        "RoleArn": ROLE,
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}


def reads(uri: Any, name: str = "data") -> dict[str, Any]:
    """The arguments of a Processing step with one input, at /opt/ml/processing/<name>."""
    place = {
        "S3Uri": uri,
        "LocalPath": f"/opt/ml/processing/{name}",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    return {"ProcessingInputs": [{"InputName": name, "S3Input": place}]}


def writes(bucket: str, name: str = "out") -> dict[str, Any]:
    """The arguments of a Processing step with one output, at /opt/ml/processing/<name>."""
    run = {"Get": "Execution.PipelineExecutionId"}
    place = {
        "S3Uri": {"Std:Join": {"On": "/", "Values": [f"s3://{bucket}", run, name]}},
        "LocalPath": f"/opt/ml/processing/{name}",
        "S3UploadMode": "EndOfJob",
    }
    return {"ProcessingOutputConfig": {"Outputs": [{"OutputName": name, "S3Output": place}]}}


def fail(name: str, message: str = "enough", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **more}


def condition(name: str, left: Any, right: Any, yes: Any = (), no: Any = ()) -> dict[str, Any]:
    test = {"Type": "Equals", "LeftValue": left, "RightValue": right}
    arguments = {"Conditions": [test], "IfSteps": list(yes), "ElseSteps": list(no)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def for_each(
    items: Any, *body: dict[str, Any], name: str = "Each", most: int = 2, **more: Any
) -> dict[str, Any]:
    """A ForEach step; `Selector` goes into its Arguments."""
    arguments = {"IterableItems": items, "MaxConcurrency": most, "ForEachBody": list(body)}
    if "Selector" in more:
        arguments["Selector"] = more.pop("Selector")
    return {"Name": name, "Type": "ForEach", "Arguments": arguments, **more}


def upsert(sagemaker: Any, *steps: Any, **top: Any) -> None:
    """Create pipeline `p`, or give it a new definition."""
    text = json.dumps({"Version": "2020-12-01", "Steps": steps, **top})
    known = sagemaker.list_pipelines(PipelineNamePrefix="p")["PipelineSummaries"]
    operation = sagemaker.update_pipeline if known else sagemaker.create_pipeline
    operation(PipelineName="p", RoleArn=ROLE, PipelineDefinition=text)


def rerun(local: Any, sagemaker: Any, **members: Any) -> str:
    """Run pipeline `p` to its end; the execution's ARN."""
    answer = sagemaker.start_pipeline_execution(PipelineName="p", **members)
    arn = str(answer["PipelineExecutionArn"])
    local.until(EXECUTION, arn, *ENDS)
    return arn


def run(local: Any, sagemaker: Any, *steps: Any, **top: Any) -> str:
    """Give pipeline `p` these steps and run it to its end; the execution's ARN."""
    upsert(sagemaker, *steps, **top)
    return rerun(local, sagemaker)


def listed(sagemaker: Any, arn: str) -> dict[str, Any]:
    answer = sagemaker.list_pipeline_execution_steps(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}


def status(sagemaker: Any, arn: str) -> tuple[str, str | None]:
    found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    return found["PipelineExecutionStatus"], found.get("FailureReason")
