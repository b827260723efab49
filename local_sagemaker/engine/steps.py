"""One step and the resource it starts: naming, requesting, following it, reading its properties.

Everything goes through the API's own operations (`plane.call`), so a step is checked like any
user's request. When steps run, and what follows from their outcome, is executor.py's.
"""

import re
import secrets
import string
from typing import Any

from local_sagemaker.engine import deploying, experiments, lambdas
from local_sagemaker.engine.definition import Step
from local_sagemaker.engine.own_steps import OWN_STEPS
from local_sagemaker.engine.step_types import StepResource
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

MAX_REASON = 1024
MOST_SUMMARIES = 50
PREFIX = "pipelines"
# The types whose jobs become part of the execution's trial.
TRIED = ("Training", "Processing", "Transform", "QualityCheck", "ClarifyCheck")
_RANDOM = string.ascii_letters + string.digits
# What a FailureReason may already begin with; anything else is the algorithm's own words.
_ORIGINS = ("ClientError", "AlgorithmError", "InternalServerError", "CapacityError")


def resource_of(step: Step) -> StepResource:
    """The resource that the step starts; only for types that start one."""
    if step.type.resource is None:
        raise TypeError(f"a {step.type.name} step starts nothing")
    return step.type.resource


def _operation(step: Step, name: str | None) -> str:
    if name is None:
        raise TypeError(f"a {step.type.name} step has a resource of our own, and no operation")
    return name


def generate_name(prefix: str, execution_id: str, step_name: str, longest: int = 63) -> str:
    """`pipelines-<execution>-<step, cut>-<10 random>`, as AWS names jobs.

    A tuning job has half the room: the prefix goes unless it was given.
    """
    tail = _random()
    head = f"{prefix}-{execution_id}"
    if prefix == PREFIX and len(head) + len(tail) + 1 > longest:
        head = execution_id
    head = head[: longest - len(tail) - 1]
    room = longest - len(head) - len(tail) - 2
    middle = re.sub(r"[^A-Za-z0-9]+", "-", step_name)[: max(room, 0)].strip("-")
    return "-".join(part for part in (head.rstrip("-"), middle, tail) if part)


def _random() -> str:
    return "".join(secrets.choice(_RANDOM) for _ in range(10))


def name_for(step: Step, given: Any, execution_id: str) -> str | None:
    """The name of the step's resource: generated, as given, or (a model package's) left to the API.

    A job's name in the Arguments is a prefix (the SDK's use_custom_job_prefix), an endpoint's is
    its name.
    """
    resource = resource_of(step)
    if resource.generate_name == "job":
        prefix = str(given) if given else PREFIX
        return generate_name(prefix, execution_id, step.name, resource.longest_name)
    if resource.generate_name == "token":
        return _random()
    if resource.generate_name == "missing" and not given:
        return generate_name(PREFIX, execution_id, step.name)
    return str(given) if given else None


def launch(
    plane: Plane, step: Step, arguments: dict[str, Any], execution: Row, token: str
) -> tuple[str, str]:
    """Start the step's resource; (its name, its ARN). Raises ApiError as the operation does.

    `token` makes a repeated launch of the same attempt harmless where nothing else does.
    """
    if step.type.name in deploying.LAUNCHES:
        return deploying.LAUNCHES[step.type.name](plane, arguments, token)
    if step.type.name == "RegisterModel":
        arguments = _registration(plane, arguments, execution, token)
    if step.type.name in TRIED:
        arguments = experiments.step_config(arguments, execution)
    resource = resource_of(step)
    if step.type.name in OWN_STEPS:
        arn = OWN_STEPS[step.type.name].begin(plane, arguments, execution)
        return arguments[resource.name_member], arn
    arn = str(plane.call(_operation(step, resource.create), arguments)[resource.arn_member])
    # A model package has no name of its own: its ARN stands for it everywhere.
    return (arn if step.type.name == "RegisterModel" else arguments[resource.name_member]), arn


def status(plane: Plane, step: Step, name: str) -> tuple[str | None, str]:
    """(StepStatus once the resource is done, else None; the reason when that is not Succeeded)."""
    resource = resource_of(step)
    if resource.status_member is None:
        return "Succeeded", ""
    row = plane.store.get(resource.kind, name)
    if row is None:
        return "Failed", f"ClientError: {resource.kind} {name} was deleted while the step ran"
    now = row[resource.status_member]
    outcome = resource.outcomes.get(now)
    own = OWN_STEPS.get(step.type.name)
    complaint = own.complaint(plane, name) if own and outcome == "Succeeded" else None
    if complaint is not None:
        return "Failed", complaint
    if step.type.name in deploying.LAUNCHES and row.get("FailureReason"):
        outcome = "Failed"  # whatever it is again, it does not serve what the step asked for
    reason = row.get("FailureReason") or f"{resource.kind} {name} is {now}"
    return outcome, "" if outcome == "Succeeded" else failure_reason(reason)


def failure_reason(reason: str) -> str:
    """A job's FailureReason as its step shows it: beginning with whose error it is, cut to 1024."""
    known = reason.startswith(_ORIGINS)
    return (reason if known else f"AlgorithmError: {reason}")[:MAX_REASON]


def stop(plane: Plane, step: Step, name: str) -> None:
    """Ask the running resource to stop; one that cannot be stopped runs to its end."""
    resource = resource_of(step)
    if step.type.name in OWN_STEPS:
        OWN_STEPS[step.type.name].stop(plane, name)
    if resource.stop is not None:
        plane.call(resource.stop, {resource.name_member: name})


def outlasted_stop(result: dict[str, Any]) -> bool:
    """A Lambda step that ran into its timeout fails the execution, even one that is stopping."""
    return str(result.get("FailureReason", "")).startswith(lambdas.TIMED_OUT)


def arn_if_launched(plane: Plane, step: Step, name: str, since: float) -> str | None:
    """The ARN of a resource that an earlier life of the server has launched for this step."""
    resource = resource_of(step)
    row = plane.store.get(resource.kind, name)
    if row is None or step.type.name in deploying.LAUNCHES or row["CreationTime"] < since:
        return None
    if step.type.name in OWN_STEPS:
        OWN_STEPS[step.type.name].resume(plane, name)
    return str(row[resource.arn_member])


def metadata(plane: Plane, step: Step, name: str, arn: str) -> dict[str, Any]:
    """The step's Metadata as soon as its resource is there."""
    own = OWN_STEPS.get(step.type.name)
    return {step.type.metadata: own.metadata(plane, name) if own else {"Arn": arn}}


def final_metadata(plane: Plane, step: Step, name: str) -> dict[str, Any] | None:
    """The Metadata of a step that has ended, where its end says more; else None."""
    return metadata(plane, step, name, "") if step.type.name in OWN_STEPS else None


def properties(plane: Plane, step: Step, result: dict[str, Any]) -> dict[str, Any]:
    """What `Get: Steps.<step>.<path>` walks through: the Describe answer of the step's resource,
    and for a tuning job its best training jobs.
    """
    if step.type.resource is None:
        return {"Outcome": result["Outcome"]}
    if step.type.name in OWN_STEPS:
        return OWN_STEPS[step.type.name].properties(plane, result["Resource"])
    resource = step.type.resource
    request = {resource.name_member: result["Resource"]}
    described = plane.call(_operation(step, resource.describe), request)
    if step.type.name == "Tuning":
        described["TrainingJobSummaries"] = _best_first(plane, described)
    return described


def _best_first(plane: Plane, described: dict[str, Any]) -> list[Any]:
    """The (at most 50) best training jobs of a tuning job that has ended."""
    definitions = described.get("TrainingJobDefinitions") or [{}]
    objective = (
        described["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective")
        or definitions[0].get("TuningObjective")
        or {}
    )
    request = {
        "HyperParameterTuningJobName": described["HyperParameterTuningJobName"],
        "SortBy": "FinalObjectiveMetricValue",
        "SortOrder": "Ascending" if objective.get("Type") == "Minimize" else "Descending",
        "MaxResults": MOST_SUMMARIES,
    }
    answer = plane.call("ListTrainingJobsForHyperParameterTuningJob", request)
    return list(answer["TrainingJobSummaries"])


def property_file_uri(step: Step, described: dict[str, Any], file_name: str) -> str:
    """Where a property file was uploaded to: its output's S3Uri plus its path."""
    file = step.property_files[file_name]
    outputs = described.get("ProcessingOutputConfig", {}).get("Outputs", [])
    uris = {each["OutputName"]: each.get("S3Output", {}).get("S3Uri", "") for each in outputs}
    return f"{uris[file.output_name].rstrip('/')}/{file.file_path.lstrip('/')}"


def _registration(
    plane: Plane, arguments: dict[str, Any], execution: Row, token: str
) -> dict[str, Any]:
    group = arguments.get("ModelPackageGroupName")
    is_name = isinstance(group, str) and not group.startswith("arn:")
    if is_name and plane.store.get("model-package-group", str(group)) is None:
        plane.call("CreateModelPackageGroup", {"ModelPackageGroupName": group})
    made_by = {"GeneratedBy": execution["PipelineExecutionArn"]}
    origin = {**made_by, **(arguments.get("MetadataProperties") or {})}
    return {**arguments, "MetadataProperties": origin, "ClientToken": token}
