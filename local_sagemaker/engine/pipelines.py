"""Pipeline executions: one thread each, started, stopped, retried, taken up after a restart.

A thread sleeps until something its execution waits for changes; what it then does is executor.py's.
"""

import logging
import threading
import weakref
from typing import Any

from local_sagemaker.engine import graph, iterations, pipeline_rows
from local_sagemaker.engine.executor import Executor
from local_sagemaker.lifecycle import transition
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

log = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0


class Running:
    """The executions that one plane runs now."""

    def __init__(self) -> None:
        self.threads: dict[threading.Thread, Executor] = {}
        self.closing = False
        self.lock = threading.Lock()


_RUNNING: weakref.WeakKeyDictionary[Plane, Running] = weakref.WeakKeyDictionary()
_RUNNING_LOCK = threading.Lock()


def start_execution(plane: Plane, arn: str) -> None:
    """Run an execution whose row is Executing, or finish stopping one, in a thread of its own."""
    name = f"pipeline-{arn.rpartition('/')[2]}"
    threading.Thread(target=_run, args=(plane, arn), name=name, daemon=True).start()


def stop_execution(plane: Plane, arn: str) -> None:
    """Let its thread stop what runs. Raises IllegalTransition unless it is Executing."""
    transition(plane, pipeline_rows.EXECUTION, arn, "Stopping")


def retry_execution(plane: Plane, arn: str, **members: Any) -> None:
    """Run a Failed or Stopped execution on: what succeeded stays, the rest starts again, and so
    does what only ran because of a failure.

    Raises IllegalTransition when it is neither. `members` are set with the change of status.
    """
    row = pipeline_rows.find_execution(plane, arn)
    kept = _kept_for_retry(plane, row)
    members = {"FailureReason": None, "Steps": kept, **members}
    transition(plane, pipeline_rows.EXECUTION, arn, "Executing", **members)
    start_execution(plane, arn)


def _kept_for_retry(plane: Plane, row: Row) -> dict[str, Row]:
    definition = pipeline_rows.definition(plane, row)
    needs = graph.dependencies(definition)
    statuses = {name: step["StepStatus"] for name, step in row["Steps"].items()}
    reacting = graph.reacting(definition, needs, graph.order(needs), statuses)
    return iterations.kept_for_retry(definition, row["Steps"], reacting, plane.clock.now())


def recover(plane: Plane) -> None:
    """Continue every execution that a former life of the server left unfinished."""
    for row in plane.store.rows(pipeline_rows.EXECUTION):
        if row["PipelineExecutionStatus"] in pipeline_rows.ACTIVE_EXECUTION:
            start_execution(plane, row["PipelineExecutionArn"])


def close(plane: Plane) -> None:
    """Before the store is closed: end the threads where they are; recover() goes on from there."""
    running = _running(plane)
    with running.lock:
        running.closing = True
        threads = dict(running.threads)
    for executor in threads.values():
        executor.close()
    for thread in threads:
        thread.join(CLOSE_SECONDS)


def _running(plane: Plane) -> Running:
    with _RUNNING_LOCK:
        return _RUNNING.setdefault(plane, Running())


def _run(plane: Plane, arn: str) -> None:
    running = _running(plane)
    try:
        executor = Executor(plane, arn)
        with running.lock:
            if running.closing:
                return
            running.threads[threading.current_thread()] = executor
        executor.run()
    except Exception:  # the thread's edge: nobody above would tell
        log.exception("execution cannot go on arn=%s", arn)
        reason = "InternalServerError: the local SageMaker could not go on; its log tells why"
        if not running.closing:
            transition(plane, pipeline_rows.EXECUTION, arn, "Failed", FailureReason=reason)
    finally:
        with running.lock:
            running.threads.pop(threading.current_thread(), None)
