"""The CloudWatch alarms that guard a deployment, as the neighbour knows them."""

from __future__ import annotations

from local_sagemaker.engine import services
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane

TYPES = ("MetricAlarm", "CompositeAlarm")


def check(plane: Plane, names: list[str]) -> None:
    """Refuse names of alarms that there are not. Raises ApiError."""
    missing = sorted(set(names) - set(_states(plane, names)))
    if missing:
        raise validation(
            f"AutoRollbackConfiguration: could not find CloudWatch alarm {', '.join(missing)}; "
            "create it with PutMetricAlarm first."
        )


def tripped(plane: Plane, names: list[str]) -> list[str]:
    """Those in state ALARM now; INSUFFICIENT_DATA is no alarm. Raises ApiError."""
    return sorted(name for name, state in _states(plane, names).items() if state == "ALARM")


def _states(plane: Plane, names: list[str]) -> dict[str, str]:
    if not names:
        return {}
    with services.refusals("DescribeAlarms of the deployment's alarms"):
        answer = services.client(plane, "cloudwatch").describe_alarms(
            AlarmNames=names, AlarmTypes=list(TYPES)
        )
    found = [alarm for type_ in TYPES for alarm in answer.get(f"{type_}s", ())]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}
