"""The table of step types whose work is more than one resource of AWS's: how each of them goes.

steps.py does for every other type what the API's operations say; a type in this table brings its
own functions. They take the Plane and the name that the step's resource has in the store.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine import callbacks, checks, cleanups, lambdas, lineage_steps
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row


def _nothing(_: Plane, __: str) -> None:
    return None


@dataclass(frozen=True)
class OwnStep:
    """`begin` starts it from the step's request and the execution; the ARN that stands for it."""

    begin: Callable[[Plane, Row, Row], str]
    metadata: Callable[[Plane, str], dict[str, Any]]  # what the member of Metadata holds
    properties: Callable[[Plane, str], dict[str, Any]]
    stop: Callable[[Plane, str], None] = _nothing
    resume: Callable[[Plane, str], None] = _nothing  # finish a `begin` that a kill interrupted
    complaint: Callable[[Plane, str], str | None] = _nothing  # why a success is none


_CHECK = OwnStep(checks.begin, checks.metadata, checks.properties, complaint=checks.complaint)

OWN_STEPS: dict[str, OwnStep] = {
    "Callback": OwnStep(
        callbacks.begin,
        callbacks.metadata,
        callbacks.properties,
        stop=callbacks.stop,
        resume=callbacks.resume,
    ),
    "ClarifyCheck": _CHECK,
    "Cleanup": OwnStep(cleanups.begin, cleanups.metadata, cleanups.properties),
    "Lambda": OwnStep(lambdas.begin, lambdas.metadata, lambdas.properties),
    "Lineage": OwnStep(lineage_steps.begin, lineage_steps.metadata, lineage_steps.metadata),
    "QualityCheck": _CHECK,
}
# The kinds of resources in the store that are ours and belong to a pipeline.
KINDS = (callbacks.KIND, checks.KIND, cleanups.KIND, lambdas.KIND, lineage_steps.KIND)
