"""Selective execution through boto3: what runs, what is brought along, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.pipelining import (
    EXECUTION,
    condition,
    fail,
    listed,
    processing,
    reads,
    rerun,
    run,
    status,
    upsert,
    writes,
)


def chain(local: Any, work: str = "cat /opt/ml/processing/data/x") -> list[Any]:
    """Prep -> Work -> Report, each reading what the one before wrote."""

    def from_step(name: str) -> Any:
        return reads({"Get": f"Steps.{name}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"})

    def step(name: str, script: str, more: Any) -> Any:
        arguments = {**more, **writes(local.bucket)}
        arguments["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]["Std:Join"][
            "Values"
        ].append(name)
        return processing(name, f"{script} > /opt/ml/processing/out/x", arguments=arguments)

    return [
        step("Prep", "echo prepared", {}),
        step("Work", work, from_step("Prep")),
        step("Report", "cat /opt/ml/processing/data/x", from_step("Work")),
    ]


def select(source: str | None, *names: str) -> dict[str, Any]:
    steps = [{"StepName": name} for name in names]
    given = {"SourcePipelineExecutionArn": source} if source else {}
    return {"SelectiveExecutionConfig": {**given, "SelectedSteps": steps}}


def test_a_selected_step_runs_on_what_the_source_has_made(local: Any, sagemaker: Any) -> None:
    first = run(local, sagemaker, *chain(local))
    upsert(sagemaker, *chain(local, "tr a-z A-Z < /opt/ml/processing/data/x"))
    config = select(first, "Work")
    second = rerun(local, sagemaker, **config)
    assert status(sagemaker, second) == ("Succeeded", None)
    steps, before = listed(sagemaker, second), listed(sagemaker, first)
    assert list(steps) == ["Prep", "Work"]
    assert steps["Prep"]["StepStatus"] == "Succeeded"
    assert steps["Prep"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": first}
    assert steps["Prep"]["Metadata"] == before["Prep"]["Metadata"]
    assert "SelectiveExecutionResult" not in steps["Work"]
    assert steps["Work"]["Metadata"] != before["Work"]["Metadata"]
    assert local.read(f"{second.rpartition('/')[2]}/out/Work/x") == b"PREPARED\n"
    described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=second)
    assert described["SelectiveExecutionConfig"] == config["SelectiveExecutionConfig"]


def test_a_failed_source_lends_what_succeeded_and_a_retry_keeps_it(
    local: Any, sagemaker: Any
) -> None:
    first = run(local, sagemaker, *chain(local, "exit 3"))
    assert status(sagemaker, first)[0] == "Failed"
    second = rerun(local, sagemaker, **select(first, "Work", "Report"))
    assert status(sagemaker, second)[0] == "Failed"
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=second)
    local.until(EXECUTION, second, "Failed")
    brought = listed(sagemaker, second)["Prep"]["SelectiveExecutionResult"]
    assert brought == {"SourcePipelineExecutionArn": first}


def test_a_selection_that_needs_nothing_needs_no_source(local: Any, sagemaker: Any) -> None:
    upsert(sagemaker, *chain(local))
    arn = rerun(local, sagemaker, **select(None, "Prep"))
    assert list(listed(sagemaker, arn)) == ["Prep"]


def test_a_selected_step_in_a_branch_runs_when_the_source_took_it(
    local: Any, sagemaker: Any
) -> None:
    gate = condition("Gate", 1, 1, yes=[processing("Yes")], no=[fail("No")])
    first = run(local, sagemaker, gate)
    second = rerun(local, sagemaker, **select(first, "Yes"))
    steps = listed(sagemaker, second)
    assert steps["Gate"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    assert steps["Yes"]["StepStatus"] == "Succeeded"
    assert "stands in the False branch of 'Gate', which was True" in refused(sagemaker, first, "No")


def refused(sagemaker: Any, source: str | None, *names: str) -> str:
    with pytest.raises(ClientError) as error:
        sagemaker.start_pipeline_execution(PipelineName="p", **select(source, *names))
    assert error.value.response["Error"]["Code"] == "ValidationException"
    return str(error.value.response["Error"]["Message"])


def test_wrong_selections_are_refused_with_the_way_out(local: Any, sagemaker: Any) -> None:
    first = run(local, sagemaker, *chain(local, "exit 3"))
    assert "no step 'Wrok'; did you mean 'Work'?" in refused(sagemaker, first, "Wrok")
    assert "step 'Work' is selected twice" in refused(sagemaker, first, "Work", "Work")
    between = refused(sagemaker, first, "Prep", "Report")
    assert "'Work' lies between the selected steps 'Prep' and 'Report'" in between
    unfinished = refused(sagemaker, first, "Report")
    assert f"needs 'Work', which is Failed in the source execution {first}" in unfinished
    assert "give a SourcePipelineExecutionArn" in refused(sagemaker, None, "Work")
    executions = sagemaker.list_pipeline_executions(PipelineName="p")
    assert len(executions["PipelineExecutionSummaries"]) == 1


def test_a_source_must_be_there_be_ours_and_have_ended(local: Any, sagemaker: Any) -> None:
    upsert(sagemaker, processing("Slow", "sleep 60"), processing("Next", DependsOn=["Slow"]))
    running = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    assert "is Executing; wait until it has ended" in refused(sagemaker, running, "Next")
    other = running.replace("pipeline/p/", "pipeline/q/")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.start_pipeline_execution(PipelineName="p", **select(other, "Next"))
    definition = sagemaker.describe_pipeline(PipelineName="p")
    sagemaker.create_pipeline(
        PipelineName="q",
        RoleArn=definition["RoleArn"],
        PipelineDefinition=definition["PipelineDefinition"],
    )
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=running)
    local.until(EXECUTION, running, "Stopped")
    with pytest.raises(ClientError, match="is an execution of another pipeline, 'p'"):
        sagemaker.start_pipeline_execution(PipelineName="q", **select(running, "Next"))
