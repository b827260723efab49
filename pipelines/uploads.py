"""Content-addressed uploads: the code bundle and the data, each put into S3 once.

    s3://<bucket>/<problem>/code/<sha>/...        and code/<sha>.complete, written last
    s3://<bucket>/<problem>/data/<sha>/<file>

Nothing here decides what is uploaded (pipelines/bundle.py, pipelines/data.py).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from pipelines.bundle import Bundle

MARKER = ".complete"  # beside the prefix, so that jobs do not download it
_CHUNK_BYTES = 1 << 20


def ensure_bucket(s3: Any, bucket: str, region: str) -> bool:
    """Create the bucket when it does not exist; True when it was created."""
    if _head(s3.head_bucket, Bucket=bucket):
        return False
    # us-east-1 is the one region that S3 refuses as a LocationConstraint.
    where = {} if region == "us-east-1" else {"LocationConstraint": region}
    s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))
    return True


def upload_bundle(s3: Any, bucket: str, problem_name: str, bundle: Bundle) -> bool:
    """Put the bundle where its uri says; False when it is there already."""
    prefix = bundle.prefix(problem_name)
    marker = f"{prefix}{MARKER}"
    if _head(s3.head_object, Bucket=bucket, Key=marker):
        return False
    for path, body in bundle.objects().items():
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{path}", Body=body)
    s3.put_object(Bucket=bucket, Key=marker, Body=b"")
    return True


def data_key(problem_name: str, path: Path) -> str:
    """The key that a data file's content and name give it."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", path.name)
    return f"{problem_name}/data/{file_sha256(path)[:20]}/{name}"


def upload_data(s3: Any, bucket: str, key: str, path: Path) -> bool:
    """Put the data file there; False when it is there already."""
    if _head(s3.head_object, Bucket=bucket, Key=key):
        return False
    s3.upload_file(str(path), bucket, key)
    return True


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _head(call: Any, **names: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        call(**names)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchBucket", "NotFound"):
            return False
        raise
    return True
