"""What is known of a registered version, from the registry, its pipeline execution and S3; and two
of them side by side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from deploy import commands
from deploy.served import FREE

GATE = ".gate"
MEGABYTE = 1_000_000
# Of CustomerMetadataProperties, what the training pipeline wrote about the origin.
ORIGIN = {"data": "data-uri", "code": "code-uri", "execution": "execution"}

Facts = dict[str, Any]


def facts(sagemaker: Any, s3: Any, package: dict[str, Any]) -> Facts:
    """Everything that two versions are compared by; None where nothing is known."""
    kept = package.get("CustomerMetadataProperties", {})
    origin = {name: kept.get(key) for name, key in ORIGIN.items()}
    origin["execution"] = origin["execution"] or package.get("MetadataProperties", {}).get(
        "GeneratedBy"
    )
    containers = package.get("InferenceSpecification", {}).get("Containers", [{}])
    data_url = containers[0].get("ModelDataUrl")
    return {
        "version": package["ModelPackageVersion"],
        "approval": package["ModelApprovalStatus"],
        "created": package["CreationTime"].isoformat(timespec="seconds"),
        "arn": package["ModelPackageArn"],
        "metrics": dict(_numbered(metrics(package))),
        "gates": {
            name.removesuffix(GATE): value for name, value in kept.items() if name.endswith(GATE)
        },
        **origin,
        "model": data_url,
        "size_bytes": _size(s3, data_url),
        "training_seconds": _training_seconds(sagemaker, origin["execution"]),
    }


def metrics(package: dict[str, Any]) -> dict[str, str]:
    """ "churn.auc" -> "0.83...", of what the pipeline wrote into CustomerMetadataProperties."""
    kept = package.get("CustomerMetadataProperties", {})
    return {name: value for name, value in kept.items() if "." in name and not name.endswith(GATE)}


def differences(first: Facts, second: Facts) -> dict[str, float]:
    """second - first of every metric that both have."""
    both = first["metrics"].keys() & second["metrics"].keys()
    return {name: second["metrics"][name] - first["metrics"][name] for name in sorted(both)}


def side_by_side(first: Facts, second: Facts) -> str:
    """A table: one line a fact, what differs in the last column."""
    headers = ("", f"Version {first['version']}", f"Version {second['version']}", "Difference")
    return commands.table(headers, _rows(first, second))


def _rows(first: Facts, second: Facts) -> Iterator[tuple[str, ...]]:
    changed = differences(first, second)
    yield from _pairs(first, second, ("approval", "created"))
    for name in _names(first["metrics"], second["metrics"]):
        cells = (
            f"{each['metrics'][name]:.6g}" if name in each["metrics"] else "-"
            for each in (first, second)
        )
        yield (name, *cells, f"{changed[name]:+.6g}" if name in changed else "")
    for name in _names(first["gates"], second["gates"]):
        yield _pair(f"{name} gate", first["gates"].get(name), second["gates"].get(name))
    for name in ("data", "code"):
        yield _pair(name, *(_digest(each[name]) for each in (first, second)))
    yield _pair(
        "execution", *((each["execution"] or "-").rpartition("/")[2] for each in (first, second))
    )
    yield _numbers("training seconds", first["training_seconds"], second["training_seconds"], 1)
    yield _numbers("size MB", first["size_bytes"], second["size_bytes"], MEGABYTE)


def _pairs(first: Facts, second: Facts, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    for name in names:
        yield _pair(name, first[name], second[name])


def _pair(name: str, first: Any, second: Any) -> tuple[str, ...]:
    said = "" if first == second else "differs"
    return name, str(first or "-"), str(second or "-"), said


def _numbers(name: str, first: float | None, second: float | None, unit: float) -> tuple[str, ...]:
    cells = ("-" if each is None else f"{each / unit:.3f}" for each in (first, second))
    known = first is not None and second is not None
    return name, *cells, f"{((second or 0) - (first or 0)) / unit:+.3f}" if known else ""


def _names(*tables: dict[str, Any]) -> list[str]:
    return sorted({name for table in tables for name in table})


def _digest(uri: str | None) -> str:
    """The content's digest: the folder of s3://bucket/problem/data/<sha256>/file, shortened."""
    folders = [part for part in (uri or "").split("/") if len(part) == 64]
    return folders[0][:12] if folders else uri or "-"


def _numbered(metrics: dict[str, str]) -> Iterator[tuple[str, float]]:
    """Those that are numbers: somebody may have added words of their own."""
    for name, value in metrics.items():
        with contextlib.suppress(ValueError):
            yield name, float(value)


def _size(s3: Any, uri: str | None) -> int | None:
    if uri is None:
        return None
    place = urlsplit(uri)
    try:
        return int(s3.head_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["ContentLength"])
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchBucket"):
            return None
        raise


def _training_seconds(sagemaker: Any, execution: str | None) -> float | None:
    """Of all training jobs of an execution; None without one, or once it is gone."""
    if execution is None:
        return None
    try:
        pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
            PipelineExecutionArn=execution
        )
        steps = [step for page in pages for step in page["PipelineExecutionSteps"]]
        jobs = [step["Metadata"]["TrainingJob"]["Arn"] for step in steps if _trains(step)]
        described = [
            sagemaker.describe_training_job(TrainingJobName=arn.rpartition("/")[2]) for arn in jobs
        ]
    except ClientError as error:
        if any(words in error.response["Error"]["Message"].lower() for words in FREE):
            return None
        raise
    times = [each.get("TrainingTimeInSeconds") for each in described]
    return float(sum(times)) if times and None not in times else None


def _trains(step: dict[str, Any]) -> bool:
    return "TrainingJob" in step.get("Metadata", {})
