"""The one configuration object of a running local SageMaker, and where its home is.

Built once, by the command line (or a test), and passed along inside the Plane. Nobody else reads
`os.environ`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ACCOUNT = "000000000000"
DEFAULT_PORT = 8600
DEFAULT_S3_PORT = 8601
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Config:
    """What one local SageMaker is started with; nothing in it changes while it runs."""

    home: Path
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    s3_endpoint: str = f"http://{LOOPBACK}:{DEFAULT_S3_PORT}"
    region: str = "us-east-1"
    account: str = ACCOUNT
    slots: int = field(default_factory=lambda: os.cpu_count() or 1)
    preload: tuple[str, ...] = ()
    # The user's own images (own_images.py); None: images.yaml in the home, if it is there.
    images: Path | None = None
    # For S3 and inside jobs. MiniStack takes any; a foreign --s3-endpoint gets the caller's own.
    access_key: str = "test"
    secret_key: str = "test"  # noqa: S105 - the emulator's well-known word, no secret

    @property
    def endpoint(self) -> str:
        """Where our API listens."""
        return f"http://{self.host}:{self.port}"


def home_directory(environ: Mapping[str, str]) -> Path:
    """LOCAL_SAGEMAKER_HOME, else `.local-sagemaker` in the current directory; absolute."""
    return Path(environ.get("LOCAL_SAGEMAKER_HOME") or ".local-sagemaker").absolute()


def images_file(environ: Mapping[str, str]) -> Path | None:
    given = environ.get("LOCAL_SAGEMAKER_IMAGES")
    return Path(given).absolute() if given else None


def region(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION") or "us-east-1"


def client_environment(config: Config) -> dict[str, str]:
    """The variables with which any AWS SDK finds this local SageMaker instead of AWS."""
    return {
        "AWS_ENDPOINT_URL": config.s3_endpoint,
        "AWS_ENDPOINT_URL_SAGEMAKER": config.endpoint,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": config.endpoint,
        "AWS_ENDPOINT_URL_SAGEMAKER_METRICS": config.endpoint,
        "AWS_ACCESS_KEY_ID": config.access_key,
        "AWS_SECRET_ACCESS_KEY": config.secret_key,
        "AWS_DEFAULT_REGION": config.region,
        "AWS_REGION": config.region,
        "SAGEMAKER_VALIDATE_ROLE": "false",
    }
