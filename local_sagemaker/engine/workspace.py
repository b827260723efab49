"""The directory that a job sees as /opt/ml: how it is made, found by container path, packed and
cleared.

<home>/jobs/<kind>/<job>/ 0700, what is left after the job: config files and output/
<home>/logs/<kind>/<job>.log kept
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = "/opt/ml"
COMPRESS_LEVEL = 1  # artifacts of numbers hardly shrink further, and cost 5 times the CPU at 6
KEPT = frozenset({"output", "config"})
TEXT_BYTES = 1024  # of output/failure and output/message


def create(home: Path, kind: str, name: str) -> Path:
    """A new, empty workspace; what an earlier attempt left there is removed."""
    root = home / "jobs" / kind / name
    if root.exists():
        shutil.rmtree(root)
    root.mkdir(parents=True, mode=0o700)
    for directory in ("output", "tmp/site"):
        (root / directory).mkdir(parents=True)
    return root


def log_file(home: Path, kind: str, name: str) -> Path:
    return home / "logs" / kind / f"{name}.log"


def at(root: Path, container_path: str) -> Path:
    """Where `/opt/ml/...` lies in the workspace. Raises ValueError for a path outside /opt/ml."""
    path = PurePosixPath(container_path)
    if ".." in path.parts or not path.is_relative_to(ROOT):
        raise ValueError(f"{container_path!r} is not below {ROOT}")
    return root / path.relative_to(ROOT)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def read_text(path: Path) -> str:
    """The first 1024 bytes of a file the job may have written, "" when it has not. Raises
    UnicodeError.
    """
    if not path.is_file() or path.is_symlink():
        return ""
    with path.open("rb") as file:
        head = file.read(TEXT_BYTES + 4)
    text = head[:TEXT_BYTES].decode(errors="strict" if len(head) <= TEXT_BYTES else "ignore")
    return text.strip()


def pack(directory: Path, archive: Path) -> None:
    """A .tar.gz of the directory's contents; the same contents give the same bytes."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", COMPRESS_LEVEL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", bufsize=1 << 20) as tar,
    ):
        for path in _contents(directory):
            tar.add(path, path.relative_to(directory).as_posix(), recursive=False, filter=_plain)


def has_files(directory: Path) -> bool:
    return any(not path.is_dir() for path in _contents(directory))


def merge(source: Path, target: Path, *, replace: bool) -> None:
    """Move what is in one directory into another; a file that is in both is replaced, or kept.
    Symlinks lead nowhere: neither out of the source nor out of the target.
    """
    for path in [] if source.is_symlink() else list(_contents(source)):
        moved = target / path.relative_to(source)
        if not moved.parent.resolve().is_relative_to(target.parent.resolve() / target.name):
            continue
        if path.is_dir() and not path.is_symlink():
            moved.mkdir(parents=True, exist_ok=True)
        elif replace or not moved.exists():
            path.replace(moved)


def clear(root: Path) -> None:
    """Remove all but what a person may want to see: inputs and uploads lie in S3 already."""
    for path in root.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _contents(directory: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(directory):
        folders.sort()
        yield from (Path(folder, name) for name in sorted((*folders, *files)))


def _plain(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Sockets and devices stay out; owner and time say nothing about the content."""
    if not (item.isreg() or item.isdir() or item.issym() or item.islnk()):
        return None
    item.mtime = 0
    item.uid = item.gid = 0
    item.uname = item.gname = ""
    return item
