"""What AWS refuses of a DeploymentConfig, before anything of it is done."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from local_sagemaker.engine import deployment
from local_sagemaker.engine.deployment import Counts, Row, Size
from local_sagemaker.errors import validation


class Limit(NamedTuple):
    """Which part of a variant's instances a size may be."""

    low: int  # percent
    high: int
    words: str


LIMITS = {
    "CanarySize": Limit(0, 50, "less than or equal to 50%"),
    "LinearStepSize": Limit(10, 50, "10-50%"),
    "MaximumBatchSize": Limit(5, 50, "between 5% to 50%"),
    "RollbackMaximumBatchSize": Limit(0, 100, "at most 100%"),
}
SIZES = {"ALL_AT_ONCE": None, "CANARY": "CanarySize", "LINEAR": "LinearStepSize"}


def check_form(config: Row) -> None:
    """Refuse what no endpoint can have."""
    if "BlueGreenUpdatePolicy" in config and "RollingUpdatePolicy" in config:
        raise validation(
            "DeploymentConfig has BlueGreenUpdatePolicy and RollingUpdatePolicy; only one update "
            "policy should be used in the deployment configuration."
        )
    routing = deployment.policy(config).get("TrafficRoutingConfiguration", {})
    needed = SIZES[routing["Type"]] if routing else None
    for member in filter(None, SIZES.values()):
        if (member in routing) != (member == needed):
            verb = "must" if member == needed else "must not"
            raise validation(
                f"{member} {verb} be specified when the TrafficRoutingConfiguration type is "
                f"{routing['Type']}."
            )
    names = deployment.alarms(config)
    if len(set(names)) < len(names):
        raise validation("AutoRollbackConfiguration.Alarms names an alarm twice; name each once.")


def check(config: Row, serverless: bool, old: Counts, new: Counts) -> None:
    """Refuse what this update of an endpoint from these instances to those cannot have."""
    check_form(config)
    if serverless:
        raise validation(
            "DeploymentConfig is not supported for serverless endpoints: deployment guardrails "
            "only apply to asynchronous inference and real-time inference endpoints."
        )
    if deployment.is_rolling(config) and max(len(old), len(new)) > 1:
        raise validation(
            "RollingUpdatePolicy is not supported for endpoints with multiple production variants."
        )
    _check_sizes(config, new)
    if _shifts_in_parts(config) and set(old) != set(new):
        raise validation(
            "The variant names of the new endpoint configuration "
            f"({', '.join(sorted(new))}) must be those of the endpoint ({', '.join(sorted(old))}) "
            "to shift traffic in parts; use ALL_AT_ONCE, or the same names."
        )
    _check_timeout(config, new)


def _shifts_in_parts(config: Row) -> bool:
    routing = deployment.policy(config).get("TrafficRoutingConfiguration", {})
    return deployment.is_rolling(config) or routing.get("Type") != "ALL_AT_ONCE"


def _check_sizes(config: Row, counts: Counts) -> None:
    chosen = deployment.policy(config)
    given = {**chosen, **chosen.get("TrafficRoutingConfiguration", {})}
    for member, limit in LIMITS.items():
        if member not in given:
            continue
        size = Size.of(given[member])
        for name, count in counts.items():
            _check_size(member, size, name, count, limit)


def _check_size(member: str, size: Size, name: str, count: int, limit: Limit) -> None:
    part = Fraction(size.value, 1 if size.percent else max(count, 1)) * (1 if size.percent else 100)
    if limit.low <= part <= limit.high:
        return
    unit = "%" if size.percent else f" of {count} instance(s)"
    raise validation(
        f"{member} of {size.value}{unit} is not allowed for variant {name}: Value must be "
        f"{limit.words} of the variant's total instance count."
    )


def _check_timeout(config: Row, counts: Counts) -> None:
    waits, most = deployment.waiting(config, counts), deployment.timeout(config)
    if waits >= most:
        raise validation(
            f"MaximumExecutionTimeoutInSeconds ({most}) must be larger than the total waiting time "
            f"specified in TerminationWaitInSeconds and WaitIntervalInSeconds ({waits})."
        )
