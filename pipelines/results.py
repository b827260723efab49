"""What an execution produced, gathered once it has ended: one plain dict, for people and --json.

    evaluation.json -> models against gates;  Register -> version;  Endpoint -> one real answer;
    report.html and Data Docs -> build/report-<problem>/

Showing it is pipelines/console.py.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from pipelines import execution, settings
from pipelines.settings import Settings
from steps.problem import Problem

REPORTS = Path("build")
FIRST_ROWS_BYTES = 1 << 16

Steps = list[dict[str, Any]]
# Of a pipeline that is not ours nothing is known but its steps.
NOTHING: dict[str, Any] = {
    "models": [],
    "model_package": None,
    "endpoint": None,
    "prediction": None,
    "report": {},
}


def steps_summary(steps: Steps) -> list[dict[str, Any]]:
    """Name, status, seconds, whether it was reused, and the job, of every step that started."""
    return [
        {
            "name": step["StepName"],
            "status": step["StepStatus"],
            "seconds": round(execution.seconds(step) or 0.0, 2),
            "cached": execution.is_cached(step),
            "job": (execution.job(step) or ("", None))[1],
        }
        for step in steps
    ]


def gather(place: Settings, problem: Problem, steps: Steps) -> dict[str, Any]:
    """Everything that the steps which succeeded left behind."""
    client, s3 = settings.sagemaker(place), settings.s3(place)
    report = download_reports(client, s3, problem, steps)
    return {
        "models": model_results(problem, report),
        "model_package": model_package(client, steps),
        "endpoint": endpoint(client, problem, steps),
        "prediction": prediction(place, problem, steps),
        "report": {name: str(path) for name, path in report.items()},
    }


def download_reports(client: Any, s3: Any, problem: Problem, steps: Steps) -> dict[str, Path]:
    """Evaluation and Data Docs under build/report-<problem>/; the files worth opening."""
    folder = REPORTS / f"report-{problem.name}"
    shutil.rmtree(folder, ignore_errors=True)  # an earlier run's pages are not this one's
    found: dict[str, Path] = {}
    for step, output, names in (
        ("Validate", "validation", {"data_docs": "data_docs/index.html"}),
        (
            "Evaluate",
            "evaluation",
            {"report": "report.html", "evaluation": "evaluation.json"},
        ),
    ):
        uri = execution.output_uri(client, steps, step, output)
        if uri is not None:
            download(s3, uri, folder / output)
            found |= {key: folder / output / name for key, name in names.items()}
    return {key: path for key, path in found.items() if path.exists()}


def download(s3: Any, uri: str, folder: Path) -> None:
    """Every object under an S3 prefix, as files under folder."""
    bucket, prefix = _split(uri)
    prefix = prefix.rstrip("/") + "/"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            path = folder / entry["Key"].removeprefix(prefix)
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"s3://{bucket}/{entry['Key']} would be written outside {folder}")
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, entry["Key"], str(path))


def model_results(problem: Problem, report: dict[str, Path]) -> list[dict[str, Any]]:
    """Each model's metric against its gate, as evaluation.json has it."""
    if "evaluation" not in report:
        return []
    judged = json.loads(report["evaluation"].read_text("utf-8"))["models"]
    return [
        {
            "name": model.name,
            "kind": model.kind,
            **{key: judged[model.name]["gate"][key] for key in ("metric", "direction")},
            "threshold": judged[model.name]["gate"]["threshold"],
            **judged[model.name]["metrics"][model.metric],
            "passed": judged[model.name]["gate"]["passed"],
            "limits": {
                measure: found
                for measure, found in judged[model.name].get("fairness_limits", {}).items()
                if "limit" in found
            },
        }
        for model in problem.models
        if model.name in judged
    ]


def model_package(client: Any, steps: Steps) -> dict[str, Any] | None:
    """The version that was registered; None when it did not come to that."""
    arn = _metadata(steps, "RegisterModel").get("Arn")
    if arn is None:
        return None
    described = client.describe_model_package(ModelPackageName=arn)
    return {
        "arn": arn,
        "group": described["ModelPackageGroupName"],
        "version": described["ModelPackageVersion"],
        "approval": described["ModelApprovalStatus"],
    }


def endpoint(client: Any, problem: Problem, steps: Steps) -> dict[str, Any] | None:
    """The endpoint that this execution created or updated; None when it did not."""
    if not _metadata(steps, "Endpoint"):
        return None
    name = problem.deploy.endpoint
    return {
        "name": name,
        "status": client.describe_endpoint(EndpointName=name)["EndpointStatus"],
    }


def prediction(place: Settings, problem: Problem, steps: Steps) -> dict[str, Any] | None:
    """One row that no model has seen, what the endpoint answers to it, and what really happened."""
    uri = execution.output_uri(settings.sagemaker(place), steps, "Prepare", "test")
    if uri is None or not _metadata(steps, "Endpoint"):
        return None
    row = first_row(settings.s3(place), f"{uri.rstrip('/')}/rows.csv")
    features = {
        column.name: "" if row[column.name] in problem.data.missing else row[column.name]
        for column in problem.features
    }
    try:
        answered = settings.sagemaker_runtime(place).invoke_endpoint(
            EndpointName=problem.deploy.endpoint,
            ContentType="text/csv",
            Accept="application/json",
            Body=_csv(features),
        )
    except ClientError as error:
        return {"features": features, "error": str(error)}
    body = json.loads(answered["Body"].read())
    return {
        "features": features,
        "answer": body["predictions"][0],
        "model_version": body.get("model_version"),
        "truth": {model.name: row[model.target] for model in problem.models},
    }


def first_row(s3: Any, uri: str) -> dict[str, str]:
    """The first row of a CSV with a header; only its beginning is read."""
    bucket, key = _split(uri)
    beginning = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{FIRST_ROWS_BYTES - 1}")
    text = beginning["Body"].read().decode("utf-8", errors="ignore")
    return next(csv.DictReader(io.StringIO(text, newline="")))


def _csv(row: dict[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, row, lineterminator="\n")
    writer.writeheader()
    writer.writerow(row)
    return text.getvalue().encode()


def _metadata(steps: Steps, kind: str) -> dict[str, Any]:
    """Metadata of that kind, of the step of this execution that succeeded with it."""
    for step in steps:
        if step["StepStatus"] == "Succeeded" and kind in step.get("Metadata", {}):
            return dict(step["Metadata"][kind])
    return {}


def _split(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")
