"""The metrics a job leaves for CloudWatch: JSON lines that the platform publishes."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steps.monitors.environment import Settings


def write(root: Path, settings: Settings, metrics: Iterable[Mapping[str, Any]]) -> None:
    """Each metric has MetricName and Value or StatisticValues; names of endpoint and schedule, the
    time and the unit are added."""
    names = {"Endpoint": settings.endpoint, "MonitoringSchedule": settings.schedule}
    shared = {
        "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Dimensions": [{"Name": key, "Value": value} for key, value in names.items() if value],
        "Unit": "None",
    }
    path = root / "output" / "metrics" / "cloudwatch" / "cloudwatch_metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({**line, **shared}) + "\n" for line in metrics))
