"""Which data a run uses: an S3 prefix, the user's file, or rows made by steps.generate.

    start() -> checks what was given; begins to generate when nothing was -> finish() -> the file

Generated files are kept under build/data/<recipe>/, where the recipe is the rows, the seed and the
generator's code, and made again only when that changes. Uploading is pipelines/uploads.py.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipelines.settings import PROJECT
from steps.problem import Problem

GENERATOR = ("steps/generate.py", "steps/customers.py")
BUILD = Path("build/data")


class DataError(Exception):
    """The data cannot be used; exit_code is 2 when the command line is at fault, else 1."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Source:
    """Where the data is: an S3 URI, or a file that a process may still be writing."""

    uri: str | None = None
    path: Path | None = None
    generator: subprocess.Popen[str] | None = None


def start(problem: Problem, given: str | None, rows: int | None, build: Path = BUILD) -> Source:
    """The source of a run's data; generation, when needed, goes on while the caller continues."""
    if given is not None and rows is not None:
        raise DataError("--rows says how many rows to generate; with --data there is nothing to.")
    if given is not None and given.startswith("s3://"):
        return Source(uri=given)
    if given is not None:
        return Source(path=_readable(Path(given)))
    return _generated(problem, rows, build)


def finish(source: Source) -> Path:
    """The data file, complete; only for a source without a URI."""
    assert source.path is not None  # noqa: S101  (start() gives a path to every other source)
    if source.generator is not None:
        _, errors = source.generator.communicate()
        if source.generator.returncode:
            reason = errors.strip().splitlines()[-1:] or ["no reason given"]
            raise DataError(f"The data could not be generated: {reason[0]}", 1)
    return source.path


def stop(source: Source | None) -> None:
    """End a generator whose data is no longer wanted."""
    if source and source.generator and source.generator.poll() is None:
        source.generator.terminate()
        source.generator.wait()


def _readable(path: Path) -> Path:
    if path.is_dir():
        raise DataError(f"--data {path} is a folder; give one CSV file, or an s3:// prefix.")
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise DataError(f"--data {path} cannot be read: {error.strerror}.") from error
    if not first:
        raise DataError(f"--data {path} is empty.")
    return path


def _generated(problem: Problem, rows: int | None, build: Path) -> Source:
    recipe = problem.data.generate
    if recipe is None:
        raise DataError(
            f"Problem {problem.name} needs data: give --data FILE or --data s3://bucket/prefix."
        )
    count = str(rows if rows is not None else recipe.rows)
    if int(count) < 1:
        raise DataError(f"--rows is {count}; allowed: 1 or more.")
    path = build / _recipe_sha(count, str(recipe.seed)) / f"{problem.name}.csv"
    if path.exists():
        return Source(path=path)
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "steps.generate", "--rows", count, "--seed", str(recipe.seed)]
    generator = subprocess.Popen(
        [*command, "--out", str(path.resolve())],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    return Source(path=path, generator=generator)


def _recipe_sha(*facts: str) -> str:
    digest = hashlib.sha256("\0".join(facts).encode())
    for name in GENERATOR:
        digest.update((PROJECT / name).read_bytes())
    return digest.hexdigest()[:12]
