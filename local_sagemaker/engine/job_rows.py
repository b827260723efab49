"""What the operations on processing, training and transform jobs have in common: finding, stopping
and deleting one by its name.
"""

from __future__ import annotations

from local_sagemaker.engine import jobs
from local_sagemaker.errors import resource_in_use, validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import KINDS, Row

# How AWS says that there is no such job: not in the same words for each kind.
MISSING = {"training-job": "Requested resource not found."}
MISSING_ELSE = "Could not find requested job with name: {name}"
RUNNING = ("InProgress", "Stopping")


def existing(plane: Plane, kind: str, name: str) -> Row:
    """The job's row; a ValidationException in AWS's words when there is none."""
    row = plane.store.get(kind, name)
    if row is None:
        raise validation(MISSING.get(kind, MISSING_ELSE).format(name=name))
    return row


def stop(plane: Plane, kind: str, name: str) -> Row:
    """Ask a job in progress to stop; the answer of the operation."""
    row = existing(plane, kind, name)
    status = _status(kind, row)
    if status != "InProgress":
        raise validation(
            f"The request was rejected because the {_words(kind)} is in status {status}."
        )
    jobs.stop(plane, kind, row[KINDS[kind].name])  # the name that was asked for may differ in case
    return {}


def delete(plane: Plane, kind: str, name: str) -> Row:
    """Forget a job that has ended; what it has written to S3, and its log, stay."""
    row = existing(plane, kind, name)
    if _status(kind, row) in RUNNING:
        raise resource_in_use(
            f"The {_words(kind)} {row[KINDS[kind].arn]} is {_status(kind, row)}; stop it, "
            "and wait until it has ended"
        )
    plane.store.delete(kind, row[KINDS[kind].name])
    return {}


def _status(kind: str, row: Row) -> str:
    return str(row[KINDS[kind].status or ""])


def _words(kind: str) -> str:
    return kind.replace("-", " ")
