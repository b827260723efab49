"""Where a command runs: one frozen Settings, built once per program, passed as an argument.

    resolve("local")  -> the local SageMaker is up, and this process talks to it
    resolve("aws")    -> the usual AWS credentials chain; role and bucket given or looked up

The two targets differ in the tables of this file and nowhere else. It imports neither the SageMaker
SDK nor the local SageMaker (whose only door is its command line), and it alone touches os.environ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
ROLE_VARIABLE = "SAGEMAKER_PIPELINE_ROLE_ARN"
DEFAULT_REGION = "us-east-1"
LOCAL_ACCOUNT = "000000000000"
# Loaded once by the local SageMaker's fork server, so that every job starts with them.
PRELOAD = (
    "numpy",
    "pandas",
    "pydantic",
    "yaml",
    "xgboost",
    "great_expectations",
    "jinja2",
)
# A developer's AWS profile or session would otherwise reach into calls meant for the local plane.
UNWANTED_LOCALLY = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)


class SettingsError(Exception):
    """A target that cannot be used; exit_code is 2 when the command line is at fault, else 1."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Target(NamedTuple):
    """What differs between the places: how often to ask for news, and what to tell the user."""

    poll_seconds: float
    logs_command: str  # {job}, {log_group}
    stays_up: str
    stop_command: str  # {config}
    flag: str
    billed: bool


TARGETS: dict[str, Target] = {
    "local": Target(
        poll_seconds=0.3,
        logs_command="python -m local_sagemaker logs {job}",
        stays_up="the local SageMaker",
        stop_command="make down",
        flag="",
        billed=False,
    ),
    "aws": Target(
        poll_seconds=10.0,
        logs_command="aws logs tail {log_group} --log-stream-name-prefix {job}",
        stays_up="",
        stop_command="python -m deploy.endpoint delete --config {config} --target aws",
        flag=" --target aws",
        billed=True,
    ),
}


@dataclass(frozen=True)
class Settings:
    """One target, resolved. An empty role_arn or bucket means that nobody asked for it."""

    target: str
    region: str
    account: str
    role_arn: str
    bucket: str
    environment: Mapping[str, str]

    @property
    def words(self) -> Target:
        return TARGETS[self.target]

    @property
    def poll_seconds(self) -> float:
        return self.words.poll_seconds


def resolve(
    target: str,
    *,
    region: str | None = None,
    role_arn: str | None = None,
    bucket: str | None = None,
    needs: Iterable[str] = ("role", "bucket"),
    offline: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> Settings:
    """Settings for `target`; SettingsError when it cannot be used.

    needs: what the command will use, of "role" and "bucket"; only that is looked up or demanded.
    offline: call nobody and start nothing (for --dry-run).
    meanwhile: work to do while the local plane starts.
    """
    if target not in TARGETS:
        raise SettingsError(f"--target is {target!r}; allowed: {', '.join(sorted(TARGETS))}")
    if target == "local":
        return _local(region, role_arn, bucket, offline, meanwhile)
    if meanwhile:
        meanwhile()
    return _aws(region, role_arn, bucket, frozenset(needs), offline)


def _local(
    region: str | None,
    role_arn: str | None,
    bucket: str | None,
    offline: bool,
    meanwhile: Callable[[], object] | None,
) -> Settings:
    environment: dict[str, str] = {}
    if offline:
        if meanwhile:
            meanwhile()
    else:
        environment = start_local_plane(meanwhile)
        for name in UNWANTED_LOCALLY:
            os.environ.pop(name, None)
        os.environ.update(environment)
    region = region or environment.get("AWS_DEFAULT_REGION") or _region() or DEFAULT_REGION
    return Settings(
        target="local",
        region=region,
        account=LOCAL_ACCOUNT,
        role_arn=role_arn or f"arn:aws:iam::{LOCAL_ACCOUNT}:role/local-sagemaker",
        bucket=bucket or f"sagemaker-{region}-{LOCAL_ACCOUNT}",
        environment=environment,
    )


def start_local_plane(meanwhile: Callable[[], object] | None = None) -> dict[str, str]:
    """Make sure that the local SageMaker is up; its endpoint variables, by its command line."""
    command = _plane_command("up", "--json", "--preload", ",".join(PRELOAD))
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_plane_environment(),
        # Ctrl-C belongs to this command; a plane that is being started should still come up whole.
        start_new_session=True,
    ) as up:
        if meanwhile:
            meanwhile()
        out, err = up.communicate()
    if up.returncode:
        raise SettingsError(
            f"The local SageMaker did not start: {_last_words(err, out)} Start it with "
            "`python -m local_sagemaker up` and the options you need, then run this again.",
            up.returncode,
        )
    return _plane_variables()


def _plane_variables() -> dict[str, str]:
    done = subprocess.run(
        _plane_command("env", "--json"),
        capture_output=True,
        text=True,
        env=_plane_environment(),
        check=False,
    )
    try:
        variables = json.loads(done.stdout)
        return {str(name): str(value) for name, value in variables.items()} | {
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
    except (ValueError, AttributeError):
        words = _last_words(done.stderr, done.stdout)
        raise SettingsError(
            f"The local SageMaker gave no endpoints: {words} "
            "Look at `python -m local_sagemaker status`.",
            1,
        ) from None


def _plane_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "local_sagemaker", *words]


def _plane_environment() -> dict[str, str]:
    # A notebook's working directory is not the project's, and -m looks in the working directory.
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def _last_words(*texts: str) -> str:
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return " ".join(lines[-8:]) or "it said nothing."


def _aws(
    region: str | None,
    role_arn: str | None,
    bucket: str | None,
    needs: frozenset[str],
    offline: bool,
) -> Settings:
    region = region or _region() or (DEFAULT_REGION if offline else _profile_region())
    role_arn = role_arn or os.environ.get(ROLE_VARIABLE, "")
    if "role" in needs and not role_arn:
        raise SettingsError(
            f"--target aws needs the role that jobs run under: give --role-arn or set "
            f"{ROLE_VARIABLE}."
        )
    if "bucket" in needs and not bucket and offline:
        raise SettingsError("--dry-run does not call AWS to find your account: give --bucket.")
    account = role_arn.split(":")[4] if role_arn.count(":") >= 5 else ""
    if "bucket" in needs and not bucket:
        account = _caller_account(region)
        bucket = f"sagemaker-{region}-{account}"
    return Settings("aws", region, account, role_arn, bucket or "", {})


def _region() -> str | None:
    return os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")


def _profile_region() -> str:
    import boto3

    region = boto3.Session().region_name
    if not region:
        raise SettingsError("--target aws needs a region: set AWS_DEFAULT_REGION or give --region.")
    return str(region)


def _caller_account(region: str) -> str:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return str(boto3.client("sts", region_name=region).get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        raise SettingsError(
            f"AWS did not say which account this is: {error}. Check your credentials "
            "(`aws sts get-caller-identity`), or use --target local.",
            1,
        ) from error


def sagemaker(settings: Settings) -> Any:
    """The control plane."""
    return client(settings, "sagemaker")


def sagemaker_runtime(settings: Settings) -> Any:
    """InvokeEndpoint."""
    return client(settings, "sagemaker-runtime")


def s3(settings: Settings) -> Any:
    return client(settings, "s3")


def client(settings: Settings, service: str) -> Any:
    """A boto3 client of any service, at the place that the settings say."""
    import boto3  # 0.2 s, which --help and a usage error should not pay
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": 4}
    return boto3.client(service, region_name=settings.region, config=Config(retries=retries))


def export_defaults(variables: Mapping[str, str]) -> None:
    """Set those variables of this process that are not set yet."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def export(variables: Mapping[str, str]) -> None:
    """Set variables of this process, whatever they were."""
    os.environ.update(variables)


def endpoint_override(service: str) -> str | None:
    """The endpoint URL that the environment gives for a service, as botocore would read it."""
    return os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or os.environ.get(
        "AWS_ENDPOINT_URL"
    )


def variable(name: str) -> str | None:
    """A variable of the environment that another program wrote, such as CodeBuild's."""
    return os.environ.get(name)
