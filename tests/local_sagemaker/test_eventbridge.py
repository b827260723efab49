"""SageMaker's events as a user's rules on the default bus of EventBridge receive them."""

from __future__ import annotations

import datetime
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.local_sagemaker import hosting, rollouts, test_transform_jobs, test_tuning_jobs
from tests.local_sagemaker.conftest import ROLE, Local, new_client
from tests.local_sagemaker.test_lambda_steps import zipped
from tests.local_sagemaker.test_model_registry import register
from tests.local_sagemaker.test_pipeline_executions import EXECUTION, create, processing, run
from tests.local_sagemaker.test_pipeline_executions import start as begin
from tests.local_sagemaker.test_training_jobs import request as training

ACCOUNT = "000000000000"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
STEP_CHANGE = "SageMaker Model Building Pipeline Execution Step Status Change"
EXECUTION_CHANGE = "SageMaker Model Building Pipeline Execution Status Change"

Pattern = dict[str, Any]
Event = dict[str, Any]


@dataclass
class Inbox:
    """A queue that a rule on the default bus fills, and what was in it so far."""

    sqs: Any
    url: str
    events: list[Event] = field(default_factory=list)

    def until(self, true: Callable[[list[Event]], Any], seconds: float = 15.0) -> list[Event]:
        """All events so far, as soon as they are as wanted."""
        deadline = time.monotonic() + seconds
        while not true(self.events):
            assert time.monotonic() < deadline, self.events
            found = self.sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            for message in found.get("Messages", ()):
                self.events.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return self.events

    def first(self, count: int = 1) -> list[Event]:
        return self.until(lambda events: len(events) >= count)

    def details(self, member: str) -> list[Any]:
        return [event["detail"].get(member) for event in self.events]


Rule = Callable[[Pattern], Inbox]


@pytest.fixture
def rule(s3_endpoint: str) -> Iterator[Rule]:
    """Make a rule for a pattern; the queue that its events arrive in."""
    events, sqs = new_client("events", s3_endpoint), new_client("sqs", s3_endpoint)
    made: list[str] = []

    def make(pattern: Pattern) -> Inbox:
        name = f"r-{uuid.uuid4().hex[:8]}"
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
        made.append(name)
        return Inbox(sqs, url)

    yield make
    for name in made:
        events.remove_targets(Rule=name, Ids=["1"])
        events.delete_rule(Name=name)
    events.close()
    sqs.close()


def of_type(detail_type: str, **detail: Any) -> Pattern:
    wanted: Pattern = {"source": ["aws.sagemaker"], "detail-type": [detail_type]}
    return {**wanted, "detail": detail} if detail else wanted


@pytest.fixture
def group(sagemaker: Any) -> str:
    sagemaker.create_model_package_group(ModelPackageGroupName="churn")
    return "churn"


def test_an_approval_reaches_the_rule_that_waits_for_it(
    sagemaker: Any, group: str, rule: Rule
) -> None:
    inbox = rule(
        {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Package State Change"],
            "detail": {"ModelPackageGroupName": ["churn"], "ModelApprovalStatus": ["Approved"]},
        }
    )
    made_by = {"GeneratedBy": f"{ARN}:pipeline/churn/execution/ab12cd34ef56"}
    arn = register(sagemaker, group, MetadataProperties=made_by)
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good"
    )
    [event] = inbox.first()
    created = sagemaker.describe_model_package(ModelPackageName=arn)["CreationTime"]
    detail = event.pop("detail")
    assert event.pop("time")[:4] == str(created.year)
    assert len(event.pop("id")) == 36
    assert event == {
        "version": "0",
        "detail-type": "SageMaker Model Package State Change",
        "source": "aws.sagemaker",
        "account": ACCOUNT,
        "region": "us-east-1",
        "resources": [arn],
    }
    assert detail["CreationTime"] == round(created.timestamp() * 1000)
    assert detail["LastModifiedTime"] >= detail["CreationTime"]
    assert detail["InferenceSpecification"]["Containers"][0]["ModelDataUrl"].startswith("s3://")
    wanted = {
        "ModelPackageName": "churn/1",
        "ModelPackageGroupName": "churn",
        "ModelPackageVersion": 1,
        "ModelPackageArn": arn,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "ModelApprovalStatus": "Approved",
        "ApprovalDescription": "good",
        "CertifyForMarketplace": False,
        "MetadataProperties": made_by,
    }
    assert {name: detail[name] for name in wanted} == wanted


def test_a_version_that_is_created_approved_is_told_and_a_change_of_its_words_is_not(
    sagemaker: Any, group: str, rule: Rule
) -> None:
    inbox = rule(of_type("SageMaker Model Package State Change", ModelPackageGroupName=["churn"]))
    arn = register(sagemaker, group, ModelApprovalStatus="Approved")
    sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"a": "b"})
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    inbox.first(2)
    assert inbox.details("ModelApprovalStatus") == ["Approved", "Rejected"]


def test_an_approval_may_run_a_function(
    local: Local, s3_endpoint: str, sagemaker: Any, group: str, tmp_path: Path
) -> None:
    name, told = f"f-{uuid.uuid4().hex[:8]}", tmp_path / "told"
    events, functions = new_client("events", s3_endpoint), new_client("lambda", s3_endpoint)
    made = functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="main.handler",
        Role=ROLE,
        Code={"ZipFile": zipped(f"pathlib.Path({str(told)!r}).write_text(event['resources'][0])")},
        Timeout=20,
    )
    pattern = of_type("SageMaker Model Package State Change", ModelApprovalStatus=["Approved"])
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": made["FunctionArn"]}])
    arn = register(sagemaker, group, ModelApprovalStatus="Approved")
    local.until_true(lambda: told.exists() and told.read_text() == arn)
    events.remove_targets(Rule=name, Ids=["1"])
    events.delete_rule(Name=name)
    events.close()
    functions.close()


def test_an_execution_and_its_steps_are_told_in_the_words_of_pipelines(
    local: Local, sagemaker: Any, rule: Rule
) -> None:
    ends = rule(
        {
            "source": ["aws.sagemaker"],
            "detail-type": [EXECUTION_CHANGE],
            "detail": {"currentPipelineExecutionStatus": ["Failed", "Stopped"]},
            "resources": [{"prefix": f"{ARN}:pipeline/p"}],
        }
    )
    changes, steps = rule(of_type(EXECUTION_CHANGE)), rule(of_type(STEP_CHANGE))
    arn = run(local, sagemaker, processing("Prepare", "echo no > /opt/ml/output/message; exit 3"))
    [end] = ends.first()
    execution = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    arns = {"pipelineArn": f"{ARN}:pipeline/p", "pipelineExecutionArn": arn}
    assert end["resources"] == [f"{ARN}:pipeline/p", arn]
    assert end["detail"] == {
        "pipelineExecutionDisplayName": execution["PipelineExecutionDisplayName"],
        "currentPipelineExecutionStatus": "Failed",
        "previousPipelineExecutionStatus": "Executing",
        "executionStartTime": iso(execution["CreationTime"]),
        "executionEndTime": iso(execution["LastModifiedTime"]),
        **arns,
    }
    changes.first(2)
    assert changes.details("currentPipelineExecutionStatus") == ["Executing", "Failed"]
    assert changes.details("previousPipelineExecutionStatus") == [None, "Executing"]
    *_, failed = steps.first(3)
    [described] = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)[
        "PipelineExecutionSteps"
    ]
    assert steps.details("currentStepStatus") == ["Starting", "Executing", "Failed"]
    assert failed["resources"] == [f"{ARN}:pipeline/p", arn]
    assert failed["detail"] == {
        "stepName": "Prepare",
        "stepType": "Processing",
        "currentStepStatus": "Failed",
        "previousStepStatus": "Executing",
        "stepStartTime": iso(described["StartTime"]),
        "stepEndTime": iso(described["EndTime"]),
        "failureReason": described["FailureReason"],
        "metadata": {"processingJob": {"arn": described["Metadata"]["ProcessingJob"]["Arn"]}},
        **arns,
    }


def iso(moment: Any) -> str:
    return str(moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_a_reused_step_is_told_with_where_it_comes_from(
    local: Local, sagemaker: Any, rule: Rule
) -> None:
    cached = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}
    source = run(local, sagemaker, processing("Prepare", "true", **cached))
    inbox = rule(of_type(STEP_CHANGE, currentStepStatus=["Succeeded"]))
    local.until(EXECUTION, begin(sagemaker), "Succeeded")
    hits = [hit for hit in inbox.first() and inbox.details("cacheHitResult") if hit]
    assert hits == [{"sourcePipelineExecutionArn": source}]


def test_a_training_job_is_told_with_every_secondary_status_and_without_its_environment(
    local: Local, sagemaker: Any, rule: Rule
) -> None:
    inbox = rule(of_type("SageMaker Training Job State Change"))
    wanted = training(local, "echo 'bad rows' > /opt/ml/output/failure; exit 1", "fails")
    sagemaker.create_training_job(
        **wanted,
        HyperParameters={"depth": "3"},
        Environment={"PASSWORD": "hunter2"},
        Tags=[{"Key": "team", "Value": "churn"}],
    )
    local.until("training-job", "fails")
    inbox.until(lambda _: "Failed" in inbox.details("SecondaryStatus"))
    secondary = ["Starting", "Downloading", "Training", "Failed"]
    assert inbox.details("SecondaryStatus") == secondary
    assert inbox.details("TrainingJobStatus") == [*["InProgress"] * 3, "Failed"]
    last = inbox.events[-1]
    described = sagemaker.describe_training_job(TrainingJobName="fails")
    detail = last["detail"]
    assert last["resources"] == [described["TrainingJobArn"]] == [detail["TrainingJobArn"]]
    assert detail["FailureReason"] == described["FailureReason"]
    assert "bad rows" in detail["FailureReason"]
    assert detail["HyperParameters"] == {"depth": "3"}
    assert detail["Tags"] == {"team": "churn"}
    assert detail["TrainingEndTime"] == round(described["TrainingEndTime"].timestamp() * 1000)
    assert [each["Status"] for each in detail["SecondaryStatusTransitions"]] == secondary
    assert "hunter2" not in json.dumps(inbox.events)


def test_an_endpoint_is_told_in_capitals_from_its_creation_until_it_is_gone(
    local: Local, sagemaker: Any, rule: Rule
) -> None:
    ready = rule(
        {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Endpoint State Change"],
            "detail": {
                "EndpointName": [{"prefix": "churn-"}],
                "EndpointStatus": ["IN_SERVICE", "FAILED", "ROLLING_BACK"],
            },
        }
    )
    changes = rule(of_type("SageMaker Endpoint State Change"))
    hosting.deploy(local, sagemaker, name="churn-live")
    [event] = ready.first()
    detail = event["detail"]
    assert event["resources"] == [f"{ARN}:endpoint/churn-live"] == [detail["EndpointArn"]]
    assert (detail["EndpointConfigName"], detail["Tags"]) == ("churn-live-1", {})
    assert detail["ProductionVariants"][0]["DesiredInstanceCount"] == 1
    assert isinstance(detail["CreationTime"], int)
    sagemaker.delete_endpoint(EndpointName="churn-live")
    changes.first(4)
    told = ["CREATING", "IN_SERVICE", "DELETING", "DELETED"]
    assert changes.details("EndpointStatus") == told


def test_a_deployment_is_told_with_what_it_does_to_the_new_fleet(
    start: Callable[..., Local], rule: Rule, tmp_path: Path
) -> None:
    local = start(tmp_path / "home", slots=2, time_scale=600.0)
    sagemaker = local.client()
    inbox = rule({"detail-type": ["SageMaker Endpoint Deployment State Change"]})
    rollouts.two_versions(local, sagemaker, count=1)
    rollouts.update(sagemaker, rollouts.blue_green(termination=300))
    detail = inbox.first(3)[-1]["detail"]
    (variant,) = detail["PendingDeploymentSummary"]["ProductionVariants"]
    assert (detail["EndpointStatus"], detail["EndpointConfigName"]) == ("UPDATING", "e-1")
    assert variant["CurrentInstanceCount"] == 1
    statuses = [_status(event)["Status"] for event in inbox.events]
    assert statuses == ["Creating", "ActivatingTraffic", "Baking"]
    assert _status(inbox.events[-1])["StatusMessage"].startswith("Baking for 300 seconds")
    local.until("endpoint", "e", "InService")


def _status(event: Event) -> Any:
    (variant,) = event["detail"]["PendingDeploymentSummary"]["ProductionVariants"]
    return variant["VariantStatus"][0]


def test_models_and_endpoint_configs_are_told_when_they_come_and_when_they_go(
    local: Local, sagemaker: Any, rule: Rule
) -> None:
    models = rule(of_type("SageMaker Model State Change"))
    configs = rule(of_type("SageMaker Endpoint Config State Change"))
    sagemaker.create_model(
        ModelName="m",
        PrimaryContainer={
            "Image": hosting.XGBOOST,
            "ModelDataUrl": hosting.put_model(local),
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "TOKEN": "hunter2"},
        },
        ExecutionRoleArn=ROLE,
        Tags=[{"Key": "team", "Value": "churn"}],
    )
    hosting.create_config(sagemaker, "c", hosting.variant("m"))
    sagemaker.delete_endpoint_config(EndpointConfigName="c")
    sagemaker.delete_model(ModelName="m")
    models.first(2)
    assert models.details("ModelName") == ["m", "m"]
    assert models.details("Tags")[-1] == {}  # as at AWS: tags are gone with it
    assert "hunter2" not in json.dumps(models.events)
    configs.first(2)
    assert configs.details("EndpointConfigName") == ["c", "c"]
    assert configs.events[0]["detail"]["ProductionVariants"][0]["ModelName"] == "m"


def test_processing_transform_and_tuning_jobs_are_told(
    local: Local, sagemaker: Any, rule: Rule
) -> None:
    kinds = ("Processing", "Transform", "HyperParameter Tuning")
    inboxes = {kind: rule(of_type(f"SageMaker {kind} Job State Change")) for kind in kinds}
    run(local, sagemaker, processing("Prepare", "true"))
    hosting.create_model(local, sagemaker, "one", test_transform_jobs.LINES)
    local.put("in/a.csv", "1,2\n")
    test_transform_jobs.run(local, sagemaker)
    ranges = {"ContinuousParameterRanges": [test_tuning_jobs.number("a", 0.5, 2.5)]}
    test_tuning_jobs.finish(local, test_tuning_jobs.tuning(local, "echo loss=1", ranges))
    for kind, inbox in inboxes.items():
        member = f"{kind.replace(' ', '')}JobStatus"
        inbox.first(2)
        assert inbox.details(member) == ["InProgress", "Completed"], kind
    tuned = inboxes["HyperParameter Tuning"].events[-1]["detail"]
    assert tuned["TrainingJobStatusCounters"]["Completed"] == 3
    assert inboxes["Transform"].events[-1]["detail"]["ModelName"] == "one"


def test_a_failing_pattern_of_steps_gets_the_failed_step_alone(
    local: Local, sagemaker: Any, rule: Rule
) -> None:
    pattern = of_type(STEP_CHANGE, stepType=["Processing"], currentStepStatus=["Failed"])
    inbox = rule(pattern)
    create(sagemaker, processing("Fine", "true"), processing("Bad", "exit 1"))
    local.until(EXECUTION, begin(sagemaker), "Failed")
    inbox.first()
    assert inbox.details("stepName") == ["Bad"]
