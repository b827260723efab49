"""What an endpoint serves right now, and waiting until it has settled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from deploy.commands import DeployError

# How SageMaker says that there is nothing of that name; its error code does not tell.
FREE = ("could not find", "does not exist", "not found", "could not be found")


def served(client: Any, name: str) -> dict[str, Any] | None:
    """What an endpoint serves: status, config, variants with their models; None without one."""
    endpoint = _described(client.describe_endpoint, EndpointName=name)
    if endpoint is None:
        return None
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    variants = []
    for variant in config["ProductionVariants"]:
        model = _described(client.describe_model, ModelName=variant["ModelName"]) or {}
        containers = [model.get("PrimaryContainer", {}), *model.get("Containers", [])]
        package = next((c["ModelPackageName"] for c in containers if "ModelPackageName" in c), "")
        variants.append({**variant, "package": package})
    return {
        "status": endpoint["EndpointStatus"],
        "reason": endpoint.get("FailureReason", ""),
        "config": config["EndpointConfigName"],
        "variants": variants,
    }


def wait(
    client: Any,
    name: str,
    poll_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Until the endpoint has settled; InService, or DeployError with the reason."""
    while True:
        endpoint = client.describe_endpoint(EndpointName=name)
        status = str(endpoint["EndpointStatus"])
        if status == "InService":
            return status
        if status in ("Failed", "OutOfService", "UpdateRollbackFailed"):
            raise DeployError(f"Endpoint {name} is {status}: {endpoint.get('FailureReason', '')}")
        sleep(poll_seconds)


def _described(describe: Callable[..., Any], **name: str) -> dict[str, Any] | None:
    try:
        return dict(describe(**name))
    except ClientError as error:
        if any(words in error.response["Error"]["Message"].lower() for words in FREE):
            return None
        raise


def version_of(arn: str) -> str:
    return arn.rpartition("/")[2] or "unregistered"
