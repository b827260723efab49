"""Chaos: kill the server with -9 at random moments of an execution, restart it, look for lies.

    python -m bench.chaos --times 200 [--seed N]

Every round starts one execution of a pipeline (four jobs, two of them in parallel, then a
registration), kills the server once at a random moment, starts it again in the same home, waits for
the end of the execution and checks what `check` says. Successes are the Completed jobs in the
server's store, and each must have left its output in S3; how often a job's program ran is not
counted apart from that, because a retry writes the same key. Exit code 1 on a violation.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import psutil

from bench.local_plane import command, free_port

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
ROLE = "arn:aws:iam::000000000000:role/local"
BUCKET = "chaos"
ENDS = ("Succeeded", "Failed", "Stopped")
# What one execution takes here when nobody kills; moments are drawn from this and a little more.
EXECUTION_SECONDS = 1.2
WAIT_SECONDS = 60.0
RETRY = {
    "ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"],
    "IntervalSeconds": 1,
    "BackoffRate": 1.0,
    "MaxAttempts": 5,
}
# /bin/sh without a client of S3: the effect of a job is the object that its output becomes.
SCRIPT = "cat /proc/sys/kernel/random/uuid > /opt/ml/processing/out/$MARK; sleep 0.0$((RANDOM % 9))"
JOBS = {"A": (), "B": ("A",), "C": ("A",), "D": ("B", "C")}


def definition() -> str:
    steps: list[dict[str, Any]] = [_job(name, list(after)) for name, after in JOBS.items()]
    register = {
        "Name": "Register",
        "Type": "RegisterModel",
        "DependsOn": ["D"],
        "Arguments": {"ModelPackageGroupName": {"Get": "Execution.PipelineExecutionId"}},
    }
    return json.dumps({"Version": "2020-12-01", "Steps": [*steps, register]})


def _job(name: str, after: list[str]) -> dict[str, Any]:
    where = {"Get": "Execution.PipelineExecutionId"}
    uri = {"Std:Join": {"On": "/", "Values": [f"s3://{BUCKET}", where, name]}}
    place = {"S3Uri": uri, "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    script = ["/bin/bash", "-c", SCRIPT]
    arguments = {
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": script},
        "Environment": {"MARK": "effect"},
        "ProcessingResources": {"ClusterConfig": cluster},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": place}]},
        "RoleArn": ROLE,
    }
    step: dict[str, Any] = {"Name": name, "Type": "Processing", "Arguments": arguments}
    step["RetryPolicies"] = [RETRY]
    return step | ({"DependsOn": after} if after else {})


class Server:
    """A real `up` in a home of its own, that can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.environment = {**os.environ, "LOCAL_SAGEMAKER_HOME": str(home)}
        self._ports = ("--port", str(free_port()), "--s3-port", str(free_port()))
        self.tree: list[psutil.Process] = []

    def up(self) -> None:
        command(self.environment, "up", *self._ports, "--preload", "", "--slots", "2")
        found = json.loads(command(self.environment, "status", "--json"))
        self._server = psutil.Process(found["pid"])
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        region = {"region_name": "us-east-1"}
        self.sagemaker = boto3.client("sagemaker", endpoint_url=found["endpoint"], **keys, **region)
        self.s3 = boto3.client("s3", endpoint_url=found["s3_endpoint"], **keys, **region)

    def kill(self) -> list[psutil.Process]:
        """Kill -9; those of its tree that are still there after a while."""
        tree = [self._server, *self._server.children(recursive=True)]
        os.kill(self._server.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(tree, timeout=15)
        return [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]

    def down(self) -> None:
        command(self.environment, "down")


def check(server: Server, arn: str, alive: list[psutil.Process]) -> list[str]:
    """What is wrong after a kill and a restart, once the execution has ended; [] is well."""
    wrong = [f"process {each.pid} outlived the server" for each in alive]
    found = _ended(server, arn)
    status = found["PipelineExecutionStatus"]
    if status not in ENDS:
        return [*wrong, f"the execution is {status} for {WAIT_SECONDS:.0f} s"]
    steps = server.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)
    statuses = {each["StepName"]: each["StepStatus"] for each in steps["PipelineExecutionSteps"]}
    wrong += [
        f"step {name} is {word} in an ended execution"
        for name, word in statuses.items()
        if word not in ENDS
    ]
    if status != "Succeeded":
        wrong.append(f"every step may be tried again, but it {status}: {found['FailureReason']}")
    elif set(statuses) != {*JOBS, "Register"} or set(statuses.values()) != {"Succeeded"}:
        wrong.append(f"it Succeeded with {statuses}")
    return wrong + _effects(server, arn, statuses)


def _ended(server: Server, arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found: dict[str, Any] = server.sagemaker.describe_pipeline_execution(
            PipelineExecutionArn=arn
        )
        if found["PipelineExecutionStatus"] in ENDS or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _effects(server: Server, arn: str, statuses: dict[str, str]) -> list[str]:
    identifier = arn.rpartition("/")[2]
    listed = server.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{identifier}/").get("Contents", ())
    written = {item["Key"].split("/")[1] for item in listed}
    completed: Counter[str] = Counter()
    jobs = server.sagemaker.get_paginator("list_processing_jobs").paginate(NameContains=identifier)
    for job in (each for page in jobs for each in page["ProcessingJobSummaries"]):
        step = job["ProcessingJobName"].split("-")[2]
        completed[step] += job["ProcessingJobStatus"] == "Completed"
        if job["ProcessingJobStatus"] not in ("Completed", "Failed", "Stopped"):
            return [f"job {job['ProcessingJobName']} is {job['ProcessingJobStatus']} for ever"]
    wrong = [f"step {name} ran {n} times to success" for name, n in completed.items() if n > 1]
    for name in JOBS:
        if statuses.get(name) == "Succeeded" and name not in written:
            wrong.append(f"step {name} Succeeded, but its output is not in S3")
    groups = server.sagemaker.list_model_package_groups(NameContains=identifier)
    for group in groups["ModelPackageGroupSummaryList"]:
        name = group["ModelPackageGroupName"]
        versions = server.sagemaker.list_model_packages(ModelPackageGroupName=name)
        numbers = [each["ModelPackageVersion"] for each in versions["ModelPackageSummaryList"]]
        if numbers not in ([], [1]) or (statuses.get("Register") == "Succeeded" and not numbers):
            wrong.append(f"registered versions are {numbers}")
    return wrong


def rounds(home: Path, times: int, chance: random.Random) -> list[str]:
    """Every violation of that many kills."""
    server = Server(home)
    server.up()
    wrong: list[str] = []
    try:
        server.s3.create_bucket(Bucket=BUCKET)
        server.sagemaker.create_pipeline(
            PipelineName="chaos", RoleArn=ROLE, PipelineDefinition=definition()
        )
        known: list[str] = []
        for number in range(times):
            began = server.sagemaker.start_pipeline_execution(PipelineName="chaos")
            known.append(began["PipelineExecutionArn"])
            moment = chance.uniform(0, EXECUTION_SECONDS)
            time.sleep(moment)
            alive = server.kill()
            server.up()
            found = [
                f"kill {number} at {moment:.3f} s: {text}"
                for text in [*check(server, known[-1], alive), *_lost(server, known)]
            ]
            print(f"kill {number + 1}/{times} at {moment:.3f} s: {found or 'ok'}", flush=True)
            wrong += found
    finally:
        server.down()
    return wrong


def _lost(server: Server, known: list[str]) -> list[str]:
    pages = server.sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName="chaos"
    )
    there = {
        each["PipelineExecutionArn"]
        for page in pages
        for each in page["PipelineExecutionSummaries"]
    }
    return [f"acknowledged, but lost: {arn}" for arn in known if arn not in there]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="how often to kill")
    parser.add_argument("--seed", type=int, default=None, help="for the same moments again")
    options = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="chaos-") as home:
        wrong = rounds(Path(home), options.times, random.Random(seed))
    print(f"{options.times} kills, {len(wrong)} violations", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
