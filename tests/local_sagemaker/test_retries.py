"""Retry policies: how they are read, which one applies, when the next attempt is due."""

from typing import Any

import pytest

from local_sagemaker.engine import retries
from local_sagemaker.engine.retries import DEFAULT, RetryError, RetryPolicy, retry_at

ALL = (*retries.STEP_EXCEPTIONS, *retries.JOB_EXCEPTIONS)
INTERNAL = "SageMaker.JOB_INTERNAL_ERROR"


def test_what_is_not_written_has_awss_defaults() -> None:
    policy = retries.read({"ExceptionType": [INTERNAL]}, ALL)
    assert policy == RetryPolicy((INTERNAL,), 1, 2.0, 5, None)


def test_a_policy_is_read_whole() -> None:
    entry = {
        "ExceptionType": ["Step.THROTTLING", INTERNAL],
        "IntervalSeconds": 30,
        "BackoffRate": 1.5,
        "ExpireAfterMin": 60,
    }
    policy = retries.read(entry, ALL)
    assert policy == RetryPolicy(("Step.THROTTLING", INTERNAL), 30, 1.5, None, 60)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"MaxAttempts": 3}, "ExceptionType"),
        ({"ExceptionType": ["Step.NOPE"]}, "not one of Step.SERVICE_FAULT"),
        ({"ExceptionType": [INTERNAL], "MaxAttempts": 2, "ExpireAfterMin": 3}, "not both"),
        ({"ExceptionType": [INTERNAL], "MaxAttempts": 21}, "from 0 to 20"),
        ({"ExceptionType": [INTERNAL], "IntervalSeconds": 43201}, "from 1 to 43200"),
        ({"ExceptionType": [INTERNAL], "ExpireAfterMin": 14401}, "from 1 to 14400"),
        ({"ExceptionType": [INTERNAL], "BackoffRate": 0.5}, "at least 1"),
        ({"ExceptionType": [INTERNAL], "MaxAttempts": "3"}, "must be a number"),
        ("x", "must be an object"),
    ],
)
def test_a_bad_policy_is_refused(entry: Any, says: str) -> None:
    with pytest.raises(RetryError) as error:
        retries.read(entry, ALL)
    assert says in str(error.value)


def test_a_model_step_may_only_retry_step_exceptions() -> None:
    with pytest.raises(RetryError):
        retries.read({"ExceptionType": [INTERNAL]}, retries.STEP_EXCEPTIONS)


def test_the_delay_grows_by_the_backoff_rate() -> None:
    policy = RetryPolicy((INTERNAL,), 10, 3.0, 3)
    due = [retry_at(policy, done, started=0, now=100) for done in range(4)]
    assert due == [110, 130, 190, None]


def test_zero_attempts_means_never() -> None:
    assert retry_at(RetryPolicy((INTERNAL,), max_attempts=0), 0, 0, 0) is None


def test_expiry_counts_from_the_start_of_the_step() -> None:
    policy = RetryPolicy((INTERNAL,), 60, 1.0, None, expire_after_minutes=10)
    assert retry_at(policy, 50, started=1000, now=1500) == 1560
    assert retry_at(policy, 50, started=1000, now=1541) is None


def test_the_first_policy_that_names_the_exception_applies() -> None:
    first, second = RetryPolicy((INTERNAL,), 7), RetryPolicy((INTERNAL, "Step.THROTTLING"), 9)
    assert retries.policy_for((first, second), INTERNAL) is first
    assert retries.policy_for((first, second), "Step.THROTTLING") is second


def test_service_faults_are_retried_without_any_policy() -> None:
    assert retries.policy_for((), "Step.SERVICE_FAULT") is DEFAULT
    assert retries.policy_for((), INTERNAL) is None
    assert retries.policy_for((), None) is None


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("InternalServerError: lost", INTERNAL),
        ("CapacityError: none", "SageMaker.CAPACITY_ERROR"),
        ("ResourceLimitExceeded: quota", "SageMaker.RESOURCE_LIMIT"),
        ("AlgorithmError: InternalServerError in the user's log", None),
        ("ClientError: bad input", None),
    ],
)
def test_a_jobs_failure_is_classified_by_how_its_reason_begins(
    reason: str, kind: str | None
) -> None:
    assert retries.job_exception(reason) == kind
