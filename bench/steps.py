"""What the local SageMaker adds to a step, beside other engines and beside the limit: `steps`.

One plane of its own (private home, free ports, fork server ready). A no-op step here is a whole
Processing job: API, database, own process, own workspace as /opt/ml, code and output in S3. The
figures of other engines are quoted, from where SOURCE says; everything else is measured now.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.local_plane import command, plane
from bench.run_cost import settled

PRELOAD = "numpy,pandas,xgboost,sklearn"
CHAIN, WIDE, CALLS = 40, 200, 1000
BUCKET = "bench"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
ROLE = "arn:aws:iam::000000000000:role/local"
SOURCE = "measured before, on 2 such cores with Python 3.11"
# A no-op step, milliseconds. The first three run all steps in one process.
PEERS = (
    ("kedro (one process)", 0.4),
    ("luigi (one process)", 0.9),
    ("dagster (one process)", 11.6),
    ("prefect 3", 54.0),
    ("zenml local", 113.0),
    ("Metaflow local (own process, stored state)", 620.0),
)
PYTHON = ["python3", "/opt/ml/processing/input/code/noop.py"]
SHELL = ["/bin/sh", "-c", "echo done > /opt/ml/processing/output/done"]
NOOP = "open('/opt/ml/processing/output/done', 'w').write('done')\n"
ROWS = (
    ("fork + exec of /bin/true", "exec", "ms", None),
    ("no-op step, Python, forked: median", "python", "ms", 25),
    ("no-op step, /bin/sh: median", "shell", "ms", 25),
    ("no-op step, Python: a chain's time over its steps", "python_each", "ms", 25),
    ("cached step: median", "cached", "ms", 5),
    ("cached step: a chain's time over its steps", "cached_each", "ms", 5),
    ("DescribePipelineExecution through boto3: median of 1,000", "describe", "ms", 3),
    ("200 steps in a chain: the whole execution", "chain", "s", None),
    ("200 steps side by side: the whole execution", "wide", "s", None),
    ("`up` until it answers", "up", "s", 3),
    ("idle memory: the server", "server", "MB", 150),
    ("idle memory: the fork server, libraries imported", "fork_server", "MB", None),
    ("idle memory: MiniStack", "ministack", "MB", None),
)


def print_report() -> None:
    """Measure once and print, each beside its limit."""
    numbers = measure()
    print(f"\nA step of a pipeline, {os.cpu_count()} cores\n")
    for label, key, unit, limit in ROWS:
        aim = "" if limit is None else f"  (aim: under {limit} {unit})"
        print(f"  {label:<58}{numbers[key]:>10,.2f} {unit}{aim}")
    print(f"\n  A no-op step elsewhere ({SOURCE}):\n")
    for name, milliseconds in PEERS:
        run, cached = (milliseconds / numbers[key] for key in ("python_each", "cached_each"))
        times = f"({run:.1f} times ours, {cached:.1f} times a cached one)"
        print(f"  {name:<58}{milliseconds:>10,.2f} ms  {times}")
    print()


def measure() -> dict[str, float]:
    """Every number by its key in ROWS."""
    numbers = {"exec": _median_ms(lambda: subprocess.run(["/bin/true"], check=True), 50)}
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        began = time.perf_counter()
        with plane(Path(home), PRELOAD) as environment:
            numbers["up"] = time.perf_counter() - began
            numbers |= _memory(settled(environment))
            sagemaker = _clients(environment)
            numbers |= _steps(sagemaker)
            arn = _run(sagemaker, "describe", _chain(1, SHELL))
            numbers["describe"] = _median_ms(
                lambda: sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn), CALLS
            )
            numbers["chain"] = _seconds(sagemaker, _run(sagemaker, "long", _chain(WIDE, SHELL)))
            wide = [{**each, "DependsOn": []} for each in _chain(WIDE, SHELL)]
            numbers["wide"] = _seconds(sagemaker, _run(sagemaker, "wide", wide))
    return numbers


def _steps(sagemaker: Any) -> dict[str, float]:
    cached = _chain(CHAIN, PYTHON, CacheConfig={"Enabled": True, "ExpireAfter": "P1D"})
    first = _run(sagemaker, "python", cached)
    again = _run(sagemaker, "python", cached)
    shell = _run(sagemaker, "shell", _chain(CHAIN, SHELL))
    return {
        "python": _middle(sagemaker, first),
        "python_each": _seconds(sagemaker, first) / CHAIN * 1e3,
        "cached": _middle(sagemaker, again),
        "cached_each": _seconds(sagemaker, again) / CHAIN * 1e3,
        "shell": _middle(sagemaker, shell),
    }


def _chain(length: int, program: list[str], **more: Any) -> list[dict[str, Any]]:
    steps = []
    for number in range(length):
        after = [f"Step{number - 1}"] if number else []
        steps.append({**_step(f"Step{number}", program), "DependsOn": after, **more})
    return steps


def _step(name: str, program: list[str]) -> dict[str, Any]:
    below = "/opt/ml/processing"
    common = {"S3Uri": f"s3://{BUCKET}/code/noop.py", "LocalPath": f"{below}/input/code"}
    code = {**common, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    place = {"S3Uri": f"s3://{BUCKET}/{name}", "LocalPath": f"{below}/output"}
    output = {"OutputName": "out", "S3Output": {**place, "S3UploadMode": "EndOfJob"}}
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    arguments = {
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": program},
        "ProcessingInputs": [{"InputName": "code", "S3Input": code}],
        "ProcessingOutputConfig": {"Outputs": [output]},
        "ProcessingResources": {"ClusterConfig": cluster},
        "RoleArn": ROLE,
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments}


def _run(sagemaker: Any, name: str, steps: list[dict[str, Any]]) -> str:
    """The ARN of an execution that has Succeeded."""
    definition = json.dumps({"Version": "2020-12-01", "Steps": steps})
    known = {each["PipelineName"] for each in sagemaker.list_pipelines()["PipelineSummaries"]}
    if name not in known:
        sagemaker.create_pipeline(PipelineName=name, RoleArn=ROLE, PipelineDefinition=definition)
    arn = str(sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"])
    while True:
        found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        status = found["PipelineExecutionStatus"]
        if status == "Succeeded":
            return arn
        if status != "Executing":
            raise SystemExit(f"the benchmark's pipeline {name!r} {status}: {found}")
        time.sleep(0.25)  # asking more often would be measured too


def _times(sagemaker: Any, arn: str) -> list[tuple[float, float]]:
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn
    )
    steps = [step for page in pages for step in page["PipelineExecutionSteps"]]
    return [(step["StartTime"].timestamp(), step["EndTime"].timestamp()) for step in steps]


def _seconds(sagemaker: Any, arn: str) -> float:
    """From the start of the first step to the end of the last."""
    times = _times(sagemaker, arn)
    return max(end for _, end in times) - min(start for start, _ in times)


def _middle(sagemaker: Any, arn: str) -> float:
    return statistics.median(end - start for start, end in _times(sagemaker, arn)) * 1e3


def _median_ms(fn: Any, times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        fn()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def _memory(tree: list[psutil.Process]) -> dict[str, float]:
    found = {"server": 0.0, "fork_server": 0.0, "ministack": 0.0}
    for process in tree:
        words = " ".join(process.cmdline())
        kind = "ministack" if "ministack_child" in words else "server"
        kind = "fork_server" if "--preload" in words and "launcher" in words else kind
        found[kind] += process.memory_full_info().pss / 1e6
    return found


def _clients(environment: dict[str, str]) -> Any:
    """A client of SageMaker; the bucket is made and the code uploaded."""
    import boto3

    variables: dict[str, str] = json.loads(command(environment, "env", "--json"))
    keys = {
        "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
        "region_name": variables["AWS_DEFAULT_REGION"],
    }
    s3 = boto3.client("s3", endpoint_url=variables["AWS_ENDPOINT_URL"], **keys)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="code/noop.py", Body=NOOP.encode())
    endpoint = variables["AWS_ENDPOINT_URL_SAGEMAKER"]
    return boto3.client("sagemaker", endpoint_url=endpoint, **keys)
