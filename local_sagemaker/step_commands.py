"""The commands about one step of a pipeline execution: why.

`why` reads the state file itself, as `logs` reads the logs: it answers with the server up or down.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_sagemaker import daemon

if TYPE_CHECKING:  # opening the state costs half a second of imports that `status` need not pay
    from local_sagemaker.store import Store

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


def why(arguments: argparse.Namespace, home: Path) -> int:
    from local_sagemaker.engine import why

    with _state(home) as state:
        try:
            execution, step = why.find(state, arguments.execution, arguments.step)
        except why.WhyError as cause:
            raise daemon.DaemonError(str(cause)) from cause
        answer = why.explain(state, execution, step)
    print(json.dumps(answer, indent=1) if arguments.json else answer["Text"])
    return 0


def _add_step(command: argparse.ArgumentParser) -> None:
    command.add_argument("execution", metavar="EXECUTION", help="ARN or id of a pipeline execution")
    command.add_argument("step", metavar="STEP", help="name of one of its steps")


@contextmanager
def _state(home: Path) -> Iterator[State]:
    from local_sagemaker import boot
    from local_sagemaker.store import Store

    if not (home / boot.STATE).exists():
        raise daemon.DaemonError(f"nothing has run in {home} yet")
    store = Store(home / boot.STATE)
    try:
        yield State(store)
    finally:
        store.close()
