"""The job of one step once more: its row, its inputs laid out in another workspace, its command.

For `replay` and `bundle`. Nothing here writes to the store: what is run again leaves no trace in
it. What a job is made of stays jobs.py's and its job types' business.
"""

import json
import shlex
from pathlib import Path

from local_sagemaker import images, overlays
from local_sagemaker.engine import hosts, inputs, jobs, pipeline_rows, workspace
from local_sagemaker.engine.definition import Step
from local_sagemaker.engine.job_type import JobFailure, JobType
from local_sagemaker.errors import ApiError
from local_sagemaker.plane import Plane
from local_sagemaker.processes import ProcessSpec
from local_sagemaker.storage import StorageError
from local_sagemaker.store import Row

KIND = "replay"  # of the workspace and of the log
_CONTENT = "content of "  # how cache.key_parts names what an input held
# A bundle is made to be given away: keys stay at home, whoever runs it brings their own.
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class RerunError(Exception):
    """The step's job cannot be run again; the message says why and what can."""


def job_of(plane: Plane, execution: Row, step: Step) -> tuple[JobType, Row]:
    """The job that the step ran (its last attempt), or whose result it reused."""
    kind = step.type.resource.kind if step.type.resource else ""
    job = jobs.JOB_TYPES.get(kind)
    if job is None:
        raise RerunError(f"step '{step.name}' is a {step.type.name} step; it runs no job")
    if not isinstance(job, JobType):
        raise RerunError(
            f"step '{step.name}' is a {step.type.name} step; its job is more than one process"
        )
    name = pipeline_rows.step_result(execution, step.name).get("Resource")
    if name is None:
        raise RerunError(f"step '{step.name}' has started no job in this execution")
    row = plane.store.get(kind, name)
    if row is None:
        raise RerunError(f"step '{step.name}' was refused its job {name}; see its FailureReason")
    if (count := job.instance_count(row)) > 1:
        raise RerunError(f"step '{step.name}' ran on {count} instances; only one can be run again")
    return job, row


def changed_inputs(plane: Plane, execution: Row, step: Step) -> list[str]:
    """The inputs that are known to hold something else now than when the step began."""
    parts = pipeline_rows.step_result(execution, step.name).get("CacheKey", {})
    then = {
        part[len(_CONTENT) :]: value for part, value in parts.items() if part.startswith(_CONTENT)
    }
    return [uri for uri, content in then.items() if _content(plane, uri) != content]


def lay_out(plane: Plane, job: JobType, row: Row, root: Path) -> None:
    """Make the workspace as the job found it: config files, empty outputs, inputs from S3."""
    wanted = job.inputs(row)
    piped = [each.name for each in wanted if each.pipe]
    if piped:
        raise RerunError(f"input '{piped[0]}' is a pipe, which is there only while the job runs")
    try:
        job.lay_out(plane, row, root, hosts.ALONE)
        inputs.download(plane, wanted, [root])
    except (StorageError, JobFailure) as cause:
        raise RerunError(f"an input cannot be had any more: {cause}") from cause


def specification(plane: Plane, job: JobType, row: Row, root: Path) -> ProcessSpec:
    """The job's process in another workspace, with a log of its own."""
    name = row[jobs.name_member(job)]
    log = workspace.log_file(plane.config.home, KIND, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        command = job.command(row, images.resolve(job.image_uri(row), plane.own_images))
    except (ApiError, JobFailure) as cause:
        raise RerunError(f"{name} cannot run: {cause}") from cause
    home = plane.config.home
    return ProcessSpec(
        f"{KIND}/{name}",
        command,
        overlays.environment(home, _environment(plane, job, row)),
        root,
        log,
        preimported=False,
        path=overlays.path(home),
        network=not job.isolated(row),
    )


def _environment(plane: Plane, job: JobType, row: Row) -> dict[str, str]:
    return {**jobs.base_environment(plane), **job.environment(row)}


def bundle(plane: Plane, job: JobType, row: Row, directory: Path) -> None:
    """Write the job as a folder that needs nothing of us: ml/, environment, job.json, run.sh."""
    root = directory / "ml"
    root.mkdir(parents=True)
    lay_out(plane, job, row, root)
    (root / "output").mkdir(exist_ok=True)
    spec = specification(plane, job, row, root)
    told = _environment(plane, job, row)
    kept = {name: value for name, value in told.items() if name not in SECRETS}
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(kept.items())]
    (directory / "environment").write_text("".join(lines))
    (directory / "job.json").write_text(json.dumps(row, indent=1) + "\n")
    script = (Path(__file__).parent.parent / "containers" / "bundle.sh").read_text()
    script = script.replace("@JOB@", row[jobs.name_member(job)])
    script = script.replace("@COMMAND@", shlex.join(spec.command))
    run = directory / "run.sh"
    run.write_text(script)
    run.chmod(0o755)


def _content(plane: Plane, uri: str) -> str:
    try:
        return plane.storage.fingerprint(uri)
    except StorageError as cause:
        return f"nothing ({cause.code})"
