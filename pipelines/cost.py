"""What a run of a pipeline costs, from its definition: instances x minutes of every job, and a
month of the endpoint that it makes.

    minutes of a step:  given by the user  >  measured in earlier executions  >  an assumption

The budget gate of `pipelines.run` is here; `python -m deploy.cost run` shows the same table.
Volumes, requests and data transfer are small beside the instances and are left out; a step whose
cost cannot be told is named, never counted as nothing in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from pipelines import execution
from pipelines.prices import CostError, Prices

ASSUMED_MINUTES = 5.0  # of a job that nobody measured: a small table, with the start of its machine
EXECUTIONS_LOOKED_AT = 10
NOT_THERE = ("ResourceNotFound", "ResourceNotFoundException")
# Where the arguments of a step say on what it runs.
CLUSTERS = {
    "Processing": ("ProcessingResources", "ClusterConfig"),
    "QualityCheck": ("ProcessingResources", "ClusterConfig"),
    "ClarifyCheck": ("ProcessingResources", "ClusterConfig"),
    "Training": ("ResourceConfig",),
    "Transform": ("TransformResources",),
    "Tuning": ("TrainingJobDefinition", "ResourceConfig"),
}
# Steps that run no machine of their own; an endpoint's instances are told by its configuration.
FREE = ("Condition", "Fail", "Model", "RegisterModel", "EndpointConfig", "Endpoint", "Lineage")


@dataclass(frozen=True)
class Job:
    """One step: `minutes` is how long each of `instances` is paid for, `known` how we know."""

    step: str
    instance_type: str
    instances: int
    minutes: float
    known: str
    cost: float


@dataclass(frozen=True)
class Fleet:
    """One variant of an endpoint that the run makes, up for a month."""

    step: str
    instance_type: str
    instances: int
    month: float


@dataclass(frozen=True)
class RunCost:
    """What a run costs. `untold`: steps that cost something we cannot tell, with the reason."""

    jobs: tuple[Job, ...]
    fleets: tuple[Fleet, ...]
    untold: tuple[str, ...]

    @property
    def run(self) -> float:
        return sum(job.cost for job in self.jobs)

    @property
    def endpoint_month(self) -> float:
        return sum(fleet.month for fleet in self.fleets)

    @property
    def total(self) -> float:
        return self.run + self.endpoint_month

    @property
    def document(self) -> dict[str, Any]:
        sums = {name: round(getattr(self, name), 4) for name in ("run", "endpoint_month", "total")}
        return {**asdict(self), **sums}

    def text(self) -> str:
        """A table for people."""
        row = "{:<26} {:<16} {:>3} {:>10} {:>10}  {}".format
        lines = [row("Step", "Instance", "N", "Minutes", "USD", "Minutes are")]
        for job in self.jobs:
            cells = (job.step, job.instance_type, job.instances)
            lines.append(row(*cells, f"{job.minutes:.1f}", f"{job.cost:.4f}", job.known))
        for fleet in self.fleets:
            cells = (fleet.step, fleet.instance_type, fleet.instances)
            lines.append(row(*cells, "a month", f"{fleet.month:.2f}", ""))
        lines += [f"not counted: {each}" for each in self.untold]
        month = f" and {self.endpoint_month:.2f} USD a month for its endpoint" * bool(self.fleets)
        return "\n".join([*map(str.rstrip, lines), f"One run: {self.run:.2f} USD{month}."])


class _UnknownError(Exception):
    """A value of the definition that only an execution can tell."""


def estimate(
    definition: str,
    chosen: Mapping[str, Any],
    prices: Prices,
    measured: Mapping[str, float],
    given: Mapping[str, float] | None = None,
    assumed: float = ASSUMED_MINUTES,
) -> RunCost:
    """The cost of running a definition, every branch of it, with nothing reused from the cache.

    chosen: values of pipeline parameters. measured, given: minutes by step. Raises CostError when
    an instance type has no price, or `given` names a step that is not there.
    """
    document = _parsed(definition)
    parameters = {p["Name"]: p.get("DefaultValue") for p in document.get("Parameters", [])}
    read = _Reader({**parameters, **chosen})
    steps = list(_steps(document["Steps"]))
    names = [step["Name"] for step in steps]
    for name in (given or {}).keys() - set(names):
        raise CostError(f"--minutes {name}: there is no such step; allowed: {', '.join(names)}.")
    jobs: list[Job] = []
    fleets: list[Fleet] = []
    untold: list[str] = []
    for step in steps:
        known = _minutes(step["Name"], given or {}, measured, assumed)
        try:
            if step["Type"] in CLUSTERS:
                jobs.append(_job(step, read, prices, *known))
            elif step["Type"] == "EndpointConfig":
                fleets += _fleets(step, read, prices)
            elif step["Type"] not in FREE:
                untold.append(f"{step['Name']}: a {step['Type']} step has no price here")
        except _UnknownError as unknown:
            untold.append(f"{step['Name']}: {unknown}")
    return RunCost(tuple(jobs), tuple(fleets), tuple(untold))


def check_budget(cost: RunCost, budget: float) -> None:
    """CostError, with the table, when a run and a month of its endpoint cost more than that."""
    if cost.total > budget:
        raise CostError(
            f"The run and a month of its endpoint would cost {cost.total:.2f} USD, above the "
            f"budget of {budget:.2f} USD; nothing was started. Choose smaller instances "
            f"(--param), or allow it with --budget.\n{cost.text()}",
            1,
        )


def measured(client: Any, pipeline: str) -> dict[str, float]:
    """Minutes by step, each of the newest execution that ran it to success; {} without any."""
    pages = client.get_paginator("list_pipeline_executions").paginate(
        PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending"
    )
    try:
        summaries = (each for page in pages for each in page["PipelineExecutionSummaries"])
        arns = [each["PipelineExecutionArn"] for each in islice(summaries, EXECUTIONS_LOOKED_AT)]
    except ClientError as error:
        if error.response["Error"]["Code"] not in NOT_THERE:
            raise
        return {}
    found: dict[str, float] = {}
    for arn in arns:
        found = measured_in(client, arn) | found
    return found


def measured_in(client: Any, arn: str) -> dict[str, float]:
    """Minutes by step of one execution; steps that were reused or did not succeed tell nothing."""
    return {
        step["StepName"]: seconds / 60
        for step in execution.snapshot(client, arn).steps
        if step["StepStatus"] == "Succeeded" and not execution.is_cached(step)
        if (seconds := execution.seconds(step)) is not None
    }


def _parsed(definition: str) -> dict[str, Any]:
    try:
        document = json.loads(definition)
        return {**document, "Steps": list(document["Steps"])}
    except (ValueError, KeyError, TypeError) as error:
        raise CostError("That is no pipeline definition: it needs JSON with Steps.") from error


def _steps(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in steps:
        yield step
        if step["Type"] == "Condition":
            yield from _steps(step["Arguments"]["IfSteps"])
            yield from _steps(step["Arguments"]["ElseSteps"])


class _Reader:
    """Values of a definition, with those of its parameters put in."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters

    def __call__(self, holder: Mapping[str, Any], member: str) -> Any:
        value = holder.get(member)
        if isinstance(value, dict):
            name = str(value.get("Get", "")).removeprefix("Parameters.")
            value = self._parameters.get(name)
        if value is None:
            raise _UnknownError(f"its {member} is known only when it runs")
        return value


def _minutes(
    step: str, given: Mapping[str, float], measured: Mapping[str, float], assumed: float
) -> tuple[float, str]:
    for known, table in (("given", given), ("measured", measured)):
        if step in table:
            return table[step], known
    return assumed, "assumed"


def _job(step: dict[str, Any], read: _Reader, prices: Prices, minutes: float, known: str) -> Job:
    arguments = cluster = step.get("Arguments", {})
    for member in CLUSTERS[step["Type"]]:
        cluster = cluster.get(member, {})
    instance_type, instances = (
        str(read(cluster, "InstanceType")),
        int(read(cluster, "InstanceCount")),
    )
    if step["Type"] == "Tuning":
        # A step's time is measured as a whole, of as many jobs as go on at once; else of each job.
        limits = arguments.get("HyperParameterTuningJobConfig", {}).get("ResourceLimits", {})
        counted = "MaxParallelTrainingJobs" if known == "measured" else "MaxNumberOfTrainingJobs"
        instances *= int(read(limits, counted))
    cost = prices.running(instance_type, instances, minutes)
    return Job(step["Name"], instance_type, instances, minutes, known, cost)


def _fleets(step: dict[str, Any], read: _Reader, prices: Prices) -> Iterator[Fleet]:
    arguments = step["Arguments"]
    members = ("ProductionVariants", "ShadowProductionVariants")
    for variant in (each for member in members for each in arguments.get(member, ())):
        if "ServerlessConfig" in variant:
            raise _UnknownError("a serverless variant is paid by request: `deploy.cost compare`")
        kind, count = read(variant, "InstanceType"), int(read(variant, "InitialInstanceCount"))
        yield Fleet(step["Name"], str(kind), count, prices.month(str(kind), count))
