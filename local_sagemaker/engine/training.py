"""A training job's contract with its container: channels, config files, command, artifacts,
secondary statuses.

Facts: the developer guide's "How Amazon SageMaker Runs Your Training Image" and the pages around
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from local_sagemaker import images
from local_sagemaker.engine import hosts, metrics, workspace
from local_sagemaker.engine.job_type import FAILED, TIMED_OUT, Input, JobType, Outcome, Pipe
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

CHECKPOINTS = "/opt/ml/checkpoints"
NO_PROFILER = "there is no profiler here: nothing is profiled, no ProfilerRule is evaluated"
NO_DEBUGGER = "there is no debugger here: DebugHookConfig saves no tensors"
DEFAULT_RUNTIME_SECONDS = 86_400
REASON_LENGTH = 1024
MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


def check(plane: Plane, request: Row) -> None:
    """What the model cannot say of a CreateTrainingJob request; raises ApiError."""
    for member in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if member not in request:
            raise validation(f"{member} is required: serverless training jobs are not supported")
    if "TrainingImage" not in request["AlgorithmSpecification"]:
        raise validation("AlgorithmSpecification.TrainingImage is required")
    image_uri = request["AlgorithmSpecification"]["TrainingImage"]
    image = images.resolve(image_uri, plane.own_images)
    command(request, image)
    metrics.check(_definitions(request))
    if not f"{_checkpoints(request)}/".startswith("/opt/ml/") or ".." in _checkpoints(request):
        raise validation(
            f"CheckpointConfig.LocalPath {_checkpoints(request)!r} is not supported by the local "
            f"SageMaker; it must be below /opt/ml, as {CHECKPOINTS} is"
        )
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", ())]
    for channel in request.get("InputDataConfig", ()):
        if "S3DataSource" not in channel["DataSource"]:
            raise validation(f"channel {channel['ChannelName']!r}: give DataSource.S3DataSource")
        if names.count(channel["ChannelName"]) > 1:
            raise validation(f"ChannelName {channel['ChannelName']!r} is given twice")
        _check_pipe(request, channel, image)


PIPE_ONLY = (
    ("CompressionType", "Gzip"),
    ("RecordWrapperType", "RecordIO"),
    ("S3DataType", "AugmentedManifestFile"),
)


def _check_pipe(request: Row, channel: Row, image: images.Image) -> None:
    """Which of a channel's members go with Pipe input alone, at AWS too."""
    name, source = channel["ChannelName"], channel["DataSource"]["S3DataSource"]
    mode, augmented = _mode(request, channel), source["S3DataType"] == "AugmentedManifestFile"
    for member, value in PIPE_ONLY:
        if {**channel, **source}.get(member) == value and mode != "Pipe":
            raise validation(
                f"channel {name!r}: {member} {value} needs InputMode Pipe; it is {mode}"
            )
    if augmented != bool(source.get("AttributeNames")):
        raise validation(
            f"channel {name!r}: AttributeNames go with S3DataType AugmentedManifestFile; give both"
        )
    if mode == "Pipe" and image.metrics and _runs_algorithm(request):
        raise validation(
            f"channel {name!r}: Pipe input is not supported by the algorithm of {image.name} here; "
            "use File or FastFile"
        )


def inputs(row: Row) -> list[Input]:
    channels = [_input(row, channel) for channel in row.get("InputDataConfig", ())]
    restored = [
        Input("CheckpointConfig", uri, path, optional=True) for path, uri in checkpoint_folders(row)
    ]
    return [*channels, *restored]


def _input(row: Row, channel: Row) -> Input:
    source = channel["DataSource"]["S3DataSource"]
    return Input(
        channel["ChannelName"],
        source["S3Uri"],
        f"/opt/ml/input/data/{channel['ChannelName']}",
        manifest=source["S3DataType"] == "ManifestFile",
        sharded=source.get("S3DataDistributionType") == "ShardedByS3Key",
        streamed=_mode(row, channel) == "FastFile",
        pipe=_pipe(channel) if _mode(row, channel) == "Pipe" else None,
    )


def _pipe(channel: Row) -> Pipe:
    return Pipe(
        gzip=channel.get("CompressionType") == "Gzip",
        recordio=channel.get("RecordWrapperType") == "RecordIO",
        seed=channel.get("ShuffleConfig", {}).get("Seed"),
        attributes=tuple(channel["DataSource"]["S3DataSource"].get("AttributeNames", ())),
    )


def checkpoint_folders(row: Row) -> list[tuple[str, str]]:
    """Restored before the job runs, and synced while it does: folder and S3 URI of its
    checkpoints, if any.
    """
    if "CheckpointConfig" not in row:
        return []
    return [(_checkpoints(row), f"{row['CheckpointConfig']['S3Uri'].rstrip('/')}/")]


def lay_out(plane: Plane, row: Row, root: Path, host: str) -> None:
    for directory in ("input/config", "input/data", "model", "output/data", "code"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    workspace.at(root, _checkpoints(row)).mkdir(parents=True, exist_ok=True)
    config = root / "input" / "config"
    workspace.write_json(config / "hyperparameters.json", row.get("HyperParameters", {}))
    channels = {each["ChannelName"]: _channel(row, each) for each in row.get("InputDataConfig", ())}
    workspace.write_json(config / "inputdataconfig.json", channels)
    workspace.write_json(config / "resourceconfig.json", _resources(row, host))
    if "CheckpointConfig" in row:
        checkpoints = {**row["CheckpointConfig"], "LocalPath": _checkpoints(row)}
        workspace.write_json(config / "checkpointconfig.json", checkpoints)


def command(row: Row, image: images.Image) -> list[str]:
    """Docker's rules: an entry point replaces the image's, arguments alone replace its `train`."""
    algorithm = row["AlgorithmSpecification"]
    arguments = algorithm.get("ContainerArguments", [])
    if algorithm.get("ContainerEntrypoint"):
        return [*image.entrypoint(algorithm["ContainerEntrypoint"]), *arguments]
    return [*image.train_command(script=_is_script_mode(row)), *arguments]


def algorithm_metrics(plane: Plane, request: Row) -> Row:
    """The metric definitions that come with the image's own algorithm, after those of the request;
    {} where a program of the user's runs.
    """
    algorithm = request["AlgorithmSpecification"]
    image = images.resolve(algorithm["TrainingImage"], plane.own_images)
    if not _runs_algorithm(request) or not image.metrics:
        return {}
    names = {each["Name"] for each in _definitions(request)}
    own = [each for each in image.metric_definitions() if each["Name"] not in names]
    definitions = [*_definitions(request), *own]
    return {"AlgorithmSpecification": {**algorithm, "MetricDefinitions": definitions}}


def _runs_algorithm(row: Row) -> bool:
    """The image's own, not a program of the user's."""
    entry = row["AlgorithmSpecification"].get("ContainerEntrypoint")
    return not entry and not _is_script_mode(row)


def _is_script_mode(row: Row) -> bool:
    given = {**row.get("HyperParameters", {}), **row.get("Environment", {})}
    return "sagemaker_program" in given or "SAGEMAKER_PROGRAM" in given


def isolated(row: Row) -> bool:
    return bool(row.get("EnableNetworkIsolation"))


def notes(row: Row) -> list[str]:
    profiled = not row.get("ProfilerConfig", {}).get("DisableProfiler", False)
    said = {
        NO_PROFILER: profiled and ("ProfilerConfig" in row or "ProfilerRuleConfigurations" in row),
        NO_DEBUGGER: "DebugHookConfig" in row,
    }
    return [note for note, applies in said.items() if applies]


def environment(row: Row) -> Mapping[str, str]:
    return {
        "TRAINING_JOB_NAME": row["TrainingJobName"],
        "TRAINING_JOB_ARN": row["TrainingJobArn"],
        **row.get("Environment", {}),
    }


def gather(row: Row, roots: list[Path], outcome: Outcome) -> None:
    """AWS makes one archive of all hosts' models and asks that no names clash; where they do here,
    the first host's file stays. The failure is that of the host that failed first.
    """
    for root in roots[1:]:
        for directory in ("model", "output/data"):
            workspace.merge(root / directory, roots[0] / directory, replace=False)
    failure = roots[outcome.host] / "output" / "failure"
    if outcome.host and failure.is_file():
        failure.replace(roots[0] / "output" / "failure")


def deliver(plane: Plane, row: Row, root: Path, outcome: Outcome) -> Row:
    """The model unless the job failed; what is in output/data in every case."""
    config = row["OutputDataConfig"]
    target = f"{config['S3OutputPath'].rstrip('/')}/{row['TrainingJobName']}/output"
    plain = config.get("CompressionType") == "NONE"
    if workspace.has_files(root / "output" / "data"):
        _deliver(plane, root, root / "output" / "data", target, "output", plain)
    if outcome.end == FAILED:
        return {}
    uri = _deliver(plane, root, root / "model", target, "model", plain)
    return {"ModelArtifacts": {"S3ModelArtifacts": uri}}


def closing(plane: Plane, row: Row, root: Path, outcome: Outcome) -> Row:
    now = plane.clock.now()
    logs = hosts.logs(plane.config.home, "training-job", row["TrainingJobName"])
    seconds = int(now - row.get("TrainingStartTime", now))
    members: Row = {
        "TrainingEndTime": now,
        "TrainingTimeInSeconds": max(1, seconds),
        "BillableTimeInSeconds": max(1, seconds),
    }
    found = metrics.summaries(_definitions(row), logs, now)
    if found:
        members |= {"FinalMetricDataList": metrics.final(found), metrics.SUMMARIES: found}
    if outcome.end == FAILED:
        members["FailureReason"] = _reason(root, outcome.exit_code)
    return members


def secondary(row: Row, status: str, now: float) -> Row:
    """The members that change when a job enters a secondary status: the last one ends, this one
    begins.
    """
    history = [dict(each) for each in row.get("SecondaryStatusTransitions", ())]
    if history:
        history[-1].setdefault("EndTime", now)
    entry = {"Status": status, "StartTime": now, "StatusMessage": MESSAGES[status]}
    if status in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded"):
        entry["EndTime"] = now
    return {"SecondaryStatus": status, "SecondaryStatusTransitions": [*history, entry]}


def stage(row: Row, name: str, now: float) -> Row:
    members = secondary(row, "MaxRuntimeExceeded" if name == TIMED_OUT else name, now)
    if name == "Downloading":
        members["TrainingStartTime"] = now
    return members


def _definitions(row: Row) -> list[dict[str, str]]:
    return list(row["AlgorithmSpecification"].get("MetricDefinitions", ()))


def _checkpoints(row: Row) -> str:
    path: str = row.get("CheckpointConfig", {}).get("LocalPath", CHECKPOINTS)
    return path.rstrip("/")


def _mode(row: Row, channel: Row) -> str:
    mode: str = channel.get("InputMode", row["AlgorithmSpecification"]["TrainingInputMode"])
    return mode


def _channel(row: Row, channel: Row) -> Row:
    source = channel["DataSource"]["S3DataSource"]
    return {
        "TrainingInputMode": _mode(row, channel),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
    }


def _instance_count(row: Row) -> int:
    return int(row["ResourceConfig"].get("InstanceCount", 1))


def _resources(row: Row, host: str) -> Row:
    names = hosts.names(_instance_count(row))
    instance_type = row["ResourceConfig"].get("InstanceType")
    return {
        "current_host": host,
        "hosts": names,
        "network_interface_name": "lo",
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "instance_groups": [
            {
                "instance_group_name": "homogeneousCluster",
                "instance_type": instance_type,
                "hosts": names,
            }
        ],
    }


def _deliver(plane: Plane, root: Path, directory: Path, target: str, name: str, plain: bool) -> str:
    if plain:
        plane.storage.upload(directory, f"{target}/{name}/")
        return f"{target}/{name}/"
    archive = root / "tmp" / f"{name}.tar.gz"
    workspace.pack(directory, archive)
    plane.storage.upload(archive, f"{target}/{name}.tar.gz")
    return f"{target}/{name}.tar.gz"


def _reason(root: Path, exit_code: int) -> str:
    try:
        said = workspace.read_text(root / "output" / "failure")
    except UnicodeError:
        said = "/opt/ml/output/failure is not valid UTF-8"
    text = said or "See job logs for more information"
    code = f", exit code: {exit_code}"
    return f"AlgorithmError: {text}"[: REASON_LENGTH - len(code)] + code


JOB = JobType(
    kind="training-job",
    image_uri=lambda row: str(row["AlgorithmSpecification"]["TrainingImage"]),
    inputs=inputs,
    lay_out=lay_out,
    isolated=isolated,
    notes=notes,
    command=command,
    environment=environment,
    instance_count=_instance_count,
    synced=checkpoint_folders,
    gather=gather,
    deliver=deliver,
    closing=closing,
    stage=stage,
    max_runtime_seconds=lambda row: float(
        row["StoppingCondition"].get("MaxRuntimeInSeconds", DEFAULT_RUNTIME_SECONDS)
    ),
    grace_seconds=120.0,
)
