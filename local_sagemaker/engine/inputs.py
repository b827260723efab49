"""Inputs of a job: from S3 into the workspace of each host.

S3Prefix: every object below the URI. ManifestFile: the objects that a manifest names.
FullyReplicated: all to every host. ShardedByS3Key: dealt out in key order, one to each in turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_sagemaker.engine import workspace
from local_sagemaker.engine.job_type import Input, JobFailure
from local_sagemaker.plane import Plane
from local_sagemaker.storage import Found, parse

PARALLEL = 4
READ_ONLY = 0o444


def download(plane: Plane, inputs: Iterable[Input], roots: list[Path]) -> None:
    """Every input that is files to every host; raises StorageError, JobFailure, OSError."""
    todo = [each for each in inputs if each.pipe is None]
    if len(todo) < 2:
        for each in todo:
            _deal(plane, each, roots)
        return
    with ThreadPoolExecutor(PARALLEL) as threads:
        for done in [threads.submit(_deal, plane, each, roots) for each in todo]:
            done.result()


def _deal(plane: Plane, wanted: Input, roots: list[Path]) -> None:
    if wanted.optional and not plane.storage.list(wanted.uri):
        return
    objects = found(plane, wanted)
    if wanted.streamed:
        _check_folder(wanted, objects)
    for rank, root in enumerate(roots):
        directory = workspace.at(root, wanted.path)
        directory.mkdir(parents=True, exist_ok=True)
        share = objects[rank :: len(roots)] if wanted.sharded else objects
        plane.storage.fetch(share, directory)
        if wanted.streamed:
            for each in share:
                (directory / each.name).chmod(READ_ONLY)


def found(plane: Plane, wanted: Input) -> list[Found]:
    """The objects of an input, in their order. Raises StorageError if there are none."""
    return _named(plane, wanted) if wanted.manifest else plane.storage.find(wanted.uri)


def _named(plane: Plane, wanted: Input) -> list[Found]:
    """The objects of a manifest: [{"prefix": "s3://bucket/folder/"}, "a.csv", "b.csv"]."""
    try:
        manifest = json.loads(plane.storage.read_text(wanted.uri))
        head, *names = manifest
        prefix = parse(head["prefix"])
        objects = [Found(parse(f"{prefix.uri}{name}"), str(name)) for name in names]
    except (ValueError, KeyError, TypeError) as cause:
        raise JobFailure(
            f"ClientError: {wanted.uri} of input {wanted.name!r} is no manifest; it should be "
            '[{"prefix": "s3://bucket/folder/"}, "name", "name" ...]'
        ) from cause
    # Only dealing them out goes by key; a pipe gives them as they are listed.
    return sorted(objects, key=lambda each: each.place.key) if wanted.sharded else objects


def _check_folder(wanted: Input, found: list[Found]) -> None:
    """AWS mounts a folder in FastFile mode: a prefix that ends inside a name finds nothing."""
    folder = parse(wanted.uri).key.rstrip("/")
    outside = [
        each.place.uri for each in found if not f"{each.place.key}/".startswith(f"{folder}/")
    ]
    if outside and folder and not wanted.manifest:
        raise JobFailure(
            f"ClientError: channel {wanted.name!r}: FastFile needs an S3Uri that is a folder or an "
            f"object, but {wanted.uri} also begins {outside[0]}"
        )
