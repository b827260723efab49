"""A Lambda function: the endpoint serves the newest Approved version of its group, always.

    model package approved or rejected --+
    endpoint back in service ------------+-> read the registry and the endpoint -> plan -> act

An event says only that something happened; what to do follows from what is true now, so events may
come twice, late or in any order. The decision that was acted on (version and LastModifiedTime) is
a tag of the endpoint: once acted on, it is never acted on again, so a rollback by hand stays.
While the endpoint is being changed nothing can be done: its own event, when it is in service
again, is the next chance, and the time to write down the version that it serves.

boto3 alone, and nothing of ours: this file is the whole function. Names are those that
`python -m deploy.endpoint deploy` gives, so that each finds what the other made; parameters are
those of deploy/active.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

log = logging.getLogger()
log.setLevel(logging.INFO)

TAG = "approval-acted-on"
VARIANT = "AllTraffic"
LONGEST_PREFIX = 40
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
# How SageMaker says that there is nothing of a name, or that a name is taken.
FREE = ("could not find", "does not exist", "not found")
TAKEN = ("already exist", "cannot create already existing")
# Of an endpoint configuration: its own identity; the rest a new one takes over.
IDENTITY = (
    "EndpointConfigName",
    "EndpointConfigArn",
    "CreationTime",
    "ProductionVariants",
    "ShadowProductionVariants",
    "ResponseMetadata",
)

Request = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Wish:
    """What this function was set up for, by its environment variables."""

    group: str
    endpoint: str
    role_arn: str
    instance_type: str
    parameters: str
    tags: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Wish:
        return cls(
            group=environ["MODEL_PACKAGE_GROUP"],
            endpoint=environ["ENDPOINT_NAME"],
            role_arn=environ["ROLE_ARN"],
            instance_type=environ["INSTANCE_TYPE"],
            parameters=environ["PARAMETERS"],
            tags=json.loads(environ.get("TAGS", "{}")),
        )


@dataclass(frozen=True)
class Endpoint:
    """What is there: of one production variant without a shadow also its version's ARN."""

    arn: str
    status: str
    variants: list[dict[str, Any]]
    alone: bool
    package: str
    kept: dict[str, Any]
    acted_on: str
    has_deployment: bool = False


@dataclass(frozen=True)
class Plan:
    """What to do: none, later, create or update; why; the requests, in order; and the version that
    is served now, to be written down before them.
    """

    change: str
    reason: str
    requests: list[Request] = field(default_factory=list)
    served: str = ""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Bring the endpoint to the newest Approved version; what was done, for the log."""
    wish = Wish.read(os.environ)
    client, ssm = (
        boto3.client(service, config=Config(retries={"mode": "standard"}))
        for service in ("sagemaker", "ssm")
    )
    done = act(client, ssm, wish)
    log.info("%s", json.dumps({"event": event.get("id"), **done}))
    return done


def act(client: Any, ssm: Any, wish: Wish) -> dict[str, Any]:
    chosen = newest(approved(client, wish.group))
    todo = plan(wish, chosen, read_endpoint(client, wish.endpoint))
    if chosen and todo.served:
        record(client, ssm, wish, todo.served, _decided(chosen))
    answer = {"endpoint": wish.endpoint, "change": todo.change, "reason": todo.reason}
    for operation, request in todo.requests:
        try:
            getattr(client, operation)(**request)
        except ClientError as error:
            if operation.startswith("create_model") or operation.endswith("_config"):
                if not _says(error, TAKEN):
                    raise
            elif _is_busy(client, wish.endpoint):  # another event was quicker
                return {**answer, "change": "later", "reason": str(error)}
            else:
                raise
    return answer


def plan(wish: Wish, chosen: dict[str, Any] | None, there: Endpoint | None) -> Plan:
    """Pure: what follows from the newest Approved version and what the endpoint is."""
    if chosen is None:
        return Plan("none", f"{wish.group} has no Approved version; what is served stays")
    arn, mark = chosen["ModelPackageArn"], decision(chosen)
    version = arn.rpartition("/")[2]
    tags = [{"Key": TAG, "Value": mark}]
    if there is None:
        made = [*_making(wish, arn, None)]
        config = made[-1][1]["EndpointConfigName"]
        create = {"EndpointName": wish.endpoint, "EndpointConfigName": config}
        create |= {"Tags": [*_tags(wish), *tags]}
        return Plan("create", f"version {version}", [*made, ("create_endpoint", create)])
    served = _to_record(wish, there)
    if there.acted_on == mark:
        return Plan("none", f"{mark} was acted on", served=served if served == arn else "")
    if there.status in BUSY:
        return Plan("later", f"the endpoint is {there.status}")
    remember: Request = ("add_tags", {"ResourceArn": there.arn, "Tags": tags})
    if there.alone and there.package == arn:
        return Plan("none", f"version {version} is served", [remember], served)
    made = [*_making(wish, arn, there)]
    update = {
        "EndpointName": wish.endpoint,
        "EndpointConfigName": made[-1][1]["EndpointConfigName"],
        **({"RetainDeploymentConfig": True} if there.has_deployment else {}),
    }
    requests = [*made, ("update_endpoint", update), remember]
    return Plan("update", f"version {version}", requests, served)


def _to_record(wish: Wish, there: Endpoint) -> str:
    """The version that is served alone, of our group: of no other one may be asked."""
    ours = f":model-package/{wish.group}/".lower() in there.package.lower()
    return there.package if there.status == "InService" and ours else ""


def record(client: Any, ssm: Any, wish: Wish, package: str, decided: datetime) -> None:
    """Write that the endpoint serves this version, as deploy/active.py does: metadata, then the
    active version; nothing that is so already. A rollback by hand that came after the decision
    writes for itself.
    """
    fresh = f"v{package.rpartition('/')[2]}"
    active = f"{wish.parameters}/active-version"
    metadata = f"{wish.parameters}/versions/{fresh}/metadata"
    before, known = _value(ssm, active), _known(ssm, metadata)
    if before == fresh and known.get("modelPackageArn") == package:
        return
    if before and known.get("rolledBackFrom") == before and _is_since(known, decided):
        return
    previous = known.get("previousVersion") if before == fresh else before
    made = _metadata(client.describe_model_package(ModelPackageName=package), package, wish)
    made["previousVersion"] = previous
    for name, value in ((metadata, json.dumps(made, sort_keys=True)), (active, fresh)):
        ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)


def _is_since(known: dict[str, Any], decided: datetime) -> bool:
    """Whether the version was rolled back to after the decision; times there are whole seconds."""
    moment = datetime.fromisoformat(known.get("rolledBackAt", "1970-01-01T00:00:00+00:00"))
    return moment >= decided.replace(microsecond=0)


def _metadata(found: dict[str, Any], package: str, wish: Wish) -> dict[str, Any]:
    containers = found.get("InferenceSpecification", {}).get("Containers", [{}])
    kept = found.get("CustomerMetadataProperties", {})
    return {
        "s3Path": containers[0].get("ModelDataUrl", ""),
        "deployedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "performanceBaseline": {
            name: _number(value)
            for name, value in kept.items()
            if "." in name and not name.endswith(".gate")
        },
        "modelPackageArn": package,
        "endpoint": wish.endpoint,
    }


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _value(ssm: Any, name: str) -> str | None:
    try:
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        raise


def _known(ssm: Any, name: str) -> dict[str, Any]:
    text = _value(ssm, name)
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004 - it is the value that is wrong
            f"Parameter {name} holds {str(text)[:60]!r}, which is no JSON object; mend or delete it"
        )
    return found


def newest(packages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one that was decided on last."""
    return max(packages, key=_decided, default=None)


def decision(package: dict[str, Any]) -> str:
    """version@time: what tells one approval from another, in a tag's characters."""
    version = package["ModelPackageArn"].rpartition("/")[2]
    return f"{version}@{_decided(package).isoformat()}"


def approved(client: Any, group: str) -> list[dict[str, Any]]:
    """The Approved versions, each as it is now: the list alone has no LastModifiedTime."""
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    arns = [each["ModelPackageArn"] for page in pages for each in page["ModelPackageSummaryList"]]
    found = [client.describe_model_package(ModelPackageName=arn) for arn in arns]
    return [each for each in found if each["ModelApprovalStatus"] == "Approved"]


def read_endpoint(client: Any, name: str) -> Endpoint | None:
    try:
        endpoint = client.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if _says(error, FREE):
            return None
        raise
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    live = {each["VariantName"]: each for each in endpoint.get("ProductionVariants", ())}
    variants = [_live(each, live) for each in config["ProductionVariants"]]
    alone = len(variants) == 1 and not config.get("ShadowProductionVariants")
    tags = client.get_paginator("list_tags").paginate(ResourceArn=endpoint["EndpointArn"])
    words = {tag["Key"]: tag["Value"] for page in tags for tag in page["Tags"]}
    return Endpoint(
        arn=endpoint["EndpointArn"],
        status=endpoint["EndpointStatus"],
        variants=variants,
        alone=alone,
        package=_package(client, variants[0].get("ModelName")) if alone else "",
        kept={name: value for name, value in config.items() if name not in IDENTITY},
        acted_on=words.get(TAG, ""),
        has_deployment="LastDeploymentConfig" in endpoint,
    )


def _live(variant: dict[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """A configured variant with as many instances as it has now."""
    count = live.get(variant["VariantName"], {}).get("DesiredInstanceCount")
    return {**variant, "InitialInstanceCount": count} if count else dict(variant)


def _making(wish: Wish, arn: str, there: Endpoint | None) -> list[Request]:
    """A model of the version, and a configuration that serves it alone, like the live one."""
    version = arn.rpartition("/")[2]
    prefix = wish.endpoint[:LONGEST_PREFIX].rstrip("-")
    model = f"{prefix}-v{version}-{_digest(arn, wish.role_arn)}"
    live = there.variants if there else []
    name = live[0]["VariantName"] if len(live) == 1 else VARIANT
    template = live[0] if live else {"InstanceType": wish.instance_type, "InitialInstanceCount": 1}
    variant = {**template, "VariantName": name, "ModelName": model, "InitialVariantWeight": 1.0}
    members = {"ProductionVariants": [variant], **(there.kept if there else {})}
    config = f"{model}-{_digest(members, name)}"
    tags = _tags(wish, version=version)
    return [
        (
            "create_model",
            {
                "ModelName": model,
                "ExecutionRoleArn": wish.role_arn,
                "PrimaryContainer": {"ModelPackageName": arn},
                "Tags": tags,
            },
        ),
        (
            "create_endpoint_config",
            {
                "EndpointConfigName": config,
                **members,
                "Tags": [*tags, {"Key": "champion", "Value": name}],
            },
        ),
    ]


def _tags(wish: Wish, **more: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in {**wish.tags, **more}.items()]


def _package(client: Any, model: str | None) -> str:
    """The ARN of the version that a model is of; empty when nobody registered it."""
    if model is None:
        return ""
    try:
        found = client.describe_model(ModelName=model)
    except ClientError as error:
        if _says(error, FREE):
            return ""
        raise
    containers = [found.get("PrimaryContainer", {}), *found.get("Containers", [])]
    return next((each["ModelPackageName"] for each in containers if "ModelPackageName" in each), "")


def _decided(package: dict[str, Any]) -> datetime:
    moment: datetime = package.get("LastModifiedTime") or package["CreationTime"]
    return moment.astimezone(UTC)


def _is_busy(client: Any, endpoint: str) -> bool:
    return str(client.describe_endpoint(EndpointName=endpoint)["EndpointStatus"]) in BUSY


def _digest(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:6]


def _says(error: ClientError, words: tuple[str, ...]) -> bool:
    return any(each in error.response["Error"]["Message"].lower() for each in words)
