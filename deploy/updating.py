"""Bring an endpoint to another configuration, and make sure that it is there in the end.

Every UpdateEndpoint of these commands is sent here: what has to happen around one has its place in
`to_config`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from deploy import guardrails, rescaling, served
from deploy.commands import DeployError
from deploy.work import Work

# What an update may keep of the live endpoint, against what the new configuration says.
COUNT, WEIGHT = "DesiredInstanceCount", "DesiredWeight"
ROUNDING = 1e-3  # weights travel as 32-bit floats


def to_config(
    work: Work,
    there: dict[str, Any] | None,
    config: str,
    *,
    keep: Sequence[str] = (),
    deployment: dict[str, Any] | None = None,
    wait: bool = True,
) -> None:
    """Create the endpoint with this configuration, or update it to that, and wait for it.

    keep: COUNT, WEIGHT: those of live variants of the same name stay. Raises DeployError when the
    update was taken back. Does nothing when the endpoint is there already.
    """
    if there is not None and there["status"] in served.LOST:
        raise DeployError(
            f"Endpoint {work.endpoint} is {there['status']} ({there['reason']}) and takes no "
            "update; `python -m deploy.endpoint delete`, then do this again."
        )
    with ExitStack() as stack:
        if there is None:
            _create(work, config)
        elif there["config"] != config:
            stack.enter_context(rescaling.around(work, there, config, wait=wait))
            _update(work, config, keep, deployment)
        if wait:
            work.wait()
    if wait and there is not None and not work.dry_run:
        _check(work, config, deployment or {})


def _create(work: Work, config: str) -> None:
    work.requests.send(
        work.sagemaker,
        "create_endpoint",
        EndpointName=work.endpoint,
        EndpointConfigName=config,
        Tags=work.tags(),
    )


def _update(
    work: Work, config: str, keep: Sequence[str], deployment: dict[str, Any] | None
) -> None:
    excluded = [{"VariantPropertyType": each} for each in (COUNT, WEIGHT) if each not in keep]
    kept: dict[str, Any] = {"RetainAllVariantProperties": True} if keep else {}
    kept |= {"ExcludeRetainedVariantProperties": excluded} if keep and excluded else {}
    guarded = {"DeploymentConfig": deployment} if deployment else {}
    work.requests.send(
        work.sagemaker,
        "update_endpoint",
        EndpointName=work.endpoint,
        EndpointConfigName=config,
        **kept,
        **guarded,
    )


def _check(work: Work, config: str, deployment: dict[str, Any]) -> None:
    """InService on the old configuration is how SageMaker says that it went back."""
    endpoint = work.sagemaker.describe_endpoint(EndpointName=work.endpoint)
    if endpoint["EndpointConfigName"] == config:
        return
    alarms = deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    names = [each["AlarmName"] for each in alarms]
    ringing = guardrails.ringing_alarms(guardrails.alarm_states(work.cloudwatch, names))
    reasons = [endpoint.get("FailureReason", ""), ringing]
    raise DeployError(
        f"Endpoint {work.endpoint} was rolled back: it serves {endpoint['EndpointConfigName']} "
        f"again, not {config}. Reason: "
        + ("; ".join(filter(None, reasons)) or "SageMaker gave none; look at its logs and alarms.")
    )


def to_weights(work: Work, weights: dict[str, float]) -> None:
    """Give live variants these weights, and wait. No instance is started or stopped."""
    wishes = [{"VariantName": name, "DesiredWeight": each} for name, each in weights.items()]
    work.requests.send(
        work.sagemaker,
        "update_endpoint_weights_and_capacities",
        EndpointName=work.endpoint,
        DesiredWeightsAndCapacities=wishes,
    )
    work.wait()
    if not work.dry_run:
        _check_weights(work, weights)


def _check_weights(work: Work, weights: dict[str, float]) -> None:
    """A change of weights that failed is InService too, with the old ones."""
    endpoint = work.sagemaker.describe_endpoint(EndpointName=work.endpoint)
    for each in endpoint["ProductionVariants"]:
        wanted = weights.get(each["VariantName"], each["CurrentWeight"])
        if abs(each["CurrentWeight"] - wanted) > ROUNDING:
            raise DeployError(
                f"Variant {each['VariantName']} of endpoint {work.endpoint} has weight "
                f"{each['CurrentWeight']:g}, not {wanted:g}: {endpoint.get('FailureReason', '')}"
            )
