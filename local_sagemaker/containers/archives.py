"""Unpack an archive that a user gave: nothing of it lands outside, and it cannot fill the disk.

The only place where one is opened: model.tar.gz behind a model server, sourcedir.tar.gz in script
mode. `..`, absolute names, links that lead out, devices and pipes are refused, and so is more than
the limits allow, before it is written. Standard library only, for programs inside a job too.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# In a job's environment, where no Config can be had.
BYTES_VARIABLE, MEMBERS_VARIABLE = (
    "LOCAL_SAGEMAKER_UNPACKED_BYTES",
    "LOCAL_SAGEMAKER_UNPACKED_MEMBERS",
)
# A chain of links that resolves to more than PATH_MAX escapes Python's own check (CVE-2025-4517).
LONGEST_PATH = 2048
BLOCK_BYTES = 512


class ArchiveError(Exception):
    """The archive is not unpacked any further; the message names it and why."""


@dataclass(frozen=True)
class Limits:
    """What one archive may become; a tar.gz of a few megabytes can hold terabytes of zeros."""

    unpacked_bytes: int = 50 << 30
    members: int = 250_000

    def variables(self) -> dict[str, str]:
        return {BYTES_VARIABLE: str(self.unpacked_bytes), MEMBERS_VARIABLE: str(self.members)}


def limits(environ: Mapping[str, str]) -> Limits:
    """As the environment says. Raises ArchiveError naming the variable."""
    given = [
        _positive(environ, BYTES_VARIABLE, Limits.unpacked_bytes),
        _positive(environ, MEMBERS_VARIABLE, Limits.members),
    ]
    return Limits(*given)


def unpack(archive: Path, directory: Path, allowed: Limits) -> None:
    """A .tar.gz into a directory. Raises ArchiveError; what was unpacked before it stays."""
    guard = _Guard(archive.name, allowed)
    try:
        with (
            gzip.open(archive) as unzipped,
            tarfile.open(fileobj=_Bounded(unzipped, guard), mode="r:") as tar,  # type: ignore[call-overload] # only these three are called
        ):
            tar.extractall(directory, filter=guard.check)  # noqa: S202 - the filter looks
    except ArchiveError:
        raise
    except (tarfile.TarError, OSError, EOFError, zlib.error) as cause:  # the last two: cut short
        raise ArchiveError(f"{archive.name} is not a safe tar.gz: {cause}") from cause


class _Guard:
    """Looks at every member before it is written, and adds up."""

    def __init__(self, name: str, allowed: Limits) -> None:
        self.name = name
        self.allowed = allowed
        self.members = 0
        self.unpacked_bytes = 0

    def check(self, member: tarfile.TarInfo, directory: str) -> tarfile.TarInfo:
        self.members += 1
        self.unpacked_bytes += member.size
        if self.members > self.allowed.members:
            raise ArchiveError(
                f"{self.name} has more than {self.allowed.members} members, which is the limit "
                f"({MEMBERS_VARIABLE} of the local SageMaker sets it)"
            )
        if self.unpacked_bytes > self.allowed.unpacked_bytes:
            raise self.too_large(self.unpacked_bytes)
        if member.name.startswith("/"):
            raise ArchiveError(f"{self.name} holds {member.name!r}, which is an absolute name")
        where = os.path.realpath(Path(directory, member.name))
        if len(where) > LONGEST_PATH:
            raise ArchiveError(f"{self.name} holds a path of {len(where)} characters")
        # None would be a member to leave out; this filter raises instead.
        return tarfile.data_filter(member, directory) or member

    def too_large(self, size_bytes: int) -> ArchiveError:
        return ArchiveError(
            f"{self.name} unpacks to {size_bytes} bytes or more; the limit is "
            f"{self.allowed.unpacked_bytes} ({BYTES_VARIABLE} of the local SageMaker sets it)"
        )


class _Bounded:
    """The unzipped stream, no further than any archive within the limits can reach: a header may
    claim a size of its own, and would be read into memory.
    """

    def __init__(self, stream: gzip.GzipFile, guard: _Guard) -> None:
        self._stream = stream
        self._guard = guard
        allowed = guard.allowed
        self._most = allowed.unpacked_bytes + 8 * BLOCK_BYTES * (allowed.members + 2)

    def read(self, size: int) -> bytes:
        self._reach(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        self._reach(offset)
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def _reach(self, offset: int) -> None:
        if offset > self._most:
            raise self._guard.too_large(offset)


def _positive(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArchiveError(f"{name} = {text!r}; it must be a whole number, 1 or more")
    return int(text)
