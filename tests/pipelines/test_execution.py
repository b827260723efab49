"""Putting, watching and explaining executions, against scripted answers of SageMaker."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipelines import execution
from pipelines.definition import Compiled, step_names
from pipelines.settings import TARGETS, Settings

ROLE = "arn:aws:iam::000000000000:role/r"
COMPILED = Compiled("churn", '{"Steps": []}')
START = datetime(2026, 1, 1, tzinfo=UTC)


def refused(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class Pipelines:
    """SageMaker's pipeline operations, remembering what was asked."""

    def __init__(self, there: dict[str, Any] | None = None, pages: Any = ()) -> None:
        self.there, self.pages, self.asked = there, list(pages), []

    def describe_pipeline(self, **_: Any) -> dict[str, Any]:
        if self.there is None:
            raise refused("ResourceNotFound", "DescribePipeline")
        return self.there

    def describe_pipeline_execution(self, **_: Any) -> dict[str, Any]:
        status = self.pages[0][0]
        return {"PipelineExecutionStatus": status}

    def list_pipeline_execution_steps(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        return self.pages.pop(0)[1]

    def describe_processing_job(self, **request: Any) -> dict[str, Any]:
        if request["ProcessingJobName"] == "gone":
            raise refused("ValidationException", "DescribeProcessingJob")
        return {
            "ProcessingJobName": "Evaluate-X1",
            "ExitMessage": "row 7 holds text",
            "ProcessingOutputConfig": {
                "Outputs": [{"OutputName": "evaluation", "S3Output": {"S3Uri": "s3://b/e"}}]
            },
        }

    def __getattr__(self, name: str) -> Any:
        return lambda **request: self.asked.append((name, request))


def put(client: Pipelines, tags: Any = ()) -> str:
    return execution.put(client, COMPILED, ROLE, "", list(tags))


def described(**changed: Any) -> dict[str, Any]:
    same = {
        "PipelineArn": "arn",
        "PipelineDefinition": '{ "Steps":[] }',
        "RoleArn": ROLE,
        "PipelineDescription": "churn",
    }
    return same | changed


def test_a_new_pipeline_is_created_with_its_tags() -> None:
    client = Pipelines()
    assert put(client, [{"Key": "a", "Value": "b"}]) == "created"
    name, request = client.asked[0]
    assert name == "create_pipeline"
    assert request["Tags"] == [{"Key": "a", "Value": "b"}]
    assert request["PipelineDefinition"] == COMPILED.definition


def test_an_identical_pipeline_is_left_alone() -> None:
    client = Pipelines(described())
    assert put(client) == "unchanged"
    assert client.asked == []


@pytest.mark.parametrize(
    "changed", [{"PipelineDefinition": '{"Steps": [1]}'}, {"RoleArn": "other"}]
)
def test_a_changed_pipeline_is_updated(changed: dict[str, str]) -> None:
    client = Pipelines(described(**changed))
    assert put(client) == "updated"
    assert [name for name, _ in client.asked] == ["update_pipeline"]


def test_an_error_other_than_not_found_is_passed_on() -> None:
    class Denied(Pipelines):
        def describe_pipeline(self, **_: Any) -> dict[str, Any]:
            raise refused("AccessDeniedException", "DescribePipeline")

    with pytest.raises(ClientError):
        put(Denied())


def test_watching_ends_with_the_execution_and_reads_every_page() -> None:
    pages = [
        ("Executing", {"PipelineExecutionSteps": [{"StepName": "A"}]}),
        ("Stopped", {"PipelineExecutionSteps": [{"StepName": "A"}], "NextToken": "t"}),
        ("Stopped", {"PipelineExecutionSteps": [{"StepName": "B"}]}),
    ]
    client, shown, waited = Pipelines(pages=pages), [], []
    end = execution.watch(client, "arn", 0.3, shown.append, waited.append)
    assert (end.status, [step["StepName"] for step in end.steps]) == ("Stopped", ["A", "B"])
    assert [now.status for now in shown] == ["Executing", "Stopped"]
    assert waited == [0.3]
    assert client.asked[-1]["NextToken"] == "t"


def failed(**more: Any) -> dict[str, Any]:
    return {"StepName": "Evaluate", "StepStatus": "Failed", "FailureReason": "short"} | more


def job(name: str) -> dict[str, Any]:
    return {"Metadata": {"ProcessingJob": {"Arn": f"arn:aws:sagemaker:r:1:processing-job/{name}"}}}


def test_a_failure_is_told_in_the_jobs_own_words_with_its_log(place: Settings) -> None:
    told = list(execution.failures(Pipelines(), place, [failed(**job("evaluate-x1"))]))
    log = "python -m local_sagemaker logs Evaluate-X1"
    assert told == [f"Evaluate: row 7 holds text\n  its log: {log}"]


def test_a_step_that_failed_before_its_job_existed_tells_its_own_reason(place: Settings) -> None:
    told = list(execution.failures(Pipelines(), place, [failed(**job("gone"))]))
    assert told[0].startswith("Evaluate: short")


def test_a_fail_step_tells_its_message(place: Settings) -> None:
    step = failed(Metadata={"Fail": {"ErrorMessage": "Gates failed: auc"}})
    assert list(execution.failures(Pipelines(), place, [step])) == ["Evaluate: Gates failed: auc"]


def test_logs_in_aws_are_found_by_their_group() -> None:
    words = TARGETS["aws"].logs_command.format(job="x", log_group="/aws/sagemaker/TrainingJobs")
    assert "/aws/sagemaker/TrainingJobs --log-stream-name-prefix x" in words


def test_an_output_is_found_where_the_job_says(place: Settings) -> None:
    steps = [{"StepName": "Evaluate", "StepStatus": "Succeeded", **job("e")}]
    found = execution.output_uri(Pipelines(), steps, "Evaluate", "evaluation")
    assert found == "s3://b/e"
    assert execution.output_uri(Pipelines(), steps, "Package", "bundle") is None


def test_a_step_takes_from_its_start_to_its_end() -> None:
    assert execution.seconds({}) is None
    step = {"StartTime": START, "EndTime": START + timedelta(seconds=2)}
    assert execution.seconds(step) == 2.0


def test_steps_of_branches_are_named_after_their_condition() -> None:
    text = (
        '{"Steps": [{"Name": "A", "Type": "Training"}, {"Name": "C", "Type": "Condition",'
        '"Arguments": {"IfSteps": [{"Name": "D", "Type": "Model"}], "ElseSteps": []}},'
        '{"Name": "E", "Type": "Fail"}]}'
    )
    assert step_names(text) == ["A", "C", "D", "E"]
