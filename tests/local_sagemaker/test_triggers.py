"""DependsOn triggers through boto3: steps that run because another one did not succeed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local_sagemaker.pipelining import (
    EXECUTION,
    fail,
    listed,
    processing,
    run,
    status,
    upsert,
)


def after(step: str, trigger: str) -> dict[str, Any]:
    return {"DependsOn": [{"Step": step, "Trigger": trigger}]}


def statuses(sagemaker: Any, arn: str) -> dict[str, str]:
    return {name: step["StepStatus"] for name, step in listed(sagemaker, arn).items()}


@pytest.mark.parametrize("trigger", ["Failed", "Any"])
def test_a_failure_that_a_step_answers_lets_the_rest_go_on(
    local: Any, sagemaker: Any, trigger: str
) -> None:
    arn = run(
        local,
        sagemaker,
        processing("Train", "exit 1"),
        processing("Notify", **after("Train", trigger)),
        processing("After", DependsOn=["Notify"]),
        processing("Never", DependsOn=["Train"]),
    )
    assert statuses(sagemaker, arn) == {
        "Train": "Failed",
        "Notify": "Succeeded",
        "After": "Succeeded",
    }
    assert status(sagemaker, arn) == ("CompletedWithFailures", None)


def test_without_a_failure_only_any_and_completed_run(local: Any, sagemaker: Any) -> None:
    arn = run(
        local,
        sagemaker,
        processing("Train"),
        processing("Notify", **after("Train", "Failed")),
        processing("Stopped", **after("Train", "Stopped")),
        processing("Always", **after("Train", "Any")),
        processing("Next", **after("Train", "Completed")),
    )
    assert sorted(statuses(sagemaker, arn)) == ["Always", "Next", "Train"]
    assert status(sagemaker, arn) == ("Succeeded", None)


def test_a_failure_that_nobody_answers_fails_the_execution_and_still_is_told(
    local: Any, sagemaker: Any
) -> None:
    arn = run(
        local,
        sagemaker,
        processing("Train", "exit 1"),
        processing("Notify", **after("Train", "Failed")),
        processing("Other", "exit 1"),
        processing("Never", DependsOn=["Later"]),
        processing("Later", "true", **after("Other", "Completed")),
    )
    assert statuses(sagemaker, arn) == {
        "Train": "Failed",
        "Other": "Failed",
        "Notify": "Succeeded",
    }
    assert status(sagemaker, arn) == ("Failed", "Step failure: One or multiple steps failed.")


def test_a_fail_step_that_answers_fails_the_execution_with_its_words(
    local: Any, sagemaker: Any
) -> None:
    arn = run(
        local,
        sagemaker,
        processing("Train", "exit 1"),
        fail("Tell", "training broke", **after("Train", "Failed")),
    )
    assert status(sagemaker, arn) == ("Failed", "training broke")


def test_the_reason_of_the_failure_can_be_passed_on(local: Any, sagemaker: Any) -> None:
    reason = {"Environment": {"WHY": {"Get": "Steps.Train.FailureReason"}}}
    arn = run(
        local,
        sagemaker,
        processing("Train", "exit 7"),
        processing("Notify", 'test "${WHY##*: }" = 7', arguments=reason, **after("Train", "Any")),
    )
    assert status(sagemaker, arn)[0] == "CompletedWithFailures", listed(sagemaker, arn)


def test_a_step_that_never_started_anything_has_no_reason_to_pass_on(
    local: Any, sagemaker: Any
) -> None:
    broken = processing("Train", arguments={"ProcessingInputs": [{"InputName": "x"}]})
    reason = {"Environment": {"WHY": {"Get": "Steps.Train.FailureReason"}}}
    arn = run(
        local, sagemaker, broken, processing("Notify", arguments=reason, **after("Train", "Any"))
    )
    why = listed(sagemaker, arn)["Notify"]["FailureReason"]
    assert "step 'Train' ended before it started anything" in why


def test_a_stopped_job_triggers_stopped(local: Any, sagemaker: Any) -> None:
    upsert(
        sagemaker,
        processing("Slow", "sleep 60"),
        processing("Notify", **after("Slow", "Stopped")),
        processing("Failed", **after("Slow", "Failed")),
    )
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    local.until_true(lambda: "Metadata" in listed(sagemaker, arn).get("Slow", {}))
    job = listed(sagemaker, arn)["Slow"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    sagemaker.stop_processing_job(ProcessingJobName=job)
    local.until(EXECUTION, arn, "CompletedWithFailures")
    assert statuses(sagemaker, arn) == {"Slow": "Stopped", "Notify": "Succeeded"}


def test_a_retry_runs_what_answered_the_failure_again_only_if_it_fails_again(
    local: Any, sagemaker: Any, tmp_path: Any
) -> None:
    there = tmp_path / "there"
    arn = run(
        local,
        sagemaker,
        processing("Train", f"test -e {there}"),
        processing("Notify", **after("Train", "Failed")),
        processing("Other", "exit 1"),
    )
    assert statuses(sagemaker, arn)["Notify"] == "Succeeded"
    there.touch()
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    local.until(EXECUTION, arn, "Failed")
    assert statuses(sagemaker, arn) == {"Train": "Succeeded", "Other": "Failed"}
