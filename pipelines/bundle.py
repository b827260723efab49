"""What jobs run: the code bundle, addressed by its content, and its requirements.

    run.py  job-code.tar: problem.json  requirements-<step>.txt  steps/*  inference/*

Two objects and not forty, because every job fetches them all. The same problem, code and lock file
make the same bytes, so the same S3 prefix, so a step whose code did not change is found in the
cache. Putting a bundle into S3 is pipelines/uploads.py.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.markers import Marker

from pipelines.settings import PROJECT
from steps.problem import Problem

ROOMS = ("inference", "steps")
START = "run.py"
ARCHIVE = "job-code.tar"  # steps/run.py looks for it by this name
# Not job code: a change of it must not make every step run again.
LEFT_OUT = (
    "inference/handlers/",
    "steps/compare.py",
    "steps/customers.py",
    "steps/generate.py",
    "steps/run.py",
)
SUFFIXES = (".py", ".html", ".css")
LOCK = PROJECT / "requirements.lock"
_SPEC = ("pydantic", "pyyaml")
# What each step imports: installed by the job in AWS's images, and already there locally.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "validate": ("great-expectations", "numpy", "pandas", *_SPEC),
    "prepare": ("numpy", "pandas", *_SPEC),
    "train": ("numpy", *_SPEC, "xgboost"),
    "evaluate": ("jinja2", "markupsafe", "numpy", "pandas", *_SPEC, "xgboost"),
    "package": ("numpy", *_SPEC),
}
# The same library without GPU support; AWS's image carries the shorter name.
LOCKED_AS = {"xgboost": "xgboost-cpu"}
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(;\s*(?P<marker>[^\\]+?))?\s*\\?$"
)


class BundleError(Exception):
    """The code cannot be bundled; the message says which file and why."""


@dataclass(frozen=True)
class Bundle:
    """Relative path -> bytes."""

    files: Mapping[str, bytes]

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for path in sorted(self.files):
            body = self.files[path]
            digest.update(f"{path}\0{len(body)}\0".encode())
            digest.update(body)
        return digest.hexdigest()

    def objects(self) -> dict[str, bytes]:
        """What is uploaded: run.py, and an archive of the rest with nothing in it that varies."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(self.files.keys() - {START}):
                member = tarfile.TarInfo(path)
                member.size = len(self.files[path])
                archive.addfile(member, io.BytesIO(self.files[path]))
        return {START: self.files[START], ARCHIVE: packed.getvalue()}

    def prefix(self, problem_name: str) -> str:
        """The key prefix in the bucket, without the slash at its end."""
        return f"{problem_name}/code/{self.sha256[:20]}"

    def uri(self, bucket: str, problem_name: str) -> str:
        return f"s3://{bucket}/{self.prefix(problem_name)}/"


def build(problem: Problem, project: Path = PROJECT, lock: Path = LOCK) -> Bundle:
    """The bundle for a problem; BundleError when a file of it is missing."""
    files = dict(_code(project))
    files[START] = _read(project / "steps" / "run.py")
    files["problem.json"] = problem.to_json().encode()
    pins = parse_pins(_read(lock).decode())
    for step in REQUIREMENTS:
        files[f"requirements-{step}.txt"] = requirements(step, pins).encode()
    return Bundle(files)


def requirements(step: str, pins: Mapping[str, str]) -> str:
    """requirements-<step>.txt: the lock file's versions of what the step imports."""
    lines = []
    for name in REQUIREMENTS[step]:
        version = pins.get(name) or pins.get(LOCKED_AS.get(name, ""))
        if version is None:
            raise BundleError(f"requirements.lock pins no {name}, which step {step} needs.")
        lines.append(f"{name}=={version}\n")
    return "".join(lines)


def parse_pins(text: str) -> dict[str, str]:
    """Name -> version of a requirements lock file, as far as it holds for this Python."""
    found = (_PIN.match(line) for line in text.splitlines())
    return {
        pin["name"].lower(): pin["version"]
        for pin in found
        if pin and (not pin["marker"] or Marker(pin["marker"]).evaluate())
    }


def _code(project: Path) -> Iterator[tuple[str, bytes]]:
    for room in ROOMS:
        for path in sorted((project / room).rglob("*")):
            name = path.relative_to(project).as_posix()
            if path.suffix in SUFFIXES and not name.startswith(LEFT_OUT) and path.is_file():
                yield name, path.read_bytes()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"The code bundle needs {path}: {error.strerror}.") from error
