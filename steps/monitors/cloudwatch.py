"""The metrics a job leaves for CloudWatch: JSON lines that the platform publishes."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def write(root: Path, variables: Mapping[str, str], metrics: Iterable[Mapping[str, Any]]) -> None:
    """Each metric has MetricName and Value or StatisticValues, and may have Dimensions of its own;
    those of endpoint and schedule, the time and the unit are added."""
    names = {
        "Endpoint": variables.get("sagemaker_endpoint_name"),
        "MonitoringSchedule": variables.get("sagemaker_monitoring_schedule_name"),
    }
    common = dimensions({name: value for name, value in names.items() if value})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = root / "output" / "metrics" / "cloudwatch" / "cloudwatch_metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as lines:
        for metric in metrics:
            own = [*common, *metric.get("Dimensions", [])]
            line = {**metric, "Timestamp": now, "Dimensions": own, "Unit": "None"}
            lines.write(json.dumps(line) + "\n")


def dimensions(names: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in names.items()]
