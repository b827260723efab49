"""A pipeline and its executions, through boto3: put, start, watch, and the reasons of failures.

The SDK could do this too, but compiles twice to update, waits without end for a stopped execution,
and takes seconds to import. What is shown of it is pipelines/console.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from pipelines.definition import Compiled
from pipelines.settings import Settings

ENDED = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
# Where a step's Metadata names its job: (Describe operation, argument, log group).
JOBS = {
    "ProcessingJob": (
        "describe_processing_job",
        "ProcessingJobName",
        "/aws/sagemaker/ProcessingJobs",
    ),
    "TrainingJob": ("describe_training_job", "TrainingJobName", "/aws/sagemaker/TrainingJobs"),
}


@dataclass(frozen=True)
class Snapshot:
    """An execution at one moment; steps as ListPipelineExecutionSteps gives them, oldest first."""

    status: str
    reason: str
    steps: list[dict[str, Any]]


def put(
    client: Any,
    compiled: Compiled,
    role: str,
    description: str,
    tags: list[dict[str, str]],
) -> str:
    """Create or update the pipeline; "created", "updated" or "unchanged"."""
    wanted = {"RoleArn": role, "PipelineDescription": description or compiled.name}
    name = {"PipelineName": compiled.name}
    try:
        there = client.describe_pipeline(**name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ResourceNotFound", "ResourceNotFoundException"):
            raise
        tagged = {"Tags": tags} if tags else {}
        client.create_pipeline(
            **name,
            **wanted,
            **tagged,
            PipelineDefinition=compiled.definition,
        )
        return "created"
    if tags:
        client.add_tags(ResourceArn=there["PipelineArn"], Tags=tags)
    same = json.loads(there["PipelineDefinition"]) == json.loads(compiled.definition)
    if same and all(there.get(key) == value for key, value in wanted.items()):
        return "unchanged"
    client.update_pipeline(**name, **wanted, PipelineDefinition=compiled.definition)
    return "updated"


def start(client: Any, name: str, parameters: dict[str, str], parallel: int | None) -> str:
    """Start an execution; its ARN."""
    limit = (
        {"ParallelismConfiguration": {"MaxParallelExecutionSteps": parallel}} if parallel else {}
    )
    started = client.start_pipeline_execution(
        PipelineName=name,
        PipelineParameters=[{"Name": key, "Value": value} for key, value in parameters.items()],
        **limit,
    )
    return str(started["PipelineExecutionArn"])


def watch(
    client: Any,
    arn: str,
    poll_seconds: float,
    show: Callable[[Snapshot], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Snapshot:
    """Ask until the execution has ended, showing every answer; the last one."""
    while True:
        now = snapshot(client, arn)
        show(now)
        if now.status in ENDED:
            return now
        sleep(poll_seconds)


def snapshot(client: Any, arn: str) -> Snapshot:
    # The execution first: when it has ended, the steps listed after it are the final ones.
    execution = client.describe_pipeline_execution(PipelineExecutionArn=arn)
    steps: list[dict[str, Any]] = []
    page: dict[str, Any] = {"NextToken": ""}
    while "NextToken" in page:
        token = {"NextToken": page["NextToken"]} if page["NextToken"] else {}
        page = client.list_pipeline_execution_steps(
            PipelineExecutionArn=arn, SortOrder="Ascending", MaxResults=100, **token
        )
        steps += page["PipelineExecutionSteps"]
    return Snapshot(execution["PipelineExecutionStatus"], execution.get("FailureReason", ""), steps)


def seconds(step: dict[str, Any]) -> float | None:
    """How long a step has been running, or ran; None when it has not started."""
    if "StartTime" not in step:
        return None
    end = step.get("EndTime") or datetime.now(UTC)
    return max(0.0, float((end - step["StartTime"]).total_seconds()))


def is_cached(step: dict[str, Any]) -> bool:
    return "CacheHitResult" in step


def job(step: dict[str, Any]) -> tuple[str, str] | None:
    """(kind, name) of the job that a step started; None for a step without one."""
    for kind, body in step.get("Metadata", {}).items():
        if kind in JOBS and "Arn" in body:
            return kind, body["Arn"].rpartition("/")[2]
    return None


def describe_job(client: Any, step: dict[str, Any]) -> dict[str, Any]:
    """The Describe response of a step's job; empty for a step without one."""
    found = job(step)
    if found is None:
        return {}
    operation, argument, _ = JOBS[found[0]]
    return dict(getattr(client, operation)(**{argument: found[1]}))


def _describe_if_there(client: Any, step: dict[str, Any]) -> dict[str, Any]:
    """A step can fail before its job exists; its own reason says all there is then."""
    try:
        return describe_job(client, step)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
            raise
        return {}


def output_uri(client: Any, steps: list[dict[str, Any]], step: str, output: str) -> str | None:
    """The S3 URI of a Processing step's output; None when the step did not get that far."""
    for candidate in steps:
        if candidate["StepName"] == step and candidate["StepStatus"] == "Succeeded":
            described = describe_job(client, candidate)
            for entry in described.get("ProcessingOutputConfig", {}).get("Outputs", []):
                if entry["OutputName"] == output:
                    return str(entry["S3Output"]["S3Uri"])
    return None


def failures(client: Any, settings: Settings, steps: list[dict[str, Any]]) -> Iterator[str]:
    """One paragraph per failed step: its reason, the job's own words, where its log is."""
    for step in steps:
        if step["StepStatus"] != "Failed":
            continue
        described = _describe_if_there(client, step)
        words = described.get("ExitMessage") or described.get("FailureReason")
        fail = step.get("Metadata", {}).get("Fail", {}).get("ErrorMessage")
        text = (
            f"{step['StepName']}: {fail or words or step.get('FailureReason', 'no reason given')}"
        )
        if found := job(step):
            _, argument, log_group = JOBS[found[0]]
            # An ARN is all lower case; the log is called as the job is.
            name = described.get(argument, found[1])
            logs = settings.words.logs_command.format(job=name, log_group=log_group)
            text += f"\n  its log: {logs}"
        yield text
