"""A batch transform job: every object below the prefix, or of the manifest, through a model server,
one `.out` each.

    objects dealt out in key order; each host:
    model server up and healthy -> /execution-parameters -> its objects (batches.py) -> server down

An object with a record that fails gets no `.out`; the others do, and the job is Failed. Facts: the
developer guide's "Batch Transform" and "Use Your Own Inference Code with Batch Transform".
"""

from __future__ import annotations

import json
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from local_sagemaker import storage
from local_sagemaker.engine import (
    batch_capture,
    batches,
    hosts,
    inputs,
    joining,
    model_servers,
    shipping,
    variants,
    workspace,
)
from local_sagemaker.engine.hosts import Host
from local_sagemaker.engine.job_type import (
    COMPLETED,
    FAILED,
    STOPPED,
    DrivenJob,
    Input,
    JobFailure,
    Outcome,
)
from local_sagemaker.engine.model_containers import CONTAINERS
from local_sagemaker.engine.model_servers import ModelServer, Place, wait_until_healthy
from local_sagemaker.engine.routing import Connections, Hop, ModelGoneError, ModelTimeoutError
from local_sagemaker.engine.splitting import MEGABYTE
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.storage import Found, StorageError
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
    for member, uri in _uris(request):
        try:
            storage.parse(uri)
        except StorageError as problem:
            raise validation(f"{member}: {problem}") from problem
    joining.processing(request)


def drive(plane: Plane, row: Row, running: Running) -> tuple[Outcome, Row]:
    """The whole life of the job, in its slot. Raises JobFailure."""
    name, count = row["TransformJobName"], row["TransformResources"]["InstanceCount"]
    cluster = hosts.create(plane.config.home, KIND, name, count)
    shipped, now = shipping.of(plane), int(plane.clock.now())
    streams = [shipped.open(KIND, f"{name}/{host.name}-{now}", host.log) for host in cluster]
    try:
        try:
            return _transformed(plane, row, cluster, running)
        except StorageError as problem:
            raise JobFailure(f"ClientError: {problem}"[:1024]) from problem
        except model_servers.InstanceError as problem:
            raise JobFailure(f"AlgorithmError: {problem}"[:1024]) from problem
    except JobFailure:
        if running.stop.is_set():  # its servers were ended for this
            return Outcome(STOPPED), {}
        raise
    finally:
        for stream in streams:
            shipped.finish(stream)
        for host in cluster:
            workspace.clear(host.root)


def _transformed(
    plane: Plane, row: Row, cluster: list[Host], running: Running
) -> tuple[Outcome, Row]:
    objects = _objects(plane, row)
    failures = _on_hosts(plane, row, objects, cluster, running)
    if running.stop.is_set():
        return Outcome(STOPPED), {}
    done = [each for each in objects if each.place.uri not in failures]
    row = plane.store.get(KIND, row["TransformJobName"]) or row
    batch_capture.write(plane, row, done, cluster[0].root)
    return _ended(failures, len(objects))


def _on_hosts(
    plane: Plane, row: Row, objects: list[Found], cluster: list[Host], running: Running
) -> batches.Failures:
    """Every host its share, side by side; one that gets no object has nothing to do. A host that
    cannot go on ends the others. Raises what ended it.
    """
    shares = [(host, objects[rank :: len(cluster)]) for rank, host in enumerate(cluster)]
    with ThreadPoolExecutor(len(cluster), thread_name_prefix="transform-host") as pool:
        at_work = [
            pool.submit(_with_server, plane, row, share, host, running)
            for host, share in shares
            if share
        ]
        ended, _ = wait(at_work, return_when=FIRST_EXCEPTION)
        broken = next((each for each in ended if each.exception()), None)
        if broken is not None:
            with running.lock:
                running.broken = True
                for process in running.processes:
                    process.stop(GRACE_SECONDS)
    if broken is not None:
        broken.result()
    return {uri: reason for each in at_work for uri, reason in each.result().items()}


def _with_server(
    plane: Plane, row: Row, objects: list[Found], host: Host, running: Running
) -> batches.Failures:
    timeout, _ = _client(row)
    servers: dict[str, ModelServer] = {}
    hops: list[Hop] = []
    try:
        for container in row[CONTAINERS]:
            server = _started(plane, row, container, host, running)
            servers[container["Hostname"]] = server
            hops.append(Hop(container["Hostname"], Connections(server.port, timeout)))
        for hostname, server in servers.items():
            what = f"The {hostname} container for the model of"
            wait_until_healthy(server, variants.HEALTH_SECONDS, running.stop, what)
        row = _note_start(plane, row)
        work = _work(plane, row, host, servers, hops, running)
        return batches.transform(work, objects)
    finally:
        for server in servers.values():
            server.process.stop(GRACE_SECONDS)
        for server in servers.values():
            server.process.wait()
        for hop in hops:
            hop.connections.close()


def _started(plane: Plane, row: Row, container: Row, host: Host, running: Running) -> ModelServer:
    name, hostname = f"{KIND}/{host.log.stem}", container["Hostname"]
    own = host.root / "containers" / hostname
    own.mkdir(parents=True)
    place = Place(
        name if len(row[CONTAINERS]) == 1 else f"{name}/{hostname}", own, host.log, short_lived=True
    )
    planned = {**container, "Environment": {**container["Environment"], **environment(row)}}
    server = model_servers.start_in(plane, place, planned)
    with running.lock:  # from here on a stop ends the server itself
        running.processes.append(server.process)
        if running.broken:  # another host ended the job while this server was being started
            server.process.stop(GRACE_SECONDS)
    return server


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
    host: Host,
    servers: dict[str, ModelServer],
    hops: list[Hop],
    running: Running,
) -> batches.Work:
    concurrent, megabytes, strategy = settings(row, _proposed(hops[0].connections))
    spool = host.root / "batch"
    spool.mkdir()
    work = batches.Work(
        plane=plane,
        processing=joining.processing(row, batch_capture.written_time(row)),
        split_type=row["TransformInput"].get("SplitType", "None"),
        assemble_with=row["TransformOutput"].get("AssembleWith", "None"),
        concurrent=concurrent,
        limit_bytes=megabytes * MEGABYTE,
        many=strategy == "MULTI_RECORD",
        headers=_headers(row),
        retries=_client(row)[1],
        compressed=row["TransformInput"].get("CompressionType") == "Gzip",
        target=_output_uri(row),
        servers=servers,
        hops=hops,
        log=host.log,
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


def _objects(plane: Plane, row: Row) -> list[Found]:
    """In key order, folders' markers left out. Raises StorageError or JobFailure when none."""
    source = row["TransformInput"]["DataSource"]["S3DataSource"]
    manifest = source["S3DataType"] == "ManifestFile"
    found = inputs.found(plane, Input("TransformInput", source["S3Uri"], "", manifest=manifest))
    if not found:
        raise JobFailure(f"ClientError: {source['S3Uri']} names no S3 objects")
    return found


def _ended(failures: batches.Failures, objects: int) -> tuple[Outcome, Row]:
    if not failures:
        return Outcome(COMPLETED), {}
    counted = f" ({len(failures)} of {objects} objects failed; the job's log names each)"
    first = next(iter(failures.values()))
    return Outcome(FAILED), {"FailureReason": first[: 1024 - len(counted)] + counted}


def _note_start(plane: Plane, row: Row) -> Row:
    """With the first host that is up; the row as it is then."""
    now = plane.clock.now()

    def begun(old: Row) -> Row:
        since = old.get("TransformStartTime", now)
        return {**old, "TransformStartTime": since, "LastModifiedTime": now}

    return plane.store.edit(KIND, row["TransformJobName"], begun)


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


def _uris(request: Row) -> list[tuple[str, str]]:
    capture = request.get("DataCaptureConfig")
    return [
        ("S3Uri", str(request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])),
        ("S3OutputPath", _output_uri(request)),
        *([("DestinationS3Uri", str(capture["DestinationS3Uri"]))] if capture else []),
    ]


def _output_uri(row: Row) -> str:
    return str(row["TransformOutput"]["S3OutputPath"])


def stage(row: Row, name: str, now: float) -> Row:
    return {"TransformEndTime": now} if name in (COMPLETED, FAILED, STOPPED) else {}


JOB = DrivenJob(kind=KIND, stage=stage, grace_seconds=GRACE_SECONDS, drive=drive)
