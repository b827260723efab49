"""Retry policies of a step: reading them, and deciding whether and when a failed attempt is
repeated.

Lives here: which failure is which exception type, the backoff schedule, the limits. Pure: times are
epoch seconds that the caller gives. Who waits is executor.py.
"""

from dataclasses import dataclass
from typing import Any

STEP_EXCEPTIONS = ("Step.SERVICE_FAULT", "Step.THROTTLING")
JOB_EXCEPTIONS = (
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)
# How a job's FailureReason begins -> the exception type of its step.
JOB_FAILURES = {
    "InternalServerError": "SageMaker.JOB_INTERNAL_ERROR",
    "CapacityError": "SageMaker.CAPACITY_ERROR",
    "ResourceLimitExceeded": "SageMaker.RESOURCE_LIMIT",
}
# Error code of a refused Create call -> the exception type of its step. Other codes are never
# retried.
CALL_FAILURES = {
    "ThrottlingException": "Step.THROTTLING",
    "Throttling": "Step.THROTTLING",
    "InternalFailure": "Step.SERVICE_FAULT",
    "ServiceUnavailable": "Step.SERVICE_FAULT",
    "ResourceLimitExceeded": "SageMaker.RESOURCE_LIMIT",
    "CapacityError": "SageMaker.CAPACITY_ERROR",
}
_RANGES = {
    "IntervalSeconds": (1, 43_200),
    "BackoffRate": (1, None),
    "MaxAttempts": (0, 20),
    "ExpireAfterMin": (1, 14_400),
}


class RetryError(ValueError):
    """A policy that is written wrongly."""


@dataclass(frozen=True)
class RetryPolicy:
    exception_types: tuple[str, ...]
    interval_seconds: float = 1
    backoff_rate: float = 2.0
    max_attempts: int | None = 5  # None: expire_after_minutes limits
    expire_after_minutes: float | None = None


# AWS retries these on every step that starts something, unless a policy of the step says otherwise.
DEFAULT = RetryPolicy(STEP_EXCEPTIONS)


def read(entry: Any, allowed: tuple[str, ...]) -> RetryPolicy:
    """Read one entry of a step's `RetryPolicies`. Raises RetryError with what is allowed."""
    if not isinstance(entry, dict):
        raise RetryError(f"a retry policy must be an object, not {entry!r}")
    types = entry.get("ExceptionType") or []
    types = tuple(types) if isinstance(types, list) else (types,)
    wrong = [kind for kind in types if kind not in allowed]
    if wrong or not types:
        raise RetryError(f"ExceptionType {wrong or types!r} is not one of {', '.join(allowed)}")
    values = {name: _number(entry, name) for name in _RANGES if entry.get(name) is not None}
    if {"MaxAttempts", "ExpireAfterMin"} <= values.keys():
        raise RetryError("a retry policy takes MaxAttempts or ExpireAfterMin, not both")
    expires = values.get("ExpireAfterMin")
    return RetryPolicy(
        types,
        values.get("IntervalSeconds", RetryPolicy.interval_seconds),
        values.get("BackoffRate", RetryPolicy.backoff_rate),
        None if expires is not None else int(values.get("MaxAttempts", 5)),
        expires,
    )


def policy_for(policies: tuple[RetryPolicy, ...], exception_type: str | None) -> RetryPolicy | None:
    """The first policy that names this exception type; None: the failure is final."""
    if exception_type is None:
        return None
    candidates = (*policies, DEFAULT)
    return next((each for each in candidates if exception_type in each.exception_types), None)


def retry_at(policy: RetryPolicy, retries: int, started: float, now: float) -> float | None:
    """When to try again after `retries` retries under this policy (0: the first attempt failed).

    `started` is when the step first started. None: the policy is used up.
    """
    if policy.max_attempts is not None and retries >= policy.max_attempts:
        return None
    due = now + policy.interval_seconds * policy.backoff_rate**retries
    expires = policy.expire_after_minutes
    return None if expires is not None and due > started + expires * 60 else due


def job_exception(failure_reason: str) -> str | None:
    """The exception type of a failed job, None when its failure is the user's (never retried)."""
    matches = (kind for prefix, kind in JOB_FAILURES.items() if failure_reason.startswith(prefix))
    return next(matches, None)


def _number(entry: dict[str, Any], name: str) -> float:
    low, high = _RANGES[name]
    given = entry[name]
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or given < low or (high is not None and given > high):
        limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise RetryError(f"{name} must be a number {limits}, not {given!r}")
    return float(given)
