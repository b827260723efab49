"""Shared by the tests of pipelines: settings that reach nothing, and a small problem."""

from pathlib import Path

import pytest

from pipelines.settings import Settings
from steps.problem import Problem, load

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place() -> Settings:
    return Settings(
        target="local",
        region="us-east-1",
        account="000000000000",
        role_arn="arn:aws:iam::000000000000:role/local-sagemaker",
        bucket="a-bucket",
        environment={},
    )


@pytest.fixture(scope="session")
def telco() -> Problem:
    return load(PROJECT / "config" / "telco_churn.yaml")
