"""What `make run` costs beside the bare training of the same models: time, CPU and memory.

Each repetition starts a plane of its own (private home, free ports), waits until its fork server
has imported, then measures `pipelines.run` twice: everything runs, then everything that can is
reused. CPU counts the command, the local SageMaker, MiniStack and every job; starting the plane is
given apart. The bare training uses the arrays that the measured run prepared.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from bench.local_plane import PeakMemory, command, cpu_seconds, plane, plane_tree
from pipelines.settings import PRELOAD

Numbers = dict[str, float]
IDLE_CPU_SECONDS = 0.2
QUIET_SAMPLES = 3


def print_report(rows: int, repeat: int) -> None:
    """Run it and print the medians."""
    measured = [measure(rows) for _ in range(repeat)]
    middle = {key: statistics.median(each[key] for each in measured) for key in measured[0]}
    print(f"\nThe main job, {rows:,} rows, {os.cpu_count()} cores, median of {repeat}\n")
    for label, key, unit in ROWS:
        print(f"  {label:<58}{middle[key]:>10,.2f} {unit}")
    run, bare = middle["run_cpu"], middle["bare_cpu"]
    print(f"\n  CPU of the run over CPU of the bare training: {run / bare:.2f}  (aim: at most 1.5)")
    print(f"  Wall time of the run: {middle['run_wall']:.1f} s  (aim: under 45 s)\n")


ROWS = (
    ("start of the plane: wall until it answers", "up_wall", "s"),
    ("start of the plane: CPU, imports of the fork server included", "up_cpu", "s"),
    ("plane, idle: memory", "idle_mb", "MB"),
    ("first run: wall", "run_wall", "s"),
    ("first run: CPU", "run_cpu", "s"),
    ("first run: CPU of the command itself (SDK, compile, upload)", "command_cpu", "s"),
    ("first run: peak memory of everything", "peak_mb", "MB"),
    ("second run, steps reused: wall", "again_wall", "s"),
    ("second run, steps reused: CPU", "again_cpu", "s"),
    ("bare xgboost.train of the same models, one thread: CPU", "bare_cpu", "s"),
    ("bare xgboost.train of the same models, one after another: wall", "bare_wall", "s"),
)


def measure(rows: int) -> Numbers:
    """One repetition; seconds and megabytes by the keys of ROWS."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        began = time.perf_counter()
        with plane(home, ",".join(PRELOAD)) as environment:
            up_wall = time.perf_counter() - began
            tree = settled(environment)
            numbers = {"up_wall": up_wall, "up_cpu": cpu_seconds(tree), "idle_mb": _megabytes(tree)}
            numbers |= _measure_run(environment, rows, "run")
            numbers |= _measure_run(environment, rows, "again")
            prepared = _download_prepared(environment, home / "prepared")
            return numbers | _measure_bare(prepared)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _measure_run(environment: dict[str, str], rows: int, name: str) -> Numbers:
    before = cpu_seconds(plane_tree(environment))
    began = time.perf_counter()
    arguments = ["-m", "pipelines.run", "--json", "--rows", str(rows)]
    child = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )
    with PeakMemory([psutil.Process(child.pid), *plane_tree(environment)[:1]]) as memory:
        out = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"pipelines.run failed: {out}")
    own = usage.ru_utime + usage.ru_stime
    plane_cpu = cpu_seconds(plane_tree(environment)) - before
    found = {f"{name}_wall": wall, f"{name}_cpu": own + plane_cpu}
    return found | ({"command_cpu": own, "peak_mb": memory.peak / 1e6} if name == "run" else {})


def _measure_bare(prepared: Path) -> Numbers:
    done = subprocess.run(
        [sys.executable, "-m", "bench.bare_training", str(prepared)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    models: dict[str, dict[str, float]] = json.loads(done.stdout)
    return {f"bare_{kind}": sum(each[kind] for each in models.values()) for kind in ("cpu", "wall")}


def settled(environment: dict[str, str]) -> list[psutil.Process]:
    """The plane's processes once they have stopped working: the fork server has imported."""
    return _until_idle(lambda: plane_tree(environment))


def _until_idle(tree: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    before, quiet = 0.0, 0
    while True:
        processes = tree()
        now = cpu_seconds(processes)
        # Asking for the status costs the server a little; importing costs a whole core.
        quiet = quiet + 1 if now - before < IDLE_CPU_SECONDS else 0
        if quiet == QUIET_SAMPLES:
            return processes
        before = now
        time.sleep(1.0)


def _megabytes(processes: list[psutil.Process]) -> float:
    return sum(process.memory_full_info().pss for process in processes) / 1e6


def _download_prepared(environment: dict[str, str], folder: Path) -> Path:
    """The outputs of the last Prepare job."""
    import boto3

    variables: dict[str, str] = json.loads(command(environment, "env", "--json"))
    keys = {
        "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
        "region_name": variables["AWS_DEFAULT_REGION"],
    }
    sagemaker = boto3.client(
        "sagemaker", endpoint_url=variables["AWS_ENDPOINT_URL_SAGEMAKER"], **keys
    )
    s3 = boto3.client("s3", endpoint_url=variables["AWS_ENDPOINT_URL"], **keys)
    jobs = sagemaker.list_processing_jobs(NameContains="Prepare")["ProcessingJobSummaries"]
    job = sagemaker.describe_processing_job(ProcessingJobName=jobs[0]["ProcessingJobName"])
    for output in job["ProcessingOutputConfig"]["Outputs"]:
        _download(s3, output["S3Output"]["S3Uri"], folder / output["OutputName"])
    return folder


def _download(s3: Any, uri: str, folder: Path) -> None:
    place = urlsplit(uri)
    prefix = place.path.strip("/") + "/"
    folder.mkdir(parents=True)
    for entry in s3.list_objects_v2(Bucket=place.netloc, Prefix=prefix)["Contents"]:
        s3.download_file(place.netloc, entry["Key"], str(folder / Path(entry["Key"]).name))
