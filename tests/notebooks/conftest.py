"""What a notebook needs to run by itself: a local SageMaker of its own."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def own_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LOCAL_SAGEMAKER_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-m", "local_sagemaker"]
    ports = ["--port", free_port(), "--s3-port", free_port()]
    subprocess.run([*command, "up", *ports], cwd=ROOT, check=True, capture_output=True)
    yield
    subprocess.run([*command, "down"], cwd=ROOT, check=True, capture_output=True)
