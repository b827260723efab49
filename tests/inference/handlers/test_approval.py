"""The approval function: its decisions, without any AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from deploy import active as deploy_active
from deploy.requests import Requests
from deploy.work import Work
from inference.handlers import approval
from inference.handlers.approval import TAG, Endpoint, Wish, plan
from pipelines.settings import Settings
from steps.problem import load
from tests.deploy.conftest import Parameters
from tests.deploy.test_endpoint import TELCO

ROLE = "arn:aws:iam::000000000000:role/models"
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/churn/{}"
ENDPOINT_ARN = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/churn"
FOLDER = "/ml-pipeline/models/churn"
ACTIVE, METADATA = "active-version", "versions/v2/metadata"
WISH = Wish("churn", "churn", ROLE, "ml.m5.large", FOLDER, {"project": "ml-pipeline"})


def version(number: int, minute: int = 0) -> dict[str, Any]:
    moment = datetime(2026, 1, 1, 12, minute, tzinfo=UTC)
    return {"ModelPackageArn": ARN.format(number), "LastModifiedTime": moment}


def endpoint(number: int = 1, acted_on: str = "", **changes: Any) -> Endpoint:
    live = {
        "VariantName": "A",
        "ModelName": "m",
        "InstanceType": "ml.c5.large",
        "InitialInstanceCount": 3,
        "InitialVariantWeight": 0.5,
    }
    facts: dict[str, Any] = {
        "arn": ENDPOINT_ARN,
        "status": "InService",
        "variants": [live],
        "alone": True,
        "package": ARN.format(number),
        "kept": {},
        "acted_on": acted_on,
    }
    return Endpoint(**facts | changes)


def operations(found: approval.Plan) -> list[str]:
    return [name for name, _ in found.requests]


def test_without_an_endpoint_one_is_created_that_knows_what_was_acted_on() -> None:
    found = plan(WISH, version(2), None)
    assert found.change == "create"
    assert operations(found) == ["create_model", "create_endpoint_config", "create_endpoint"]
    model, config, create = (request for _, request in found.requests)
    assert model["PrimaryContainer"] == {"ModelPackageName": ARN.format(2)}
    assert config["ProductionVariants"][0]["ModelName"] == model["ModelName"]
    assert {"Key": TAG, "Value": "2@2026-01-01T12:00:00+00:00"} in create["Tags"]


def test_a_newer_approval_is_served_by_a_variant_like_the_live_one() -> None:
    capture = {"EnableCapture": True}
    there = endpoint(1, "1@2025", kept={"DataCaptureConfig": capture})
    found = plan(WISH, version(2), there)
    assert operations(found)[2:] == ["update_endpoint", "add_tags"]
    config = found.requests[1][1]
    [variant] = config["ProductionVariants"]
    assert (variant["VariantName"], variant["InstanceType"]) == ("A", "ml.c5.large")
    assert (variant["InitialInstanceCount"], variant["InitialVariantWeight"]) == (3, 1.0)
    assert config["DataCaptureConfig"] == capture


def test_what_was_acted_on_is_never_acted_on_again() -> None:
    """A rollback by hand to version 1 stays, however often the old event comes."""
    there = endpoint(1, approval.decision(version(2)))
    assert plan(WISH, version(2), there) == approval.Plan(
        "none", "2@2026-01-01T12:00:00+00:00 was acted on"
    )


def test_the_same_version_approved_once_more_is_a_new_decision() -> None:
    there = endpoint(1, approval.decision(version(2)))
    assert plan(WISH, version(2, minute=5), there).change == "update"


def test_what_is_served_already_is_only_remembered() -> None:
    found = plan(WISH, version(2), endpoint(2))
    assert (found.change, operations(found)) == ("none", ["add_tags"])


def test_one_of_several_variants_is_not_what_was_approved() -> None:
    assert plan(WISH, version(2), endpoint(2, alone=False)).change == "update"


def test_an_endpoint_that_is_being_changed_is_left_for_later() -> None:
    for status in approval.BUSY:
        found = plan(WISH, version(2), endpoint(1, status=status))
        assert (found.change, found.requests) == ("later", [])


def test_without_an_approved_version_what_is_served_stays() -> None:
    assert plan(WISH, approval.newest([]), endpoint(1)).change == "none"


def test_the_version_decided_on_last_wins_not_the_one_with_the_highest_number() -> None:
    chosen = approval.newest([version(3, minute=1), version(1, minute=9), version(2, minute=5)])
    assert chosen is not None
    assert chosen["ModelPackageArn"] == ARN.format(1)


def test_guardrails_of_the_last_update_are_kept() -> None:
    found = plan(WISH, version(2), endpoint(1, has_deployment=True))
    assert dict(found.requests)["update_endpoint"]["RetainDeploymentConfig"] is True


def test_the_same_facts_give_the_same_names() -> None:
    first, second = (plan(WISH, version(2), endpoint(1)).requests for _ in range(2))
    assert first == second
    other = plan(Wish("churn", "churn", ROLE + "2", "ml.m5.large", FOLDER), version(2), endpoint(1))
    assert other.requests[0][1]["ModelName"] != first[0][1]["ModelName"]


@pytest.fixture
def parameters() -> Parameters:
    return Parameters()


@pytest.fixture
def aws() -> Iterator[Stubber]:
    """SageMaker with version 2 approved and version 1 served, whose answers are scripted."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("sagemaker", region_name="us-east-1", **keys)
    created = {"CreationTime": datetime(2026, 1, 1, tzinfo=UTC)}
    package = {"ModelPackageArn": ARN.format(2), "ModelPackageStatus": "Completed", **created}
    variant = {"VariantName": "A", "ModelName": "m", "InstanceType": "ml.m5.large"}
    model = {"ModelName": "m", "ModelArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m"}
    served = {"PrimaryContainer": {"ModelPackageName": ARN.format(1)}}
    config = {"EndpointConfigName": "c", "EndpointConfigArn": ENDPOINT_ARN + "-c"}
    with Stubber(client) as stub:
        stub.add_response("list_model_packages", {"ModelPackageSummaryList": [package]})
        details = {"ModelPackageStatusDetails": {"ValidationStatuses": []}, "ModelPackageName": "p"}
        approved = {**package, **details, "ModelApprovalStatus": "Approved"}
        stub.add_response("describe_model_package", approved)
        describe(stub, "InService")
        stub.add_response(
            "describe_endpoint_config", {**config, **created, "ProductionVariants": [variant]}
        )
        stub.add_response("list_tags", {"Tags": []})
        stub.add_response("describe_model", {**model, **created, **served})
        before = {**approved, "ModelPackageArn": ARN.format(1)}
        stub.add_response("describe_model_package", before, {"ModelPackageName": ARN.format(1)})
        yield stub
        stub.assert_no_pending_responses()


def describe(stub: Stubber, status: str) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    answer = {
        "EndpointName": "churn",
        "EndpointArn": ENDPOINT_ARN,
        "EndpointConfigName": "c",
        "EndpointStatus": status,
        "CreationTime": moment,
        "LastModifiedTime": moment,
    }
    stub.add_response("describe_endpoint", answer)


def test_what_an_interrupted_attempt_has_made_is_used(aws: Stubber, parameters: Parameters) -> None:
    said = "Cannot create already existing model"
    aws.add_client_error("create_model", "ValidationException", said)
    aws.add_client_error("create_endpoint_config", "ValidationException", said)
    aws.add_response("update_endpoint", {"EndpointArn": ENDPOINT_ARN})
    aws.add_response("add_tags", {"Tags": []})
    assert approval.act(aws.client, parameters, WISH)["change"] == "update"
    assert list(parameters.values) == [f"{FOLDER}/versions/v1/metadata", f"{FOLDER}/{ACTIVE}"]


def test_when_another_event_was_quicker_it_is_left_for_later(
    aws: Stubber, parameters: Parameters
) -> None:
    aws.add_response("create_model", {"ModelArn": ENDPOINT_ARN})
    aws.add_response("create_endpoint_config", {"EndpointConfigArn": ENDPOINT_ARN})
    said = "Cannot update in-progress endpoint"
    aws.add_client_error("update_endpoint", "ValidationException", said)
    describe(aws, "Updating")
    assert approval.act(aws.client, parameters, WISH)["change"] == "later"


def test_what_sagemaker_refuses_is_an_error_of_the_function(
    aws: Stubber, parameters: Parameters
) -> None:
    """Lambda then tries again, and at last puts the event among the dead letters."""
    said = "the role cannot be assumed"
    aws.add_client_error("create_model", "ValidationException", said)
    with pytest.raises(approval.ClientError, match=said):
        approval.act(aws.client, parameters, WISH)


class Registry:
    """Describes one version, and everything else by its number."""

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:  # noqa: N803
        container = {"ModelDataUrl": f"s3://b/{ModelPackageName[-1]}/model.tar.gz"}
        kept = {"churn.auc": "0.84", "churn.note": "good", "churn.gate": "0.8", "data-uri": "s3://"}
        return {
            "InferenceSpecification": {"Containers": [container]},
            "CustomerMetadataProperties": kept,
        }


class Written(Parameters):
    """The Parameter Store, and every request that wrote to it, in order; times left out."""

    def __init__(self, **values: str) -> None:
        super().__init__()
        self.requests: list[dict[str, Any]] = []
        self.values |= {f"{FOLDER}/{name}": value for name, value in values.items()}

    def put_parameter(self, **request: Any) -> dict[str, Any]:
        if request["Name"].endswith("/metadata"):
            known = json.loads(request["Value"])
            moment = datetime.fromisoformat(known.pop("deployedAt"))
            assert (moment.tzinfo, moment.microsecond) == (UTC, 0)
            self.requests.append({**request, "Value": known})
        else:
            self.requests.append(request)
        return super().put_parameter(**request)


NOW = datetime.now(UTC)
OTHER = ARN.format(2).replace("us-east-1", "eu-west-1")


def of(package: str, **more: str) -> str:
    return json.dumps({"modelPackageArn": package, "previousVersion": "v1", **more})


@pytest.mark.parametrize(
    ("stored", "requests"),
    [
        ({}, 2),
        ({ACTIVE: "v1"}, 2),
        ({ACTIVE: "v3", METADATA: of(ARN.format(2), rolledBackFrom="v1")}, 2),
        ({ACTIVE: "v2", METADATA: of(OTHER)}, 2),
        ({ACTIVE: "v2", METADATA: of(ARN.format(2))}, 0),
    ],
)
def test_the_function_writes_what_deploy_writes_in_the_same_order(
    stored: dict[str, str], requests: int
) -> None:
    place = Settings("local", "us-east-1", "", "", "b", {})
    work = Work(place, load(TELCO), "churn", "churn", Requests())
    assert work.folder == FOLDER
    by_deploy, by_function = Written(**stored), Written(**stored)
    work.__dict__.update(ssm=by_deploy, sagemaker=Registry())
    deploy_active.record(work, ARN.format(2))
    approval.record(Registry(), by_function, WISH, ARN.format(2), NOW)
    assert len(by_function.requests) == requests
    assert by_function.requests == by_deploy.requests


def test_a_rollback_by_hand_after_the_decision_writes_for_itself() -> None:
    noted = {"rolledBackFrom": "v3", "rolledBackAt": NOW.isoformat(timespec="seconds")}
    stored = {ACTIVE: "v3", METADATA: of(ARN.format(2), **noted)}
    earlier, later = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)
    for decided, requests in ((earlier, 0), (later, 2)):
        written = Written(**stored)
        approval.record(Registry(), written, WISH, ARN.format(2), decided)
        assert len(written.requests) == requests


def test_metadata_that_is_no_object_is_named() -> None:
    with pytest.raises(ValueError, match="v2/metadata holds 'nonsense', which is no JSON object"):
        approval.record(Registry(), Written(**{METADATA: "nonsense"}), WISH, ARN.format(2), NOW)


def test_the_version_that_serves_is_written_down_once_it_is_in_service() -> None:
    mark = approval.decision(version(2))
    assert plan(WISH, version(2), endpoint(2, mark)).served == ARN.format(2)
    assert plan(WISH, version(2), endpoint(2)).served == ARN.format(2)
    assert plan(WISH, version(2), endpoint(2, mark, status="Updating")).served == ""


def test_what_is_served_before_an_update_is_written_down_too() -> None:
    assert plan(WISH, version(2), endpoint(1)).served == ARN.format(1)


def test_what_was_rolled_back_or_is_of_another_group_is_not_written_down() -> None:
    mark = approval.decision(version(2))
    assert plan(WISH, version(2), endpoint(1, mark)).served == ""
    other = ARN.format(1).replace("/churn/", "/other/")
    assert plan(WISH, version(2), endpoint(package=other)).served == ""
