"""A real MiniStack for the session, and for each test a server of its own in a home of its own."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig

from local_sagemaker import boot
from local_sagemaker.config import Config
from local_sagemaker.ministack import MiniStack, find_python
from local_sagemaker.plane import Plane
from local_sagemaker.server import Server

# A definition is checked against the operations there are: tests of definitions need them too.
boot.load_api()

ROLE = "arn:aws:iam::000000000000:role/local"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
ENDS = ("Completed", "Failed", "Stopped")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=ClientConfig(retries={"max_attempts": 0}),
    )


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a real MiniStack listens."""
    port = free_port()
    config = Config(
        home=tmp_path_factory.mktemp("ministack"), s3_endpoint=f"http://127.0.0.1:{port}"
    )
    ministack = MiniStack(config, port, find_python({}))
    ministack.wait_until_healthy()
    yield config.s3_endpoint
    ministack.stop()


@pytest.fixture(scope="session")
def s3(s3_endpoint: str) -> Iterator[Any]:
    client = new_client("s3", s3_endpoint)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    """An empty bucket of this test's own."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@dataclass
class Local:
    """A running local SageMaker, as a user sees it, and its inside for the curious test."""

    plane: Plane
    url: str
    s3: Any
    bucket: str
    _clients: list[Any] = field(default_factory=list)

    def client(self, service: str = "sagemaker") -> Any:
        made = new_client(service, self.url)
        self._clients.append(made)
        return made

    def put(self, key: str, text: str) -> str:
        """An object in the test's bucket; its URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        return f"s3://{self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", ())]

    def until(self, kind: str, name: str, *statuses: str, timeout: float = 30.0) -> Any:
        """The row of a resource once it has one of these statuses (default: any end of a job)."""
        return wait_for_status(self.plane, kind, name, statuses or ENDS, timeout)

    def until_true(self, true: Callable[[], bool], timeout: float = 20.0) -> None:
        """Until something holds that no bus tells of: a file that a job writes."""
        deadline = time.monotonic() + timeout
        while not true():
            assert time.monotonic() < deadline, "it did not become true"
            threading.Event().wait(0.01)

    def close_clients(self) -> None:
        for each in self._clients:
            each.close()


def wait_for_status(
    plane: Plane, kind: str, name: str, statuses: tuple[str, ...], timeout: float
) -> Any:
    """Woken by the bus, so that no test sleeps."""
    from local_sagemaker.store import KINDS

    member = KINDS[kind].status
    changed = threading.Event()
    unsubscribe = plane.bus.subscribe(lambda _: changed.set())
    deadline = time.monotonic() + timeout
    try:
        while True:
            changed.clear()
            row = plane.store.get(kind, name)
            if row is not None and row[member] in statuses:
                return row
            assert time.monotonic() < deadline, f"{kind} {name} did not become {statuses}: {row}"
            changed.wait(0.5)
    finally:
        unsubscribe()


@pytest.fixture
def start(s3_endpoint: str, s3: Any, bucket: str) -> Iterator[Callable[..., Local]]:
    """Start a server in a home; the same home may be started again after `stop`."""
    running: list[tuple[Local, Server]] = []

    def go(home: Path, **options: Any) -> Local:
        clock = options.pop("clock", None)
        config = Config(**{"home": home, "port": 0, "s3_endpoint": s3_endpoint, **options})
        plane = boot.build(config, clock)
        server = Server(plane)
        plane.config = replace(config, port=server.server_port)
        boot.recover(plane)
        server.serve_in_background()
        local = Local(plane, plane.config.endpoint, s3, bucket)
        running.append((local, server))
        return local

    yield go
    for local, server in running:
        local.close_clients()
        server.shutdown()
        server.server_close()
        boot.shut_down(local.plane)


@pytest.fixture
def local(start: Callable[..., Local], tmp_path: Path) -> Local:
    """A running local SageMaker with one slot a core and nothing pre-imported."""
    return start(tmp_path / "home", slots=2)


@pytest.fixture
def sagemaker(local: Local) -> Any:
    """A boto3 SageMaker client of it."""
    return local.client()
