"""A real boto3 client whose answers are scripted: botocore checks every request and response."""

from collections.abc import Iterator

import boto3
import pytest
from botocore.stub import Stubber

from pipelines import settings
from pipelines.settings import Settings

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    place = Settings("local", "us-east-1", "", "arn:aws:iam::000000000000:role/r", "b", {})
    client = boto3.client("sagemaker", region_name="us-east-1", **KEYS)
    monkeypatch.setattr(settings, "resolve", lambda *_, **__: place)
    monkeypatch.setattr(settings, "sagemaker", lambda _: client)
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()
