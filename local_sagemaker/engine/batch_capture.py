"""DataCaptureConfig of a batch transform: which objects went in and what came out, as manifests.

    <DestinationS3Uri>/input/yyyy/mm/dd/hh/<job>.json    [{"prefix": "s3://in/"}, "a.csv", ...]
    <DestinationS3Uri>/output/yyyy/mm/dd/hh/<job>.json   [{"prefix": "s3://out/"}, "a.csv.out", ...]

The hour is that in which the job started, UTC; the n-th names of both belong together. Source:
developer guide, "Capture data from batch transform job"; how AWS names the file it does not say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from local_sagemaker.engine import batches
from local_sagemaker.plane import Plane
from local_sagemaker.storage import Found
from local_sagemaker.store import Row


def written_time(row: Row) -> str:
    """The start of the job as the records of its output bear it."""
    return _started(row).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(plane: Plane, row: Row, done: Sequence[Found], folder: Path) -> None:
    """Both manifests, of the objects that were transformed; nothing without a DataCaptureConfig.
    `folder` is where they are put together. Raises StorageError.
    """
    config = row.get("DataCaptureConfig")
    if config is None or not done:
        return
    source = str(row["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    path = str(row["TransformOutput"]["S3OutputPath"])
    sides = {
        "input": _manifest(source, [each.place.uri for each in done]),
        "output": _manifest(f"{path}/", [batches.target(path, each) for each in done]),
    }
    hour = _started(row).strftime("%Y/%m/%d/%H")
    root = str(config["DestinationS3Uri"]).rstrip("/")
    for side, manifest in sides.items():
        file = folder / f"captured-{side}.json"
        file.write_text(json.dumps(manifest))
        plane.storage.upload(file, f"{root}/{side}/{hour}/{row['TransformJobName']}.json")


def _manifest(place: str, uris: Sequence[str]) -> list[object]:
    """Names below the folder of `place`, or of what all have in common: they lie in one bucket."""
    prefix = f"{place.rstrip('/')}/" if place.endswith("/") else _folder(place)
    if not all(each.startswith(prefix) for each in uris):
        prefix = min((_folder(each) for each in uris), key=len)
    while not all(each.startswith(prefix) for each in uris):
        prefix = _folder(prefix.rstrip("/"))
    return [{"prefix": prefix}, *(each.removeprefix(prefix) for each in uris)]


def _folder(uri: str) -> str:
    return uri.rpartition("/")[0] + "/"


def _started(row: Row) -> datetime:
    return datetime.fromtimestamp(row["TransformStartTime"], UTC)
