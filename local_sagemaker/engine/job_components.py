"""What a job looks like as a trial component: its parameters, artifacts, status and metrics.

Pure: everything is read from the job's row. The names are AWS's own (SageMaker.InstanceType,
SageMaker.ModelArtifact, <job>-aws-training-job).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine import metrics, model_containers
from local_sagemaker.engine.properties import number
from local_sagemaker.store import KINDS, Row

TRIALS = "Trials"  # names of the trials a component is part of: a member of ours
LONGEST_TEXT = 2500
LONGEST_MESSAGE = 1024
Values = dict[str, Any]


@dataclass(frozen=True)
class JobComponent:
    """How a kind of job is read: the prefix of its own members, and functions of its row."""

    prefix: str
    said: Callable[[Row], Values]  # what its status message says beside the status
    parameters: Callable[[Row], Values]
    inputs: Callable[[Row], Row]
    outputs: Callable[[Row], Row]


def component(kind: str, row: Row) -> Row:
    """The trial component of a job of this kind."""
    job = JOBS[kind]
    arn, config = row[KINDS[kind].arn], row.get("ExperimentConfig", {})
    name = component_name(kind, arn)
    account = arn.partition(f":{kind}/")[0]
    found = {
        "TrialComponentName": name,
        "TrialComponentArn": f"{account}:experiment-trial-component/{name}",
        "DisplayName": config.get("TrialComponentDisplayName", name),
        "Source": {"SourceArn": arn, "SourceType": f"SageMaker{job.prefix}Job"},
        "Status": _status(job, row),
        "StartTime": row.get(f"{job.prefix}StartTime"),
        "EndTime": row.get(f"{job.prefix}EndTime"),
        "CreationTime": row["CreationTime"],
        "CreatedBy": {},
        "LastModifiedTime": row["LastModifiedTime"],
        "LastModifiedBy": {},
        "Parameters": {name: _parameter(value) for name, value in job.parameters(row).items()},
        "InputArtifacts": job.inputs(row),
        "OutputArtifacts": job.outputs(row),
        "Metrics": [{**each, "SourceArn": arn} for each in row.get(metrics.SUMMARIES, ())],
        "RunName": config.get("RunName"),
        "SourceDetail": {"SourceArn": arn, f"{job.prefix}Job": row},
        TRIALS: [config["TrialName"]] if "TrialName" in config else [],
    }
    return {member: value for member, value in found.items() if value is not None}


def component_name(kind: str, arn: str) -> str:
    """Lower case, as the name in the job's ARN."""
    return f"{arn.rpartition('/')[2]}-aws-{kind}"


def job_of(component_name: str) -> tuple[str, str] | None:
    """(kind, name) of the job whose component is called so, if there is such a job."""
    for kind in JOBS:
        suffix = f"-aws-{kind}"
        if component_name.lower().endswith(suffix):
            return kind, component_name[: -len(suffix)]
    return None


def _status(job: JobComponent, row: Row) -> Row:
    status = row[f"{job.prefix}JobStatus"]
    said = {"Status": status, **job.said(row)}
    message = ", ".join(f"{what}: {value or 'null'}" for what, value in said.items())
    return {"PrimaryStatus": status, "Message": message[:LONGEST_MESSAGE]}


def _parameter(value: Any) -> Row:
    found = number(value)
    return {"StringValue": str(value)[:LONGEST_TEXT]} if found is None else {"NumberValue": found}


def _present(values: Mapping[str, Any]) -> Values:
    return {name: value for name, value in values.items() if value is not None}


def _artifacts(uris: Mapping[str, str | None], media_types: Mapping[str, str]) -> Row:
    return {
        name: {"Value": uri, **({"MediaType": media_types[name]} if name in media_types else {})}
        for name, uri in _present(uris).items()
    }


def _instances(cluster: Row) -> Values:
    members = ("InstanceCount", "InstanceType", "VolumeSizeInGB")
    return _present({f"SageMaker.{member}": cluster.get(member) for member in members})


def _training_parameters(row: Row) -> Values:
    image = row["AlgorithmSpecification"].get("TrainingImage")
    own = _present({"SageMaker.ImageUri": image}) | _instances(row["ResourceConfig"])
    return {**row.get("HyperParameters", {}), **own}


def _training_inputs(row: Row) -> Row:
    channels = {each["ChannelName"]: each for each in row.get("InputDataConfig", ())}
    uris = {n: c["DataSource"].get("S3DataSource", {}).get("S3Uri") for n, c in channels.items()}
    types = {n: c["ContentType"] for n, c in channels.items() if "ContentType" in c}
    return _artifacts(uris, types)


def _training_outputs(row: Row) -> Row:
    model = row.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    return _artifacts({"SageMaker.ModelArtifact": model}, {})


def _processing_inputs(row: Row) -> Row:
    image = {"SageMaker.ImageUri": row["AppSpecification"].get("ImageUri")}
    inputs = row.get("ProcessingInputs", ())
    return _artifacts(
        image | {each["InputName"]: each.get("S3Input", {}).get("S3Uri") for each in inputs}, {}
    )


def _processing_outputs(row: Row) -> Row:
    outputs = row.get("ProcessingOutputConfig", {}).get("Outputs", ())
    uris = {each["OutputName"]: each.get("S3Output", {}).get("S3Uri") for each in outputs}
    return _artifacts(uris, {})


def _transform_parameters(row: Row) -> Values:
    runs = row[model_containers.CONTAINERS][0]
    model = {
        "SageMaker.ModelName": row["ModelName"],
        "SageMaker.ModelPrimary.DataUrl": runs.get("ModelDataUrl"),
        "SageMaker.ModelPrimary.Image": runs.get("Image"),
    }
    return {**_present(model), **_instances(row["TransformResources"])}


def _transform_inputs(row: Row) -> Row:
    given = row["TransformInput"]
    types = {"SageMaker.TransformInput": given["ContentType"]} if "ContentType" in given else {}
    uri = given["DataSource"]["S3DataSource"]["S3Uri"]
    return _artifacts({"SageMaker.TransformInput": uri}, types)


JOBS: dict[str, JobComponent] = {
    "training-job": JobComponent(
        "Training",
        lambda row: {
            "secondary status": row.get("SecondaryStatus"),
            "failure reason": row.get("FailureReason"),
        },
        _training_parameters,
        _training_inputs,
        _training_outputs,
    ),
    "processing-job": JobComponent(
        "Processing",
        lambda row: {
            "exit message": row.get("ExitMessage"),
            "failure reason": row.get("FailureReason"),
        },
        lambda row: _instances(row["ProcessingResources"]["ClusterConfig"]),
        _processing_inputs,
        _processing_outputs,
    ),
    "transform-job": JobComponent(
        "Transform",
        lambda row: {"failure reason": row.get("FailureReason")},
        _transform_parameters,
        _transform_inputs,
        lambda row: _artifacts(
            {"SageMaker.TransformOutput": row["TransformOutput"]["S3OutputPath"]}, {}
        ),
    ),
}
