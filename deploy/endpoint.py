"""`python -m deploy.endpoint deploy | status | invoke | delete`: a registered version, served.

    deploy: version -> CreateModel -> CreateEndpointConfig -> Create- or UpdateEndpoint -> wait

Deploying what is served already changes nothing and says so. Names follow from endpoint, version
and variant, so a deploy that was interrupted is taken up where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from deploy import commands, packages
from deploy.commands import Answer, DeployError
from deploy.requests import Requests
from deploy.served import served, version_of, wait
from pipelines import settings
from pipelines.settings import Settings

VARIANT = "AllTraffic"
# How SageMaker says that a name is taken.
TAKEN = ("already exist", "cannot create already existing")


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.endpoint", "Serve a registered model.", "deploy --version 3")
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    made = {
        name: _add(subs, name, command, text)
        for name, command, text in (
            ("deploy", deploy, "serve the newest approved version, or --version"),
            ("status", status, "what is served, and how it is"),
            ("invoke", invoke, "send a request"),
            ("delete", delete, "delete the endpoint, its configuration and its models"),
        )
    }
    made["deploy"].add_argument("--group", metavar="NAME", help="default: the problem's name")
    made["deploy"].add_argument("--version", type=int, metavar="N")
    made["deploy"].add_argument("--role-arn", metavar="ARN", help="the role that the model runs as")
    made["deploy"].add_argument("--instance-type", metavar="TYPE", help="default: the problem's")
    made["deploy"].add_argument("--instance-count", type=int, default=1, metavar="N")
    body = made["invoke"].add_mutually_exclusive_group(required=True)
    body.add_argument("--body", metavar="TEXT")
    body.add_argument("--file", type=Path, metavar="FILE")
    made["invoke"].add_argument("--content-type", metavar="TYPE", help="default: by the body")
    made["invoke"].add_argument("--accept", default="application/json", metavar="TYPE")
    for name in ("deploy", "delete"):
        made[name].add_argument("--dry-run", action="store_true", help="say it, do not do it")
    return commands.run(top.parse_args(argv))


def _add(subs: Any, name: str, command: commands.Command, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = subs.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    sub.set_defaults(command=command)
    commands.add_shared_options(sub)
    sub.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
    return sub


def deploy(arguments: argparse.Namespace) -> Answer:
    problem = commands.problem(arguments)
    if arguments.instance_count < 1:
        raise DeployError(f"--instance-count is {arguments.instance_count}; allowed: 1 or more.", 2)
    place = commands.place(arguments, needs=("role",))
    client = settings.sagemaker(place)
    group = arguments.group or problem.name
    package = (
        packages.latest_approved(client, group)
        if arguments.version is None
        else packages.numbered(client, group, arguments.version)
    )
    version = package["ModelPackageVersion"]
    if package["ModelApprovalStatus"] != "Approved":
        raise DeployError(
            f"{group} version {version} is {package['ModelApprovalStatus']}; first "
            f"`python -m deploy.registry approve --group {group} --version {version}`."
        )
    name = arguments.name or problem.deploy.endpoint
    variant = {
        "VariantName": VARIANT,
        "InstanceType": arguments.instance_type or problem.deploy.instance_type,
        "InitialInstanceCount": arguments.instance_count,
    }
    return _deploy(place, client, name, package, variant, arguments.dry_run)


def _deploy(
    place: Settings,
    client: Any,
    name: str,
    package: dict[str, Any],
    variant: dict[str, Any],
    dry_run: bool,
) -> Answer:
    version, arn = package["ModelPackageVersion"], package["ModelPackageArn"]
    there = served(client, name)
    document = {"endpoint": name, "version": version, "package": arn, "variant": variant}
    if there and there["status"] == "InService" and _same(there, arn, variant):
        return Answer(
            f"Endpoint {name} serves version {version} already; nothing changed.",
            {**document, "change": "none", "status": "InService"},
        )
    change = "update" if there else "create"
    requests = Requests(dry_run)
    if (
        not dry_run
        and there
        and there["status"] in ("Creating", "Updating", "SystemUpdating", "RollingBack")
    ):
        wait(client, name, place.poll_seconds)
    model = f"{name[:40].rstrip('-')}-v{version}-{_digest(arn, place.role_arn)}"
    config = f"{model}-{_digest(variant)}"
    _make(
        requests,
        client,
        "create_model",
        ModelName=model,
        ExecutionRoleArn=place.role_arn,
        PrimaryContainer={"ModelPackageName": arn},
    )
    _make(
        requests,
        client,
        "create_endpoint_config",
        EndpointConfigName=config,
        ProductionVariants=[{**variant, "ModelName": model, "InitialVariantWeight": 1.0}],
    )
    act = "update_endpoint" if there else "create_endpoint"
    requests.send(client, act, EndpointName=name, EndpointConfigName=config)
    if dry_run:
        text = f"Would {change} endpoint {name}: {_wording(there)} -> version {version}"
        shown = {"change": change, "dry_run": True, "requests": requests.documents}
        return Answer(f"{text}\n{requests.text()}", {**document, **shown})
    status = wait(client, name, place.poll_seconds)
    text = f"Endpoint {name}: {_wording(there)} -> version {version}, {status}"
    return Answer(text, {**document, "change": change, "status": status})


def status(arguments: argparse.Namespace) -> Answer:
    client = settings.sagemaker(commands.place(arguments))
    name = _name(arguments)
    there = served(client, name)
    if there is None:
        raise DeployError(f"There is no endpoint {name}; `python -m deploy.endpoint deploy`.")
    rows = (
        (v["VariantName"], v["ModelName"], version_of(v["package"]), v.get("InstanceType", ""))
        for v in there["variants"]
    )
    text = commands.table(("Variant", "Model", "Version", "Instance"), rows)
    return Answer(
        f"Endpoint {name} is {there['status']} {there['reason']}".rstrip() + f"\n{text}",
        {"endpoint": name, **there},
    )


def invoke(arguments: argparse.Namespace) -> Answer:
    place = commands.place(arguments)
    body = _body(arguments)
    answered = settings.sagemaker_runtime(place).invoke_endpoint(
        EndpointName=_name(arguments),
        Body=body,
        ContentType=arguments.content_type or _content_type(body),
        Accept=arguments.accept,
    )
    text = answered["Body"].read().decode("utf-8", errors="replace")
    return Answer(text.rstrip("\n"), {"body": text, "content_type": answered.get("ContentType")})


def delete(arguments: argparse.Namespace) -> Answer:
    client = settings.sagemaker(commands.place(arguments))
    name = _name(arguments)
    there = served(client, name)
    if there is None:
        return Answer(f"There is no endpoint {name}; nothing to delete.", {"deleted": []})
    models = sorted({variant["ModelName"] for variant in there["variants"]})
    doomed = [("endpoint", name), ("endpoint configuration", there["config"])]
    doomed += [("model", model) for model in models]
    words = "\n".join(f"  {kind} {what}" for kind, what in doomed)
    requests = Requests(arguments.dry_run)
    requests.send(client, "delete_endpoint", EndpointName=name)
    requests.send(client, "delete_endpoint_config", EndpointConfigName=there["config"])
    for model in models:
        requests.send(client, "delete_model", ModelName=model)
    if arguments.dry_run:
        shown = {"deleted": [], "dry_run": True, "requests": requests.documents}
        return Answer(f"Would delete\n{words}\n{requests.text()}", shown)
    return Answer(f"Deleted\n{words}", {"deleted": [{"kind": k, "name": n} for k, n in doomed]})


def _same(there: dict[str, Any], arn: str, variant: dict[str, Any]) -> bool:
    return len(there["variants"]) == 1 and all(
        there["variants"][0].get(key) == value for key, value in {**variant, "package": arn}.items()
    )


def _digest(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:6]


def _make(requests: Requests, client: Any, operation: str, **request: Any) -> None:
    """Create what may be there from an earlier attempt: its name says all that it is made from."""
    try:
        requests.send(client, operation, **request)
    except ClientError as error:
        if not any(words in error.response["Error"]["Message"].lower() for words in TAKEN):
            raise


def _wording(there: dict[str, Any] | None) -> str:
    if there is None:
        return "nothing"
    return ", ".join(f"version {version_of(v['package'])}" for v in there["variants"])


def _name(arguments: argparse.Namespace) -> str:
    return arguments.name or commands.problem(arguments).deploy.endpoint


def _body(arguments: argparse.Namespace) -> bytes:
    if arguments.file is None:
        return str(arguments.body).encode()
    try:
        return bytes(arguments.file.read_bytes())
    except OSError as error:
        raise DeployError(f"--file {arguments.file}: {error.strerror}", 2) from error


def _content_type(body: bytes) -> str:
    return "application/json" if body.lstrip()[:1] in (b"{", b"[") else "text/csv"


if __name__ == "__main__":
    sys.exit(main())
