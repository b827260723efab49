"""Executions through boto3 with real jobs: tiny shell scripts, so that each takes milliseconds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot

ROLE = "arn:aws:iam::000000000000:role/local"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
EXECUTION = "pipeline-execution"


def shell(script: str) -> dict[str, Any]:
    return {"ContainerEntrypoint": ["/bin/sh", "-c", script]}


def processing(name: str, script: str, **more: Any) -> dict[str, Any]:
    arguments = {
        "AppSpecification": {"ImageUri": IMAGE, **shell(script)},
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            }
        },
        "RoleArn": ROLE,
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}


def training(name: str, script: str, bucket: str, **more: Any) -> dict[str, Any]:
    image = {"TrainingImage": IMAGE, "TrainingInputMode": "File", **shell(script)}
    arguments = {
        "AlgorithmSpecification": image,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "RoleArn": ROLE,
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Training", "Arguments": arguments, **more}


def output(bucket: str, name: str = "out") -> dict[str, Any]:
    run = {"Get": "Execution.PipelineExecutionId"}
    uri = {"Std:Join": {"On": "/", "Values": [f"s3://{bucket}", run, name]}}
    place = {
        "S3Uri": uri,
        "LocalPath": f"/opt/ml/processing/{name}",
        "S3UploadMode": "EndOfJob",
    }
    return {"ProcessingOutputConfig": {"Outputs": [{"OutputName": name, "S3Output": place}]}}


def create(sagemaker: Any, *steps: Any, **top: Any) -> None:
    sagemaker.create_pipeline(
        PipelineName="p",
        RoleArn=ROLE,
        PipelineDefinition=json.dumps({"Version": "2020-12-01", "Steps": steps, **top}),
    )


def start(sagemaker: Any, **members: Any) -> str:
    answer = sagemaker.start_pipeline_execution(PipelineName="p", **members)
    return str(answer["PipelineExecutionArn"])


def run(local: Any, sagemaker: Any, *steps: Any, **top: Any) -> str:
    """Create the pipeline, run it once, wait for its end; the execution's ARN."""
    create(sagemaker, *steps, **top)
    arn = start(sagemaker)
    local.until(EXECUTION, arn, "Succeeded", "Failed")
    return arn


def listed(sagemaker: Any, arn: str) -> dict[str, Any]:
    answer = sagemaker.list_pipeline_execution_steps(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}


def status(sagemaker: Any, arn: str) -> tuple[str, str | None]:
    found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    return found["PipelineExecutionStatus"], found.get("FailureReason")


def test_a_pipeline_runs_from_data_to_a_condition_on_its_report(local: Any, sagemaker: Any) -> None:
    prepared = {
        "Get": "Steps.Prep.ProcessingOutputConfig.Outputs['rows'].S3Output.S3Uri",
    }
    channel = {
        "ChannelName": "train",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": prepared}},
    }
    trained = {
        "InputName": "model",
        "S3Input": {
            "S3Uri": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"},
            "LocalPath": "/opt/ml/processing/model",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }
    report = {"Get": "Steps.Eval.PropertyFiles.Report"}
    value = {"Std:JsonGet": {"PropertyFile": report, "Path": "auc.value"}}
    at_least = {"Type": "GreaterThanOrEqualTo", "LeftValue": value}
    gate = {**at_least, "RightValue": {"Get": "Parameters.Limit"}}
    bad = {
        "Std:Join": {"On": " ", "Values": ["auc", value, "is below", {"Get": "Parameters.Limit"}]}
    }
    arn = run(
        local,
        sagemaker,
        {
            "Name": "Gate",
            "Type": "Condition",
            "Arguments": {
                "Conditions": [gate],
                "IfSteps": [processing("Deliver", "true")],
                "ElseSteps": [
                    {"Name": "Refuse", "Type": "Fail", "Arguments": {"ErrorMessage": bad}}
                ],
            },
        },
        processing(
            "Eval",
            "test -f /opt/ml/processing/model/model.tar.gz || exit 3; "
            """echo '{"auc": {"value": 0.75}}' > /opt/ml/processing/eval/report.json""",
            arguments={"ProcessingInputs": [trained], **output(local.bucket, "eval")},
            PropertyFiles=[
                {"PropertyFileName": "Report", "OutputName": "eval", "FilePath": "report.json"}
            ],
        ),
        training(
            "Train",
            "cp /opt/ml/input/data/train/rows.csv /opt/ml/model/",
            local.bucket,
            arguments={"InputDataConfig": [channel]},
        ),
        processing(
            "Prep",
            "echo 1,2 > /opt/ml/processing/rows/rows.csv",
            arguments=output(local.bucket, "rows"),
        ),
        Parameters=[{"Name": "Limit", "Type": "Float", "DefaultValue": 0.7}],
        PipelineExperimentConfig={"ExperimentName": {"Get": "Execution.PipelineName"}},
    )
    steps = listed(sagemaker, arn)
    assert status(sagemaker, arn) == ("Succeeded", None), steps
    assert list(steps) == ["Prep", "Train", "Eval", "Gate", "Deliver"]
    assert all(step["StepStatus"] == "Succeeded" for step in steps.values())
    assert steps["Gate"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    assert list(steps["Train"]["Metadata"]) == ["TrainingJob"]
    found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert found["PipelineExperimentConfig"] == {"ExperimentName": "p"}

    again = start(sagemaker, PipelineParameters=[{"Name": "Limit", "Value": "0.8"}])
    local.until(EXECUTION, again, "Failed")
    assert status(sagemaker, again) == ("Failed", "auc 0.75 is below 0.8")
    values = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=again)
    assert values["PipelineParameters"] == [{"Name": "Limit", "Value": "0.8"}]


def test_a_failing_job_fails_its_step_with_the_jobs_reason(local: Any, sagemaker: Any) -> None:
    script = "echo 'no such column: age' > /opt/ml/output/failure; exit 7"
    arn = run(
        local,
        sagemaker,
        training("Train", script, local.bucket),
        processing("Never", "true", DependsOn=["Train"]),
    )
    assert status(sagemaker, arn) == ("Failed", "Step failure: One or multiple steps failed.")
    steps = listed(sagemaker, arn)
    assert list(steps) == ["Train"]
    assert steps["Train"]["FailureReason"].startswith("AlgorithmError: ")
    assert "no such column: age" in steps["Train"]["FailureReason"]


def test_a_request_that_the_job_api_refuses_fails_the_step(local: Any, sagemaker: Any) -> None:
    arn = run(local, sagemaker, training("Train", "true", "b", arguments={"OutputDataConfig": {}}))
    reason = listed(sagemaker, arn)["Train"]["FailureReason"]
    assert reason.startswith("ClientError: ValidationException: ")
    assert "outputDataConfig.s3OutputPath" in reason


def cached(local: Any) -> dict[str, Any]:
    code = {
        "InputName": "code",
        "S3Input": {
            "S3Uri": local.put("code/run.sh", "echo one > /opt/ml/processing/out/result"),
            "LocalPath": "/opt/ml/processing/code",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }
    return processing(
        "Work",
        "sh /opt/ml/processing/code/run.sh",
        arguments={"ProcessingInputs": [code], **output(local.bucket)},
        CacheConfig={"Enabled": True, "ExpireAfter": "P30D"},
    )


def test_an_unchanged_step_is_reused_and_a_changed_script_is_not(
    local: Any, sagemaker: Any
) -> None:
    first = run(local, sagemaker, cached(local))
    assert status(sagemaker, first) == ("Succeeded", None), listed(sagemaker, first)
    second = start(sagemaker)
    local.until(EXECUTION, second, "Succeeded", "Failed")
    before, after = listed(sagemaker, first)["Work"], listed(sagemaker, second)["Work"]
    assert after["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert after["Metadata"] == before["Metadata"]
    assert "CacheHitResult" not in before

    local.put("code/run.sh", "echo two > /opt/ml/processing/out/result")
    third = start(sagemaker)
    local.until(EXECUTION, third, "Succeeded", "Failed")
    assert "CacheHitResult" not in listed(sagemaker, third)["Work"]
    assert local.read(f"{third.rpartition('/')[2]}/out/result") == b"two\n"


def test_a_model_is_registered_and_configured_under_generated_names(
    local: Any, sagemaker: Any
) -> None:
    registered = {
        "ModelPackageGroupName": "churn",
        "ModelApprovalStatus": "Approved",
        "SkipModelValidation": "None",
        "InferenceSpecification": {
            "Containers": [{"Image": IMAGE, "ModelDataUrl": local.put("m/model.tar.gz", "x")}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    }
    container = {"ModelPackageName": {"Get": "Steps.Register.ModelPackageArn"}}
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": {"Get": "Steps.Model.ModelName"},
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    arn = run(
        local,
        sagemaker,
        {"Name": "Register", "Type": "RegisterModel", "Arguments": registered},
        {
            "Name": "Model",
            "Type": "Model",
            "Arguments": {"ExecutionRoleArn": ROLE, "PrimaryContainer": container},
        },
        {
            "Name": "Config",
            "Type": "EndpointConfig",
            "Arguments": {"ProductionVariants": [variant]},
        },
    )
    steps = listed(sagemaker, arn)
    assert status(sagemaker, arn) == ("Succeeded", None), steps
    version = steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    package = sagemaker.describe_model_package(ModelPackageName=version)
    assert package["MetadataProperties"]["GeneratedBy"] == arn
    (config,) = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    assert config["EndpointConfigArn"] == steps["Config"]["Metadata"]["EndpointConfig"]["Arn"]
    assert config["EndpointConfigName"].startswith(f"pipelines-{arn.rpartition('/')[2]}-Config-")


def test_a_stopped_execution_stops_its_job_and_can_be_retried(local: Any, sagemaker: Any) -> None:
    flag = local.put("flag/wait", "x")
    waits = {
        "InputName": "flag",
        "S3Input": {
            "S3Uri": flag.rpartition("/")[0],
            "LocalPath": "/opt/ml/processing/flag",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }
    script = "if grep -q x /opt/ml/processing/flag/wait; then exec sleep 60; fi"
    create(
        sagemaker,
        processing("First", "true"),
        processing("Second", script, DependsOn=["First"], arguments={"ProcessingInputs": [waits]}),
    )
    arn = start(sagemaker)
    local.until("processing-job", job_of(local, arn, "Second"), "InProgress")
    with pytest.raises(sagemaker.exceptions.ConflictException):
        sagemaker.delete_pipeline(PipelineName="p")
    assert (
        sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionArn"] == arn
    )
    local.until(EXECUTION, arn, "Stopped")
    steps = listed(sagemaker, arn)
    assert {name: step["StepStatus"] for name, step in steps.items()} == {
        "First": "Succeeded",
        "Second": "Stopped",
    }
    with pytest.raises(sagemaker.exceptions.ConflictException, match="is Stopped"):
        sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)

    local.put("flag/wait", "go on")
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    local.until(EXECUTION, arn, "Succeeded", "Failed")
    again = listed(sagemaker, arn)
    assert status(sagemaker, arn) == ("Succeeded", None), again
    assert again["First"]["Metadata"] == steps["First"]["Metadata"]
    assert again["Second"]["Metadata"] != steps["Second"]["Metadata"]
    with pytest.raises(sagemaker.exceptions.ConflictException, match="Failed or Stopped"):
        sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)


def job_of(local: Any, arn: str, step: str) -> str:
    """The name of a step's job, once it has one."""
    import threading

    changed = threading.Event()
    unsubscribe = local.plane.bus.subscribe(lambda _: changed.set())
    try:
        for _ in range(100):
            result = local.plane.store.get(EXECUTION, arn)["Steps"].get(step, {})
            if "Metadata" in result:
                return str(result["Resource"])
            changed.wait(0.1)
            changed.clear()
    finally:
        unsubscribe()
    raise AssertionError(f"step {step} was not launched")


@pytest.mark.parametrize("retried", [False, True])
def test_after_a_restart_the_execution_ends_truthfully(
    start_server: Callable[[], Any], retried: bool
) -> None:
    local = start_server()
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 1}
    flag = local.put("flag/wait", "x")
    waits = {
        "InputName": "flag",
        "S3Input": {
            "S3Uri": flag,
            "LocalPath": "/opt/ml/processing/flag",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }
    script = "if grep -q x /opt/ml/processing/flag/wait; then exec sleep 60; fi"
    sagemaker = local.client()
    create(
        sagemaker,
        processing(
            "Work",
            script,
            arguments={"ProcessingInputs": [waits]},
            RetryPolicies=[policy] if retried else [],
        ),
    )
    arn = start(sagemaker)
    job_of(local, arn, "Work")
    boot.shut_down(local.plane)
    local.put("flag/wait", "go on")

    local = start_server()
    local.until(EXECUTION, arn, "Succeeded", "Failed")
    step = listed(local.client(), arn)["Work"]
    if retried:
        assert (step["StepStatus"], step["AttemptCount"]) == ("Succeeded", 2), step
    else:
        assert step["StepStatus"] == "Failed"
        assert step["FailureReason"].startswith("InternalServerError: ")


@pytest.fixture
def start_server(start: Callable[..., Any], tmp_path: Path) -> Callable[[], Any]:
    """Start a server in this test's home, again and again."""

    def go() -> Any:
        return start(tmp_path / "home", slots=2)

    return go


def test_executions_are_listed_newest_first(local: Any, sagemaker: Any) -> None:
    fail = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "enough"}}
    arns = [run(local, sagemaker, fail)]
    arns.append(start(sagemaker, PipelineExecutionDisplayName="second"))
    local.until(EXECUTION, arns[1], "Failed")
    found = sagemaker.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"]
    assert [each["PipelineExecutionArn"] for each in found] == arns[::-1]
    assert found[0]["PipelineExecutionDisplayName"] == "second"
    assert found[0]["PipelineExecutionFailureReason"] == "enough"
    assert found[0]["StartTime"] >= found[1]["StartTime"]
    last = sagemaker.describe_pipeline(PipelineName="p")["LastRunTime"]
    assert last == found[0]["StartTime"]


def test_the_same_token_starts_once(local: Any, sagemaker: Any) -> None:
    fail = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "enough"}}
    create(sagemaker, fail)
    arns = {start(sagemaker, ClientRequestToken="t" * 32) for _ in range(2)}
    assert len(arns) == 1
    local.until(EXECUTION, arns.pop(), "Failed")


def test_the_definition_and_the_settings_of_an_execution_can_be_read_and_set(
    local: Any, sagemaker: Any
) -> None:
    fail = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "enough"}}
    arn = run(local, sagemaker, fail)
    sagemaker.update_pipeline(
        PipelineName="p", PipelineDefinition=json.dumps({"Steps": [{**fail, "Name": "Other"}]})
    )
    frozen = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    assert json.loads(frozen["PipelineDefinition"])["Steps"] == [fail]
    sagemaker.update_pipeline_execution(
        PipelineExecutionArn=arn, PipelineExecutionDescription="looked at"
    )
    found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert found["PipelineExecutionDescription"] == "looked at"
    assert found["PipelineVersionId"] == 1


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, r"must be given: Rows"),
        ({"PipelineParameters": [{"Name": "Rows", "Value": "x"}]}, "'Rows' is Integer"),
        ({"PipelineParameters": [{"Name": "Row", "Value": "1"}]}, "did you mean 'Rows'"),
        ({"MlflowExperimentName": "x"}, "'MlflowExperimentName' is not supported"),
    ],
)
def test_a_bad_start_is_refused(sagemaker: Any, members: dict[str, Any], says: str) -> None:
    fail = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "enough"}}
    create(sagemaker, fail, Parameters=[{"Name": "Rows", "Type": "Integer"}])
    with pytest.raises(ClientError, match=says) as error:
        start(sagemaker, **members)
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_an_unknown_execution_is_resource_not_found(sagemaker: Any) -> None:
    arn = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/p/execution/abcdefghijkl"
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)
