"""`python -m deploy.endpoint deploy | status | smoke | invoke | garbage | delete`: what is served.

    deploy: version -> CreateModel -> CreateEndpointConfig -> Create- or UpdateEndpoint -> wait
            -> active version in Parameter Store

Deploying what is served already changes nothing and says so. Names follow from endpoint, version
and variant, so a deploy that was interrupted is taken up where it stopped. An update keeps what the
live endpoint has grown: instance counts, data capture, the variant's other settings.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from deploy import (
    active,
    commands,
    endpoint_status,
    examples,
    garbage,
    guardrails,
    making,
    packages,
    smoke,
    updating,
)
from deploy.commands import Answer, DeployError
from deploy.served import served, version_of
from deploy.work import Work, begin, settled
from pipelines import settings

VARIANT = "AllTraffic"
COMMANDS = (
    ("deploy", "serve the newest approved version, or --version"),
    ("status", "what is served, and how it is"),
    ("smoke", "send requests to every variant, check the answers"),
    ("invoke", "send a request"),
    ("garbage", "models and configurations of ours that no endpoint uses"),
    ("delete", "delete the endpoint, its configuration and its models"),
)


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.endpoint", "Serve a registered model.", "deploy --version 3")
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    made = {name: _add(subs, name, text) for name, text in COMMANDS}
    add_serving_options(made["deploy"])
    made["deploy"].add_argument("--version", type=int, metavar="N")
    guardrails.add_options(made["deploy"])
    made["deploy"].add_argument("--no-wait", action="store_true", help="do not wait for the end")
    examples.add_options(made["invoke"], required=True)
    examples.add_options(made["smoke"])
    smoke.add_options(made["smoke"])
    made["garbage"].add_argument("--delete", action="store_true", help="delete it")
    for name in ("deploy", "delete", "garbage"):
        made[name].add_argument("--dry-run", action="store_true", help="say it, do not do it")
    return commands.run(top.parse_args(argv))


def _add(subs: Any, name: str, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = subs.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    sub.set_defaults(command=RUN[name])
    commands.add_shared_options(sub)
    sub.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
    return sub


def add_serving_options(command: argparse.ArgumentParser) -> None:
    """Options of every command that makes models and configurations."""
    command.add_argument("--group", metavar="NAME", help="default: the problem's name")
    command.add_argument("--role-arn", metavar="ARN", help="the role that the model runs as")
    command.add_argument("--instance-type", metavar="TYPE", help="default: the problem's")
    command.add_argument(
        "--instance-count", type=int, metavar="N", help="default: as many as there are; at first 1"
    )


def deploy(arguments: argparse.Namespace) -> Answer:
    count = arguments.instance_count
    if count is not None and count < 1:
        raise DeployError(f"--instance-count is {count}; allowed: 1 or more.", 2)
    work = begin(arguments, needs=("role",))
    rollout = guardrails.chosen(arguments, work.problem.deploy.rollout)
    package = packages.deployable(work.sagemaker, work.group, arguments.version)
    there = settled(work)
    wanted = _instances(work, there, arguments)
    version, arn = package["ModelPackageVersion"], package["ModelPackageArn"]
    facts = {"endpoint": work.endpoint, "version": version, "package": arn}
    if there and there["status"] == "InService" and _same(there, arn, wanted):
        active.record(work, arn)
        text = f"Endpoint {work.endpoint} serves version {version} already; nothing changed."
        same = {"change": "none", "status": "InService", **work.shown()}
        return Answer(text, {**facts, **same})
    deployment = guardrails.deployment_config(rollout)
    _check_guarded(there, deployment)
    guardrails.check_alarms(work.cloudwatch, rollout.alarms)
    active.adopt(work, there)
    config = config_of(work, there, arn, wanted)
    updating.to_config(
        work,
        there,
        config,
        keep=() if count else (updating.COUNT,),
        deployment=deployment,
        wait=not arguments.no_wait,
    )
    if not arguments.no_wait:
        active.record(work, arn)
    change = "update" if there else "create"
    status = "not waited for" if arguments.no_wait else "InService"
    told = {"config": config, "change": change, "status": status, **work.shown()}
    return Answer(_told(work, there, change, f"version {version}", status), {**facts, **told})


def _instances(
    work: Work, there: dict[str, Any] | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    """What the command line and the problem say of the instances."""
    live = there["variants"] if there else []
    kind, count = arguments.instance_type, arguments.instance_count
    if live and "ServerlessConfig" in live[0]:
        if kind or count:
            raise DeployError(
                f"Endpoint {work.endpoint} is serverless and has no instances; leave out "
                "--instance-type and --instance-count, or delete it first."
            )
        return {}
    counted = {"InitialInstanceCount": count} if count else {}
    return {"InstanceType": kind or work.problem.deploy.instance_type, **counted}


def _check_guarded(there: dict[str, Any] | None, deployment: dict[str, Any] | None) -> None:
    """Guardrails need the variants of before; a deploy has one."""
    names = [each["VariantName"] for each in there["variants"]] if there else []
    if deployment and len(names) > 1:
        raise DeployError(
            f"The endpoint has {', '.join(names)}, and an update with --strategy or --alarm keeps "
            "its variants; first `python -m deploy.variants promote` or `abort`."
        )


def _told(work: Work, there: dict[str, Any] | None, change: str, after: str, status: str) -> str:
    moved = f"{_wording(there)} -> {after}"
    if work.dry_run:
        return f"Would {change} endpoint {work.endpoint}: {moved}\n{work.requests.text()}"
    return f"Endpoint {work.endpoint}: {moved}, {status}"


def config_of(
    work: Work, there: dict[str, Any] | None, package: str, wanted: dict[str, Any]
) -> str:
    """The configuration that serves this version alone, by a variant like the live one."""
    live = there["variants"] if there else []
    name = live[0]["VariantName"] if len(live) == 1 else VARIANT
    template = live[0] if live else {}
    counted = {"InitialInstanceCount": template.get("desired") or 1} if wanted else {}
    model = making.model(work, package)
    fresh = {**counted, **wanted, "InitialVariantWeight": 1.0}
    variant = making.variant(template, name, model, **fresh)
    kept = there["kept"] if there else {}
    tags = {"version": version_of(package), "champion": name}
    return making.config(work, model, [variant], kept, tags)


def _same(there: dict[str, Any], package: str, wanted: dict[str, Any]) -> bool:
    live = there["variants"]
    if len(live) != 1 or there["shadows"] or live[0]["package"] != package:
        return False
    now = {**live[0], "InitialInstanceCount": live[0]["desired"]}
    return all(now.get(member) == value for member, value in wanted.items())


def _wording(there: dict[str, Any] | None) -> str:
    if there is None:
        return "nothing"
    return ", ".join(f"version {each['version']}" for each in there["variants"])


def invoke(arguments: argparse.Namespace) -> Answer:
    place = commands.place(arguments)
    name = arguments.name or commands.problem(arguments).deploy.endpoint
    body = examples.given(arguments)
    answered = settings.sagemaker_runtime(place).invoke_endpoint(
        EndpointName=name, Body=body.content, ContentType=body.content_type, Accept=arguments.accept
    )
    text = answered["Body"].read().decode("utf-8", errors="replace")
    return Answer(text.rstrip("\n"), {"body": text, "content_type": answered.get("ContentType")})


def delete(arguments: argparse.Namespace) -> Answer:
    work = begin(arguments)
    there = served(work.sagemaker, work.endpoint)
    if there is None:
        return Answer(f"There is no endpoint {work.endpoint}; nothing to delete.", {"deleted": []})
    variants = [*there["variants"], *there["shadows"]]
    models = sorted({each["ModelName"] for each in variants if "ModelName" in each})
    doomed = [("endpoint", work.endpoint), ("endpoint configuration", there["config"])]
    doomed += [("model", model) for model in models]
    words = "\n".join(f"  {kind} {what}" for kind, what in doomed)
    work.requests.send(work.sagemaker, "delete_endpoint", EndpointName=work.endpoint)
    work.requests.send(work.sagemaker, "delete_endpoint_config", EndpointConfigName=there["config"])
    for model in models:
        work.requests.send(work.sagemaker, "delete_model", ModelName=model)
    if work.dry_run:
        text = f"Would delete\n{words}\n{work.requests.text()}"
        return Answer(text, {"deleted": [], **work.shown()})
    return Answer(f"Deleted\n{words}", {"deleted": [{"kind": k, "name": n} for k, n in doomed]})


RUN: dict[str, commands.Command] = {
    "deploy": deploy,
    "status": endpoint_status.status,
    "smoke": smoke.smoke,
    "invoke": invoke,
    "garbage": garbage.garbage,
    "delete": delete,
}


if __name__ == "__main__":
    sys.exit(main())
