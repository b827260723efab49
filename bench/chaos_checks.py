"""What must be true after a kill and a restart, once the execution has ended; each check is one
function that tells what is wrong.

A step was run twice to success when two of its jobs Completed, when one began after another had
Completed, or when S3 shows two runs of one job. A job that was running when the server was killed
is Failed and tried again: its traces in S3 are no lie, as long as the store tells it so.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.chaos_pipeline import BUCKET, JOBS, STEPS, TRIALS
from bench.chaos_server import Server
from bench.chaos_writers import Acknowledged

ENDS = ("Succeeded", "Failed", "Stopped")
JOB_ENDS = ("Completed", "Failed", "Stopped")
WAIT_SECONDS = 90.0
CLEAR_SECONDS = 5.0
KEPT = {"output", "config"}
INTERRUPTED = "the local SageMaker was stopped while this job ran"


@dataclass
class Round:
    """One kill: the execution it hit, and what had been acknowledged."""

    arn: str
    acknowledged: Acknowledged
    survivors: list[str]
    surprises: list[str]

    @property
    def execution(self) -> str:
        return self.arn.rpartition("/")[2]


def no_orphans(server: Server, killed: Round) -> list[str]:
    return [f"a process outlived the server: {each}" for each in killed.survivors]


def writers_were_served(server: Server, killed: Round) -> list[str]:
    return killed.surprises


def ended_truthfully(server: Server, killed: Round) -> list[str]:
    """Every step may be tried again, so it must have Succeeded, each step of it once."""
    found = ended(server, killed.arn)
    status = found["PipelineExecutionStatus"]
    if status not in ENDS:
        return [f"the execution is {status} for {WAIT_SECONDS:.0f} s"]
    if status != "Succeeded":
        return [f"it {status}: {found.get('FailureReason')} {failures(server, killed.arn)}"]
    statuses = {name: step["StepStatus"] for name, step in _steps(server, killed.arn).items()}
    expected = dict.fromkeys(STEPS, "Succeeded")
    return [] if statuses == expected else [f"it Succeeded with {statuses}"]


def no_step_ran_twice_to_success(server: Server, killed: Round) -> list[str]:
    wrong = []
    runs = _runs(server, killed)
    for name, kind in JOBS.items():
        jobs = _jobs(server, killed, kind, name)
        done = [each for each in jobs if each["Status"] == "Completed"]
        if len(done) != 1:
            wrong.append(f"step {name} has {len(done)} Completed jobs")
        for each in jobs:
            if done and each["CreationTime"] > done[0]["EndTime"]:
                wrong.append(f"step {name}: {each['Name']} began after {done[0]['Name']} Completed")
        wrong += _against_s3(name, jobs, runs)
    trials = _jobs(server, killed, "training", "", tuning=True)
    if len(trials) > TRIALS:
        wrong.append(f"{len(trials)} trials of the tuning job, {TRIALS} were asked for")
    return wrong + _against_s3("U", trials, runs)


def outputs_are_there(server: Server, killed: Round) -> list[str]:
    """What a Succeeded step says it has made is in S3."""
    listed = _keys(server, f"outputs/{killed.execution}/")
    made = {key.split("/")[2] for key in listed}
    return [f"step {name} Succeeded, but its output is not in S3" for name in {*JOBS} - made]


def made_once(server: Server, killed: Round) -> list[str]:
    """One model, one version; however often the server asked for them."""
    models = server.all_of("list_models", "Models", NameContains=killed.execution)
    wrong = [] if len(models) == 1 else [f"the step Model made {len(models)} models"]
    versions = server.all_of(
        "list_model_packages",
        "ModelPackageSummaryList",
        ModelPackageGroupName=killed.execution,
    )
    numbers = [each["ModelPackageVersion"] for each in versions]
    return wrong if numbers == [1] else [*wrong, f"registered versions are {numbers}"]


def nothing_acknowledged_is_lost(server: Server, killed: Round) -> list[str]:
    there = {each["ModelName"]: each for each in server.all_of("list_models", "Models")}
    wrong = []
    for name, tag in killed.acknowledged.models.items():
        if name not in there:
            wrong.append(f"acknowledged, but lost: model {name}")
        elif tag:
            tags = server.sagemaker.list_tags(ResourceArn=there[name]["ModelArn"])["Tags"]
            if tags != [{"Key": "said", "Value": tag}]:
                wrong.append(f"acknowledged, but lost: the tag of model {name}, it has {tags}")
    for arn in killed.acknowledged.executions:
        try:
            status = ended(server, arn)["PipelineExecutionStatus"]
        except server.sagemaker.exceptions.ResourceNotFound:
            wrong.append(f"acknowledged, but lost: {arn}")
            continue
        if status != "Succeeded":
            wrong.append(f"{arn} has nothing that could fail, but it is {status}")
    return wrong


def workspaces_are_cleared(server: Server, killed: Round) -> list[str]:
    """Nobody waits for it, so it may take a moment after the end."""
    deadline = time.monotonic() + CLEAR_SECONDS
    while (left := _left(server)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"not cleared: {each}" for each in left[:3]]


CHECKS: tuple[Callable[[Server, Round], list[str]], ...] = (
    no_orphans,
    writers_were_served,
    ended_truthfully,
    no_step_ran_twice_to_success,
    outputs_are_there,
    made_once,
    nothing_acknowledged_is_lost,
    workspaces_are_cleared,
)


def check(server: Server, killed: Round) -> list[str]:
    """What is wrong; [] is well. What an execution that did not succeed has not made says nothing
    more.
    """
    wrong: list[str] = []
    for each in CHECKS:
        wrong += [f"{each.__name__}: {text}" for text in each(server, killed)]
        if each is ended_truthfully and wrong:
            break
    return wrong


def ended(server: Server, arn: str) -> dict[str, Any]:
    """The execution once it has ended, or after a long time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found: dict[str, Any] = server.sagemaker.describe_pipeline_execution(
            PipelineExecutionArn=arn
        )
        if found["PipelineExecutionStatus"] in ENDS or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _steps(server: Server, arn: str) -> dict[str, dict[str, Any]]:
    steps = server.all_of(
        "list_pipeline_execution_steps", "PipelineExecutionSteps", PipelineExecutionArn=arn
    )
    return {each["StepName"]: each for each in steps}


def failures(server: Server, arn: str) -> dict[str, str]:
    """Why which step of an execution has failed."""
    steps = _steps(server, arn)
    return {n: s["FailureReason"] for n, s in steps.items() if "FailureReason" in s}


def _jobs(
    server: Server, killed: Round, kind: str, step: str, *, tuning: bool = False
) -> list[dict[str, Any]]:
    """Name, Status, CreationTime, EndTime, Reason of the jobs of a step, or of the trials."""
    noun = {"processing": "ProcessingJob", "training": "TrainingJob"}[kind]
    found = server.all_of(f"list_{kind}_jobs", f"{noun}Summaries", NameContains=killed.execution)
    jobs = []
    for each in found:
        name = each[f"{noun}Name"]
        own = f"pipelines-{killed.execution}-{step}-"
        if not name.startswith("pipelines-") if tuning else name.startswith(own):
            describe = getattr(server.sagemaker, f"describe_{kind}_job")
            told = describe(**{f"{noun}Name": name})
            jobs.append(
                {
                    "Name": name,
                    "Status": told[f"{noun}Status"],
                    "CreationTime": told["CreationTime"],
                    "EndTime": told.get("ProcessingEndTime") or told.get("TrainingEndTime"),
                    "Reason": told.get("FailureReason", ""),
                }
            )
    return jobs


def _against_s3(step: str, jobs: list[dict[str, Any]], runs: Counter[tuple[str, str]]) -> list[str]:
    wrong = []
    for each in jobs:
        times = runs[step, each["Name"]]
        if times > 1:
            wrong.append(f"S3 shows {times} runs of {each['Name']}")
        if each["Status"] not in JOB_ENDS:
            wrong.append(f"job {each['Name']} is {each['Status']} for ever")
        elif each["Status"] == "Completed" and times == 0:
            wrong.append(f"job {each['Name']} Completed, but S3 shows no run of it")
        elif each["Status"] != "Completed" and INTERRUPTED not in each["Reason"]:
            wrong.append(f"job {each['Name']} is {each['Status']}: {each['Reason']}")
    known = {each["Name"] for each in jobs}
    unknown = [name for of, name in runs if of == step and name not in known]
    return [*wrong, *(f"S3 shows a run of {name}, which the store forgot" for name in unknown)]


def _runs(server: Server, killed: Round) -> Counter[tuple[str, str]]:
    """(step, job) -> how many of its processes have put their object into S3."""
    keys = _keys(server, f"runs/{killed.execution}/")
    return Counter((key.split("/")[2], key.split("/")[3]) for key in keys)


def _keys(server: Server, prefix: str) -> list[str]:
    pages = server.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", ())]


def _left(server: Server) -> list[str]:
    return [
        str(each.relative_to(server.home))
        for each in server.home.glob("jobs/*/*/*")
        if each.name not in KEPT
    ]
