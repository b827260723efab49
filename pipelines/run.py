"""`python -m pipelines.run`: the main job, from the command line to the answer of the endpoint.

    arguments -> problem, code, data -> target -> uploads -> definition -> start -> watch -> summary

Slow things that do not need one another overlap: data is generated and the SDK imported while the
local SageMaker starts. Exit code 0: it succeeded. 1: a step or a gate failed, and the reason was
printed. 2: bad usage. 130: Ctrl-C; the execution goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from pipelines import (
    bundle,
    cost,
    data,
    definition,
    execution,
    modules,
    options,
    prices,
    results,
    settings,
)
from pipelines.bundle import Bundle, BundleError
from pipelines.data import DataError, Source
from pipelines.definition import Compiled
from pipelines.modules import UsageError
from pipelines.prices import CostError
from pipelines.settings import Settings, SettingsError
from pipelines.uploads import data_key, ensure_bucket, upload_bundle, upload_data
from steps.problem import Problem, ProblemError, load


@dataclass(frozen=True)
class Ours:
    """What our own pipeline needs besides its definition; another module's pipeline has none."""

    config: Path
    problem: Problem
    code: Bundle
    source: Source


class Located(NamedTuple):
    """The data's URI, and the file to upload under that key; no file when it is in S3 already."""

    uri: str
    path: Path | None
    key: str


def main(argv: list[str] | None = None, default_target: str = "local") -> int:
    args = options.parse(argv, default_target)
    try:
        return _stop(args) if args.stop else _run(args)
    except (UsageError, ProblemError) as error:
        return _failed(args, str(error), 2)
    except (SettingsError, DataError, CostError) as error:
        return _failed(args, str(error), error.exit_code)
    except (BundleError, ClientError, BotoCoreError) as error:
        return _failed(args, str(error), 1)
    except KeyboardInterrupt:
        return _failed(args, "Interrupted before the execution was started.", 130)


def _failed(args: argparse.Namespace, reason: str, exit_code: int) -> int:
    print(f"error: {reason}", file=sys.stderr)
    if args.json:
        print(json.dumps({"status": "Error", "reason": reason}))
    return exit_code


def _run(args: argparse.Namespace) -> int:
    began = time.monotonic()
    kwargs = modules.mapping(args.kwargs, "--kwargs")
    tags = modules.tags(args.tags, "--tags")
    ours = _ours(args, kwargs) if args.module_name == modules.OURS else None
    try:
        place = settings.resolve(
            args.target,
            region=args.region or kwargs.get("region"),
            role_arn=args.role_arn or kwargs.get("role"),
            bucket=args.bucket or kwargs.get("default_bucket"),
            offline=args.dry_run,
            meanwhile=_meanwhile(args, ours),
        )
        found = _locate(place, ours.problem, ours.source) if ours else None
        compiled = _compile(args, kwargs, place, ours, found)
    except BaseException:
        data.stop(ours.source if ours else None)
        raise
    declared = definition.parameters(compiled.definition)
    parameters = options.start_parameters(declared, args.param)
    if args.dry_run:
        print(json.dumps(json.loads(compiled.definition), indent=2, sort_keys=True))
        return 0
    client = settings.sagemaker(place)
    _check_budget(args, place, ours, compiled, parameters)
    if ours and found:
        _upload(place, ours, found)
    change = _put(args, client, compiled, place, kwargs, tags)
    arn = execution.start(client, compiled.name, parameters, args.parallel)
    facts = {
        "target": place.target,
        "pipeline": compiled.name,
        "pipeline_change": change,
        "execution": arn,
    }
    if args.no_wait:
        return _not_waiting(args, facts)
    try:
        return _follow(args, place, compiled, ours, facts, began)
    except KeyboardInterrupt:
        stop = f"python -m pipelines.run --stop {arn}{place.words.flag}"
        print(f"\nThe execution goes on: {arn}\nTo stop it: {stop}", file=sys.stderr)
        return 130


def _check_budget(
    args: argparse.Namespace,
    place: Settings,
    ours: Ours | None,
    compiled: Compiled,
    parameters: dict[str, str],
) -> None:
    """CostError when --budget, or that of the problem, is less than what this would cost."""
    budget = args.budget or (ours.problem.deploy.budget if ours else None)
    if budget is None or not place.words.billed:
        return
    table = prices.load(args.prices)
    measured = cost.measured(settings.sagemaker(place), compiled.name)
    told = cost.estimate(compiled.definition, parameters, table, measured)
    cost.check_budget(told, budget)
    for each in told.untold:
        print(f"warning: the budget does not count {each}", file=sys.stderr)


def _put(
    args: argparse.Namespace,
    client: Any,
    compiled: Compiled,
    place: Settings,
    kwargs: dict[str, Any],
    tags: list[dict[str, str]],
) -> str:
    """Create or update the pipeline, with the tags of the SageMaker project if there is one."""
    if tags or kwargs.get("sagemaker_project_arn"):
        tags = modules.custom_tags(
            modules.load(args.module_name), tags, {"region": place.region, **kwargs}
        )
    return execution.put(client, compiled, place.role_arn, args.description, tags)


def _ours(args: argparse.Namespace, kwargs: dict[str, Any]) -> Ours:
    config = Path(kwargs.get("config") or args.config or options.CONFIG)
    problem = load(config)
    given = kwargs.get("data_uri") or args.data
    return Ours(config, problem, bundle.build(problem), data.start(problem, given, args.rows))


def _meanwhile(args: argparse.Namespace, ours: Ours | None) -> Callable[[], object] | None:
    """Import the SDK while the local SageMaker starts, when it will be needed."""
    if ours and definition.likely_kept(ours.code):
        return None
    return partial(modules.load, args.module_name)


def _locate(place: Settings, problem: Problem, source: Source) -> Located:
    if source.uri is not None:
        return Located(source.uri, None, "")
    path = data.finish(source)
    key = data_key(problem.name, path)
    return Located(f"s3://{place.bucket}/{key}", path, key)


def _compile(
    args: argparse.Namespace,
    kwargs: dict[str, Any],
    place: Settings,
    ours: Ours | None,
    found: Located | None,
) -> Compiled:
    offered: dict[str, Any] = {
        "region": place.region,
        "role": place.role_arn,
        "default_bucket": place.bucket,
        "compile_only": True,
    }
    if ours is None or found is None:
        return definition.compile_pipeline(args.module_name, kwargs, offered)
    offered |= {
        "config": str(ours.config),
        "data_uri": found.uri,
        "code_uri": ours.code.uri(place.bucket, ours.problem.name),
    }
    return definition.compile_ours(ours.code, kwargs, offered)


def _upload(place: Settings, ours: Ours, found: Located) -> None:
    s3 = settings.s3(place)
    ensure_bucket(s3, place.bucket, place.region)
    upload_bundle(s3, place.bucket, ours.problem.name, ours.code)
    if found.path is not None:
        upload_data(s3, place.bucket, found.key, found.path)


def _not_waiting(args: argparse.Namespace, facts: dict[str, Any]) -> int:
    text = json.dumps(facts) if args.json else f"Started {facts['execution']}"
    print(text)
    return 0


def _follow(
    args: argparse.Namespace,
    place: Settings,
    compiled: Compiled,
    ours: Ours | None,
    facts: dict[str, Any],
    began: float,
) -> int:
    from pipelines import console  # rich: not needed for --help, --dry-run or a usage error

    client = settings.sagemaker(place)
    screen = console.terminal(quiet=args.json)
    names = definition.step_names(compiled.definition)
    with console.progress(screen, names) as show:
        end = execution.watch(client, facts["execution"], place.poll_seconds, show)
    result = facts | {
        "status": end.status,
        "reason": end.reason,
        "steps": results.steps_summary(end.steps),
        "reused": [s["StepName"] for s in end.steps if execution.is_cached(s)],
        "failures": list(execution.failures(client, place, end.steps)),
        **(results.gather(place, ours.problem, end.steps) if ours else results.NOTHING),
        "seconds": round(time.monotonic() - began, 2),
    }
    result |= _what_now(place, ours, result)
    if args.json:
        print(json.dumps(result))
    else:
        console.summary(screen, result)
    return 0 if end.status == "Succeeded" else 1


def _what_now(place: Settings, ours: Ours | None, result: dict[str, Any]) -> dict[str, Any]:
    """What stays up, how to stop it, and commands worth trying next."""
    config = _shown(ours.config) if ours else ""
    endpoint = result["endpoint"]
    running = [place.words.stays_up, f"endpoint {endpoint['name']}" if endpoint else ""]
    rest = f"--config {config}{place.words.flag}"
    commands = []
    if package := result["model_package"]:
        commands.append(f"python -m deploy.registry list {rest}")
        if package["approval"] == "PendingManualApproval":
            version = f"--version {package['version']}"
            commands.append(f"python -m deploy.registry approve {version} {rest}")
            commands.append(f"python -m deploy.endpoint deploy {rest}")
    if endpoint:
        commands.append(f"python -m deploy.endpoint status {rest}")
    return {
        "left_running": " and ".join(filter(None, running)),
        "stop": place.words.stop_command.format(config=config),
        "next": commands,
    }


def _shown(path: Path) -> str:
    here = Path.cwd()
    absolute = path.resolve()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else path)


def _stop(args: argparse.Namespace) -> int:
    place = settings.resolve(args.target, needs=())
    settings.sagemaker(place).stop_pipeline_execution(PipelineExecutionArn=args.stop)
    print(json.dumps({"stopping": args.stop}) if args.json else f"Stopping {args.stop}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
