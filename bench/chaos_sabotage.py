"""Damage that the checks of chaos.py are there to find: each kind is done once, and must be found.

It is done behind the server's back: in its SQLite file, in S3, in its folders, among its processes.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import uuid
from collections.abc import Callable
from typing import Any

from bench import chaos_checks as checks
from bench.chaos_checks import Round
from bench.chaos_pipeline import BUCKET, IMAGE, ROLE
from bench.chaos_server import Server
from bench.chaos_writers import Writers

Damage = Callable[[Server, Round], None]
Kill = Callable[[str], Round]


def unnoticed(server: Server, kill: Kill) -> list[str]:
    """The damage that its check did not find. A fresh round for each: damage adds up."""
    missed = []
    for number, (check, damage) in enumerate(DAMAGE):
        killed = kill(f"damage-{number}")
        before = checks.check(server, killed)
        damage(server, killed)
        found = check(server, killed)
        name = f"{damage.__name__} by {check.__name__}"
        print(f"{name}: {found or 'NOT FOUND'}", flush=True)
        if not found or before:
            missed.append(f"{name} {before}")
        _restored(server)
    return missed


def _restored(server: Server) -> None:
    """What would be found in the next round too."""
    for each in server.home.glob("jobs/*/*/tmp"):
        each.rmdir()


def orphan(server: Server, killed: Round) -> None:
    server.kill()
    with subprocess.Popen(["/bin/sleep", "600"], env=server.environment) as process:
        killed.survivors = server.survivors()
        process.kill()
    server.up()


def refused_writer(server: Server, killed: Round) -> None:
    writers = Writers(server.endpoint, next(iter(killed.acknowledged.models)).rpartition("-")[0])
    while not writers.surprises:
        writers.wait()
    writers.end()
    killed.surprises = writers.surprises


def stopped_step(server: Server, killed: Round) -> None:
    _sql(
        server,
        "UPDATE parts SET body = json_set(body, '$.StepStatus', 'Stopped') WHERE name = ?",
        killed.arn,
    )


def failed_execution(server: Server, killed: Round) -> None:
    _sql(
        server,
        "UPDATE resources SET body = json_set(body, '$.PipelineExecutionStatus', 'Failed')"
        " WHERE name = ?",
        killed.arn,
    )


def second_run(server: Server, killed: Round) -> None:
    name = _job(server, killed)["ProcessingJobName"]
    key = f"runs/{killed.execution}/A/{name}/{uuid.uuid4()}"
    server.s3.put_object(Bucket=BUCKET, Key=key)


def run_nobody_knows(server: Server, killed: Round) -> None:
    key = f"runs/{killed.execution}/A/pipelines-{killed.execution}-A-lost/{uuid.uuid4()}"
    server.s3.put_object(Bucket=BUCKET, Key=key)


def second_success(server: Server, killed: Round) -> None:
    job = _job(server, killed)
    name = f"{job['ProcessingJobName']}-again"
    arn = f"{job['ProcessingJobArn']}-again"
    late = {"CreationTime": job["ProcessingEndTime"] + 1}
    row = {**job, **late, "ProcessingJobName": name, "ProcessingJobArn": arn}
    values = ("processing-job", name, arn, json.dumps(row))
    _sql(server, "INSERT INTO resources (kind, name, arn, body) VALUES (?, ?, ?, ?)", *values)


def lost_output(server: Server, killed: Round) -> None:
    prefix = f"outputs/{killed.execution}/B/"
    found = server.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    for item in found:
        server.s3.delete_object(Bucket=BUCKET, Key=item["Key"])


def second_model(server: Server, killed: Round) -> None:
    name = f"pipelines-{killed.execution}-Model-again"
    container = {"Image": IMAGE}
    server.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)


def second_version(server: Server, killed: Round) -> None:
    server.sagemaker.create_model_package(ModelPackageGroupName=killed.execution)


def lost_model(server: Server, killed: Round) -> None:
    name = next(iter(killed.acknowledged.models))
    _sql(server, "DELETE FROM resources WHERE kind = 'model' AND name = ?", name)


def lost_tag(server: Server, killed: Round) -> None:
    name = next(name for name, tag in killed.acknowledged.models.items() if tag)
    _sql(server, "DELETE FROM tags WHERE key = 'said' AND value = ?", name)


def lost_execution(server: Server, killed: Round) -> None:
    _sql(server, "DELETE FROM resources WHERE name = ?", killed.acknowledged.executions[0])


def full_workspace(server: Server, killed: Round) -> None:
    name = _job(server, killed)["ProcessingJobName"]
    (server.home / "jobs/processing-job" / name / "tmp").mkdir()


DAMAGE: tuple[tuple[Callable[[Server, Round], list[str]], Damage], ...] = (
    (checks.no_orphans, orphan),
    (checks.writers_were_served, refused_writer),
    (checks.ended_truthfully, stopped_step),
    (checks.ended_truthfully, failed_execution),
    (checks.no_step_ran_twice_to_success, second_run),
    (checks.no_step_ran_twice_to_success, run_nobody_knows),
    (checks.no_step_ran_twice_to_success, second_success),
    (checks.outputs_are_there, lost_output),
    (checks.made_once, second_model),
    (checks.made_once, second_version),
    (checks.nothing_acknowledged_is_lost, lost_model),
    (checks.nothing_acknowledged_is_lost, lost_tag),
    (checks.nothing_acknowledged_is_lost, lost_execution),
    (checks.workspaces_are_cleared, full_workspace),
)


def _job(server: Server, killed: Round) -> dict[str, Any]:
    """The Completed job of step A, as the store has it."""
    with contextlib.closing(_opened(server)) as db:
        found = db.execute(
            "SELECT body FROM resources WHERE kind = 'processing-job' AND name LIKE ?",
            (f"pipelines-{killed.execution}-A-%",),
        ).fetchall()
    rows: list[dict[str, Any]] = [json.loads(body) for (body,) in found]
    return next(row for row in rows if row["ProcessingJobStatus"] == "Completed")


def _sql(server: Server, statement: str, *values: Any) -> None:
    with contextlib.closing(_opened(server)) as db, db:
        if db.execute(statement, values).rowcount < 1:
            raise LookupError(f"nothing to damage: {statement}")


def _opened(server: Server) -> sqlite3.Connection:
    return sqlite3.connect(server.home / "state.sqlite", timeout=30)
