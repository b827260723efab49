"""Lineage steps: what they record, what later steps see of it, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from local_sagemaker.engine import lineage_steps
from tests.local_sagemaker.pipelining import (
    EXECUTION,
    fail,
    listed,
    rerun,
    run,
    status,
    upsert,
)
from tests.local_sagemaker.test_lineage_entities import artifact

ACTION = {
    "ActionName": "training-run",
    "ActionType": "ModelTraining",
    "Source": {"SourceUri": "s3://b/run"},
}
MODEL = {
    "ArtifactName": "model",
    "ArtifactType": "Model",
    "Source": {"SourceUri": "s3://b/model.tar.gz"},
    "Properties": {"auc": "0.9"},
}
NOBODY = "arn:aws:sagemaker:us-east-1:000000000000:action/x"
CONTEXT = {"ContextName": "my_team", "ContextType": "Team", "Source": {"SourceUri": "team"}}


def ref(name: Any, type_: str) -> dict[str, Any]:
    return {"Name": name, "Type": type_}


def joined(source: Any, destination: Any, **more: Any) -> dict[str, Any]:
    return {"Source": source, "Destination": destination, **more}


PRODUCED = joined(
    ref("training-run", "Action"), ref("model", "Artifact"), AssociationType="Produced"
)


def step(name: str = "L", **arguments: Any) -> dict[str, Any]:
    more = arguments.pop("more", {})
    return {"Name": name, "Type": "Lineage", "Arguments": arguments, **more}


def test_a_step_records_entities_and_their_associations(local: Any, sagemaker: Any) -> None:
    before = artifact(sagemaker, "s3://b/data")
    data = joined({"Arn": before}, ref("training-run", "Action"))
    made = step(
        Actions=[ACTION], Artifacts=[MODEL], Contexts=[CONTEXT], Associations=[PRODUCED, data]
    )
    arn = run(local, sagemaker, made)
    shown = listed(sagemaker, arn)["L"]
    assert shown["StepStatus"] == "Succeeded", shown
    told = shown["Metadata"]["Lineage"]
    action, model = told["ActionArns"]["training-run"], told["ArtifactArns"]["model"]
    assert told["Associations"] == [
        {"SourceArn": action, "DestinationArn": model},
        {"SourceArn": before, "DestinationArn": action},
    ]
    assert list(told["ContextArns"]) == ["my_team"]
    assert sagemaker.describe_artifact(ArtifactArn=model)["Properties"] == {"auc": "0.9"}
    (found,) = sagemaker.list_associations(DestinationArn=model)["AssociationSummaries"]
    assert (found["SourceArn"], found["AssociationType"]) == (action, "Produced")


def test_a_later_step_gets_the_arns_and_an_earlier_one_gives_names(
    local: Any, sagemaker: Any
) -> None:
    name = {"Get": "Parameters.Name"}
    made = step(
        Artifacts=[{**MODEL, "ArtifactName": name}],
        Actions=[ACTION],
        Associations=[joined(ref("training-run", "Action"), ref(name, "Artifact"))],
    )
    said = fail("F", {"Get": "Steps.L.ArtifactArns['theirs']"})  # type: ignore[arg-type]
    parameter = {"Name": "Name", "Type": "String", "DefaultValue": "theirs"}
    arn = run(local, sagemaker, made, said, Parameters=[parameter])
    shown = listed(sagemaker, arn)
    model = shown["L"]["Metadata"]["Lineage"]["ArtifactArns"]["theirs"]
    assert status(sagemaker, arn) == ("Failed", model)


def test_a_second_run_uses_what_the_first_has_made(local: Any, sagemaker: Any) -> None:
    made = step(Actions=[ACTION], Artifacts=[MODEL], Associations=[PRODUCED])
    first = listed(sagemaker, run(local, sagemaker, made))["L"]
    second = listed(sagemaker, rerun(local, sagemaker))["L"]
    assert second["StepStatus"] == "Succeeded", second
    assert second["Metadata"] == first["Metadata"]
    assert len(sagemaker.list_associations()["AssociationSummaries"]) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            {
                "Associations": [
                    joined(
                        {"Arn": NOBODY},
                        ref("model", "Artifact"),
                    )
                ]
            },
            f"ClientError: ResourceNotFound: Entity '{NOBODY}' does not exist",
        ),
        (
            {
                "Actions": [ACTION],
                "Associations": [
                    PRODUCED,
                    joined(ref("model", "Artifact"), ref("model", "Artifact")),
                ],
            },
            "cannot be associated with itself",
        ),
        ({"Actions": [{"ActionName": "x"}]}, "ClientError: ValidationException"),
        (
            {"Actions": [{**ACTION, "ActionName": "taken"}]},
            "Action with name (taken) already exists",
        ),
        (
            {
                "Associations": [
                    joined(ref({"Get": "Parameters.P"}, "Action"), ref("model", "Artifact"))
                ]
            },
            "names the Action 'nobody', which this step does not make",
        ),
    ],
)
def test_a_step_that_cannot_record_everything_records_nothing_and_fails(
    local: Any, sagemaker: Any, arguments: dict[str, Any], reason: str
) -> None:
    sagemaker.create_action(**{**ACTION, "ActionName": "taken", "ActionType": "Other"})
    parameter = {"Name": "P", "Type": "String", "DefaultValue": "nobody"}
    made = step(**{"Artifacts": [MODEL], **arguments})
    arn = run(local, sagemaker, made, Parameters=[parameter])
    shown = listed(sagemaker, arn)["L"]
    assert shown["StepStatus"] == "Failed"
    assert reason in shown["FailureReason"]
    assert sagemaker.list_artifacts()["ArtifactSummaries"] == []
    assert status(sagemaker, arn)[0] == "Failed"
    model = sagemaker.create_artifact(**MODEL)["ArtifactArn"]
    assert sagemaker.query_lineage(StartArns=[model])["Vertices"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "Arguments must hold an entry of Actions, Artifacts, Contexts, Associations"),
        ({"Artefacts": [MODEL]}, "did you mean 'Artifacts'?"),
        ({"Actions": ACTION}, "Actions must be a list of objects"),
        ({"Actions": [ACTION] * 6}, "Actions has 6 entries; the most is 5"),
        (
            {"Actions": [ACTION], "Associations": [PRODUCED]},
            "Destination names the Artifact 'model', which this step does not make",
        ),
        (
            {"Actions": [ACTION], "Associations": [joined({"Name": "x"}, {"Arn": "a"})]},
            'Source takes {"Name", "Type": Action | Artifact | Context} or {"Arn"}',
        ),
        (
            {"Actions": [ACTION], "Associations": [{**PRODUCED, "Type": "x"}]},
            "an association takes no Type",
        ),
        ({"Actions": [ACTION], "more": {"CacheConfig": {}}}, "CacheConfig is not supported"),
        ({"Actions": [ACTION], "more": {"RetryPolicies": []}}, "RetryPolicies is not supported"),
    ],
)
def test_a_step_that_cannot_run_is_refused(
    sagemaker: Any, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ClientError, match="step 'L'") as refused:
        upsert(sagemaker, step(**arguments))
    assert says in refused.value.response["Error"]["Message"]


def test_what_a_step_does_not_make_cannot_be_got(sagemaker: Any) -> None:
    said = fail("F", {"Get": "Steps.L.ActionArns['other']"})  # type: ignore[arg-type]
    with pytest.raises(ClientError, match=r"exposes only Associations, ActionArns"):
        upsert(sagemaker, step(Actions=[ACTION]), said)


class Killed(BaseException):
    """What ends a thread as `kill -9` would."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_in_the_middle_a_step_records_everything_once_after_the_restart(
    start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = start(tmp_path / "home", slots=1)
    reached: list[int] = []

    def killed(*_: Any) -> None:
        reached.append(1)
        raise Killed

    upsert(local.client(), step(Actions=[ACTION], Artifacts=[MODEL], Associations=[PRODUCED]))
    with monkeypatch.context() as here:
        here.setattr(lineage_steps, "_join", killed)
        answer = local.client().start_pipeline_execution(PipelineName="p")
        local.until_true(lambda: bool(reached))
        boot.shut_down(local.plane)

    local = start(tmp_path / "home", slots=1)
    arn = answer["PipelineExecutionArn"]
    local.until(EXECUTION, arn, "Succeeded", "Failed")
    sagemaker = local.client()
    assert status(sagemaker, arn) == ("Succeeded", None)
    assert len(sagemaker.list_artifacts()["ArtifactSummaries"]) == 1
    assert len(sagemaker.list_associations()["AssociationSummaries"]) == 1
