"""What the job was asked: the container's environment variables, read once and checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

CAPTURED = ("endpointOutput", "endpointInput")
FORMATS = ("csv", "json", "parquet", "sagemakerCaptureJson")


class MonitorError(Exception):
    """The job cannot be done; the message says why and what to change."""


@dataclass(frozen=True)
class Settings:
    """One data-quality job."""

    kind: str
    options: Mapping[str, Any]
    source: Path
    output: Path
    constraints: Path | None
    statistics: Path | None
    start: datetime | None
    end: datetime | None
    schedule: str
    endpoint: str
    publish: bool
    preprocessor: Path | None
    post_processor: Path | None
    drift_method: str


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in these variables. Raises MonitorError naming the variable."""
    kind, options = _format(_needed(environment, "dataset_format"))
    return Settings(
        kind=kind,
        options=options,
        source=Path(_needed(environment, "dataset_source")),
        output=Path(_needed(environment, "output_path")),
        constraints=_path(environment, "baseline_constraints"),
        statistics=_path(environment, "baseline_statistics"),
        start=_time(environment, "start_time"),
        end=_time(environment, "end_time"),
        schedule=environment.get("sagemaker_monitoring_schedule_name", ""),
        endpoint=environment.get("sagemaker_endpoint_name", ""),
        publish=environment.get("publish_cloudwatch_metrics") == "Enabled",
        preprocessor=_path(environment, "record_preprocessor_script"),
        post_processor=_path(environment, "post_analytics_processor_script"),
        drift_method=environment.get("categorical_drift_method", ""),
    )


def instant(text: str) -> datetime:
    """An ISO time; without a zone it is UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else datetime.fromisoformat(text + "+00:00")


def _needed(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise MonitorError(f"{name} is not set; give it in the job's Environment")
    return environment[name]


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    return Path(environment[name]) if environment.get(name) else None


def _time(environment: Mapping[str, str], name: str) -> datetime | None:
    try:
        return instant(environment[name]) if environment.get(name) else None
    except ValueError:
        raise MonitorError(f"{name} is {environment[name]!r}; write 2026-01-31T13:00:00Z") from None


def _format(text: str) -> tuple[str, Mapping[str, Any]]:
    try:
        ((kind, options),) = json.loads(text).items()
    except (ValueError, AttributeError):
        raise MonitorError(f'dataset_format is {text!r}; write {{"csv": {{...}}}}') from None
    if kind not in FORMATS:
        raise MonitorError(f"dataset_format {kind!r} is not one of {', '.join(FORMATS)}")
    options = options or {}
    if (position := options.get("output_columns_position", "START")) != "START":
        raise MonitorError(f"output_columns_position {position!r} is not supported; use START")
    names = options.get("captureIndexNames", CAPTURED)
    if unknown := [name for name in names if name not in CAPTURED]:
        allowed = " and ".join(CAPTURED)
        raise MonitorError(f"captureIndexNames {unknown[0]!r} is not supported; use {allowed}")
    return kind, options
