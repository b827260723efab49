"""A processing job's contract with its container: paths, config files, entry point, uploads,
messages.

Facts: the developer guide's "Build Your Own Processing Container".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local_sagemaker import images
from local_sagemaker.engine import hosts, workspace
from local_sagemaker.engine.job_type import (
    FAILED,
    Input,
    JobFailure,
    JobType,
    Outcome,
)
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

BELOW = "/opt/ml/processing"
CONFIGURED = (
    "ProcessingJobArn",
    "ProcessingJobName",
    "AppSpecification",
    "Environment",
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "RoleArn",
    "StoppingCondition",
)


def check(plane: Plane, request: Row) -> None:
    """What the model cannot say of a CreateProcessingJob request; raises ApiError."""
    command(request, images.resolve(request["AppSpecification"]["ImageUri"], plane.own_images))
    for each in request.get("ProcessingInputs", ()):
        if "S3Input" not in each:
            raise validation(f"ProcessingInputs {each['InputName']!r}: give S3Input")
        _check_path("ProcessingInputs", each["InputName"], each["S3Input"].get("LocalPath", ""))
    for each in _outputs(request):
        if "S3Output" not in each:
            raise validation(f"Outputs {each['OutputName']!r}: give S3Output")
        _check_path("Outputs", each["OutputName"], each["S3Output"].get("LocalPath", ""))
    _check_unique("InputName", request.get("ProcessingInputs", ()))
    _check_unique("OutputName", _outputs(request))


def inputs(row: Row) -> list[Input]:
    return [
        Input(
            each["InputName"],
            each["S3Input"]["S3Uri"],
            each["S3Input"]["LocalPath"],
            manifest=each["S3Input"].get("S3DataType") == "ManifestFile",
            sharded=each["S3Input"].get("S3DataDistributionType") == "ShardedByS3Key",
        )
        for each in row.get("ProcessingInputs", ())
    ]


def lay_out(plane: Plane, row: Row, root: Path, host: str) -> None:
    config = root / "config"
    job = {member: row.get(member) for member in CONFIGURED}
    workspace.write_json(config / "processingjobconfig.json", job)
    names = hosts.names(_instance_count(row))
    workspace.write_json(config / "resourceconfig.json", {"current_host": host, "hosts": names})
    for output in _outputs(row):
        workspace.at(root, output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)


def command(row: Row, image: images.Image) -> list[str]:
    """Docker's rules: an entry point replaces the image's, arguments alone go to the image's."""
    application = row["AppSpecification"]
    given = application.get("ContainerEntrypoint")
    entry = image.entrypoint(given) if given else image.process_command()
    return [*entry, *application.get("ContainerArguments", ())]


def isolated(row: Row) -> bool:
    return bool(row.get("NetworkConfig", {}).get("EnableNetworkIsolation"))


def environment(row: Row) -> Mapping[str, str]:
    given: Mapping[str, str] = row.get("Environment", {})
    return given


def continuous_folders(row: Row) -> list[tuple[str, str]]:
    """Outputs that go to S3 while the job runs, however it ends: folder and S3 URI."""
    targets = [output["S3Output"] for output in _outputs(row) if _is_continuous(output)]
    return [(target["LocalPath"], target["S3Uri"]) for target in targets]


def gather(row: Row, roots: list[Path], outcome: Outcome) -> None:
    """Outputs of all hosts become one, and of a file of several hosts the last host's stays: the
    last upload to a key wins. Their messages are joined.
    """
    first = roots[0]
    for output in _outputs(row):
        path = output["S3Output"]["LocalPath"]
        if not _is_continuous(output):
            for root in roots[1:]:
                workspace.merge(workspace.at(root, path), workspace.at(first, path), replace=True)
    messages = [root / "output" / "message" for root in roots]
    texts = [each.read_bytes() for each in messages if each.is_file() and not each.is_symlink()]
    if texts:
        messages[0].write_bytes(b"".join(texts))


def deliver(plane: Plane, row: Row, root: Path, outcome: Outcome) -> Row:
    """EndOfJob outputs of a job that completed or was stopped."""
    for output in _outputs(row):
        target = output["S3Output"]
        if outcome.end == FAILED or _is_continuous(output):
            continue
        directory = workspace.at(root, target["LocalPath"])
        if directory.is_dir():
            plane.storage.upload(directory, target["S3Uri"])
    return {}


def closing(plane: Plane, row: Row, root: Path, outcome: Outcome) -> Row:
    members: Row = {"ProcessingEndTime": plane.clock.now()}
    try:
        message = workspace.read_text(root / "output" / "message")
    except UnicodeError as cause:
        raise JobFailure("ClientError: /opt/ml/output/message is not valid UTF-8") from cause
    if message:
        members["ExitMessage"] = message
    if outcome.end == FAILED:
        members["FailureReason"] = (
            f"AlgorithmError: See job logs for more information, exit code: {outcome.exit_code}"
        )
    return members


def stage(row: Row, name: str, now: float) -> Row:
    return {"ProcessingStartTime": now} if name == "Training" else {}


def _instance_count(row: Row) -> int:
    return int(row["ProcessingResources"]["ClusterConfig"]["InstanceCount"])


def _outputs(row: Row) -> list[dict[str, Any]]:
    return list(row.get("ProcessingOutputConfig", {}).get("Outputs", ()))


def _is_continuous(output: dict[str, Any]) -> bool:
    return bool(output["S3Output"]["S3UploadMode"] == "Continuous")


def _check_path(member: str, name: str, path: str) -> None:
    if ".." in path.split("/") or not f"{path}/".startswith(f"{BELOW}/"):
        raise validation(f"{member} {name!r}: LocalPath {path!r} must start with {BELOW}/")


def _check_unique(member: str, items: Any) -> None:
    names = [each[member] for each in items]
    for name in names:
        if names.count(name) > 1:
            raise validation(f"{member} {name!r} is given twice; names must be unique in a job")


JOB = JobType(
    kind="processing-job",
    image_uri=lambda row: str(row["AppSpecification"]["ImageUri"]),
    inputs=inputs,
    lay_out=lay_out,
    isolated=isolated,
    notes=lambda _: [],
    command=command,
    environment=environment,
    instance_count=_instance_count,
    synced=continuous_folders,
    gather=gather,
    deliver=deliver,
    closing=closing,
    stage=stage,
    max_runtime_seconds=lambda row: float(row["StoppingCondition"]["MaxRuntimeInSeconds"]),
    grace_seconds=30.0,
)
