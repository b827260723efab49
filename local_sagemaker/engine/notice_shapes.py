"""EventBridge events of SageMaker in AWS's shapes, made of notes.

Of a job, an endpoint or a model the detail is roughly what Describe answers, with the tags as an
object and times in epoch milliseconds; of pipelines it has names of its own in lowerCamelCase, and
ISO times. Left out everywhere: environment variables and callback tokens, which may be secrets.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_sagemaker import wire
from local_sagemaker.engine import notices, registry, serving, tuning_rows
from local_sagemaker.plane import Plane
from local_sagemaker.store import KINDS, Row

SOURCE = "aws.sagemaker"
SECRETS = frozenset({"Environment", "CallbackToken"})
ENDED = frozenset({"Succeeded", "Failed", "Stopped", "CompletedWithFailures"})

Complete = Callable[[Plane, Row], Row]


@dataclass(frozen=True)
class Shape:
    """An event about a resource: its detail-type, the operation whose answer its detail is like,
    and what makes a stored row complete.
    """

    detail_type: str
    describe: str
    complete: Complete = lambda _, row: row
    kind: str | None = None  # of the resource, where it is not the note's


def _endpoint(plane: Plane, row: Row) -> Row:
    return serving.described(plane, row) | {"EndpointStatus": screaming(row["EndpointStatus"])}


def _deployment(_: Plane, row: Row) -> Row:
    """As it was at that moment: the next one is there soon."""
    return {**row, "EndpointStatus": screaming(row["EndpointStatus"])}


def _model_package(plane: Plane, row: Row) -> Row:
    return {"CertifyForMarketplace": False, **row, "ModelPackageName": registry.key(row)}


SHAPES: dict[str, Shape] = {
    "training-job": Shape("SageMaker Training Job State Change", "DescribeTrainingJob"),
    "processing-job": Shape("SageMaker Processing Job State Change", "DescribeProcessingJob"),
    "transform-job": Shape("SageMaker Transform Job State Change", "DescribeTransformJob"),
    "hyper-parameter-tuning-job": Shape(
        "SageMaker HyperParameter Tuning Job State Change",
        "DescribeHyperParameterTuningJob",
        tuning_rows.described,
    ),
    "endpoint": Shape("SageMaker Endpoint State Change", "DescribeEndpoint", _endpoint),
    notices.DEPLOYMENT: Shape(
        "SageMaker Endpoint Deployment State Change", "DescribeEndpoint", _deployment, "endpoint"
    ),
    "endpoint-config": Shape("SageMaker Endpoint Config State Change", "DescribeEndpointConfig"),
    "model": Shape("SageMaker Model State Change", "DescribeModel"),
    "model-package": Shape(
        "SageMaker Model Package State Change", "DescribeModelPackage", _model_package
    ),
}


def entry(plane: Plane, note: Row) -> Row:
    """The PutEvents entry of a note; Time in epoch seconds."""
    build = PIPELINES.get(note["Kind"], _of_resource)
    detail_type, resources, detail = build(plane, note)
    return {
        "Source": SOURCE,
        "DetailType": detail_type,
        "Resources": resources,
        "Time": int(note["Time"]),
        "Detail": json.dumps(detail, separators=(",", ":")),
    }


def _of_resource(plane: Plane, note: Row) -> tuple[str, list[str], Row]:
    shape, row = SHAPES[note["Kind"]], note["Row"]
    arn = row[KINDS[shape.kind or note["Kind"]].arn]
    detail = without_secrets(wire.project(shape.describe, shape.complete(plane, row), milliseconds))
    tags = {tag["Key"]: tag["Value"] for tag in plane.store.tags(arn)}
    return shape.detail_type, [arn], {**detail, "Tags": tags}


def _of_execution(_: Plane, note: Row) -> tuple[str, list[str], Row]:
    row = note["Row"]
    ended = row["LastModifiedTime"] if row["PipelineExecutionStatus"] in ENDED else None
    detail = {
        "pipelineExecutionDisplayName": row["PipelineExecutionDisplayName"],
        "pipelineExecutionDescription": row["PipelineExecutionDescription"],
        "currentPipelineExecutionStatus": row["PipelineExecutionStatus"],
        "previousPipelineExecutionStatus": note["Previous"],
        "executionStartTime": iso(row["CreationTime"]),
        "executionEndTime": iso(ended),
        **_arns(row),
    }
    detail_type = "SageMaker Model Building Pipeline Execution Status Change"
    return detail_type, list(_arns(row).values()), _said(detail)


def _of_step(_: Plane, note: Row) -> tuple[str, list[str], Row]:
    row = note["Row"]
    detail = {
        "stepName": row["StepName"],
        "stepType": row.get("StepType"),
        "currentStepStatus": row["StepStatus"],
        "previousStepStatus": note["Previous"],
        "stepStartTime": iso(row.get("StartTime")),
        "stepEndTime": iso(row.get("EndTime")),
        "failureReason": row.get("FailureReason"),
        "cacheHitResult": lower_camel(row.get("CacheHitResult")),
        "metadata": lower_camel(without_secrets(row.get("Metadata", {}))),
        **_arns(row),
    }
    detail_type = "SageMaker Model Building Pipeline Execution Step Status Change"
    return detail_type, list(_arns(row).values()), _said(detail)


PIPELINES = {notices.EXECUTION: _of_execution, notices.STEP: _of_step}


def _arns(row: Row) -> dict[str, str]:
    return {
        "pipelineArn": row["PipelineArn"],
        "pipelineExecutionArn": row["PipelineExecutionArn"],
    }


def _said(detail: Row) -> Row:
    return {name: value for name, value in detail.items() if value is not None}


def without_secrets(value: Any) -> Any:
    """The same without the members that may hold secrets, however deep they are."""
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in SECRETS}
        return {name: without_secrets(each) for name, each in kept.items()}
    return [without_secrets(each) for each in value] if isinstance(value, list) else value


def lower_camel(value: Any) -> Any:
    """The same with every member's first letter small: ProcessingJob.Arn is processingJob.arn."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: lower_camel(each) for name, each in value.items()}
    return [lower_camel(each) for each in value] if isinstance(value, list) else value


def screaming(status: str) -> str:
    """InService -> IN_SERVICE"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", status).upper()


def milliseconds(epoch: float) -> int:
    return round(epoch * 1000)


def iso(epoch: float | None) -> str | None:
    """2021-03-15T16:03:14Z"""
    if epoch is None:
        return None
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
