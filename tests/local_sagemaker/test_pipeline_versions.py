"""Pipeline versions and their aliases through boto3."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.pipelining import ENDS, EXECUTION, ROLE, condition

ARN = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/p"


def definition(step: str) -> str:
    return json.dumps({"Version": "2020-12-01", "Steps": [condition(step, 1, 1)]})


@pytest.fixture
def two_versions(sagemaker: Any) -> Any:
    """Pipeline `p`: version 1 runs step One and is `prod`, version 2 runs step Two."""
    sagemaker.create_pipeline(
        PipelineName="p",
        RoleArn=ROLE,
        PipelineDefinition=definition("One"),
        PipelineVersionAliases=["prod"],
    )
    answer = sagemaker.update_pipeline(PipelineName="p", PipelineDefinition=definition("Two"))
    assert answer["PipelineVersionId"] == 2
    return sagemaker


def versions(sagemaker: Any, **request: Any) -> list[Any]:
    found = sagemaker.list_pipeline_versions(PipelineName="p", **request)
    return list(found["PipelineVersionSummaries"])


def move(sagemaker: Any, version: int, **operations: list[str]) -> Any:
    return sagemaker.update_pipeline_version(
        PipelineArn=ARN, PipelineVersionId=version, PipelineVersionAliasOperations=operations
    )


def ran(local: Any, sagemaker: Any, **request: Any) -> tuple[str, list[str], int]:
    """An execution's ARN, the steps that it ran, and its version."""
    answer = sagemaker.start_pipeline_execution(PipelineName="p", **request)
    arn = answer["PipelineExecutionArn"]
    local.until(EXECUTION, arn, *ENDS)
    listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)
    steps = [step["StepName"] for step in listed["PipelineExecutionSteps"]]
    found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    return arn, steps, found["PipelineVersionId"]


def test_versions_are_listed_newest_first(two_versions: Any) -> None:
    assert [each["PipelineVersionId"] for each in versions(two_versions)] == [2, 1]
    one = versions(two_versions, SortOrder="Ascending", MaxResults=1)
    assert [each["PipelineVersionId"] for each in one] == [1]
    assert one[0]["PipelineArn"] == ARN
    assert one[0]["PipelineVersionAliases"] == ["prod"]
    assert "CreationTime" in one[0]


def test_a_version_is_described_by_number_and_by_alias(two_versions: Any) -> None:
    def described(**request: Any) -> str:
        found = two_versions.describe_pipeline(PipelineName="p", **request)
        return str(json.loads(found["PipelineDefinition"])["Steps"][0]["Name"])

    assert described() == described(PipelineVersionId=2) == "Two"
    assert described(PipelineVersionId=1) == described(PipelineVersionAlias="prod") == "One"


def test_an_execution_runs_the_version_it_names(local: Any, two_versions: Any) -> None:
    newest, steps, version = ran(local, two_versions)
    assert (steps, version) == (["Two"], 2)
    first, steps, version = ran(local, two_versions, PipelineVersionId=1)
    assert (steps, version) == (["One"], 1)
    last, steps, version = ran(local, two_versions, PipelineVersionAlias="prod")
    assert (steps, version) == (["One"], 1)

    described = two_versions.describe_pipeline_execution(PipelineExecutionArn=last)
    assert described["PipelineVersionAliases"] == ["prod"]
    lasts = {
        each["PipelineVersionId"]: each["LastExecutionPipelineExecutionArn"]
        for each in versions(two_versions)
    }
    assert lasts == {1: last, 2: newest}
    listed = two_versions.list_pipeline_executions(PipelineName="p", PipelineVersionAlias="prod")
    arns = {each["PipelineExecutionArn"] for each in listed["PipelineExecutionSummaries"]}
    assert arns == {first, last}


def test_an_alias_moves_when_it_was_removed_first(local: Any, two_versions: Any) -> None:
    with pytest.raises(two_versions.exceptions.ConflictException) as error:
        move(two_versions, 2, Add=["prod"])
    assert "Alias 'prod' belongs to version 1" in str(error.value)
    assert move(two_versions, 1, Remove=["prod"])["PipelineVersionId"] == 1
    move(two_versions, 2, Add=["prod", "canary"])
    assert ran(local, two_versions, PipelineVersionAlias="prod")[1] == ["Two"]
    newest, oldest = versions(two_versions)
    assert newest["PipelineVersionAliases"] == ["prod", "canary"]
    assert oldest["PipelineVersionAliases"] == []


def test_an_update_gives_its_new_version_aliases(two_versions: Any) -> None:
    two_versions.update_pipeline(
        PipelineName="p", PipelineDefinition=definition("Three"), PipelineVersionAliases=["next"]
    )
    assert versions(two_versions)[0]["PipelineVersionAliases"] == ["next"]
    with pytest.raises(ClientError, match="give a PipelineDefinition"):
        two_versions.update_pipeline(PipelineName="p", PipelineVersionAliases=["later"])
    with pytest.raises(two_versions.exceptions.ConflictException):
        two_versions.update_pipeline(
            PipelineName="p", PipelineDefinition=definition("Four"), PipelineVersionAliases=["prod"]
        )
    assert len(versions(two_versions)) == 3


def test_a_version_has_a_name_and_a_description(two_versions: Any) -> None:
    two_versions.update_pipeline_version(
        PipelineArn=ARN,
        PipelineVersionId=1,
        PipelineVersionDisplayName="first",
        PipelineVersionDescription="the one that works",
    )
    found = two_versions.describe_pipeline(PipelineName="p", PipelineVersionId=1)
    assert found["PipelineVersionDisplayName"] == "first"
    assert found["PipelineVersionDescription"] == "the one that works"
    assert versions(two_versions)[1]["PipelineVersionDisplayName"] == "first"
    assert "PipelineVersionDisplayName" not in two_versions.describe_pipeline(PipelineName="p")


@pytest.mark.parametrize("request_", [{"PipelineVersionId": 9}, {"PipelineVersionAlias": "x"}])
def test_an_unknown_version_is_resource_not_found(two_versions: Any, request_: Any) -> None:
    for call in (two_versions.describe_pipeline, two_versions.start_pipeline_execution):
        with pytest.raises(two_versions.exceptions.ResourceNotFound):
            call(PipelineName="p", **request_)


@pytest.mark.parametrize(
    ("operations", "says"),
    [
        ({"Add": ["12"]}, "'12' cannot consist of numbers only"),
        ({"Remove": ["nothing"]}, "does not have the alias 'nothing'"),
        ({"Add": ["a"], "Remove": ["a"]}, "stands in Add and in Remove"),
        ({"Add": [f"a{n}" for n in range(10)]}, "would have 11 aliases"),
    ],
)
def test_wrong_alias_operations_change_nothing(
    two_versions: Any, operations: Any, says: str
) -> None:
    with pytest.raises(ClientError, match=says):
        move(two_versions, 1, **operations)
    assert versions(two_versions)[1]["PipelineVersionAliases"] == ["prod"]


def test_number_and_alias_exclude_each_other(two_versions: Any) -> None:
    with pytest.raises(ClientError, match="exclude each other"):
        two_versions.describe_pipeline(
            PipelineName="p", PipelineVersionId=1, PipelineVersionAlias="prod"
        )


def test_a_new_pipeline_of_the_name_starts_at_version_one(two_versions: Any) -> None:
    two_versions.delete_pipeline(PipelineName="p")
    two_versions.create_pipeline(
        PipelineName="p", RoleArn=ROLE, PipelineDefinition=definition("New")
    )
    (only,) = versions(two_versions)
    assert (only["PipelineVersionId"], only["PipelineVersionAliases"]) == (1, [])
