"""A deployment under a load that never stops asking; for the tests of deployment guardrails."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from tests.local_sagemaker.hosting import ask, create_config, create_model, deploy, variant

BROKEN = "raise RuntimeError('this model is broken')"


def sized(percent: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": percent}


def instances(count: int) -> dict[str, Any]:
    return {"Type": "INSTANCE_COUNT", "Value": count}


def guarded(*alarms: str) -> dict[str, Any]:
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}}


def blue_green(
    kind: str = "ALL_AT_ONCE", wait: int = 0, termination: int = 0, **more: Any
) -> dict[str, Any]:
    """A DeploymentConfig; a CanarySize or a LinearStepSize, and of the policy the rest."""
    sizes = {name: more.pop(name) for name in ("CanarySize", "LinearStepSize") if name in more}
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": termination,
            **more,
        }
    }


def rolling(batch: dict[str, Any], wait: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "RollingUpdatePolicy": {"MaximumBatchSize": batch, "WaitIntervalInSeconds": wait, **more}
    }


def two_versions(local: Any, sagemaker: Any, count: int = 2, code: str | None = None) -> None:
    """Endpoint e of config e-1 with model `one`; config c2 with model `two`."""
    deploy(local, sagemaker, variant(create_model(local, sagemaker), InitialInstanceCount=count))
    given = {"code": code} if code else {}
    two = create_model(local, sagemaker, "two", **given)
    create_config(sagemaker, "c2", variant(two, InitialInstanceCount=count))


def update(sagemaker: Any, config: dict[str, Any] | None, name: str = "c2", **more: Any) -> None:
    given = {"DeploymentConfig": config} if config else {}
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=name, **given, **more)


def pending(sagemaker: Any) -> dict[str, Any]:
    """What the new fleet's only variant is said to be doing; empty before and after."""
    found = sagemaker.describe_endpoint(EndpointName="e").get("PendingDeploymentSummary", {})
    return dict(found["ProductionVariants"][0]) if found else {}


def message(sagemaker: Any) -> str:
    return str(pending(sagemaker).get("VariantStatus", [{}])[0].get("StatusMessage", ""))


def until_says(local: Any, sagemaker: Any, words: str) -> None:
    local.until_true(lambda: words in message(sagemaker))


def shares(runtime: Any, number: int = 200) -> Counter[str]:
    """Who answered so many requests."""
    return Counter(ask(runtime).split()[0] for _ in range(number))


def set_alarm(local: Any, name: str, state: str) -> None:
    """An alarm of the neighbour's CloudWatch in this state."""
    client = alarms_client(local)
    client.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName=name,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
    client.close()


def alarms_client(local: Any) -> Any:
    from tests.local_sagemaker.conftest import new_client

    return new_client("cloudwatch", local.plane.config.s3_endpoint)


class Load:
    """Threads that ask all the time; what they were told, and what failed."""

    def __init__(self, runtime: Any, threads: int = 3) -> None:
        self.told: Counter[str] = Counter()
        self.failures: list[Exception] = []
        self._runtime = runtime
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(20)

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                self.told[ask(self._runtime)] += 1
            except Exception as failure:  # noqa: BLE001 - every failure is counted
                self.failures.append(failure)
