"""Results of steps kept for reuse: looking one up, keeping one, forgetting those of a pipeline.

A result is found by pipeline, step and key (cache.py), is only ever that of a step that succeeded,
and counts only while its outputs are in S3 as that step left them and its resource still exists.
"""

from typing import Any

from local_sagemaker.engine import cache, check_types, checks, lambdas, own_steps
from local_sagemaker.engine.definition import Step
from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError
from local_sagemaker.store import KINDS, Duplicate, Row

KIND = "pipeline-step-result"
_NOTHING_THERE = ("NoSuchKey", "NoSuchBucket", "InvalidURI")


def key_parts(plane: Plane, step: Step, arguments: dict[str, Any]) -> dict[str, str]:
    """The parts of the step's key now, contents included. Raises StorageError if S3 cannot tell."""

    def content(uri: str) -> str:
        return _content(plane, uri)

    parts = cache.key_parts(step.type.cache or (), arguments, content)
    if step.type.name == "Lambda":
        function = arguments["FunctionArn"]
        parts[f"code of {function}"] = lambdas.code(plane, function)
    if check_types.names_of(step.type.name):
        previous = checks.previous_baseline(plane, arguments)
        parts["previous baseline"] = cache.digest({uri: content(uri) for uri in previous.values()})
    return parts


def find(
    plane: Plane, pipeline_arn: str, step: Step, parts: dict[str, str]
) -> tuple[Row | None, str]:
    """The newest result with this key, and why it cannot stand in for a run ("": it can).

    Raises StorageError.
    """
    row = plane.store.get(KIND, _name(pipeline_arn, step, parts))
    if row is None or step.expire_after is None:
        return None, ""
    oldest = cache.parse_duration(step.expire_after).before(plane.clock.now())
    if row["EndTime"] < oldest:
        age = _in_words(oldest - row["EndTime"])
        return row, f"expired {age} before (ExpireAfter {step.expire_after})"
    return row, _why_gone(plane, step, row) or ""


def keep(plane: Plane, execution: Row, step: Step, result: dict[str, Any]) -> None:
    """Remember the result of a step that has just succeeded. Raises StorageError."""
    name = _name(execution["PipelineArn"], step, result["CacheKey"])
    row = {
        "Name": name,
        "PipelineArn": execution["PipelineArn"],
        "PipelineExecutionArn": execution["PipelineExecutionArn"],
        "Resource": result["Resource"],
        "Metadata": result["Metadata"],
        "EndTime": result["EndTime"],
        "Outputs": _outputs(plane, step, result["Resource"]),
    }
    try:
        plane.store.insert(KIND, name, row)
    except Duplicate:
        plane.store.edit(KIND, name, lambda _: row)


def forget(plane: Plane, pipeline_arn: str) -> None:
    """Drop every result of a pipeline that is being deleted, and what its steps left here."""

    def is_its(row: Row) -> bool:
        return bool(row["PipelineArn"] == pipeline_arn)

    for row in plane.store.rows(KIND, is_its):
        plane.store.delete(KIND, row["Name"])
    for kind in own_steps.KINDS:
        for row in plane.store.rows(kind, is_its):
            plane.store.delete(kind, row[KINDS[kind].name])


def _name(pipeline_arn: str, step: Step, parts: dict[str, str]) -> str:
    return f"{pipeline_arn}/{step.written_name}/{cache.digest([step.type.name, parts])}"


def _in_words(seconds: float) -> str:
    """The largest unit that fits: "3 days", "1 hour"."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // size)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def _why_gone(plane: Plane, step: Step, row: Row) -> str | None:
    resource = step.type.resource
    found = plane.store.get(resource.kind, row["Resource"]) if resource else None
    if resource is None or found is None:
        return f"{row['Resource']} was deleted"
    status = found.get(resource.status_member) if resource.status_member else None
    if status is not None and resource.outcomes.get(status) != "Succeeded":
        return f"{row['Resource']} is {status}"
    if _outputs(plane, step, row["Resource"]) != row["Outputs"]:
        return "its outputs in S3 are gone or were changed"
    return None


def _outputs(plane: Plane, step: Step, name: str) -> dict[str, str]:
    """What the step has left behind: fingerprints of its S3 outputs, or what an endpoint serves."""
    resource = step.type.resource
    row = plane.store.get(resource.kind, name) if resource else None
    if row is None:
        return {}
    if step.type.name == "Endpoint":
        return {"EndpointConfigName": row["EndpointConfigName"]}
    return {uri: _content(plane, uri) for uri in _output_uris(plane, step, row)}


def _output_uris(plane: Plane, step: Step, row: Row) -> list[str]:
    if step.type.name == "Tuning":
        best = row.get("BestTrainingJob") or {}
        row = plane.store.get("training-job", best.get("TrainingJobName", "")) or {}
    outputs = (row.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    uris = [each["S3Output"]["S3Uri"] for each in outputs if each.get("S3Output")]
    others = (
        (row.get("ModelArtifacts") or {}).get("S3ModelArtifacts"),
        (row.get("TransformOutput") or {}).get("S3OutputPath"),
    )
    return [*uris, *(uri for uri in others if uri)]


def _content(plane: Plane, uri: str) -> str:
    try:
        return plane.storage.fingerprint(uri)
    except StorageError as error:
        # Nothing there is a content too; the job that needs it will say so itself. But when S3
        # cannot tell, two unknown contents must not pass for equal.
        if error.code not in _NOTHING_THERE:
            raise
        return f"nothing ({error.code})"
