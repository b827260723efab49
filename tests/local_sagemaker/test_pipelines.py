"""Pipelines through boto3: create, update, describe, list, delete, and what is refused."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/local"
FAIL = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "enough"}}
DEFINITION = json.dumps({"Version": "2020-12-01", "Steps": [FAIL]})


def create(sagemaker: Any, name: str = "churn", **members: Any) -> str:
    request = {"PipelineName": name, "RoleArn": ROLE, "PipelineDefinition": DEFINITION, **members}
    return str(sagemaker.create_pipeline(**request)["PipelineArn"])


def test_a_pipeline_is_described_as_it_was_created(sagemaker: Any) -> None:
    arn = create(
        sagemaker,
        PipelineDisplayName="Churn",
        PipelineDescription="who leaves",
        ParallelismConfiguration={"MaxParallelExecutionSteps": 3},
        Tags=[{"Key": "team", "Value": "ml"}],
    )
    assert arn == "arn:aws:sagemaker:us-east-1:000000000000:pipeline/churn"
    found = sagemaker.describe_pipeline(PipelineName="churn")
    assert found["PipelineArn"] == arn
    assert found["PipelineStatus"] == "Active"
    assert found["PipelineDefinition"] == DEFINITION
    assert found["RoleArn"] == ROLE
    assert (found["PipelineDisplayName"], found["PipelineDescription"]) == ("Churn", "who leaves")
    assert found["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 3}
    assert found["CreationTime"] == found["LastModifiedTime"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "ml"}]


@pytest.mark.parametrize("second", ["churn", "Churn"])
def test_a_second_pipeline_of_the_name_is_refused_as_the_sdk_expects(
    sagemaker: Any, second: str
) -> None:
    create(sagemaker)
    with pytest.raises(ClientError) as error:
        create(sagemaker, second)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    message = error.value.response["Error"]["Message"]
    assert "Pipeline names must be unique within an AWS account and region" in message


def test_the_same_token_creates_once(sagemaker: Any) -> None:
    token = "t" * 32
    first = create(sagemaker, ClientRequestToken=token)
    assert create(sagemaker, ClientRequestToken=token) == first
    with pytest.raises(ClientError) as error:
        create(sagemaker, "other", ClientRequestToken=token)
    assert error.value.response["Error"]["Code"] == "ConflictException"


def test_a_pipeline_is_found_by_name_and_by_arn_whatever_its_case(sagemaker: Any) -> None:
    arn = create(sagemaker, "MyChurn")
    for key in ("MyChurn", arn, arn.replace("mychurn", "MyChurn")):
        assert sagemaker.describe_pipeline(PipelineName=key)["PipelineName"] == "MyChurn"


@pytest.mark.parametrize(
    "operation", ["describe_pipeline", "delete_pipeline", "start_pipeline_execution"]
)
def test_an_unknown_pipeline_is_resource_not_found(sagemaker: Any, operation: str) -> None:
    with pytest.raises(sagemaker.exceptions.ResourceNotFound) as error:
        getattr(sagemaker, operation)(PipelineName="nobody")
    assert "Pipeline 'nobody' does not exist" in str(error.value)


def test_a_definition_may_lie_in_s3(sagemaker: Any, local: Any) -> None:
    local.put("definitions/churn", DEFINITION)
    place = {"Bucket": local.bucket, "ObjectKey": "definitions/churn"}
    sagemaker.create_pipeline(
        PipelineName="churn", RoleArn=ROLE, PipelineDefinitionS3Location=place
    )
    assert sagemaker.describe_pipeline(PipelineName="churn")["PipelineDefinition"] == DEFINITION


def test_a_definition_missing_in_s3_is_refused(sagemaker: Any, local: Any) -> None:
    place = {"Bucket": local.bucket, "ObjectKey": "nothing"}
    with pytest.raises(ClientError, match="PipelineDefinitionS3Location cannot be read"):
        sagemaker.create_pipeline(
            PipelineName="churn", RoleArn=ROLE, PipelineDefinitionS3Location=place
        )


def refused(sagemaker: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as error:
        create(sagemaker, **members)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    return str(error.value.response["Error"]["Message"])


def test_mistakes_in_a_definition_are_refused_with_their_place(sagemaker: Any) -> None:
    assert "line 1, column 2" in refused(sagemaker, PipelineDefinition="{")
    tuning = json.dumps({"Steps": [{"Name": "Tune", "Type": "AutoML", "Arguments": {}}]})
    message = refused(sagemaker, PipelineDefinition=tuning)
    assert "step 'Tune' has the type 'AutoML', which is not supported" in message
    assert "Condition, Endpoint, EndpointConfig, Fail" in message
    assert "InferenceComponent, Lambda, Model" in message


def test_bad_names_and_unsupported_members_are_refused(sagemaker: Any) -> None:
    assert "pipelineName" in refused(sagemaker, name="no_underscores")
    place = {"Bucket": "bbb", "ObjectKey": "x", "VersionId": "1"}
    assert "VersionId" in refused(sagemaker, PipelineDefinitionS3Location=place)


def test_a_definition_is_needed_once(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="needs a PipelineDefinition"):
        sagemaker.create_pipeline(PipelineName="churn", RoleArn=ROLE)
    place = {"Bucket": "bucket", "ObjectKey": "x"}
    assert "exclude each other" in refused(sagemaker, PipelineDefinitionS3Location=place)


def test_an_update_changes_what_it_names_and_makes_a_version(sagemaker: Any) -> None:
    arn = create(sagemaker, PipelineDescription="before")
    other = json.dumps({"Steps": [{**FAIL, "Name": "Other"}]})
    answer = sagemaker.update_pipeline(PipelineName="churn", PipelineDefinition=other)
    assert (answer["PipelineArn"], answer["PipelineVersionId"]) == (arn, 2)
    answer = sagemaker.update_pipeline(PipelineName="churn", PipelineDisplayName="Churn")
    assert answer["PipelineVersionId"] == 2
    found = sagemaker.describe_pipeline(PipelineName="churn")
    assert found["PipelineDefinition"] == other
    assert (found["PipelineDisplayName"], found["PipelineDescription"]) == ("Churn", "before")
    assert found["LastModifiedTime"] > found["CreationTime"]


def test_an_update_with_a_bad_definition_changes_nothing(sagemaker: Any) -> None:
    create(sagemaker)
    with pytest.raises(ClientError, match="is not valid"):
        sagemaker.update_pipeline(PipelineName="churn", PipelineDefinition="[]")
    assert sagemaker.describe_pipeline(PipelineName="churn")["PipelineDefinition"] == DEFINITION


def test_pipelines_are_listed_newest_first_by_prefix_and_page(sagemaker: Any) -> None:
    for name in ("b-1", "a-1", "a-2"):
        create(sagemaker, name)

    def names(**request: Any) -> list[str]:
        found = sagemaker.list_pipelines(**request)["PipelineSummaries"]
        return [each["PipelineName"] for each in found]

    assert names() == ["a-2", "a-1", "b-1"]
    assert names(PipelineNamePrefix="a") == ["a-2", "a-1"]
    assert names(SortBy="Name", SortOrder="Ascending") == ["a-1", "a-2", "b-1"]
    pages = sagemaker.get_paginator("list_pipelines").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["PipelineSummaries"]) for page in pages] == [2, 1]


def test_a_deleted_pipeline_is_gone_with_its_executions(sagemaker: Any, local: Any) -> None:
    arn = create(sagemaker)
    run = sagemaker.start_pipeline_execution(PipelineName="churn")["PipelineExecutionArn"]
    local.until("pipeline-execution", run, "Failed")
    assert sagemaker.delete_pipeline(PipelineName="churn")["PipelineArn"] == arn
    for call, request in (
        (sagemaker.describe_pipeline, {"PipelineName": "churn"}),
        (sagemaker.describe_pipeline_execution, {"PipelineExecutionArn": run}),
    ):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            call(**request)
    create(sagemaker)
    listed = sagemaker.list_pipeline_executions(PipelineName="churn")
    assert listed["PipelineExecutionSummaries"] == []
