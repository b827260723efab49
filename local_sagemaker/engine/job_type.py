"""What kinds of jobs differ in, one table row each; engine/jobs.py runs them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_sagemaker.images import Image
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

if TYPE_CHECKING:
    from local_sagemaker.engine.jobs import Running

COMPLETED, FAILED, STOPPED, TIMED_OUT = "Completed", "Failed", "Stopped", "TimedOut"


class JobFailure(Exception):  # noqa: N818 - it is what the FailureReason says, not a bug
    """The job cannot go on; the message is its FailureReason."""


@dataclass(frozen=True)
class Pipe:
    """How a channel is streamed (piping.py)."""

    gzip: bool = False
    recordio: bool = False  # every object becomes a record
    seed: int | None = None  # ShuffleConfig
    attributes: tuple[str, ...] = ()  # of an augmented manifest


@dataclass(frozen=True)
class Input:
    """Something in S3 that must lie in a directory of the workspace before the job starts."""

    name: str
    uri: str
    path: str
    manifest: bool = False  # the URI is one object that lists the others
    sharded: bool = False  # ShardedByS3Key
    streamed: bool = False  # FastFile: files that cannot be written
    pipe: Pipe | None = None  # not files, but named pipes
    optional: bool = False  # nothing there is no error: a checkpoint to come


@dataclass(frozen=True)
class Outcome:
    """How the processes of a job ended: one of the words above, the exit code, and the index of the
    host whose code it is.
    """

    end: str
    exit_code: int = 0
    host: int = 0


@dataclass(frozen=True)
class JobKind:
    """What every kind of job has."""

    kind: str
    # Members when it enters a stage: Downloading, Training, Uploading, Stopping or an end.
    stage: Callable[[Row, str, float], Row]
    grace_seconds: float


@dataclass(frozen=True)
class DrivenJob(JobKind):
    """A job that is more than one process run to its end: `drive` does it all, in the slot."""

    drive: Callable[[Plane, Row, Running], tuple[Outcome, Row]]


@dataclass(frozen=True)
class JobType(JobKind):
    """How a job that is one process is laid out, started and delivered."""

    image_uri: Callable[[Row], str]
    inputs: Callable[[Row], list[Input]]
    # Config files and empty output directories, as /opt/ml has them when the container starts.
    # Last: the name of the host.
    lay_out: Callable[[Plane, Row, Path, str], None]
    # EnableNetworkIsolation: nothing but loopback.
    isolated: Callable[[Row], bool]
    # What of the request is not done here though it was accepted: said in the job's log.
    notes: Callable[[Row], list[str]]
    command: Callable[[Row, Image], list[str]]
    environment: Callable[[Row], Mapping[str, str]]
    instance_count: Callable[[Row], int]
    # What goes to S3 while the job runs: folder as the job sees it, S3 URI.
    synced: Callable[[Row], list[tuple[str, str]]]
    # Bring what all hosts left (their workspaces, algo-1's first) into the first one's.
    gather: Callable[[Row, list[Path], Outcome], None]
    # Upload what the outcome asks for; returns members for the row.
    deliver: Callable[[Plane, Row, Path, Outcome], Row]
    # Members for a job that ended, from its workspace and log.
    closing: Callable[[Plane, Row, Path, Outcome], Row]
    max_runtime_seconds: Callable[[Row], float]
