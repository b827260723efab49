"""The one configuration object of a running local SageMaker, and where its home is.

Built once, by the command line (or a test), and passed along inside the Plane. Nobody else reads
`os.environ`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_sagemaker.containers.archives import Limits

ACCOUNT = "000000000000"
DEFAULT_PORT = 8600
DEFAULT_S3_PORT = 8601
LOOPBACK = "127.0.0.1"
PLUGINS = Path(__file__).parent / "python_path"


class SettingError(Exception):
    """A variable of the environment has a value that means nothing; the message names both."""


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
    # What an archive that a user gives may unpack to (containers/archives.py).
    archive_limits: Limits = field(default_factory=Limits)
    # Is the S3 a MiniStack of our own, which ends and is wiped with us?
    owns_s3: bool = False
    # The longest that an invocation waits for a model that is being loaded, or a cold start.
    loading_seconds: float = 60.0
    # How many models an instance of a multi-model endpoint keeps in memory.
    loaded_models: int = 8
    # After so long without a request a serverless variant has no model server any more.
    serverless_idle_seconds: float = 300.0
    # For test suites: POST /_reset forgets everything.
    allow_reset: bool = False
    # Seconds of AWS's in a real one, where a deployment waits: 100 bakes 300 seconds in 3.
    time_scale: float = 1.0
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


def allows_reset(environ: Mapping[str, str]) -> bool:
    return environ.get("LOCAL_SAGEMAKER_ALLOW_RESET", "") not in ("", "0")


class TimeScaleError(Exception):
    """LOCAL_SAGEMAKER_TIME_SCALE is no positive number; the message says so."""


def time_scale(environ: Mapping[str, str]) -> float:
    """LOCAL_SAGEMAKER_TIME_SCALE, else 1: real seconds. Raises TimeScaleError."""
    given = environ.get("LOCAL_SAGEMAKER_TIME_SCALE") or "1"
    try:
        return positive(given)
    except ValueError as cause:
        raise TimeScaleError(
            f"LOCAL_SAGEMAKER_TIME_SCALE={given!r} is not a positive number of AWS's seconds in a "
            "real one, such as 100"
        ) from cause


def positive(text: str) -> float:
    """A finite number above 0. Raises ValueError."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"{text} is not a positive number")
    return number


def hosting(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the user has set of how endpoints wait and what they keep. Raises SettingError."""
    found: dict[str, Any] = {}
    for name, read in HOSTING.items():
        given = environ.get(f"LOCAL_SAGEMAKER_{name.upper()}")
        if given:
            try:
                found[name] = read(given)
            except ValueError as cause:
                said = f"LOCAL_SAGEMAKER_{name.upper()}={given} must be a number above 0"
                raise SettingError(said) from cause
    return found


def _seconds(given: str) -> float:
    value = float(given)
    if not 0 < value < float("inf"):
        raise ValueError(given)
    return value


def _count(given: str) -> int:
    value = int(given)
    if value < 1:
        raise ValueError(given)
    return value


HOSTING: dict[str, Callable[[str], float]] = {
    "loading_seconds": _seconds,
    "loaded_models": _count,
    "serverless_idle_seconds": _seconds,
}


def region(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION") or "us-east-1"


def client_environment(config: Config) -> dict[str, str]:
    """The variables with which AWS's SDKs find this local SageMaker instead of AWS."""
    return {
        "AWS_ENDPOINT_URL": config.s3_endpoint,
        "AWS_ENDPOINT_URL_SAGEMAKER": config.endpoint,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": config.endpoint,
        "AWS_ENDPOINT_URL_SAGEMAKER_METRICS": config.endpoint,
        "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING": config.endpoint,
        "AWS_ACCESS_KEY_ID": config.access_key,
        "AWS_SECRET_ACCESS_KEY": config.secret_key,
        "AWS_DEFAULT_REGION": config.region,
        "AWS_REGION": config.region,
        "SAGEMAKER_VALIDATE_ROLE": "false",
    }


def user_environment(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """The same for a user's own programs: also what leads the SageMaker SDK's calls of STS to us,
    whose address it does not take from a variable (python_path/local_sagemaker_sts.py), and past a
    proxy.
    """
    direct = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return {
        **client_environment(config),
        "BOTOCORE_EXPERIMENTAL__PLUGINS": "local-sagemaker=local_sagemaker_sts",
        "PYTHONPATH": _before(environ.get("PYTHONPATH", ""), os.pathsep, str(PLUGINS)),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), _before(direct, ",", LOOPBACK, "localhost")),
    }


def _before(given: str, separator: str, *first: str) -> str:
    """The entries of a variable after others that come first, none twice."""
    return separator.join(dict.fromkeys([*first, *filter(None, given.split(separator))]))
