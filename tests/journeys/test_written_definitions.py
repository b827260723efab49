"""Definitions that AWS's SDK wrote years ago run as they are: boto3, and objects where they say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.journeys.abalone import written
from tests.journeys.conftest import Plane
from tests.journeys.test_abalone import HERE, shells

pytestmark = pytest.mark.journey
POLLS = 600


class User:
    """What somebody with these files has: two clients, and the names in the definitions."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.s3 = self._client("s3", variables["AWS_ENDPOINT_URL"], variables)
        self.sagemaker = self._client(
            "sagemaker", variables["AWS_ENDPOINT_URL_SAGEMAKER"], variables
        )

    @staticmethod
    def _client(service: str, url: str, variables: dict[str, str]) -> Any:
        return boto3.client(
            service,
            endpoint_url=url,
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    def put(self, uri: str, text: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.s3.create_bucket(Bucket=bucket)
        self.s3.put_object(Bucket=bucket, Key=key, Body=text.encode())

    def read(self, key: str) -> str:
        answer = self.s3.get_object(Bucket=written.BUCKET, Key=key)
        return str(answer["Body"].read().decode())

    def run(self, name: str, text: str, **parameters: str) -> tuple[str, dict[str, str]]:
        """The status of an execution, and of its steps."""
        self.sagemaker.create_pipeline(
            PipelineName=name, RoleArn=written.ROLE, PipelineDefinition=text
        )
        arn = self.sagemaker.start_pipeline_execution(
            PipelineName=name,
            PipelineParameters=[{"Name": key, "Value": value} for key, value in parameters.items()],
        )["PipelineExecutionArn"]
        status = self._end_of(arn)
        steps = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)
        return status, {
            each["StepName"]: each["StepStatus"] for each in steps["PipelineExecutionSteps"]
        }

    def _end_of(self, arn: str) -> str:
        for _ in range(POLLS):
            found = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            if found["PipelineExecutionStatus"] != "Executing":
                return str(found["PipelineExecutionStatus"])
            threading.Event().wait(0.25)
        raise AssertionError(f"{arn} did not end")


@pytest.fixture(scope="module")
def user(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    made = User(json.loads(plane.run("local_sagemaker", "env", "--json").stdout))
    table = shells(tmp_path_factory.mktemp("data") / "abalone.csv").read_text()
    rows = [line.split(",") for line in table.split()]
    made.put(written.TABLE, table)
    made.put(written.BATCH, "".join(",".join([*row[1:8], "1,0,0"]) + "\n" for row in rows[:40]))
    for script in ("preprocess.py", "evaluate.py"):
        made.put(f"{written.CODE}/{script}", (Path(HERE) / script).read_text())
    # The sample sorts the shells into ten classes.
    lines = (
        f"{min(int(row[8]) // 2, 9)} "
        + " ".join(f"{column}:{row[column]}" for column in range(1, 8))
        for row in rows
    )
    text = "\n".join(lines)
    for channel in ("train", "validation"):
        made.put(f"s3://my-own-bucket/sagemaker/xgboost/{channel}/abalone.{channel}", text)
    yield made
    made.s3.close()
    made.sagemaker.close()


def test_the_definition_with_a_tuning_step_runs_to_its_end(user: User) -> None:
    status, steps = user.run("tuning", json.dumps(written.tuning()))
    assert (status, set(steps.values())) == ("Succeeded", {"Succeeded"}), steps
    assert len(steps) == 7
    (tuned,) = user.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert tuned["ObjectiveStatusCounters"]["Succeeded"] == 3
    packages = user.sagemaker.list_model_packages(ModelPackageGroupName="tuning-job-model-packages")
    (package,) = packages["ModelPackageSummaryList"]
    described = user.sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])
    best = user.sagemaker.describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuned["HyperParameterTuningJobName"]
    )["BestTrainingJob"]["TrainingJobName"]
    (container,) = described["InferenceSpecification"]["Containers"]
    assert f"/{best}/output/model.tar.gz" in container["ModelDataUrl"]


def test_the_definition_with_a_batch_transform_runs_to_its_end(user: User) -> None:
    status, steps = user.run("batch", json.dumps(written.batch()))
    assert (status, set(steps.values())) == ("Succeeded", {"Succeeded"}), steps
    assert len(steps) == 7
    scored = user.read("batch/AbaloneTransform/abalone-dataset-batch.out").split()
    assert len([float(each) for each in scored]) == 40


def test_a_limit_that_no_model_keeps_fails_it_in_the_words_of_the_definition(user: User) -> None:
    status, steps = user.run("strict", json.dumps(written.batch()), MseThreshold="0.001")
    assert (status, steps["AbaloneMSEFail"]) == ("Failed", "Failed")
    assert "AbaloneTransform" not in steps


def test_the_sample_runs_once_its_placeholders_are_filled_in(user: User) -> None:
    text = json.dumps(written.sample()).replace("<YOUR_BUCKET_NAME>", "my-own-bucket")
    text = text.replace("<YOUR_SAGEMAKER_ROLE_ARN>", written.ROLE)
    assert user.run("sample", text) == ("Succeeded", {"AbaloneTrain": "Succeeded"})
