"""Cleanup steps: delete from S3 what steps of the same execution have written.

A Training step's outputs are found by its job; of a Processing or Transform step exactly the named
objects go, and only those that lie under its outputs. What another execution wrote (a reused step)
stays. Deleting twice is harmless, so a killed server just does it again.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError
from local_sagemaker.store import Row

KIND = "pipeline-cleanup"
# Step type -> whether the objects to delete must be named.
SOURCES = {"Training": False, "Processing": True, "Transform": True}
# Member of a step's Metadata -> the kind of its job.
_JOBS = {
    "TrainingJob": "training-job",
    "ProcessingJob": "processing-job",
    "TransformJob": "transform-job",
}
LONGEST_MESSAGE = 2048


def sources(request: Row) -> list[Row]:
    """The entries of a Cleanup step's request. Raises ValueError unless that is what they are."""
    resources = request.get("Resources")
    found = resources.get("S3") if isinstance(resources, dict) and len(resources) == 1 else None
    if not isinstance(found, list) or not found:
        raise ValueError('Arguments must be {"Resources": {"S3": [{"StepName", "S3Uris"}, ...]}}')
    for each in found:
        known = isinstance(each, dict) and not set(each) - {"StepName", "S3Uris"}
        if not known or not isinstance(each.get("StepName"), str):
            raise ValueError(f"Resources.S3 takes StepName and S3Uris, not {each!r}")
        uris = each.get("S3Uris")
        if uris is not None and (not isinstance(uris, list) or not uris):
            raise ValueError(f"S3Uris of '{each['StepName']}' must be a list of URIs or left out")
    return found


def begin(plane: Plane, request: Row, execution: Row) -> str:
    """Delete all there is to delete; what came of it is in the row."""
    name = str(request["CleanupName"])
    done: dict[str, list[Any]] = {"CleanedSteps": [], "FailedSteps": [], "SkippedSteps": []}
    for source in sources(request):
        step = source["StepName"]
        result = execution["Steps"].get(step, {})
        if "Resource" not in result or _is_of_another(result):
            done["SkippedSteps"].append(step)
            continue
        try:
            for uri in _uris(plane, result, source):
                plane.storage.delete(uri)
            done["CleanedSteps"].append(step)
        except StorageError as error:
            said = {"ErrorCode": "ClientError", "ErrorMessage": str(error)[:LONGEST_MESSAGE]}
            done["FailedSteps"].append({"StepName": step, **said})
    row = {"CleanupName": name, "PipelineArn": execution["PipelineArn"], **done, **_verdict(done)}
    plane.store.insert(KIND, name, {**row, "CreationTime": plane.clock.now()})
    return name


def _verdict(done: dict[str, list[Any]]) -> Row:
    if not done["FailedSteps"]:
        return {"Status": "Succeeded"}
    first = done["FailedSteps"][0]
    reason = f"ClientError: step '{first['StepName']}' was not cleaned up: {first['ErrorMessage']}"
    return {"Status": "Failed", "FailureReason": reason}


def metadata(plane: Plane, name: str) -> Row:
    row = plane.store.get(KIND, name) or {}
    members = ("CleanedSteps", "FailedSteps", "SkippedSteps")
    return {member: row.get(member, []) for member in members}


def properties(_: Plane, __: str) -> Row:
    return {}


def _is_of_another(result: Row) -> bool:
    return "CacheHitResult" in result or "SelectiveExecutionResult" in result


def _uris(plane: Plane, result: Row, source: Row) -> list[str]:
    """What is to be deleted: prefixes that end in "/", and objects."""
    places = _written_by(plane, result)
    named = source.get("S3Uris")
    if named is None:
        return places
    for uri in named:
        if not str(uri).startswith(tuple(places)) or str(uri).endswith("/"):
            raise StorageError(
                "InvalidURI",
                str(uri),
                f"{uri} is no object under the outputs of the step, which are {', '.join(places)}",
            )
    return [str(uri) for uri in named]


def _written_by(plane: Plane, result: Row) -> list[str]:
    """The prefixes under which the job of a step has written; each ends in "/"."""
    (member,) = result["Metadata"]
    name = result["Resource"]
    row = plane.store.get(_JOBS[member], name) or {}
    outputs: list[Any] = (row.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    uris = [each["S3Output"]["S3Uri"] for each in outputs if each.get("S3Output")]
    if "TransformOutput" in row:
        uris.append(row["TransformOutput"]["S3OutputPath"])
    if "OutputDataConfig" in row:
        uris.append(f"{row['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}")
    return [f"{uri.rstrip('/')}/" for uri in uris]
