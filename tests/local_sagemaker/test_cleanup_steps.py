"""Cleanup steps: what they delete, what they leave, and what they refuse."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.test_pipeline_executions import (
    EXECUTION,
    create,
    listed,
    output,
    processing,
    run,
    status,
    training,
)
from tests.local_sagemaker.test_pipeline_executions import start as begin

WRITE = "echo a > /opt/ml/processing/out/a.csv; echo b > /opt/ml/processing/out/b.csv"
FAIL = {"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}
TRAIN = "echo m > /opt/ml/model/m"


def cleanup(*sources: tuple[str, list[Any] | None], **more: Any) -> dict[str, Any]:
    entries = [{"StepName": name, **({"S3Uris": uris} if uris else {})} for name, uris in sources]
    return {
        "Name": "Clean",
        "Type": "Cleanup",
        "Arguments": {"Resources": {"S3": entries}},
        "DependsOn": [name for name, _ in sources],
        **more,
    }


def under(step: str, file: str) -> dict[str, Any]:
    place = {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    return {"Std:Join": {"On": "/", "Values": [place, file]}}


def test_a_training_step_s_outputs_are_found_and_deleted(local: Any, sagemaker: Any) -> None:
    local.put("models/other/output/model.tar.gz", "not of this job")
    execution = run(local, sagemaker, training("T", TRAIN, local.bucket), cleanup(("T", None)))
    assert status(sagemaker, execution)[0] == "Succeeded"
    assert local.keys("models/") == ["models/other/output/model.tar.gz"]
    assert listed(sagemaker, execution)["Clean"]["Metadata"]["Cleanup"] == {
        "CleanedSteps": ["T"],
        "FailedSteps": [],
        "SkippedSteps": [],
    }


def test_of_a_processing_step_exactly_the_named_objects_go(local: Any, sagemaker: Any) -> None:
    step = processing("P", WRITE, arguments=output(local.bucket))
    execution = run(local, sagemaker, step, cleanup(("P", [under("P", "a.csv")])))
    assert status(sagemaker, execution)[0] == "Succeeded"
    assert [key.rpartition("/")[2] for key in local.keys("")] == ["b.csv"]


def test_what_the_step_has_not_written_stays_and_fails_the_cleanup(
    local: Any, sagemaker: Any
) -> None:
    precious = local.put("precious.csv", "1")
    step = processing("P", WRITE, arguments=output(local.bucket))
    execution = run(local, sagemaker, step, cleanup(("P", [precious])))
    shown = listed(sagemaker, execution)["Clean"]
    assert shown["StepStatus"] == "Failed"
    assert f"{precious} is no object under the outputs of the step" in shown["FailureReason"]
    (failed,) = shown["Metadata"]["Cleanup"]["FailedSteps"]
    assert (failed["StepName"], failed["ErrorCode"]) == ("P", "ClientError")
    assert local.read("precious.csv") == b"1"


def test_what_a_reused_step_wrote_in_another_execution_stays(local: Any, sagemaker: Any) -> None:
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}
    train = {**training("T", TRAIN, local.bucket), **cache}
    run(local, sagemaker, train)
    before = local.keys("models/")
    sagemaker.update_pipeline(
        PipelineName="p",
        PipelineDefinition=json.dumps({"Steps": [train, cleanup(("T", None))]}),
    )
    second = begin(sagemaker)
    local.until(EXECUTION, second, "Succeeded")
    assert listed(sagemaker, second)["Clean"]["Metadata"]["Cleanup"]["SkippedSteps"] == ["T"]
    assert local.keys("models/") == before


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([cleanup(("T", None), Arguments={})], 'Arguments must be {"Resources"'),
        ([cleanup(("Nobody", None), DependsOn=[])], "'Nobody' is no step of this pipeline"),
        (
            [training("T", "true", "b"), cleanup(("T", None), DependsOn=[])],
            "the source 'T' must be in DependsOn",
        ),
        (
            [processing("P", "true"), cleanup(("P", None))],
            "is a Processing step and needs S3Uris",
        ),
        (
            [FAIL, cleanup(("F", None))],
            "is a Fail step; allowed is Training, Processing, Transform",
        ),
    ],
)
def test_a_cleanup_that_cannot_run_is_refused(
    sagemaker: Any, steps: list[Any], message: str
) -> None:
    with pytest.raises(ClientError, match="step 'Clean'") as refused:
        create(sagemaker, *steps)
    assert message in refused.value.response["Error"]["Message"]
