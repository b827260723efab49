"""The commands about one step of a pipeline execution: why | replay | bundle.

`why` reads the state file itself, as `logs` reads the logs: it answers with the server up or down.
The other two need S3, so the server must be up; they run in this process and write nothing to the
state.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_sagemaker import config, daemon

if TYPE_CHECKING:  # half a second of imports that `status` need not pay
    from local_sagemaker.engine.definition import Step
    from local_sagemaker.engine.job_type import JobType
    from local_sagemaker.engine.pipeline_rows import Stored
    from local_sagemaker.plane import Plane
    from local_sagemaker.store import Row, Store

Command = Callable[[argparse.Namespace, Path], int]
AddCommand = Callable[[str, Command, str], argparse.ArgumentParser]


@dataclass
class State:
    """The state file of a home, opened for reading."""

    store: Store


def add(command: AddCommand) -> None:
    """Add this file's commands to the command line."""
    asked = command("why", why, "why a step ran again or was reused, in one line")
    _add_step(asked)
    asked.add_argument("--json", action="store_true", help="for machines")
    again = command("replay", replay, "run the job of a step once more; nothing is recorded")
    _add_step(again)
    again.add_argument("--shell", action="store_true", help="a shell where the job would run")
    packed = command("bundle", bundle, "write the job of a step as one self-contained folder")
    _add_step(packed)
    packed.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")


def why(arguments: argparse.Namespace, home: Path) -> int:
    from local_sagemaker.engine import why

    with _state(home) as state:
        answer = why.explain(state, *_find(state, arguments))
    print(json.dumps(answer, indent=1) if arguments.json else answer["Text"])
    return 0


def replay(arguments: argparse.Namespace, home: Path) -> int:
    from local_sagemaker import terminal
    from local_sagemaker.engine import jobs, rerun, workspace

    with _plane(home) as plane:
        job, row = _job(plane, arguments)
        root = workspace.create(home, rerun.KIND, row[jobs.name_member(job)])
        rerun.lay_out(plane, job, row, root)
        spec = rerun.specification(plane, job, row, root)
        if arguments.shell:
            _say(f"the job's command: {shlex.join(spec.command)}")
            start = plane.processes.start
            code = terminal.shell(start, spec, sys.stdin.fileno(), sys.stdout.fileno())
        else:
            code = terminal.stream(plane.processes.start, spec, _print)
    _say(f"exit code {code}; the workspace stays in {root} until the next replay of this job")
    return code


def bundle(arguments: argparse.Namespace, home: Path) -> int:
    from local_sagemaker.engine import rerun

    out: Path = arguments.out
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise daemon.DaemonError(f"{out} is there already; give a folder that is new or empty")
    with _plane(home) as plane:
        job, row = _job(plane, arguments)
        try:
            rerun.bundle(plane, job, row, out)
        except rerun.RerunError:
            shutil.rmtree(out, ignore_errors=True)
            raise
    print(f"written: {out}; run it with {shlex.quote(str(out / 'run.sh'))}")
    return 0


def _job(plane: Plane, arguments: argparse.Namespace) -> tuple[JobType, Row]:
    """The step's job; says which of its inputs are known not to be what they were."""
    from local_sagemaker.engine import rerun

    execution, step = _find(plane, arguments)
    job, row = rerun.job_of(plane, execution, step)
    for uri in rerun.changed_inputs(plane, execution, step):
        _say(f"{uri} does not hold what it held when the step began")
    return job, row


def _find(stored: Stored, arguments: argparse.Namespace) -> tuple[Row, Step]:
    from local_sagemaker.engine import pipeline_rows

    try:
        return pipeline_rows.find_step(stored, arguments.execution, arguments.step)
    except pipeline_rows.UnknownStep as cause:
        raise daemon.DaemonError(str(cause)) from cause


def _say(text: str) -> None:
    """Beside what the job prints."""
    print(f"local_sagemaker: {text}", file=sys.stderr)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _add_step(command: argparse.ArgumentParser) -> None:
    command.add_argument("execution", metavar="EXECUTION", help="ARN or id of a pipeline execution")
    command.add_argument("step", metavar="STEP", help="name of one of its steps")


@contextmanager
def _state(home: Path) -> Iterator[State]:
    from local_sagemaker import boot
    from local_sagemaker.store import Store

    if not (home / boot.STATE).exists():
        raise daemon.DaemonError(f"nothing has run in {home} yet")
    boot.load_api()  # a definition is read by what its steps can call
    store = Store(home / boot.STATE)
    try:
        yield State(store)
    finally:
        store.close()


@contextmanager
def _plane(home: Path) -> Iterator[Plane]:
    """A plane of our own beside the server's, on the same state and the same S3."""
    from local_sagemaker import boot
    from local_sagemaker.engine.rerun import RerunError

    record = daemon.running(home)
    if record is None:
        raise daemon.DaemonError("it is not up; start it: python -m local_sagemaker up")
    named = ("port", "s3_endpoint", "region", "access_key", "secret_key", "slots")
    plane = boot.build(config.Config(home=home, **{name: record[name] for name in named}))
    try:
        yield plane
    except RerunError as cause:
        raise daemon.DaemonError(str(cause)) from cause
    finally:
        boot.shut_down(plane)
