"""A batch transform job: a model server of its own, every object below the prefix through it, one
`.out` each.

    model server up and healthy -> /execution-parameters -> objects (batches.py) -> server down

An object with a record that fails gets no `.out`; the others do, and the job is Failed. Facts: the
developer guide's "Batch Transform" and "Use Your Own Inference Code with Batch Transform".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_sagemaker import storage
from local_sagemaker.engine import (
    batches,
    hosts,
    joining,
    model_servers,
    shipping,
    variants,
    workspace,
)
from local_sagemaker.engine.job_type import (
    COMPLETED,
    FAILED,
    STOPPED,
    DrivenJob,
    JobFailure,
    Outcome,
)
from local_sagemaker.engine.routing import Connections, ModelGoneError, ModelTimeoutError
from local_sagemaker.engine.splitting import MEGABYTE
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError
from local_sagemaker.store import Row

if TYPE_CHECKING:
    from local_sagemaker.engine.jobs import Running

KIND = "transform-job"
LARGEST_MB = 100  # of one request, and of all requests under way
DEFAULT_MB = 6
DEFAULT_TIMEOUT_SECONDS, DEFAULT_RETRIES = 600, 3
STRATEGIES = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}
GRACE_SECONDS = 30.0


def check(request: Row) -> None:
    """What the model cannot say of a CreateTransformJob request; raises ApiError."""
    megabytes = request.get("MaxPayloadInMB", DEFAULT_MB)
    if not 1 <= megabytes <= LARGEST_MB:
        raise validation(
            f"MaxPayloadInMB = {megabytes} is not supported by the local SageMaker; it may be 1 to "
            f"{LARGEST_MB} (0, which streams an object of any size, is not)"
        )
    under_way = request.get("MaxConcurrentTransforms", 0) * request.get("MaxPayloadInMB", 0)
    if under_way > LARGEST_MB:
        raise validation(
            f"MaxConcurrentTransforms times MaxPayloadInMB is {under_way} MB; it may be at most "
            f"{LARGEST_MB}"
        )
    for member, uri in (("S3Uri", _input_uri(request)), ("S3OutputPath", _output_uri(request))):
        try:
            storage.parse(uri)
        except StorageError as problem:
            raise validation(f"{member}: {problem}") from problem
    joining.processing(request)


def drive(plane: Plane, row: Row, running: Running) -> tuple[Outcome, Row]:
    """The whole life of the job, in its slot. Raises JobFailure."""
    name = row["TransformJobName"]
    root = workspace.create(plane.config.home, KIND, name)
    log = workspace.log_file(plane.config.home, KIND, name)
    shipped = shipping.of(plane)
    stream = shipped.open(KIND, f"{name}/{hosts.ALONE}-{int(plane.clock.now())}", log)
    try:
        try:
            objects = _objects(plane, row)
            return _with_server(plane, row, objects, root, running)
        except StorageError as problem:
            raise JobFailure(f"ClientError: {problem}"[:1024]) from problem
        except model_servers.InstanceError as problem:
            raise JobFailure(f"AlgorithmError: {problem}"[:1024]) from problem
    except JobFailure:
        if running.stop.is_set():  # its server was ended for this
            return Outcome(STOPPED), {}
        raise
    finally:
        shipped.finish(stream)
        workspace.clear(root)


def _with_server(
    plane: Plane, row: Row, objects: list[str], root: Path, running: Running
) -> tuple[Outcome, Row]:
    instance = _started(plane, row, root, running)
    timeout, _ = _client(row)
    connections = Connections(instance.port, timeout)
    try:
        model_servers.wait_until_healthy(
            instance,
            variants.HEALTH_SECONDS,
            running.stop,
            "The primary container for the model of",
        )
        _note_start(plane, row)
        work = _work(plane, row, root, instance, connections, running)
        failures = batches.transform(work, objects)
        if running.stop.is_set():
            return Outcome(STOPPED), {}
        return _ended(failures, len(objects))
    finally:
        instance.process.stop(GRACE_SECONDS)
        instance.process.wait()
        connections.close()


def _started(plane: Plane, row: Row, root: Path, running: Running) -> model_servers.ModelServer:
    name = row["TransformJobName"]
    log = workspace.log_file(plane.config.home, KIND, name)
    place = model_servers.Place(f"{KIND}/{name}", root, log, short_lived=True)
    (runs,) = row[variants.CONTAINERS]
    planned = {**runs, "Environment": {**runs["Environment"], **environment(row)}}
    instance = model_servers.start_in(plane, place, planned)
    with running.lock:  # from here on a stop ends the server itself
        running.processes.append(instance.process)
    return instance


def environment(row: Row) -> dict[str, str]:
    """What the request adds to the model's environment, and what tells a container of a batch."""
    asked = {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": row.get("MaxPayloadInMB"),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": row.get("MaxConcurrentTransforms"),
        "SAGEMAKER_BATCH_STRATEGY": STRATEGIES.get(row.get("BatchStrategy", "")),
    }
    told = {name: str(value) for name, value in asked.items() if value is not None}
    return {**row.get("Environment", {}), "SAGEMAKER_BATCH": "true", **told}


def _work(
    plane: Plane,
    row: Row,
    root: Path,
    instance: model_servers.ModelServer,
    connections: Connections,
    running: Running,
) -> batches.Work:
    concurrent, megabytes, strategy = settings(row, _proposed(connections))
    spool = root / "batch"
    spool.mkdir()
    work = batches.Work(
        plane=plane,
        processing=joining.processing(row),
        split_type=row["TransformInput"].get("SplitType", "None"),
        assemble_with=row["TransformOutput"].get("AssembleWith", "None"),
        concurrent=concurrent,
        limit_bytes=megabytes * MEGABYTE,
        many=strategy == "MULTI_RECORD",
        headers=_headers(row),
        retries=_client(row)[1],
        source=_input_uri(row),
        target=_output_uri(row),
        instance=instance,
        connections=connections,
        stop=running.stop,
        spool=spool,
    )
    work.say(
        f"MaxConcurrentTransforms={concurrent}, MaxPayloadInMB={megabytes}, "
        f"BatchStrategy={strategy}"
    )
    return work


def settings(row: Row, proposed: Row) -> tuple[int, int, str]:
    """Requests under way at once, megabytes of one, strategy: as asked for, else as the container
    proposes, else the defaults.
    """
    megabytes = row.get("MaxPayloadInMB") or _positive(proposed, "MaxPayloadInMB") or DEFAULT_MB
    megabytes = min(megabytes, LARGEST_MB)
    concurrent = row.get("MaxConcurrentTransforms") or min(
        _positive(proposed, "MaxConcurrentTransforms") or 1, LARGEST_MB // megabytes
    )
    asked = STRATEGIES.get(row.get("BatchStrategy", ""), proposed.get("BatchStrategy"))
    one = asked == STRATEGIES["SingleRecord"]
    return concurrent, megabytes, STRATEGIES["SingleRecord" if one else "MultiRecord"]


def _positive(proposed: Row, member: str) -> int:
    value = proposed.get(member)
    return value if isinstance(value, int) and value > 0 else 0


def _proposed(connections: Connections) -> Row:
    """GET /execution-parameters; a container need not have it."""
    try:
        status, _, content = connections.ask("GET", "/execution-parameters", {}, b"")
        found: Any = json.loads(content) if status == 200 else {}
    except (ModelTimeoutError, ModelGoneError, ConnectionRefusedError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _objects(plane: Plane, row: Row) -> list[str]:
    """The keys below the prefix, folders' markers left out. Raises JobFailure when none."""
    uri = _input_uri(row)
    keys = [key for key, _, _ in plane.storage.list(uri) if not key.endswith("/")]
    if not keys:
        raise JobFailure(f"ClientError: no S3 objects found under {uri}; upload them first")
    return keys


def _ended(failures: list[str], objects: int) -> tuple[Outcome, Row]:
    if not failures:
        return Outcome(COMPLETED), {}
    counted = f" ({len(failures)} of {objects} objects failed; the job's log names each)"
    return Outcome(FAILED), {"FailureReason": failures[0][: 1024 - len(counted)] + counted}


def _note_start(plane: Plane, row: Row) -> None:
    now = plane.clock.now()
    plane.store.edit(
        KIND,
        row["TransformJobName"],
        lambda old: {**old, "TransformStartTime": now, "LastModifiedTime": now},
    )


def _headers(row: Row) -> dict[str, str]:
    given = {
        "Content-Type": row["TransformInput"].get("ContentType"),
        "Accept": row["TransformOutput"].get("Accept"),
    }
    return {name: value for name, value in given.items() if value}


def _client(row: Row) -> tuple[float, int]:
    """How long one request may take, and how often a failed one is tried again."""
    given = row.get("ModelClientConfig", {})
    timeout = given.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS)
    return float(timeout), int(given.get("InvocationsMaxRetries", DEFAULT_RETRIES))


def _input_uri(row: Row) -> str:
    return str(row["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])


def _output_uri(row: Row) -> str:
    return str(row["TransformOutput"]["S3OutputPath"])


def stage(row: Row, name: str, now: float) -> Row:
    return {"TransformEndTime": now} if name in (COMPLETED, FAILED, STOPPED) else {}


JOB = DrivenJob(kind=KIND, stage=stage, grace_seconds=GRACE_SECONDS, drive=drive)
