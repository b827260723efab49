"""s3:// <-> directories, through boto3: MiniStack beside us, any other S3-compatible server, or S3
itself. What jobs ask an S3 on this machine for all the time goes the quick road first (s3_wire.py).

S3Prefix semantics are SageMaker's: a URI is a *string* prefix; what lies below it keeps its path
after the prefix's folder; a URI that is one object lands under its base name. Transfers run in a
few threads.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_sagemaker import s3_wire
from local_sagemaker.config import Config
from local_sagemaker.s3_wire import CHUNK_BYTES, Item, NoAnswer, Wire

THREADS = 8
# Up to here an object is held in memory on its way up.
SMALL_BYTES = 1 << 20
# One PUT up to here: on loopback a multipart upload only adds round trips. S3 itself allows 5 GB.
MULTIPART_BYTES = 1 << 30


class StorageError(Exception):
    """S3 said no; `code` is S3's own, the message names the URI and what to do."""

    def __init__(self, code: str, uri: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.uri = uri


@dataclass(frozen=True)
class Location:
    """An s3:// URI, cut."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse(uri: str) -> Location:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise StorageError("InvalidURI", uri, f"{uri!r} is no S3 URI; it should be s3://bucket/key")
    return Location(bucket, key)


@dataclass(frozen=True)
class Found:
    """An object that a job wants, and the name under which it lands in a directory."""

    place: Location
    name: str
    size_bytes: int = 0


Jobs = list[tuple[Any, Any]]


class Storage:
    """One boto3 client, made on first use, shared by all threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._wire = Wire(config) if s3_wire.serves(config.s3_endpoint) else None

    @functools.cached_property
    def client(self) -> Any:
        """The boto3 client; importing boto3 costs 0.4 s, so only here."""
        import boto3
        from botocore.config import Config as ClientConfig

        return boto3.client(
            "s3",
            endpoint_url=self._config.s3_endpoint,
            region_name=self._config.region,
            aws_access_key_id=self._config.access_key,
            aws_secret_access_key=self._config.secret_key,
            config=ClientConfig(
                max_pool_connections=2 * THREADS,
                s3={"addressing_style": "path"},
                retries={"max_attempts": 3, "mode": "standard"},
                # A checksum over loopback costs more than the transfer.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._wire is not None:
            self._wire.close()

    def list(self, uri: str) -> builtins.list[Item]:
        """Every object whose key begins with the URI's key: (key, ETag, bytes); may be none."""
        place = parse(uri)
        if self._wire is not None:
            with contextlib.suppress(NoAnswer):
                return self._wire.list(place.bucket, place.key)
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=place.bucket, Prefix=place.key
        )
        with _Named(uri):
            return [
                (item["Key"], item["ETag"].strip('"'), item["Size"])
                for page in pages
                for item in page.get("Contents", ())
            ]

    def fingerprint(self, uri: str) -> str:
        """A digest of the content below a URI (names, ETags, sizes). StorageError if none."""
        prefix = parse(uri).key
        digest = hashlib.sha256()
        for key, etag, size in sorted(self._needed(uri)):
            digest.update(f"{relative_name(prefix, key)}\0{etag}\0{size}\n".encode())
        return digest.hexdigest()

    def read_text(self, uri: str) -> str:
        """One object as UTF-8 text."""
        place = parse(uri)
        with _Named(uri):
            answer = self.client.get_object(Bucket=place.bucket, Key=place.key)
            return str(answer["Body"].read().decode())

    def chunks(self, place: Location) -> Iterator[bytes]:
        """One object, piece by piece. Raises StorageError."""
        with _Named(place.uri):
            body = self.client.get_object(Bucket=place.bucket, Key=place.key)["Body"]
            with contextlib.closing(body):
                yield from body.iter_chunks(CHUNK_BYTES)

    def download(self, uri: str, directory: Path) -> int:
        """Everything below the URI into the directory; returns bytes. StorageError, OSError."""
        found = self.find(uri)
        self.fetch(found, directory)
        return sum(each.size_bytes for each in found)

    def find(self, uri: str) -> builtins.list[Found]:
        """Every object below the URI, in key order, and where it lands. StorageError if none."""
        place = parse(uri)
        return [
            Found(Location(place.bucket, key), relative_name(place.key, key), size)
            for key, _, size in sorted(self._needed(uri))
            if not key.endswith("/")
        ]

    def fetch(self, objects: Iterable[Found], directory: Path) -> None:
        """These objects into the directory, each under its name. StorageError, OSError."""
        jobs: Jobs = []
        for each in objects:
            target = _inside(directory, each.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            jobs.append((each.place, target))
        self._all(self._download_one, jobs)

    def download_object(self, uri: str, target: Path) -> None:
        """One object, and not what else begins with its key, into a file."""
        self._download_one(parse(uri), target)

    def upload(self, path: Path, uri: str) -> int:
        """A file to the key, or all in a directory below it, no symlinks; returns bytes."""
        place = parse(uri)
        if path.is_file():
            jobs: Jobs = [(path, place)]
        else:
            prefix = place.key.rstrip("/")
            names = [(file, file.relative_to(path).as_posix()) for file in _files(path)]
            jobs = [
                (file, Location(place.bucket, f"{prefix}/{name}" if prefix else name))
                for file, name in names
            ]
        self._all(self._upload_one, jobs)
        return sum(file.stat().st_size for file, _ in jobs)

    def write(self, uri: str, body: bytes) -> None:
        """One object of these bytes. Raises StorageError."""
        place = parse(uri)
        if self._wire is not None:
            with contextlib.suppress(NoAnswer):
                self._wire.put(place.bucket, place.key, body)
                return
        with _Named(uri):
            self.client.put_object(Bucket=place.bucket, Key=place.key, Body=body)

    def put(self, uri: str, body: bytes, content_type: str) -> None:
        """One object from memory. Raises StorageError."""
        place = parse(uri)
        with _Named(uri):
            self.client.put_object(
                Bucket=place.bucket, Key=place.key, Body=body, ContentType=content_type
            )

    def delete(self, uri: str) -> None:
        """One object, or everything under a URI that ends in "/"; fine when nothing is there."""
        place = parse(uri)
        keys = [key for key, _, _ in self.list(uri)] if uri.endswith("/") else [place.key]
        with _Named(uri):
            for key in keys:
                self.client.delete_object(Bucket=place.bucket, Key=key)

    def _needed(self, uri: str) -> builtins.list[Item]:
        found = self.list(uri)
        if not found:
            raise StorageError(
                "NoSuchKey", uri, f"no S3 objects found under {uri}; upload them first"
            )
        return found

    def _all(self, fn: Any, jobs: Jobs) -> None:
        if len(jobs) == 1:  # most of the time: no thread needed
            fn(*jobs[0])
            return
        for done in [self._pool.submit(fn, *job) for job in jobs]:
            done.result()

    def _download_one(self, place: Location, target: Path) -> None:
        if self._wire is not None:
            with contextlib.suppress(NoAnswer):
                self._wire.fetch(place.bucket, place.key, target)
                return
        with _Named(place.uri):
            body = self.client.get_object(Bucket=place.bucket, Key=place.key)["Body"]
            with target.open("wb") as file:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    file.write(chunk)

    def _upload_one(self, path: Path, place: Location) -> None:
        size = path.stat().st_size
        if self._wire is not None and size <= SMALL_BYTES:
            with contextlib.suppress(NoAnswer):
                self._wire.put(place.bucket, place.key, path.read_bytes())
                return
        with _Named(place.uri):
            if size > MULTIPART_BYTES:
                self.client.upload_file(str(path), place.bucket, place.key)
                return
            with path.open("rb") as file:
                self.client.put_object(Bucket=place.bucket, Key=place.key, Body=file)


class _Named:
    """Turn what botocore raises into a StorageError that names the URI."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            code = error.response.get("Error", {}).get("Code", "Unknown")
            raise StorageError(code, self._uri, _explain(code, self._uri, str(error))) from error
        if isinstance(error, BotoCoreError):
            raise StorageError("Unreachable", self._uri, f"{self._uri}: {error}") from error


def _explain(code: str, uri: str, said: str) -> str:
    if code == "NoSuchBucket":
        return f"NoSuchBucket: the bucket of {uri} does not exist; create it first"
    if code in ("NoSuchKey", "404"):
        return f"NoSuchKey: {uri} does not exist"
    return f"{uri}: {said}"


def relative_name(prefix: str, key: str) -> str:
    """Where an object of a prefix lands: its own name for one object, else what follows the folder.

    "data/train" and "data/train/" both put data/train/x.csv at x.csv; a prefix that ends inside a
    name ("data/tr") keeps that name whole.
    """
    if key != prefix and (prefix.endswith("/") or key[len(prefix)] == "/"):
        return key[len(prefix) :].lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def _inside(directory: Path, name: str) -> Path:
    """Where an object lands; a key may hold "..", and must not leave the directory."""
    target = Path(os.path.normpath(directory / name))
    if not target.is_relative_to(os.path.normpath(directory)):
        raise StorageError("InvalidKey", name, f"the key {name!r} leads out of its directory")
    return target


def _files(directory: Path) -> Iterable[Path]:
    for folder, _, names in os.walk(directory):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path
