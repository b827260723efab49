"""What an endpoint serves right now, and waiting until it has settled."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from deploy.commands import DeployError

# How SageMaker says that there is nothing of that name; its error code does not tell.
FREE = ("could not find", "does not exist", "not found", "could not be found")
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
LOST = ("Failed", "OutOfService", "UpdateRollbackFailed")
# Of an endpoint configuration: its own identity, and the variants; the rest an update keeps.
IDENTITY = (
    "EndpointConfigName",
    "EndpointConfigArn",
    "CreationTime",
    "ProductionVariants",
    "ShadowProductionVariants",
    "ResponseMetadata",
)
# Our own members of a variant begin in lower case, SageMaker's in upper case.
LIVE = {
    "weight": ("CurrentWeight", "InitialVariantWeight"),
    "current": ("CurrentInstanceCount", "InitialInstanceCount"),
    "desired": ("DesiredInstanceCount", "InitialInstanceCount"),
}


def served(client: Any, name: str) -> dict[str, Any] | None:
    """What an endpoint serves: status, config, variants with their models; None without one.

    A variant is that of the configuration, with `package`, `version`, and what it is at this
    moment: `weight`, `current` and `desired` instances. `kept` is what a new configuration has to
    take over.
    """
    endpoint = described(client.describe_endpoint, EndpointName=name)
    if endpoint is None:
        return None
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    return {
        "status": endpoint["EndpointStatus"],
        "reason": endpoint.get("FailureReason", ""),
        "arn": endpoint["EndpointArn"],
        "config": config["EndpointConfigName"],
        "config_arn": config["EndpointConfigArn"],
        "variants": _variants(client, config, endpoint, "ProductionVariants"),
        "shadows": _variants(client, config, endpoint, "ShadowProductionVariants"),
        "pending": endpoint.get("PendingDeploymentSummary"),
        "capture": endpoint.get("DataCaptureConfig"),
        "kept": {name: value for name, value in config.items() if name not in IDENTITY},
    }


def _variants(client: Any, config: Any, endpoint: Any, member: str) -> list[dict[str, Any]]:
    live = {each["VariantName"]: each for each in endpoint.get(member, ())}
    return [
        _variant(client, each, live.get(each["VariantName"], {})) for each in config.get(member, ())
    ]


def _variant(client: Any, variant: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    package = package_of(client, variant.get("ModelName", ""))
    now = {mine: live.get(theirs, variant.get(initial)) for mine, (theirs, initial) in LIVE.items()}
    now["weight"] = 1.0 if now["weight"] is None else now["weight"]
    return {**variant, "package": package, "version": version_of(package), **now}


def package_of(client: Any, model: str) -> str:
    """The ARN of the model package that a model was made from; empty without one."""
    found = (described(client.describe_model, ModelName=model) if model else None) or {}
    containers = [found.get("PrimaryContainer", {}), *found.get("Containers", [])]
    return next((c["ModelPackageName"] for c in containers if "ModelPackageName" in c), "")


def plain(variant: dict[str, Any]) -> dict[str, Any]:
    """A variant's members of SageMaker alone, as CreateEndpointConfig takes them."""
    return {name: value for name, value in variant.items() if name[0].isupper()}


def shares(variants: list[dict[str, Any]]) -> dict[str, float]:
    """Variant name -> its share of the traffic; all 0 when every weight is."""
    total = sum(each["weight"] for each in variants) or 1.0
    return {each["VariantName"]: each["weight"] / total for each in variants}


def existing(client: Any, name: str) -> dict[str, Any]:
    """What the endpoint serves; DeployError when there is no such endpoint."""
    there = served(client, name)
    if there is None:
        raise DeployError(f"There is no endpoint {name}; `python -m deploy.endpoint deploy`.")
    return there


def tell(text: str) -> None:
    """Progress, for people: not part of the answer."""
    print(text, file=sys.stderr, flush=True)


def wait(
    client: Any,
    name: str,
    poll_seconds: float,
    sleep: Callable[[float], None] | None = None,
) -> str:
    """Until the endpoint has settled; InService, or DeployError with the reason. Tells of every
    new phase of an update.
    """
    told = ""
    while True:
        endpoint = client.describe_endpoint(EndpointName=name)
        status = str(endpoint["EndpointStatus"])
        if status == "InService":
            return status
        if status in LOST:
            raise DeployError(f"Endpoint {name} is {status}: {endpoint.get('FailureReason', '')}")
        phases = "; ".join([status, *phases_of(endpoint.get("PendingDeploymentSummary"))])
        if phases != told:
            tell(f"  {phases}")
            told = phases
        (sleep or time.sleep)(poll_seconds)


def phases_of(pending: dict[str, Any] | None) -> list[str]:
    """What each variant of a deployment under way is at, in words."""
    return [_phase(each) for each in (pending or {}).get("ProductionVariants", ())]


def _phase(variant: dict[str, Any]) -> str:
    steps = [
        " ".join(filter(None, (each["Status"], each.get("StatusMessage", ""))))
        for each in variant.get("VariantStatus", ())
    ]
    count = f"{variant.get('CurrentInstanceCount', 0)}/{variant.get('DesiredInstanceCount', '?')}"
    return f"{variant['VariantName']}: {', '.join([*steps, f'{count} instances'])}"


def described(describe: Callable[..., Any], **name: str) -> dict[str, Any] | None:
    """What a Describe call answers; None when there is nothing of that name."""
    try:
        return dict(describe(**name))
    except ClientError as error:
        if any(words in error.response["Error"]["Message"].lower() for words in FREE):
            return None
        raise


def version_of(arn: str) -> str:
    return arn.rpartition("/")[2] or "unregistered"
