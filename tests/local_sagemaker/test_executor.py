"""The executor, driven step by step without threads: a real store, jobs played by hand."""

import functools
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from local_sagemaker import lifecycle, operations, wire
from local_sagemaker.api import (  # noqa: F401 - importing registers
    model_package_groups,
    model_packages,
    pipeline_executions,
)
from local_sagemaker.api import pipelines as _pipelines  # noqa: F401
from local_sagemaker.arns import arn as make_arn
from local_sagemaker.clock import FakeClock
from local_sagemaker.config import Config
from local_sagemaker.engine import pipelines
from local_sagemaker.engine.executor import Executor
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.events import Bus
from local_sagemaker.plane import Plane
from local_sagemaker.storage import Storage, StorageError
from local_sagemaker.store import Row, Store

ROLE = "arn:aws:iam::000000000000:role/r"
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/x:1"
KINDS = {
    "ProcessingJob": "processing-job",
    "TrainingJob": "training-job",
    "Model": "model",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
}
FIRST_STATUS = {
    "ProcessingJob": {"ProcessingJobStatus": "InProgress"},
    "TrainingJob": {"TrainingJobStatus": "InProgress"},
    "Endpoint": {"EndpointStatus": "Creating"},
}


class Bucket:
    """S3 as a dict of texts."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.reachable = True

    def fingerprint(self, uri: str) -> str:
        if not self.reachable:
            raise StorageError("Unreachable", uri, f"{uri}: connection refused")
        below = {key: text for key, text in self.objects.items() if key.startswith(uri)}
        if not below:
            raise StorageError("NoSuchKey", uri, f"no S3 objects found under {uri}")
        return json.dumps(below, sort_keys=True)

    def read_text(self, uri: str) -> str:
        if uri not in self.objects:
            raise StorageError("NoSuchKey", uri, f"NoSuchKey: {uri} does not exist")
        return self.objects[uri]


class Aws:
    """A plane whose jobs do nothing until the test says how they end."""

    def __init__(self, home: Path) -> None:
        self.clock = FakeClock()
        self.bucket = Bucket()
        self.requests: list[tuple[str, Row]] = []
        self.refusals: dict[str, list[ApiError]] = {}
        config = Config(home=home)
        self.plane = Plane(
            config=config,
            clock=self.clock,
            store=Store(home / "state.sqlite"),
            bus=Bus(),
            storage=cast(Storage, self.bucket),
            processes=cast(Any, None),
            call=self.call,
        )

    def call(self, name: str, request: Row) -> Row:
        self.requests.append((name, request))
        if self.refusals.get(name):
            raise self.refusals[name].pop(0)
        verb, noun = next((v, name.removeprefix(v)) for v in VERBS if name.startswith(v))
        if noun not in KINDS:
            token = wire.token_member(name)
            extra = {token: uuid.uuid4().hex} if token and token not in request else {}
            return operations.call(self.plane, name, {**extra, **request})
        return VERBS[verb](self, noun, request)

    def create(self, noun: str, request: Row) -> Row:
        name = request[f"{noun}Name"]
        found = make_arn(self.plane.config, KINDS[noun], name)
        now = self.clock.now()
        row = {**request, f"{noun}Arn": found, "CreationTime": now, **FIRST_STATUS.get(noun, {})}
        if noun == "TrainingJob":
            artifacts = f"s3://b/{name}/model.tar.gz"
            row["ModelArtifacts"] = {"S3ModelArtifacts": artifacts}
            self.bucket.objects[artifacts] = "model"
        self.plane.store.insert(KINDS[noun], name, row)
        return row

    def describe(self, noun: str, request: Row) -> Row:
        row = self.plane.store.get(KINDS[noun], request[f"{noun}Name"])
        if row is None:
            raise validation("Could not find requested job")
        return row

    def update(self, noun: str, request: Row) -> Row:
        members = {"EndpointConfigName": request["EndpointConfigName"]}
        return lifecycle.transition(
            self.plane, KINDS[noun], request[f"{noun}Name"], "Updating", **members
        )

    def stop(self, noun: str, request: Row) -> Row:
        try:
            return lifecycle.transition(self.plane, KINDS[noun], request[f"{noun}Name"], "Stopping")
        except lifecycle.IllegalTransition as cause:
            raise validation(f"The request was rejected: {cause}") from cause

    def names(self, operation: str) -> list[str]:
        noun = operation.removeprefix("Create")
        return [r.get(f"{noun}Name", "") for name, r in self.requests if name == operation]

    def finish(self, step: str, status: str = "Completed", reason: str | None = None) -> None:
        """End the newest job (or endpoint) of a step."""
        for kind, row in self.resources():
            member = lifecycle.TABLES[kind].member
            name = row[member.replace("Status", "Name")]
            if f"-{step}-" in name and row[member] in ("InProgress", "Stopping", "Creating"):
                lifecycle.transition(self.plane, kind, name, status, FailureReason=reason)
                return
        raise AssertionError(f"no running job of step {step}")

    def resources(self) -> list[tuple[str, Row]]:
        kinds = ("processing-job", "training-job", "endpoint")
        return [(kind, row) for kind in kinds for row in reversed(self.plane.store.rows(kind))]

    def create_pipeline(self, *steps: Any, name: str = "p", **top: Any) -> None:
        self.call(
            "CreatePipeline",
            {
                "PipelineName": name,
                "RoleArn": ROLE,
                "PipelineDefinition": json.dumps({"Steps": steps, **top}),
            },
        )

    def start(self, name: str = "p", **members: Any) -> "Run":
        answer = self.call("StartPipelineExecution", {"PipelineName": name, **members})
        return Run(self, answer["PipelineExecutionArn"])


VERBS: dict[str, Callable[[Aws, str, Row], Row]] = {
    "Create": Aws.create,
    "Describe": Aws.describe,
    "Update": Aws.update,
    "Stop": Aws.stop,
    "Start": Aws.create,
    "Retry": Aws.create,
    "List": Aws.describe,
}


class Run:
    """One execution and its executor."""

    def __init__(self, aws: Aws, arn: str) -> None:
        self.aws = aws
        self.arn = arn
        self.executor = Executor(aws.plane, arn)
        self.settled = self.executor.advance()

    def advance(self) -> str:
        """What the execution's status is after everything that can be done was done."""
        self.settled = self.executor.advance()
        return self.status

    def finish(self, step: str, status: str = "Completed", reason: str | None = None) -> str:
        self.aws.finish(step, status, reason)
        return self.advance()

    def revive(self) -> str:
        """The server was killed and started again."""
        self.executor = Executor(self.aws.plane, self.arn)
        return self.advance()

    @property
    def row(self) -> Row:
        return self.aws.call("DescribePipelineExecution", {"PipelineExecutionArn": self.arn})

    @property
    def status(self) -> str:
        return str(self.row["PipelineExecutionStatus"])

    @property
    def steps(self) -> dict[str, Row]:
        request = {"PipelineExecutionArn": self.arn, "SortOrder": "Ascending"}
        listed = self.aws.call("ListPipelineExecutionSteps", request)["PipelineExecutionSteps"]
        return {step["StepName"]: step for step in listed}

    @property
    def statuses(self) -> dict[str, str]:
        return {name: step["StepStatus"] for name, step in self.steps.items()}


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setattr(pipelines, "start_execution", lambda plane, arn: None)
    aws = Aws(tmp_path)
    yield aws
    aws.plane.store.close()


def processing(name: str, *after: str, **more: Any) -> dict[str, Any]:
    arguments = {
        "AppSpecification": {"ImageUri": IMAGE},
        "ProcessingResources": {},
        **more.pop("arguments", {}),
    }
    step = {"Name": name, "Type": "Processing", "Arguments": arguments, "DependsOn": list(after)}
    return {**step, **more}


def training(name: str, *after: str, **more: Any) -> dict[str, Any]:
    arguments = {"RoleArn": ROLE, **more.pop("arguments", {})}
    step = {"Name": name, "Type": "Training", "Arguments": arguments, "DependsOn": list(after)}
    return {**step, **more}


def condition(name: str, left: Any, right: Any, yes: Any = (), no: Any = ()) -> dict[str, Any]:
    test = {"Type": "GreaterThanOrEqualTo", "LeftValue": left, "RightValue": right}
    arguments = {"Conditions": [test], "IfSteps": list(yes), "ElseSteps": list(no)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def fail(name: str, message: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def test_steps_run_in_order_and_the_execution_succeeds(aws: Aws) -> None:
    aws.create_pipeline(training("B", "A"), processing("A"))
    run = aws.start()
    assert (run.status, run.statuses) == ("Executing", {"A": "Executing"})
    assert run.finish("A") == "Executing"
    assert run.statuses == {"A": "Succeeded", "B": "Executing"}
    assert run.finish("B") == "Succeeded"
    step = run.steps["B"]
    assert step["AttemptCount"] == 1
    assert step["StartTime"] <= step["EndTime"]
    name = aws.names("CreateTrainingJob")[0]
    assert step["Metadata"] == {
        "TrainingJob": {"Arn": make_arn(aws.plane.config, "training-job", name)}
    }


def test_job_names_carry_execution_and_step_and_fit_in_63_characters(aws: Aws) -> None:
    aws.create_pipeline(processing("A_very_long_step_name_that_will_never_fit_in_a_job_name"))
    run = aws.start()
    (name,) = aws.names("CreateProcessingJob")
    assert name.startswith(f"pipelines-{run.arn.rpartition('/')[2]}-A-very-long-step-name-")
    assert len(name) <= 63
    assert len(name.rpartition("-")[2]) == 10


def test_a_job_name_in_the_arguments_is_a_prefix(aws: Aws) -> None:
    aws.create_pipeline(training("A", arguments={"TrainingJobName": "mine"}))
    run = aws.start()
    assert aws.names("CreateTrainingJob")[0].startswith(f"mine-{run.arn.rpartition('/')[2]}-A-")


def test_independent_steps_run_together_unless_parallelism_limits_them(aws: Aws) -> None:
    aws.create_pipeline(*(training(name) for name in "ABC"))
    assert len(aws.start().statuses) == 3
    limited = aws.start(ParallelismConfiguration={"MaxParallelExecutionSteps": 2})
    assert len(limited.statuses) == 2
    limited.finish(next(iter(limited.statuses)))
    assert sorted(limited.statuses.values()) == ["Executing", "Executing", "Succeeded"]


def test_references_are_resolved_from_descriptions_parameters_and_execution(aws: Aws) -> None:
    output = {"OutputName": "data", "S3Output": {"S3Uri": "s3://b/data"}}
    join = {"Std:Join": {"On": "/", "Values": ["s3://b", {"Get": "Execution.PipelineExecutionId"}]}}
    arguments = {
        "InputDataConfig": [
            {"Get": "Steps.Prep.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri"}
        ],
        "OutputDataConfig": {"S3OutputPath": join, "KmsKeyId": None},
        "ResourceConfig": {"InstanceCount": {"Get": "Parameters.Count"}},
        "Environment": {"NAME": {"Get": "Execution.TrainingJobName"}},
    }
    aws.create_pipeline(
        processing("Prep", arguments={"ProcessingOutputConfig": {"Outputs": [output]}}),
        training("Train", arguments=arguments),
        Parameters=[{"Name": "Count", "Type": "Integer"}],
    )
    run = aws.start(PipelineParameters=[{"Name": "Count", "Value": "3"}])
    run.finish("Prep")
    request = aws.requests[-1][1] if aws.requests[-1][0] == "CreateTrainingJob" else None
    request = request or next(r for n, r in aws.requests if n == "CreateTrainingJob")
    assert request["InputDataConfig"] == ["s3://b/data"]
    run_id = run.arn.rpartition("/")[2]
    assert request["OutputDataConfig"] == {"S3OutputPath": f"s3://b/{run_id}"}
    assert request["ResourceConfig"] == {"InstanceCount": 3}
    assert request["Environment"] == {"NAME": request["TrainingJobName"]}


def evaluation(**more: Any) -> dict[str, Any]:
    outputs = [{"OutputName": "report", "S3Output": {"S3Uri": "s3://b/eval/"}}]
    files = [{"PropertyFileName": "R", "OutputName": "report", "FilePath": "r.json"}]
    arguments = {"ProcessingOutputConfig": {"Outputs": outputs}}
    return processing("Eval", arguments=arguments, PropertyFiles=files, **more)


def measured(path: str = "auc.value") -> dict[str, Any]:
    return {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Eval.PropertyFiles.R"}, "Path": path}}


@pytest.mark.parametrize(
    ("auc", "taken", "status"), [(0.9, "Good", "Executing"), (0.5, "Bad", "Failed")]
)
def test_a_condition_on_a_property_file_chooses_the_branch(
    aws: Aws, auc: float, taken: str, status: str
) -> None:
    message = {"Std:Join": {"On": " ", "Values": ["auc is", measured()]}}
    aws.create_pipeline(
        evaluation(), condition("Gate", measured(), 0.8, [training("Good")], [fail("Bad", message)])
    )
    run = aws.start()
    aws.bucket.objects["s3://b/eval/r.json"] = json.dumps({"auc": {"value": auc}})
    assert run.finish("Eval") == status
    assert list(run.statuses) == ["Eval", "Gate", taken]
    outcome = str(auc >= 0.8)
    assert run.steps["Gate"]["StepStatus"] == "Succeeded"
    assert run.steps["Gate"]["Metadata"] == {"Condition": {"Outcome": outcome}}
    if status == "Failed":
        assert run.row["FailureReason"] == "auc is 0.5"
        assert run.steps["Bad"]["Metadata"] == {"Fail": {"ErrorMessage": "auc is 0.5"}}
        assert run.steps["Bad"]["StepStatus"] == "Failed"


def test_a_step_outside_an_untaken_branch_that_depends_on_it_never_appears(aws: Aws) -> None:
    aws.create_pipeline(condition("Gate", 1, 2, [training("In")]), training("Out", "In"))
    run = aws.start()
    assert (run.status, list(run.statuses)) == ("Succeeded", ["Gate"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "NoSuchKey: s3://b/eval/r.json"),
        ("{oops", "s3://b/eval/r.json is not JSON"),
        ('{"auc": {}}', "'auc.value' leads nowhere"),
        ('{"auc": {"value": "0.9"}}', "cannot compare '0.9' (text) with 0.8 (number)"),
    ],
)
def test_a_condition_without_a_value_fails_its_step_and_says_why(
    aws: Aws, content: str | None, says: str
) -> None:
    aws.create_pipeline(evaluation(), condition("Gate", measured(), 0.8))
    run = aws.start()
    if content is not None:
        aws.bucket.objects["s3://b/eval/r.json"] = content
    assert run.finish("Eval") == "Failed"
    assert run.steps["Gate"]["FailureReason"].startswith("ClientError: ")
    assert says in run.steps["Gate"]["FailureReason"]


def test_a_failing_step_lets_siblings_finish_and_starts_nothing_new(aws: Aws) -> None:
    aws.create_pipeline(training("A"), training("B"), training("C", "A"), training("D", "B"))
    run = aws.start()
    assert run.finish("A", "Failed", "AlgorithmError: boom, exit code: 1") == "Executing"
    assert run.statuses == {"A": "Failed", "B": "Executing"}
    assert run.finish("B") == "Failed"
    assert run.statuses == {"A": "Failed", "B": "Succeeded"}
    assert run.steps["A"]["FailureReason"] == "AlgorithmError: boom, exit code: 1"
    assert run.row["FailureReason"] == "Step failure: One or multiple steps failed."


def test_a_failure_without_an_origin_is_the_algorithms(aws: Aws) -> None:
    aws.create_pipeline(processing("A"))
    run = aws.start()
    run.finish("A", "Failed", "boom")
    assert run.steps["A"]["FailureReason"] == "AlgorithmError: boom"


def test_a_refused_request_fails_the_step_with_the_refusal(aws: Aws) -> None:
    aws.create_pipeline(training("A"))
    aws.refusals["CreateTrainingJob"] = [validation("InstanceCount must be 1")]
    run = aws.start()
    assert run.status == "Failed"
    assert run.steps["A"]["FailureReason"] == (
        "ClientError: ValidationException: InstanceCount must be 1"
    )


def test_a_job_stopped_by_somebody_else_stops_its_step_and_fails_the_execution(aws: Aws) -> None:
    aws.create_pipeline(training("A"))
    run = aws.start()
    assert run.finish("A", "Stopped") == "Failed"
    assert run.statuses == {"A": "Stopped"}


# Retry policies


def policy(kind: str, **members: Any) -> list[dict[str, Any]]:
    return [{"ExceptionType": [kind], **members}]


def test_an_internal_error_is_retried_with_backoff_until_the_attempts_are_used_up(aws: Aws) -> None:
    retry = policy("SageMaker.JOB_INTERNAL_ERROR", IntervalSeconds=10, MaxAttempts=2)
    aws.create_pipeline(training("A", RetryPolicies=retry))
    run = aws.start()
    for attempt, delay in ((1, 10), (2, 20)):
        assert run.steps["A"]["AttemptCount"] == attempt
        assert run.finish("A", "Failed", "InternalServerError: lost") == "Executing"
        aws.clock.advance(delay - 1)
        run.advance()
        assert len(aws.names("CreateTrainingJob")) == attempt
        aws.clock.advance(1)
        run.advance()
        assert len(aws.names("CreateTrainingJob")) == attempt + 1
    assert run.finish("A", "Failed", "InternalServerError: lost again") == "Failed"
    assert run.steps["A"]["AttemptCount"] == 3
    assert run.steps["A"]["FailureReason"] == "InternalServerError: lost again"
    assert len(set(aws.names("CreateTrainingJob"))) == 3


def test_a_retry_that_succeeds_lets_the_pipeline_go_on(aws: Aws) -> None:
    retry = policy("SageMaker.JOB_INTERNAL_ERROR", MaxAttempts=1)
    aws.create_pipeline(training("A", RetryPolicies=retry), training("B", "A"))
    run = aws.start()
    run.finish("A", "Failed", "InternalServerError: lost")
    aws.clock.advance(1)
    run.advance()
    aws.clock.advance(1)
    run.advance()
    assert len(aws.names("CreateTrainingJob")) == 2
    run.finish("A")
    assert run.finish("B") == "Succeeded"
    assert "FailureReason" not in run.steps["A"]


def test_retries_expire_counted_from_the_start_of_the_step(aws: Aws) -> None:
    retry = policy("SageMaker.JOB_INTERNAL_ERROR", ExpireAfterMin=1, BackoffRate=1.0)
    aws.create_pipeline(training("A", RetryPolicies=retry))
    run = aws.start()
    for _ in range(2):
        aws.clock.advance(28)
        assert run.finish("A", "Failed", "InternalServerError: lost") == "Executing"
        aws.clock.advance(1)
        run.advance()
    aws.clock.advance(2)
    assert run.finish("A", "Failed", "InternalServerError: lost") == "Failed"


def test_the_users_own_errors_are_never_retried(aws: Aws) -> None:
    retry = policy("SageMaker.JOB_INTERNAL_ERROR")
    aws.create_pipeline(training("A", RetryPolicies=retry))
    assert aws.start().finish("A", "Failed", "AlgorithmError: x") == "Failed"


def test_throttling_is_retried_without_a_policy(aws: Aws) -> None:
    aws.create_pipeline(training("A"))
    aws.refusals["CreateTrainingJob"] = [ApiError("ThrottlingException", "slow down")]
    run = aws.start()
    assert run.statuses == {"A": "Starting"}
    aws.clock.advance(1)
    run.advance()
    assert run.statuses == {"A": "Executing"}


# The cache


def cached(name: str = "A", *after: str, **more: Any) -> dict[str, Any]:
    config = {"Enabled": True, "ExpireAfter": "P30D"}
    inputs = [{"InputName": "code", "S3Input": {"S3Uri": "s3://b/code.py"}}]
    run_id = {"Get": "Execution.PipelineExecutionId"}
    uri = {"Std:Join": {"On": "/", "Values": ["s3://b/out", run_id]}}
    outputs = {"Outputs": [{"OutputName": "o", "S3Output": {"S3Uri": uri}}]}
    arguments = {"ProcessingInputs": inputs, "ProcessingOutputConfig": outputs}
    arguments |= more.pop("arguments", {})
    return processing(name, *after, CacheConfig=config, arguments=arguments, **more)


def first_run(aws: Aws, *steps: Any) -> Run:
    aws.bucket.objects["s3://b/code.py"] = "v1"
    aws.create_pipeline(*(steps or (cached(),)))
    run = aws.start()
    aws.bucket.objects[f"s3://b/out/{run.arn.rpartition('/')[2]}/x"] = "result"
    run.finish("A")
    return run


def test_an_unchanged_step_is_reused_with_the_first_jobs_metadata(aws: Aws) -> None:
    first = first_run(aws)
    second = aws.start()
    assert second.status == "Succeeded"
    step = second.steps["A"]
    assert step["CacheHitResult"] == {"SourcePipelineExecutionArn": first.arn}
    assert step["Metadata"] == first.steps["A"]["Metadata"]
    assert len(aws.names("CreateProcessingJob")) == 1


def test_a_reused_steps_properties_are_the_first_jobs(aws: Aws) -> None:
    get = {"Get": "Steps.A.ProcessingOutputConfig.Outputs['o'].S3Output.S3Uri"}
    first = first_run(aws, cached(), training("B", arguments={"InputDataConfig": [get]}))
    aws.start()
    requests = [r for name, r in aws.requests if name == "CreateTrainingJob"]
    first_id = first.arn.rpartition("/")[2]
    assert [r["InputDataConfig"] for r in requests] == [[f"s3://b/out/{first_id}"]] * 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda aws, first: aws.bucket.objects.update({"s3://b/code.py": "v2"}), "script changed"),
        (lambda aws, first: aws.bucket.objects.clear(), "outputs gone"),
        (lambda aws, first: aws.clock.advance(31 * 86400), "expired"),
        (
            lambda aws, first: aws.plane.store.delete(
                "processing-job", aws.names("CreateProcessingJob")[0]
            ),
            "job deleted",
        ),
    ],
)
def test_a_step_runs_again_when_its_result_may_not_be_used(
    aws: Aws, change: Callable[[Aws, Run], Any], why: str
) -> None:
    change(aws, first_run(aws))
    assert aws.start().statuses == {"A": "Executing"}, why


def test_changed_outputs_are_not_reused(aws: Aws) -> None:
    first = first_run(aws)
    aws.bucket.objects[f"s3://b/out/{first.arn.rpartition('/')[2]}/x"] = "tampered"
    assert aws.start().statuses == {"A": "Executing"}


def test_a_failed_run_is_never_reused(aws: Aws) -> None:
    aws.create_pipeline(cached())
    aws.start().finish("A", "Failed", "boom")
    assert aws.start().statuses == {"A": "Executing"}


def test_while_s3_cannot_tell_the_content_nothing_is_reused_or_kept(aws: Aws) -> None:
    aws.bucket.reachable = False
    first_run(aws)
    again = aws.start()
    assert again.statuses == {"A": "Executing"}
    aws.bucket.reachable = True
    assert again.finish("A") == "Succeeded"
    keyed = aws.start()
    aws.bucket.reachable = False
    assert keyed.finish("A") == "Succeeded"
    aws.bucket.reachable = True
    assert aws.start().statuses == {"A": "Executing"}


def test_results_are_not_shared_between_pipelines_and_go_with_theirs(aws: Aws) -> None:
    first_run(aws)
    aws.create_pipeline(cached(), name="other")
    assert aws.start("other").statuses == {"A": "Executing"}
    operations.call(
        aws.plane, "DeletePipeline", {"PipelineName": "p", "ClientRequestToken": "x" * 32}
    )
    aws.create_pipeline(cached())
    assert aws.start().statuses == {"A": "Executing"}


def test_the_parts_of_the_key_are_kept_with_the_step(aws: Aws) -> None:
    run = first_run(aws)
    row = aws.plane.store.get("pipeline-execution", run.arn)
    assert row is not None
    assert set(row["Steps"]["A"]["CacheKey"]) == {
        "AppSpecification",
        "Environment",
        "ProcessingInputs",
        "content of s3://b/code.py",
    }


# Models and endpoints

CONTAINER = {"Image": IMAGE, "ModelDataUrl": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}}
MODEL = {"Name": "Model", "Type": "Model", "Arguments": {"PrimaryContainer": CONTAINER}}
VARIANT = {"VariantName": "v", "ModelName": {"Get": "Steps.Model.ModelName"}}
CONFIG = {
    "Name": "Config",
    "Type": "EndpointConfig",
    "Arguments": {"ProductionVariants": [VARIANT]},
}
ENDPOINT = {
    "Name": "Serve",
    "Type": "Endpoint",
    "Arguments": {
        "EndpointName": "x-Serve-x",
        "EndpointConfigName": {"Get": "Steps.Config.EndpointConfigName"},
    },
}


def test_an_endpoint_is_created_then_updated(aws: Aws) -> None:
    aws.create_pipeline(training("Train"), MODEL, CONFIG, ENDPOINT)
    run = aws.start()
    assert run.finish("Train") == "Executing"
    assert run.statuses == {
        "Train": "Succeeded",
        "Model": "Succeeded",
        "Config": "Succeeded",
        "Serve": "Executing",
    }
    (model,) = aws.names("CreateModel")
    assert run.finish("Serve", "InService") == "Succeeded"
    request = next(r for name, r in aws.requests if name == "CreateEndpointConfig")
    assert request["ProductionVariants"][0]["ModelName"] == model
    again = aws.start()
    again.finish("Train")
    updates = [r for name, r in aws.requests if name == "UpdateEndpoint"]
    assert [r["EndpointConfigName"] for r in updates] == aws.names("CreateEndpointConfig")[1:]
    lifecycle.transition(aws.plane, "endpoint", "x-Serve-x", "InService")
    assert again.advance() == "Succeeded"


def test_an_endpoint_that_fails_fails_its_step(aws: Aws) -> None:
    aws.create_pipeline(
        {**ENDPOINT, "Arguments": {**ENDPOINT["Arguments"], "EndpointConfigName": "c"}}
    )  # type: ignore[dict-item]
    run = aws.start()
    assert run.finish("Serve", "Failed", "ClientError: no model") == "Failed"
    assert run.steps["Serve"]["FailureReason"] == "ClientError: no model"


def register(**more: Any) -> dict[str, Any]:
    arguments = {
        "ModelPackageGroupName": "group",
        "InferenceSpecification": {"Containers": [{"Image": IMAGE}]},
        **more,
    }
    return {"Name": "Register", "Type": "RegisterModel", "Arguments": arguments}


def test_registering_makes_the_group_and_says_who_made_the_version(aws: Aws) -> None:
    aws.create_pipeline(register())
    for number in (1, 2):
        run = aws.start()
        assert run.status == "Succeeded", run.steps
        arn = run.steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
        package = operations.call(aws.plane, "DescribeModelPackage", {"ModelPackageName": arn})
        assert package["ModelPackageVersion"] == number
        assert package["MetadataProperties"] == {"GeneratedBy": run.arn}


def test_a_registered_versions_arn_can_be_used_by_a_model(aws: Aws) -> None:
    container = {"ModelPackageName": {"Get": "Steps.Register.ModelPackageArn"}}
    model = {"Name": "Model", "Type": "Model", "Arguments": {"PrimaryContainer": container}}
    aws.create_pipeline(model, register())
    run = aws.start()
    arn = run.steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    request = next(r for name, r in aws.requests if name == "CreateModel")
    assert request["PrimaryContainer"] == {"ModelPackageName": arn}


# Stop, retry, recover


def test_stopping_stops_running_jobs_and_starts_nothing_more(aws: Aws) -> None:
    aws.create_pipeline(training("A"), training("B", "A"))
    run = aws.start()
    pipelines.stop_execution(aws.plane, run.arn)
    assert run.advance() == "Stopping"
    assert run.statuses == {"A": "Stopping"}
    assert [name for name, _ in aws.requests].count("StopTrainingJob") == 1
    run.advance()
    assert [name for name, _ in aws.requests].count("StopTrainingJob") == 1
    assert run.finish("A", "Stopped") == "Stopped"
    assert run.statuses == {"A": "Stopped"}


def test_stopping_ends_a_step_that_waits_for_its_next_attempt(aws: Aws) -> None:
    aws.create_pipeline(training("A"))
    aws.refusals["CreateTrainingJob"] = [ApiError("ThrottlingException", "slow down")]
    run = aws.start()
    pipelines.stop_execution(aws.plane, run.arn)
    assert run.advance() == "Stopped"
    assert run.statuses == {"A": "Stopped"}


def test_retrying_keeps_what_succeeded_and_runs_the_rest_again(aws: Aws) -> None:
    aws.create_pipeline(training("A"), training("B", "A"), training("C", "B"))
    run = aws.start()
    run.finish("A")
    run.finish("B", "Failed", "boom")
    pipelines.retry_execution(aws.plane, run.arn)
    assert run.statuses == {"A": "Succeeded"}
    assert run.revive() == "Executing"
    assert run.statuses == {"A": "Succeeded", "B": "Executing"}
    assert "FailureReason" not in run.row
    run.finish("B")
    assert run.finish("C") == "Succeeded"
    assert len(aws.names("CreateTrainingJob")) == 4


def test_the_definition_of_an_execution_is_frozen_when_it_starts(aws: Aws) -> None:
    aws.create_pipeline(training("A"), training("B", "A"))
    run = aws.start()
    changed = json.dumps({"Steps": [training("Other")]})
    operations.call(
        aws.plane, "UpdatePipeline", {"PipelineName": "p", "PipelineDefinition": changed}
    )
    run.finish("A", "Failed", "boom")
    pipelines.retry_execution(aws.plane, run.arn)
    run.revive()
    run.finish("A")
    assert run.finish("B") == "Succeeded"
    assert list(aws.start().statuses) == ["Other"]


def test_after_a_restart_a_lost_job_fails_its_step_and_the_execution(aws: Aws) -> None:
    aws.create_pipeline(training("A"), training("B", "A"))
    run = aws.start()
    aws.finish("A", "Failed", "InternalServerError: the server was stopped")
    assert run.revive() == "Failed"
    assert run.steps["A"]["FailureReason"] == "InternalServerError: the server was stopped"


def test_after_a_restart_a_lost_job_is_retried_if_a_policy_says_so(aws: Aws) -> None:
    retry = policy("SageMaker.JOB_INTERNAL_ERROR", MaxAttempts=1)
    aws.create_pipeline(training("A", RetryPolicies=retry))
    run = aws.start()
    aws.finish("A", "Failed", "InternalServerError: the server was stopped")
    assert run.revive() == "Executing"
    aws.clock.advance(1)
    run.revive()
    assert run.finish("A") == "Succeeded"


def test_after_a_restart_an_execution_that_was_stopping_ends_stopped(aws: Aws) -> None:
    aws.create_pipeline(training("A", RetryPolicies=policy("SageMaker.JOB_INTERNAL_ERROR")))
    run = aws.start()
    pipelines.stop_execution(aws.plane, run.arn)
    aws.finish("A", "Failed", "InternalServerError: the server was stopped")
    assert run.revive() == "Stopped"


class Killed(BaseException):
    """The server dies here."""


@pytest.mark.parametrize("kind", ["Training", "RegisterModel", "Condition", "Endpoint"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_the_launch_of_a_step_nothing_is_started_twice(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, kind: str, moment: str
) -> None:
    endpoint = {**ENDPOINT, "Arguments": {"EndpointName": "x-A-x", "EndpointConfigName": "c"}}
    step = {
        "Training": training("A"),
        "RegisterModel": {**register(), "Name": "A"},
        "Condition": condition("A", 1, 1),
        "Endpoint": {**endpoint, "Name": "A"},
    }[kind]
    create = {
        "Training": "CreateTrainingJob",
        "RegisterModel": "CreateModelPackage",
        "Endpoint": "CreateEndpoint",
    }.get(kind)
    aws.create_pipeline(step)
    call = aws.call

    def deadly(name: str, request: Row) -> Row:
        if name != create:
            return call(name, request)
        if moment == "after":
            call(name, request)
        raise Killed

    monkeypatch.setattr(aws.plane, "call", deadly)
    arn = call("StartPipelineExecution", {"PipelineName": "p"})["PipelineExecutionArn"]
    executor = Executor(aws.plane, arn)
    if kind == "Condition":
        monkeypatch.setattr(executor, "_decide", functools.partial(_die))
    with pytest.raises(Killed):
        executor.advance()
    monkeypatch.setattr(aws.plane, "call", call)
    run = Run(aws, arn)
    if kind in ("Training", "Endpoint"):
        run.finish("A", "Completed" if kind == "Training" else "InService")
    assert run.status == "Succeeded", run.steps
    assert run.steps["A"]["AttemptCount"] == 1
    assert len(aws.plane.store.rows("training-job")) == (kind == "Training")
    assert len(aws.plane.store.rows("model-package")) == (kind == "RegisterModel")


def _die(_: Any) -> None:
    raise Killed


def test_a_bug_while_a_step_starts_fails_the_step_and_not_the_server(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str, request: Row) -> Row:
        raise KeyError("surprise")

    aws.create_pipeline(training("A"))
    arn = aws.call("StartPipelineExecution", {"PipelineName": "p"})["PipelineExecutionArn"]
    monkeypatch.setattr(aws.plane, "call", broken)
    assert Executor(aws.plane, arn).advance()
    monkeypatch.undo()
    row = aws.plane.store.get("pipeline-execution", arn)
    assert row is not None
    assert row["Steps"]["A"]["FailureReason"].startswith("InternalServerError: KeyError")
    assert "step cannot start" in caplog.text
