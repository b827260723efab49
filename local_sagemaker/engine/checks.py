"""QualityCheck and ClarifyCheck steps: a processing job, its results checked against a baseline.

The job does the analysis: it writes the new baseline and, given a previous one, what it violates.
Here is the contract around it: which baseline counts as the previous one, which one the registry
gets, and when violations fail the step. What we know of a check is a row of ours under its job's
name; the job finds the previous baseline at the paths in `baseline_constraints` and
`baseline_statistics`, as Model Monitor's containers do.
"""

from __future__ import annotations

import json
import posixpath
import tempfile
from pathlib import Path
from typing import Any

from local_sagemaker.engine import registry
from local_sagemaker.engine.check_types import (
    BOOLEANS,
    CHECK_TYPES,
    MODEL,
    CheckType,
    is_true,
    members_of,
)
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError
from local_sagemaker.store import Row

KIND = "pipeline-check"
REPORT = "constraint_violations.json"
BASELINES = "/opt/ml/processing/baseline"
CONFIG = "/opt/ml/processing/input/config"
_NOT_THERE = ("NoSuchKey", "404")

Uris = dict[str, str]  # "Constraints" | "Statistics" -> its S3 URI


def begin(plane: Plane, request: Row, execution: Row) -> str:
    """Start the job of a step's request. Raises ApiError, also when a baseline is missing."""
    check = CHECK_TYPES[request["CheckType"]]
    try:
        settings = {name: is_true(request, name) for name in BOOLEANS}
    except ValueError as error:
        raise validation(str(error)) from None
    skips, registers = settings["SkipCheck"], settings["RegisterNewBaseline"]
    previous = previous_baseline(plane, request)
    if "Constraints" not in previous and not (skips and registers):
        raise validation(_no_baseline(request))
    ours = members_of(check.name)
    prefix = _output_prefix(request).rstrip("/")
    row = {
        **{name: request[name] for name in ours if name in request},
        **settings,
        "CheckJobName": request["ProcessingJobName"],
        "PipelineArn": execution["PipelineArn"],
        "Previous": previous,
        "Calculated": {kind: f"{prefix}/{file}" for kind, file in check.files.items()},
        "Report": f"{prefix}/{REPORT}",
    }
    plane.store.insert(KIND, row["CheckJobName"], row)
    job = {name: value for name, value in request.items() if name not in ours}
    if not skips:
        job = _with_baseline(job, previous)
    if request.get(MODEL):
        job = _with_model(plane, job, str(request[MODEL]))
    return str(plane.call("CreateProcessingJob", job)["ProcessingJobArn"])


def previous_baseline(plane: Plane, request: Row) -> Uris:
    """What the check compares with: supplied, else of the group's latest approved version."""
    check = CHECK_TYPES[request["CheckType"]]
    found = _registered(plane, request.get("ModelPackageGroupName"), check)
    supplied = {kind: request.get(f"SuppliedBaseline{kind}") for kind in check.files}
    return {**found, **{kind: str(uri) for kind, uri in supplied.items() if uri}}


def complaint(plane: Plane, name: str) -> str | None:
    """After the job: why its violations fail the step, if they do; notes where the report is."""
    row = _row(plane, name)
    if row["SkipCheck"]:
        return None
    try:
        violations = _violations(plane, row["Report"])
    except (StorageError, ValueError) as error:
        return f"ClientError: the report of the check cannot be read: {error}"
    if not violations:
        return None
    report = {"ViolationReport": row["Report"]}
    plane.store.edit(KIND, name, lambda now: {**now, **report})
    if not row["FailOnViolation"]:
        return None
    first = violations[0]
    said = first.get("description") if isinstance(first, dict) else None
    return (
        f"ClientError: {row['CheckType']} check found {len(violations)} violation(s) of the "
        f"baseline, such as {said or json.dumps(first)}; the report is {row['Report']}"
    )


def metadata(plane: Plane, name: str) -> Row:
    row = _row(plane, name)
    shown = ("CheckType", "ModelPackageGroupName", "ViolationReport")
    return {
        **{member: row[member] for member in shown if member in row},
        **{member: row[member] for member in ("SkipCheck", "RegisterNewBaseline")},
        **properties(plane, name),
        "CheckJobArn": (plane.store.get("processing-job", name) or {}).get("ProcessingJobArn"),
    }


def properties(plane: Plane, name: str) -> Row:
    row = _row(plane, name)
    used = row["Calculated"] if row["RegisterNewBaseline"] else row["Previous"]
    return {
        **{f"CalculatedBaseline{kind}": uri for kind, uri in row["Calculated"].items()},
        **{f"BaselineUsedForDriftCheck{kind}": uri for kind, uri in used.items()},
    }


def _registered(plane: Plane, group: Any, check: CheckType) -> Uris:
    found = plane.store.get(registry.GROUP, str(group).rpartition("/")[2]) if group else None
    if found is None:
        return {}
    versions = registry.versions(plane, found["ModelPackageGroupName"])
    approved = [row for row in versions if row.get("ModelApprovalStatus") == "Approved"]
    newest = max(approved, key=lambda row: int(row["ModelPackageVersion"]), default={})
    baselines = (newest.get("DriftCheckBaselines") or {}).get(check.baselines) or {}
    places = {kind: baselines.get(member) or {} for kind, member in check.members.items()}
    return {kind: str(place["S3Uri"]) for kind, place in places.items() if place.get("S3Uri")}


def _no_baseline(request: Row) -> str:
    group = request.get("ModelPackageGroupName")
    place = (
        f"the latest approved version of model package group '{group}' has none in its "
        "DriftCheckBaselines"
        if group
        else "no ModelPackageGroupName is given"
    )
    return (
        f"there is no previous baseline for the {request['CheckType']} check: no "
        f"SuppliedBaselineConstraints, and {place}. For a first run set SkipCheck and "
        "RegisterNewBaseline to true"
    )


def _output_prefix(request: Row) -> str:
    found = (request.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    uris = [each.get("S3Output", {}).get("S3Uri") for each in found if isinstance(each, dict)]
    if len(uris) != 1 or not uris[0]:
        raise validation(
            f"a check needs exactly one output in ProcessingOutputConfig, not {len(uris)}: "
            "its baselines and its report are read from there"
        )
    return str(uris[0])


def _with_baseline(job: Row, previous: Uris) -> Row:
    inputs, environment = list(job.get("ProcessingInputs") or []), {}
    for kind, uri in previous.items():
        folder = f"{BASELINES}/{kind.lower()}"
        source = {"S3Uri": uri, "LocalPath": folder}
        source |= {"S3DataType": "S3Prefix", "S3InputMode": "File"}
        inputs.append({"InputName": f"baseline_{kind.lower()}", "S3Input": source})
        environment[f"baseline_{kind.lower()}"] = f"{folder}/{posixpath.basename(uri)}"
    given = job.get("Environment") or {}
    return {**job, "ProcessingInputs": inputs, "Environment": {**environment, **given}}


def _with_model(plane: Plane, job: Row, model: str) -> Row:
    """With a copy of the analysis configuration that names the model: the step may only know it
    now, and the SDK leaves it out for that.
    """
    inputs = list(job.get("ProcessingInputs") or [])
    found = [each for each in inputs if each.get("S3Input", {}).get("LocalPath") == CONFIG]
    if len(found) != 1:
        raise validation(f"a check with {MODEL} needs one ProcessingInput at {CONFIG}")
    uri = str(found[0]["S3Input"]["S3Uri"])
    try:
        config = json.loads(plane.storage.read_text(uri))
        config["predictor"] = {**config.get("predictor", {}), "model_name": model}
        folder, _, name = uri.rpartition("/")
        named = f"{folder}/{job['ProcessingJobName']}/{name}"
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, name)
            file.write_text(json.dumps(config))
            plane.storage.upload(file, named)
    except (StorageError, ValueError, TypeError, AttributeError) as error:
        raise validation(f"the analysis configuration {uri} cannot be used: {error}") from error
    changed = {**found[0], "S3Input": {**found[0]["S3Input"], "S3Uri": named}}
    return {
        **job,
        "ProcessingInputs": [changed if each is found[0] else each for each in inputs],
    }


def _violations(plane: Plane, report: str) -> list[Any]:
    try:
        content = json.loads(plane.storage.read_text(report))
    except StorageError as error:
        if error.code in _NOT_THERE:  # no report is how analyzers say that all is well
            return []
        raise
    found = content.get("violations") if isinstance(content, dict) else None
    if isinstance(found, list):
        return found
    raise ValueError(f"{report} has no list of violations")


def _row(plane: Plane, name: str) -> Row:
    row = plane.store.get(KIND, name)
    if row is None:
        raise ApiError("InternalFailure", f"there is no {KIND} {name}", 500)
    return row
