"""The commands against a real local SageMaker and a real MiniStack. A test module that wants them
takes the fixtures it needs by name: `here` points the commands at `local`.
"""

from __future__ import annotations

from typing import Any

import pytest

from local_sagemaker.config import client_environment
from pipelines import settings
from pipelines.settings import Settings
from tests.local_sagemaker import conftest
from tests.local_sagemaker.conftest import ROLE, Local, new_client

s3_endpoint, s3, bucket = conftest.s3_endpoint, conftest.s3, conftest.bucket
start, local, sagemaker = conftest.start, conftest.local, conftest.sagemaker


def point(monkeypatch: pytest.MonkeyPatch, local: Local) -> Settings:
    """The commands' settings: this very server, this test's bucket."""
    for name, value in client_environment(local.plane.config).items():
        monkeypatch.setenv(name, value)
    place = Settings("local", "us-east-1", "000000000000", ROLE, local.bucket, {})
    monkeypatch.setattr(settings, "resolve", lambda *_, **__: place)
    monkeypatch.setattr(settings, "client", lambda _, service: _client(local, service))
    return place


def _client(local: Local, service: str) -> Any:
    if service.startswith(("sagemaker", "application-autoscaling")):
        return local.client(service)
    made = new_client(service, local.plane.config.s3_endpoint)
    local._clients.append(made)
    return made


@pytest.fixture
def here(local: Local, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return point(monkeypatch, local)
