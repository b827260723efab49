"""Which step types run, and the requests that Tuning and Transform steps make of their operations.

Those operations are played here: what a step needs of them is their AWS contract, whoever does it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import lifecycle, store, wire
from local_sagemaker.engine import steps
from local_sagemaker.engine.step_types import STEP_TYPES
from local_sagemaker.lifecycle import StatusTable
from local_sagemaker.operations import OPERATIONS, Operation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Kind, Row
from tests.local_sagemaker.test_pipeline_executions import ROLE, create, listed, start, status

EXECUTION = "pipeline-execution"
TUNING, TRANSFORM = "hyper-parameter-tuning-job", "transform-job"
LIST_OF_TUNING = "ListTrainingJobsForHyperParameterTuningJob"
NOUNS = {TUNING: "HyperParameterTuningJob", TRANSFORM: "TransformJob"}
_MOVES = [("InProgress", end) for end in ("Completed", "Failed", "Stopping")]


@dataclass
class Jobs:
    """Tuning and transform jobs that end when and how the test says."""

    local: Any
    requests: list[tuple[str, Row]] = field(default_factory=list)

    def register(self, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        noun = NOUNS[kind]
        member = f"{noun}Status"
        allowed = frozenset([*_MOVES, ("Stopping", "Stopped")])
        monkeypatch.setitem(store.KINDS, kind, Kind(f"{noun}Name", f"{noun}Arn", member))
        monkeypatch.setitem(lifecycle.TABLES, kind, StatusTable(member, allowed))
        played = {"Create": self.create, "Describe": self.describe, "Stop": self.stop}
        for verb, handler in played.items():
            self.play(monkeypatch, f"{verb}{noun}", handler, kind)

    def play(
        self, monkeypatch: pytest.MonkeyPatch, name: str, handler: Callable[..., Row], kind: str
    ) -> None:
        def handle(plane: Plane, request: Row) -> Row:
            self.requests.append((name, request))
            return handler(kind, request)

        monkeypatch.setitem(OPERATIONS, name, Operation(name, handle, None, frozenset(), {}))

    def create(self, kind: str, request: Row) -> Row:
        noun = NOUNS[kind]
        name = request[f"{noun}Name"]
        arn = f"arn:aws:sagemaker:us-east-1:000000000000:{kind}/{name}"
        made = {f"{noun}Arn": arn, f"{noun}Status": "InProgress", "CreationTime": 1.0}
        row = {**request, **made, "LastModifiedTime": 1.0}
        self.local.plane.store.insert(kind, name, row)
        return row

    def describe(self, kind: str, request: Row) -> Row:
        found = self.local.plane.store.get(kind, request[f"{NOUNS[kind]}Name"])
        assert found is not None
        return dict(found)

    def stop(self, kind: str, request: Row) -> Row:
        self.end(kind, "Stopping")
        return {}

    def end(self, kind: str, how: str, **members: Any) -> None:
        name = self.request(f"Create{NOUNS[kind]}")[f"{NOUNS[kind]}Name"]
        lifecycle.transition(self.local.plane, kind, name, how, **members)

    def started(self, kind: str) -> None:
        create = f"Create{NOUNS[kind]}"
        self.local.until_true(lambda: any(name == create for name, _ in self.requests))

    def request(self, operation: str) -> Row:
        return next(request for name, request in self.requests if name == operation)

    def summaries(self, kind: str, request: Row) -> Row:
        entry = {
            "TrainingJobName": "best",
            "TrainingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:training-job/best",
            "TrainingJobStatus": "Completed",
            "CreationTime": 1.0,
            "TunedHyperParameters": {"eta": "0.3"},
        }
        return {"TrainingJobSummaries": [entry]}


@pytest.fixture
def jobs(local: Any, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    played = Jobs(local)
    played.register(monkeypatch, TUNING)
    played.register(monkeypatch, TRANSFORM)
    played.play(monkeypatch, LIST_OF_TUNING, played.summaries, TUNING)
    return played


def tuning(name: str = "Tune", **more: Any) -> Row:
    arguments = {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "ResourceLimits": {"MaxParallelTrainingJobs": 2},
            "HyperParameterTuningJobObjective": {
                "Type": more.pop("objective", "Maximize"),
                "MetricName": "auc",
            },
        },
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Tuning", "Arguments": arguments, **more}


def transform(name: str = "Score", uri: Any = "s3://b/in", **more: Any) -> Row:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}
    arguments = {
        "ModelName": "churn",
        "TransformInput": {"DataSource": source},
        "TransformOutput": {"S3OutputPath": more.pop("output", "s3://b/out")},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Transform", "Arguments": arguments, **more}


def fail_with(message: Any) -> Row:
    """A step that only says what a reference stood for."""
    said = {"Std:Join": {"On": " ", "Values": ["said", message]}}
    return {"Name": "Say", "Type": "Fail", "Arguments": {"ErrorMessage": said}}


@pytest.mark.parametrize(
    ("step", "operation"),
    [
        (tuning(), "CreateHyperParameterTuningJob"),
        (tuning(), LIST_OF_TUNING),
        (transform(), "CreateTransformJob"),
        (transform(), "StopTransformJob"),
    ],
)
def test_a_step_is_refused_while_its_operations_are_not_there(
    jobs: Jobs, sagemaker: Any, monkeypatch: pytest.MonkeyPatch, step: Row, operation: str
) -> None:
    monkeypatch.delitem(OPERATIONS, operation)
    with pytest.raises(ClientError) as refused:
        create(sagemaker, step)
    said = refused.value.response["Error"]
    assert said["Code"] == "ValidationException"
    assert f"step '{step['Name']}' has the type '{step['Type']}'" in said["Message"]
    assert f"has no {operation}; supported is" in said["Message"]
    assert f" {step['Type']}," not in said["Message"].partition("supported is")[2]


def test_a_tuning_step_exposes_its_best_jobs_first(local: Any, sagemaker: Any, jobs: Jobs) -> None:
    best = {"Get": "Steps.Tune.TrainingJobSummaries[0].TrainingJobName"}
    eta = {"Get": "Steps.Tune.BestTrainingJob.TunedHyperParameters['eta']"}
    create(sagemaker, tuning(), fail_with({"Std:Join": {"On": " ", "Values": [best, eta]}}))
    arn = start(sagemaker)
    jobs.started(TUNING)
    chosen = jobs.summaries(TUNING, {})["TrainingJobSummaries"][0]
    jobs.end(TUNING, "Completed", BestTrainingJob=chosen)
    local.until(EXECUTION, arn, "Failed")
    assert status(sagemaker, arn) == ("Failed", "said best 0.3")
    named = jobs.request("CreateHyperParameterTuningJob")["HyperParameterTuningJobName"]
    assert named.startswith(arn.rpartition("/")[2] + "-Tune-")
    assert len(named) <= 32
    assert jobs.request(LIST_OF_TUNING) == {
        "HyperParameterTuningJobName": named,
        "SortBy": "FinalObjectiveMetricValue",
        "SortOrder": "Descending",
        "MaxResults": 50,
    }
    shown = listed(sagemaker, arn)["Tune"]
    assert shown["StepStatus"] == "Succeeded"
    assert shown["Metadata"]["TuningJob"]["Arn"].endswith(f":{TUNING}/{named}")


def test_the_best_of_a_minimized_objective_is_the_smallest(
    local: Any, sagemaker: Any, jobs: Jobs
) -> None:
    best = {"Get": "Steps.Tune.TrainingJobSummaries[0].TrainingJobName"}
    create(sagemaker, tuning(objective="Minimize"), fail_with(best))
    arn = start(sagemaker)
    jobs.started(TUNING)
    jobs.end(TUNING, "Completed")
    local.until(EXECUTION, arn, "Failed")
    assert jobs.request(LIST_OF_TUNING)["SortOrder"] == "Ascending"


def test_a_failed_tuning_job_fails_its_step_with_its_reason(
    local: Any, sagemaker: Any, jobs: Jobs
) -> None:
    create(sagemaker, tuning())
    arn = start(sagemaker)
    jobs.started(TUNING)
    jobs.end(TUNING, "Failed", FailureReason="all training jobs failed")
    local.until(EXECUTION, arn, "Failed")
    step = listed(sagemaker, arn)["Tune"]
    assert (step["StepStatus"], step["FailureReason"]) == (
        "Failed",
        "AlgorithmError: all training jobs failed",
    )


def test_a_given_tuning_job_name_is_a_prefix(local: Any, sagemaker: Any, jobs: Jobs) -> None:
    create(sagemaker, tuning(arguments={"HyperParameterTuningJobName": "mine"}))
    start(sagemaker)
    jobs.started(TUNING)
    named = jobs.request("CreateHyperParameterTuningJob")["HyperParameterTuningJobName"]
    assert named.startswith("mine-")
    assert len(named) <= 32
    jobs.end(TUNING, "Completed")


def test_a_transform_step_runs_its_job_and_exposes_where_it_wrote(
    local: Any, sagemaker: Any, jobs: Jobs
) -> None:
    create(
        sagemaker,
        transform(),
        fail_with({"Get": "Steps.Score.TransformOutput.S3OutputPath"}),
    )
    arn = start(sagemaker)
    jobs.started(TRANSFORM)
    jobs.end(TRANSFORM, "Completed")
    local.until(EXECUTION, arn, "Failed")
    assert status(sagemaker, arn) == ("Failed", "said s3://b/out")
    request = jobs.request("CreateTransformJob")
    assert request["TransformJobName"].startswith("pipelines-")
    arn_of_job = listed(sagemaker, arn)["Score"]["Metadata"]["TransformJob"]["Arn"]
    assert arn_of_job.endswith(f":{TRANSFORM}/{request['TransformJobName']}")


def test_a_failed_transform_job_fails_its_step(local: Any, sagemaker: Any, jobs: Jobs) -> None:
    create(sagemaker, transform())
    arn = start(sagemaker)
    jobs.started(TRANSFORM)
    jobs.end(TRANSFORM, "Failed", FailureReason="ClientError: no such model")
    local.until(EXECUTION, arn, "Failed")
    assert listed(sagemaker, arn)["Score"]["FailureReason"] == "ClientError: no such model"


@pytest.mark.parametrize(("kind", "step"), [(TUNING, tuning()), (TRANSFORM, transform())])
def test_stopping_the_execution_stops_the_job(
    local: Any, sagemaker: Any, jobs: Jobs, kind: str, step: Row
) -> None:
    create(sagemaker, step)
    arn = start(sagemaker)
    local.until_true(lambda: listed(sagemaker, arn).get(step["Name"], {}).get("Metadata"))
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    stop = f"Stop{NOUNS[kind]}"
    local.until_true(lambda: any(name == stop for name, _ in jobs.requests))
    jobs.end(kind, "Stopped")
    local.until(EXECUTION, arn, "Stopped")
    assert listed(sagemaker, arn)[step["Name"]]["StepStatus"] == "Stopped"


CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}


def update(sagemaker: Any, *steps_: Row) -> None:
    sagemaker.update_pipeline(
        PipelineName="p", RoleArn=ROLE, PipelineDefinition=json.dumps({"Steps": steps_})
    )


def test_a_transform_step_is_reused_until_what_it_reads_changes(
    local: Any, sagemaker: Any, jobs: Jobs
) -> None:
    uri = local.put("in/rows.csv", "1,2")

    def step(**more: Any) -> Row:
        return transform(uri=uri, output=f"s3://{local.bucket}/scores", **more, **CACHE)

    def hit() -> bool:
        jobs.requests.clear()
        arn = start(sagemaker)
        local.until_true(lambda: jobs.requests or status(sagemaker, arn)[0] == "Succeeded")
        ran = any(name == "CreateTransformJob" for name, _ in jobs.requests)
        if ran:
            jobs.end(TRANSFORM, "Completed")
            local.until(EXECUTION, arn, "Succeeded")
        return not ran

    create(sagemaker, step())
    assert not hit()
    assert hit()
    update(sagemaker, step(arguments={"BatchStrategy": "MultiRecord"}))
    assert hit()  # no attribute of AWS's key
    local.put("in/rows.csv", "3,4")
    assert not hit()
    update(sagemaker, step(arguments={"ModelName": "churn2"}))
    assert not hit()


def test_the_key_of_a_tuning_step_has_the_attributes_that_aws_names(
    local: Any, sagemaker: Any, jobs: Jobs
) -> None:
    def definition(**more: Any) -> Row:
        return {
            "StaticHyperParameters": {"objective": "binary:logistic"},
            "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "x:1"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{local.bucket}/models"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "RoleArn": ROLE,
            **more,
        }

    def hit(**more: Any) -> bool:
        update(sagemaker, tuning(arguments={"TrainingJobDefinition": definition(**more)}, **CACHE))
        jobs.requests.clear()
        arn = start(sagemaker)
        create_ = "CreateHyperParameterTuningJob"
        local.until_true(lambda: jobs.requests or status(sagemaker, arn)[0] == "Succeeded")
        ran = any(name == create_ for name, _ in jobs.requests)
        if ran:
            jobs.end(TUNING, "Completed")
            local.until(EXECUTION, arn, "Succeeded")
        return not ran

    create(sagemaker, tuning(arguments={"TrainingJobDefinition": definition()}, **CACHE))
    assert not hit()
    assert hit(StoppingCondition={"MaxRuntimeInSeconds": 61})
    assert not hit(StaticHyperParameters={"objective": "reg:squarederror"})


def test_names_are_cut_to_what_their_resource_allows() -> None:
    assert len(steps.generate_name("pipelines", "a" * 12, "Step-" * 12)) == 63
    assert steps.generate_name("pipelines", "a" * 12, "MyTuningStep", 32).startswith("a" * 12 + "-")
    assert len(steps.generate_name("x" * 40, "a" * 12, "T", 32)) <= 32


def test_every_operation_that_a_step_type_needs_is_one_of_aws() -> None:
    for kind in STEP_TYPES.values():
        for name in kind.resource.operations if kind.resource else ():
            assert wire.is_operation(name), (kind.name, name)
