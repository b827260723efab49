"""The quick road to an S3 on this machine, and when it is not taken."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_sagemaker.config import Config
from local_sagemaker.s3_wire import NoAnswer, Wire, serves

Speaker = Callable[[list[list[bytes]]], str]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    """A server that gives these answers: a list for each connection, which then ends."""
    listening = socket.create_server(("127.0.0.1", 0))

    def speak(connections: list[list[bytes]]) -> None:
        for answers in connections:
            with listening.accept()[0] as taken:
                for answer in answers:
                    if not taken.recv(65536):
                        break
                    taken.sendall(answer)

    def start(connections: list[list[bytes]]) -> str:
        threading.Thread(target=speak, args=(connections,), daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    listening.close()


def wire(endpoint: str, tmp_path: Path) -> Any:
    return closing(Wire(Config(home=tmp_path, s3_endpoint=endpoint)))


def test_its_signature_is_the_one_that_botocore_makes(tmp_path: Path) -> None:
    config = Config(home=tmp_path, s3_endpoint="http://127.0.0.1:9000", region="eu-west-1")
    query = "encoding-type=url&list-type=2&prefix=a%20b%2F%C3%A9~"
    with closing(Wire(config)) as made:
        ours = made._signed("GET", "/bucket", query, b"body")
    request = AWSRequest("GET", f"http://127.0.0.1:9000/bucket?{query}", data=b"body")
    request.context["payload_signing_enabled"] = True
    request.headers["x-amz-content-sha256"] = ours["x-amz-content-sha256"]
    signer = S3SigV4Auth(Credentials("test", "test"), "s3", "eu-west-1")
    request.context["timestamp"] = ours["x-amz-date"]
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["Authorization"].endswith(f"Signature={signer.signature(text, request)}")


def test_names_with_odd_letters_are_listed_as_they_are(
    s3: Any, s3_endpoint: str, bucket: str, tmp_path: Path
) -> None:
    names = ["p/a b+c.txt", "p/é&=?#%41.txt", "p/plain"]
    with wire(s3_endpoint, tmp_path) as made:
        for name in names:
            made.put(bucket, name, name.encode())
        assert [key for key, _, _ in made.list(bucket, "p/")] == sorted(names)
        for name in names:
            made.fetch(bucket, name, tmp_path / "got")
            assert (tmp_path / "got").read_bytes() == name.encode()
    heads = [s3.head_object(Bucket=bucket, Key=name)["ContentLength"] for name in names]
    assert heads == [len(name.encode()) for name in names]


def test_more_than_one_page_is_listed(
    s3: Any, s3_endpoint: str, bucket: str, tmp_path: Path
) -> None:
    with wire(s3_endpoint, tmp_path) as made:
        for number in range(1001):
            made.put(bucket, f"many/{number:04}", b"")
        assert len(made.list(bucket, "many/")) == 1001


def test_a_connection_that_was_closed_meanwhile_is_made_anew(
    speaker: Speaker, tmp_path: Path
) -> None:
    with wire(speaker([[OK], [OK]]), tmp_path) as made:
        for name in ("first", "second"):
            made.fetch("bucket", "key", tmp_path / name)
            assert (tmp_path / name).read_bytes() == b"hi"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        b"",
        b"nonsense\r\n\r\n",
    ],
    ids=["not found", "cut short", "silence", "no HTTP"],
)
def test_what_is_not_a_whole_200_is_no_answer(
    speaker: Speaker, tmp_path: Path, answer: bytes
) -> None:
    with wire(speaker([[answer]]), tmp_path) as made, pytest.raises(NoAnswer):
        made.fetch("bucket", "key", tmp_path / "got")


@pytest.mark.parametrize(
    ("endpoint", "quick"),
    [
        ("http://127.0.0.1:8601", True),
        ("http://localhost:9000", True),
        ("http://[::1]:9000", True),
        ("https://127.0.0.1:9000", False),
        ("https://s3.eu-west-1.amazonaws.com", False),
        ("http://minio.example:9000", False),
        ("http://127.0.0.1:9000/behind/a/path", False),
    ],
)
def test_only_a_plain_s3_on_this_machine_is_asked_quickly(endpoint: str, quick: bool) -> None:
    assert serves(endpoint) is quick
