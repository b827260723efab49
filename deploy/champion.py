"""May a version take the champion's place? Not when it predicts worse on the same test rows.

The champion is the newest other Approved version. Of both versions what Evaluate wrote is fetched
from S3 and `python -m steps.compare` answers: no model runs here, and no interval is computed here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from deploy import commands
from deploy.commands import DeployError
from pipelines.settings import PROJECT

FILES = ("evaluation.json", "predictions.npz")
GONE = ("404", "NoSuchKey", "NoSuchBucket")

Package = dict[str, Any]


def of(summaries: list[Package]) -> Package | None:
    """The newest Approved version, of summaries newest first: who asks is not Approved yet."""
    return next((each for each in summaries if each["ModelApprovalStatus"] == "Approved"), None)


def compared(s3: Any, champion: Package, challenger: Package) -> dict[str, Any]:
    """What steps.compare says of two described versions. Raises DeployError with the reason why
    they cannot be compared.
    """
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, name) for name in ("champion", "challenger")]
        for place, package in zip(places, (champion, challenger), strict=True):
            _fetch(s3, package, place)
        done = subprocess.run(
            [sys.executable, "-m", "steps.compare", *map(str, places)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise DeployError(
            f"Versions {_numbers(champion, challenger)} cannot be compared: "
            f"{done.stderr.strip().removeprefix('error: ')[-600:]}"
        )
    return {
        "champion": champion["ModelPackageVersion"],
        "challenger": challenger["ModelPackageVersion"],
        **json.loads(done.stdout),
    }


def worse(comparison: dict[str, Any]) -> list[str]:
    """The models that the challenger is worse at."""
    return [name for name, each in comparison["models"].items() if each["worse"]]


def table(comparison: dict[str, Any]) -> str:
    """For people: each model's metric of both, and the interval of the gain."""
    rows = (
        (
            name,
            each["metric"],
            f"{each['champion']:.4f}",
            f"{each['challenger']:.4f}",
            f"{each['gain']:+.4f}",
            f"{each['low']:+.4f} to {each['high']:+.4f}",
            "worse" if each["worse"] else "not worse",
        )
        for name, each in comparison["models"].items()
    )
    old, new = comparison["champion"], comparison["challenger"]
    headers = ("Model", "Metric", f"v{old}", f"v{new}", "Gain", "95 % interval", "Verdict")
    told = f"Version {new} against the champion, version {old}, on {comparison['rows']} test rows"
    return f"{told}\n{commands.table(headers, rows)}"


def _fetch(s3: Any, package: Package, folder: Path) -> None:
    quality = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {})
    if "S3Uri" not in quality:
        raise DeployError(
            f"Version {package['ModelPackageVersion']} names no ModelMetrics.ModelQuality, so what "
            "it was measured to be is not known."
        )
    uri = urlsplit(quality["S3Uri"])
    folder.mkdir()
    for name in FILES:
        key = f"{uri.path.lstrip('/').rpartition('/')[0]}/{name}"
        try:
            s3.download_file(uri.netloc, key, str(folder / name))
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            raise DeployError(
                f"s3://{uri.netloc}/{key} is not there: version {package['ModelPackageVersion']} "
                "was evaluated before predictions were kept, or they were deleted."
            ) from error


def _numbers(*packages: Package) -> str:
    return " and ".join(str(each["ModelPackageVersion"]) for each in packages)
