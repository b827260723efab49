"""Reads a training job's model.tar.gz and writes archives whose bytes depend on contents alone.

Nothing is unpacked to disk: the two expected members are read into memory, so that no member name
can point anywhere. What is in a bundle is `package.py`'s business.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

MEMBERS = ("metadata.json", "model.ubj")
# Models hardly compress: level 1 costs a third of the CPU of the default and 3 % in size.
COMPRESSION_LEVEL = 1


class ArtifactError(Exception):
    """The archive is not what a Train step leaves."""


class Artifact(NamedTuple):
    """A trained model: the booster as UBJ bytes, and its metadata."""

    booster: bytes
    metadata: dict[str, Any]


def read(path: Path) -> Artifact:
    """The model in a model.tar.gz. Raises ArtifactError naming the file and what is wrong."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            found = {name: _member(archive, name, path) for name in MEMBERS}
        return Artifact(found["model.ubj"], json.loads(found["metadata.json"]))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; did the Train step of this model run?") from None
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        raise ArtifactError(f"{path} is not a model archive: {error}") from error


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """A tar.gz of these files, sorted, with no times, owners or file name inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", COMPRESSION_LEVEL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            archive.addfile(member, io.BytesIO(files[name]))


def _member(archive: tarfile.TarFile, name: str, path: Path) -> bytes:
    wanted = (name, f"./{name}")
    member = next((m for m in archive if m.name in wanted and m.isreg()), None)
    opened = archive.extractfile(member) if member else None
    if opened is None:
        raise ArtifactError(f"{path} holds no {name}; a Train step writes {' and '.join(MEMBERS)}")
    return opened.read()
