"""Scaling around an update of an endpoint: what AWS wants deregistered, and how it comes back.

    remember (Parameter Store) -> deregister -> the update, to its end -> register again -> forget

AWS wants a variant deregistered before UpdateEndpoint changes its instance type or takes it away,
and forgets its policies and scheduled actions with that. Any other update leaves the targets as
they are: Application Auto Scaling waits for the endpoint, and then tries again. What was
deregistered is remembered in the parameter `scaling` beside the active version, so that what a
killed command left undone is done by the next one that changes the endpoint (work.settled).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from deploy import scaling_targets
from deploy.commands import DeployError
from deploy.scaling_targets import Scaled
from deploy.served import served, tell

if TYPE_CHECKING:
    from deploy.work import Work

# A parameter's most characters; Intelligent-Tiering makes it an advanced one above 4096.
LONGEST = 8192

Variants = dict[str, dict[str, Any]]


@contextmanager
def around(work: Work, there: dict[str, Any], config: str, *, wait: bool) -> Iterator[None]:
    """The endpoint may be brought to this configuration in here, and to its end. When the update
    fails, or goes on after an interrupt, the variants that are there are scaled again, at once or
    by the next command.
    """
    scaled = scaling_targets.of_endpoint(work.scaling, work.endpoint, list(_named(there)))
    # An endpoint without targets costs no further request.
    fresh = _configured(work, config) if scaled else {}
    touched = [each for each in scaled if _is_touched(each, _named(there), fresh)]
    if not touched:
        yield
        return
    if not wait:
        raise _needs_waiting(work, touched)
    _remember(work, touched)
    try:
        scaling_targets.remove(work.requests, work.scaling, touched)
        yield
    except BaseException:
        _try_to_bring_back(work)
        raise
    if work.dry_run:
        _restore(work, touched, fresh, [])
    else:
        bring_back(work, served(work.sagemaker, work.endpoint))


def bring_back(work: Work, there: dict[str, Any] | None) -> None:
    """Register what is remembered and not there, of the variants that are left; then forget it.
    What somebody has set since stays as it is. Until the endpoint is in service nothing is done.
    """
    kept = _remembered(work)
    if not kept:
        return
    if there is None or there["status"] != "InService":
        tell(f"  the scaling of {work.endpoint} comes back when it is in service: run this again")
        return
    now = scaling_targets.of_endpoint(work.scaling, work.endpoint)
    _restore(work, kept, _named(there), now)


def _try_to_bring_back(work: Work) -> None:
    """Beside an error that is more important than one in here."""
    try:
        bring_back(work, served(work.sagemaker, work.endpoint))
    except (BotoCoreError, ClientError, DeployError) as error:
        tell(f"  the scaling of {work.endpoint} is not back, run this again: {error}")


def _restore(work: Work, kept: list[Scaled], variants: Variants, now: list[Scaled]) -> None:
    left = [each for each in kept if _fits(each, variants.get(each.variant))]
    scaling_targets.restore(work.requests, work.scaling, left, now)
    work.requests.send(work.ssm, "delete_parameter", Name=_parameter(work))


def _is_touched(scaled: Scaled, live: Variants, fresh: Variants) -> bool:
    """Whether AWS wants the target away before the live variant becomes the fresh one."""
    before, after = live.get(scaled.variant), fresh.get(scaled.variant)
    return before is not None and (after is None or _kind(before) != _kind(after))


def _kind(variant: dict[str, Any]) -> tuple[str, bool]:
    """Instance type, and whether there is provisioned concurrency: what can be scaled."""
    serverless = variant.get("ServerlessConfig", {})
    return variant.get("InstanceType", ""), "ProvisionedConcurrency" in serverless


def _fits(scaled: Scaled, variant: dict[str, Any] | None) -> bool:
    """Whether the variant has what the target scales: instances, or provisioned concurrency."""
    if variant is None:
        return False
    instances, concurrency = _kind(variant)
    counted = scaled.target["ScalableDimension"] == scaling_targets.INSTANCES
    return bool(instances) if counted else concurrency


def _named(there: dict[str, Any]) -> Variants:
    return {each["VariantName"]: each for each in there["variants"]}


def _configured(work: Work, config: str) -> Variants:
    """The variants of a configuration, which a dry run has not made."""
    asked = {"EndpointConfigName": config}
    made = [
        each.parameters
        for each in work.requests.made
        if each.operation == "create_endpoint_config" and asked.items() <= each.parameters.items()
    ]
    found = made[-1] if made else work.sagemaker.describe_endpoint_config(**asked)
    return {each["VariantName"]: each for each in found["ProductionVariants"]}


def _needs_waiting(work: Work, touched: list[Scaled]) -> DeployError:
    names = ", ".join(each.variant for each in touched)
    return DeployError(
        f"Endpoint {work.endpoint} scales {names}, whose instance type this update changes, or "
        "which it takes away: its scaling comes back after the update. Leave out --no-wait, or "
        "first `python -m deploy.autoscaling remove`."
    )


def _parameter(work: Work) -> str:
    return f"{work.folder}/scaling"


def _remember(work: Work, scaled: list[Scaled]) -> None:
    text = json.dumps([scaling_targets.plain(each) for each in scaled], sort_keys=True)
    if len(text) > LONGEST:
        raise DeployError(
            f"The scaling of {work.endpoint} takes {len(text)} characters to remember; Parameter "
            f"Store keeps {LONGEST}. Remove it by `python -m deploy.autoscaling remove`, update, "
            "and set it again."
        )
    work.requests.send(
        work.ssm,
        "put_parameter",
        Name=_parameter(work),
        Value=text,
        Type="String",
        Tier="Intelligent-Tiering",
        Overwrite=True,
    )


def _remembered(work: Work) -> list[Scaled]:
    name = _parameter(work)
    try:
        text = str(work.ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return []
        raise
    try:
        return [scaling_targets.unplain(each) for each in json.loads(text)]
    except (ValueError, TypeError, KeyError) as error:
        raise DeployError(
            f"Parameter {name} holds {text[:60]!r}, which is no list of scalable targets; delete "
            "it in Parameter Store, and look at `python -m deploy.autoscaling show`."
        ) from error
