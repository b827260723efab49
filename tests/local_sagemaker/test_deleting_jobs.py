"""DeleteTrainingJob and DeleteProcessingJob: what goes, what stays, and when they refuse."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.pipelining import CACHED, listed, processing, rerun, run, writes

OUT = "/opt/ml/processing/out"


def job_of(sagemaker: Any, execution: str) -> str:
    arn = listed(sagemaker, execution)["P"]["Metadata"]["ProcessingJob"]["Arn"]
    return str(arn.rpartition("/")[2])


def test_a_job_that_has_ended_is_forgotten_and_its_outputs_stay(local: Any, sagemaker: Any) -> None:
    step = processing("P", f"echo a > {OUT}/a", arguments=writes(local.bucket), **CACHED)
    name = job_of(sagemaker, run(local, sagemaker, step))
    sagemaker.delete_processing_job(ProcessingJobName=name)
    with pytest.raises(ClientError, match="Could not find requested job"):
        sagemaker.describe_processing_job(ProcessingJobName=name)
    assert sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []
    assert [key for key in local.keys("") if key.endswith("/out/a")]
    assert job_of(sagemaker, rerun(local, sagemaker)) != name, "it was reused after its end"


def test_a_job_in_progress_is_not_deleted(local: Any, sagemaker: Any) -> None:
    arguments = processing("P", "sleep 60")["Arguments"]
    sagemaker.create_processing_job(ProcessingJobName="p", **arguments)
    with pytest.raises(ClientError, match="is InProgress; stop it") as refused:
        sagemaker.delete_processing_job(ProcessingJobName="p")
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    sagemaker.stop_processing_job(ProcessingJobName="p")
    local.until("processing-job", "p")
    sagemaker.delete_processing_job(ProcessingJobName="p")


def test_a_training_job_that_is_not_there_is_said_in_aws_words(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="Requested resource not found") as refused:
        sagemaker.delete_training_job(TrainingJobName="t")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
