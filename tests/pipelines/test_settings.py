"""Targets: what each needs, and what is said when it is missing."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import settings
from pipelines.settings import SettingsError

ROLE = "arn:aws:iam::111122223333:role/mlops"
PLANE = """
import json, sys
print(json.dumps({{"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_DEFAULT_REGION": "eu-west-3"}})
      if sys.argv[1] == "env" else "up")
sys.stderr.write({said!r})
sys.exit({code} if sys.argv[1] == "up" else 0)
"""


@pytest.fixture(autouse=True)
def restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", settings.ROLE_VARIABLE):
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)


def plane(monkeypatch: pytest.MonkeyPatch, code: int = 0, said: str = "") -> None:
    """The local SageMaker's command line, played by three lines of Python."""
    program = PLANE.format(code=code, said=said)
    monkeypatch.setattr(
        settings, "_plane_command", lambda *words: [sys.executable, "-c", program, *words]
    )


def test_local_points_this_process_at_the_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    plane(monkeypatch)
    os.environ["AWS_PROFILE"] = "work"
    place = settings.resolve("local")
    assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert "AWS_PROFILE" not in os.environ
    assert place.bucket == "sagemaker-eu-west-3-000000000000"
    assert place.role_arn == "arn:aws:iam::000000000000:role/local-sagemaker"


def test_work_is_done_while_the_plane_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    plane(monkeypatch)
    done: list[str] = []
    settings.resolve("local", meanwhile=lambda: done.append("imported"))
    assert done == ["imported"]


def test_a_plane_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    plane(monkeypatch, code=1, said="port 8600 is in use by process 7\n")
    with pytest.raises(SettingsError, match="did not start: port 8600 is in use") as caught:
        settings.resolve("local")
    assert caught.value.exit_code == 1


def test_a_plane_without_endpoints_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_plane_command", lambda *_: [sys.executable, "-c", "print('?')"])
    with pytest.raises(SettingsError, match="gave no endpoints"):
        settings.resolve("local")


def test_offline_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plane(monkeypatch, code=1)
    place = settings.resolve("local", offline=True)
    assert place.bucket == "sagemaker-us-east-1-000000000000"
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_aws_takes_what_is_given() -> None:
    place = settings.resolve("aws", region="eu-west-1", role_arn=ROLE, bucket="mine")
    assert (place.region, place.role_arn, place.bucket) == ("eu-west-1", ROLE, "mine")
    assert place.account == "111122223333"


def test_aws_takes_the_role_from_the_environment() -> None:
    os.environ[settings.ROLE_VARIABLE] = ROLE
    assert settings.resolve("aws", region="eu-west-1", bucket="mine").role_arn == ROLE


def test_aws_without_a_role_is_bad_usage() -> None:
    with pytest.raises(
        SettingsError, match="give --role-arn or set SAGEMAKER_PIPELINE_ROLE_ARN"
    ) as e:
        settings.resolve("aws", region="eu-west-1", bucket="mine")
    assert e.value.exit_code == 2


def test_a_command_without_jobs_needs_no_role() -> None:
    assert settings.resolve("aws", region="eu-west-1", needs=()).role_arn == ""


def test_offline_aws_does_not_ask_whose_account_this_is() -> None:
    with pytest.raises(SettingsError, match="give --bucket"):
        settings.resolve("aws", region="eu-west-1", role_arn=ROLE, offline=True)


def test_aws_without_a_region_says_where_to_set_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="set AWS_DEFAULT_REGION or give --region"):
        settings.resolve("aws", role_arn=ROLE, bucket="mine")


def test_an_unknown_target_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="allowed: aws, local"):
        settings.resolve("moon")
