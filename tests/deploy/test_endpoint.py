"""`python -m deploy.endpoint`: deploy, status, invoke, delete."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from deploy import endpoint, served
from deploy.commands import DeployError
from pipelines import settings
from tests.deploy.conftest import Parameters, Scaling

TELCO = Path(__file__).resolve().parents[2] / "config" / "telco_churn.yaml"
HERE = ["--config", str(TELCO)]
NAME = "telco-churn"
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/telco-churn/{}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = "telco-churn-v2-f1f8cd-4571e7"
CONFIG_OF_TWO = "telco-churn-v2-f1f8cd-fb31b9"
ENDPOINT_ARN = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/telco-churn"


def approved(aws: Stubber, approval: str = "Approved") -> None:
    summary = {
        "ModelPackageGroupName": NAME,
        "ModelPackageVersion": 2,
        "ModelPackageArn": ARN.format(2),
        "CreationTime": NOW,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": approval,
    }
    aws.add_response("list_model_packages", {"ModelPackageSummaryList": [summary]})


def status(
    aws: Stubber, state: str, reason: str = "", config: str = "a-config", **more: Any
) -> None:
    answer = {
        "EndpointName": NAME,
        "EndpointArn": ENDPOINT_ARN,
        "EndpointConfigName": config,
        "EndpointStatus": state,
        "FailureReason": reason,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **more,
    }
    aws.add_response("describe_endpoint", answer, {"EndpointName": NAME})


def absent(aws: Stubber) -> None:
    aws.add_client_error(
        "describe_endpoint", "ValidationException", 'Could not find endpoint "telco-churn".'
    )


def there(
    aws: Stubber, version: int, count: int = 1, state: str = "InService", **more: Any
) -> None:
    """An endpoint that serves this version."""
    status(aws, state, **more)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "a-model",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
    }
    config = {
        "EndpointConfigName": "a-config",
        "EndpointConfigArn": ENDPOINT_ARN,
        "ProductionVariants": [variant],
        "CreationTime": NOW,
    }
    aws.add_response("describe_endpoint_config", config, {"EndpointConfigName": "a-config"})
    model = {
        "ModelName": "a-model",
        "PrimaryContainer": {"ModelPackageName": ARN.format(version)},
        "CreationTime": NOW,
        "ModelArn": "arn:aws:sagemaker:us-east-1:000000000000:model/a-model",
    }
    aws.add_response("describe_model", model, {"ModelName": "a-model"})


def created(aws: Stubber, taken: bool = False) -> None:
    """CreateModel and CreateEndpointConfig, which may find their names taken."""
    if taken:
        aws.add_client_error(
            "create_model", "ValidationException", "Cannot create already existing model"
        )
    else:
        aws.add_response(
            "create_model",
            {"ModelArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m"},
            {
                "ModelName": ANY,
                "ExecutionRoleArn": "arn:aws:iam::000000000000:role/r",
                "PrimaryContainer": {"ModelPackageName": ARN.format(2)},
                "Tags": [
                    {"Key": "project", "Value": "ml-pipeline"},
                    {"Key": "problem", "Value": NAME},
                    {"Key": "version", "Value": "2"},
                ],
            },
        )
    aws.add_response(
        "create_endpoint_config",
        {"EndpointConfigArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/c"},
    )


def updated(aws: Stubber, **deployment: Any) -> None:
    """UpdateEndpoint, taken to its end."""
    aws.add_response(
        "update_endpoint",
        {"EndpointArn": ENDPOINT_ARN},
        {
            "EndpointName": NAME,
            "EndpointConfigName": CONFIG,
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
            **deployment,
        },
    )
    status(aws, "InService", config=CONFIG)
    status(aws, "InService", config=CONFIG)


def recorded(aws: Stubber, version: int = 2) -> None:
    """What the records of a version are made from."""
    container = {"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}
    package = {
        "ModelPackageName": NAME,
        "ModelPackageArn": ARN.format(version),
        "CreationTime": NOW,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "InferenceSpecification": {"Containers": [container]},
        "CustomerMetadataProperties": {"churn.auc": "0.84", "churn.gate": "auc min 0.8"},
    }
    aws.add_response("describe_model_package", package, {"ModelPackageName": ARN.format(version)})


def test_a_first_deploy_creates_model_config_and_endpoint(
    aws: Stubber, capsys: pytest.CaptureFixture[str], parameters: Parameters
) -> None:
    approved(aws)
    absent(aws)
    created(aws)
    aws.add_response("create_endpoint", {"EndpointArn": ENDPOINT_ARN})
    status(aws, "InService")
    recorded(aws)
    assert endpoint.main(["deploy", *HERE]) == 0
    said = capsys.readouterr().out
    assert said == "Endpoint telco-churn: nothing -> version 2, InService\n"
    assert list(parameters.values) == [
        "/ml-pipeline/models/telco-churn/versions/v2/metadata",
        "/ml-pipeline/models/telco-churn/active-version",
    ]
    known = json.loads(parameters.values["/ml-pipeline/models/telco-churn/versions/v2/metadata"])
    assert known["performanceBaseline"] == {"churn.auc": 0.84}


def test_another_version_updates_the_endpoint(
    aws: Stubber, scaling: Scaling, capsys: pytest.CaptureFixture[str]
) -> None:
    approved(aws)
    there(aws, version=1)
    recorded(aws, 1)
    created(aws)
    updated(aws)
    recorded(aws)
    assert endpoint.main(["deploy", *HERE, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["change"], said["version"], said["status"]) == ("update", 2, "InService")
    assert scaling.asked == ["describe_scalable_targets"]


def test_what_is_served_already_is_left_alone(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    approved(aws)
    there(aws, version=2)
    recorded(aws)
    assert endpoint.main(["deploy", *HERE]) == 0
    assert "serves version 2 already; nothing changed" in capsys.readouterr().out


def test_another_instance_count_is_a_change(aws: Stubber) -> None:
    approved(aws)
    there(aws, version=2)
    recorded(aws)
    created(aws)
    aws.add_response(
        "update_endpoint",
        {"EndpointArn": ENDPOINT_ARN},
        {"EndpointName": NAME, "EndpointConfigName": CONFIG_OF_TWO},
    )
    status(aws, "InService")
    status(aws, "InService", config=CONFIG_OF_TWO)
    assert endpoint.main(["deploy", *HERE, "--instance-count", "2"]) == 0


def test_an_interrupted_deploy_is_taken_up_again(aws: Stubber) -> None:
    approved(aws)
    absent(aws)
    created(aws, taken=True)
    aws.add_response("create_endpoint", {"EndpointArn": ENDPOINT_ARN})
    status(aws, "InService")
    recorded(aws)
    assert endpoint.main(["deploy", *HERE]) == 0


def test_a_dry_run_says_what_it_would_do(aws: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    approved(aws)
    there(aws, version=1)
    recorded(aws, 1)
    recorded(aws)
    assert endpoint.main(["deploy", *HERE, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Would update endpoint telco-churn: version 1 -> version 2\n")
    shown = [line.split()[1] for line in said.splitlines() if line.startswith("sagemaker ")]
    assert shown == ["create_model", "create_endpoint_config", "update_endpoint"]


@pytest.mark.parametrize("flags", [[], ["--version", "2"]])
def test_a_version_that_is_not_approved_is_not_deployed(
    aws: Stubber, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    approved(aws, "PendingManualApproval")
    assert endpoint.main(["deploy", *HERE, *flags]) == 1
    assert "python -m deploy.registry approve --group telco-churn" in capsys.readouterr().err


def test_an_endpoint_that_fails_gives_its_reason(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    approved(aws)
    absent(aws)
    created(aws)
    aws.add_response("create_endpoint", {"EndpointArn": ENDPOINT_ARN})
    status(aws, "Failed", "the container did not answer /ping")
    assert endpoint.main(["deploy", *HERE]) == 1
    assert "is Failed: the container did not answer /ping" in capsys.readouterr().err


def test_waiting_asks_until_the_endpoint_has_settled(aws: Stubber) -> None:
    waited: list[float] = []
    status(aws, "Creating")
    status(aws, "InService")
    assert served.wait(settings.sagemaker(None), NAME, 0.3, waited.append) == "InService"  # type: ignore[arg-type]
    assert waited == [0.3]
    status(aws, "Failed")
    with pytest.raises(DeployError):
        served.wait(settings.sagemaker(None), NAME, 0.3, waited.append)  # type: ignore[arg-type]


def test_status_names_what_is_served(
    aws: Stubber, scaling: Scaling, capsys: pytest.CaptureFixture[str]
) -> None:
    live = {
        "VariantName": "AllTraffic",
        "CurrentWeight": 1.0,
        "CurrentInstanceCount": 1,
        "DesiredInstanceCount": 3,
    }
    coming = {
        "VariantName": "AllTraffic",
        "CurrentInstanceCount": 1,
        "DesiredInstanceCount": 3,
        "VariantStatus": [{"Status": "Baking", "StatusMessage": "canary"}],
    }
    capture = {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 20,
        "DestinationS3Uri": "s3://b/c",
        "KmsKeyId": "",
    }
    there(
        aws,
        version=2,
        state="Updating",
        ProductionVariants=[live],
        DataCaptureConfig=capture,
        PendingDeploymentSummary={"EndpointConfigName": "new", "ProductionVariants": [coming]},
    )
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/telco-churn/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1,
        "MaxCapacity": 4,
        "RoleARN": "arn:aws:iam::000000000000:role/r",
        "CreationTime": NOW,
    }
    scaling.targets = [target]
    assert endpoint.main(["status", *HERE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Endpoint telco-churn is Updating"
    row = ["AllTraffic", "a-model", "2", "1", "100", "%", "1/3", "ml.m5.large"]
    assert lines[2].split() == row
    assert lines[3:] == [
        "Configuration: a-config",
        "Active version: none recorded",
        "Pending: new: AllTraffic: Baking canary, 1/3 instances",
        "Capture: 20 % to s3://b/c (Started)",
        "Autoscaling: AllTraffic 1 to 4 instances",
    ]


def alarm(neighbours: dict[str, Any], state: str, times: int = 1) -> None:
    answer = {
        "MetricAlarms": [
            {"AlarmName": "errors", "StateValue": state, "StateReason": "7 % of requests failed"}
        ]
    }
    asked = {"AlarmNames": ["errors"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    for _ in range(times):
        neighbours["cloudwatch"].add_response("describe_alarms", answer, asked)


def test_a_guarded_update_says_how_the_traffic_moves_and_what_takes_it_back(
    aws: Stubber, neighbours: dict[str, Any]
) -> None:
    approved(aws)
    there(aws, version=1)
    alarm(neighbours, "OK")
    recorded(aws, 1)
    created(aws)
    routing = {
        "Type": "CANARY",
        "WaitIntervalInSeconds": 120,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 20},
    }
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}
    guarded = {"Alarms": [{"AlarmName": "errors"}]}
    deployment = {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": guarded}
    updated(aws, DeploymentConfig=deployment)
    recorded(aws)
    words = ["--strategy", "canary", "--canary-percent", "20", "--bake", "120"]
    assert endpoint.main(["deploy", *HERE, *words, "--alarm", "errors"]) == 0


def test_an_update_that_was_taken_back_is_a_failure_that_names_the_alarm(
    aws: Stubber,
    neighbours: dict[str, Any],
    parameters: Parameters,
    capsys: pytest.CaptureFixture[str],
) -> None:
    approved(aws)
    there(aws, version=1)
    alarm(neighbours, "OK")
    recorded(aws, 1)
    created(aws)
    aws.add_response("update_endpoint", {"EndpointArn": ENDPOINT_ARN})
    phase = {"VariantStatus": [{"Status": "Baking"}], "VariantName": "AllTraffic"}
    pending = {"EndpointConfigName": CONFIG, "ProductionVariants": [phase]}
    for _ in range(2):
        status(aws, "Updating", PendingDeploymentSummary=pending)
    status(aws, "InService", "One or more alarms were in ALARM")
    status(aws, "InService", "One or more alarms were in ALARM")
    alarm(neighbours, "ALARM")
    assert endpoint.main(["deploy", *HERE, "--alarm", "errors"]) == 1
    said = capsys.readouterr().err
    assert said.count("Updating; AllTraffic: Baking, 0/? instances") == 1
    assert f"was rolled back: it serves a-config again, not {CONFIG}. Reason: One or more" in said
    assert "alarm errors is in ALARM (7 % of requests failed)" in said
    assert parameters.values[f"/ml-pipeline/models/{NAME}/active-version"] == "v1"


@pytest.mark.parametrize(
    ("state", "says"),
    [("ALARM", "alarm errors is in ALARM"), (None, "There is no alarm errors")],
)
def test_a_guard_that_cannot_guard_is_refused_before_anything_changes(
    aws: Stubber,
    neighbours: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    state: str | None,
    says: str,
) -> None:
    approved(aws)
    there(aws, version=1)
    if state:
        alarm(neighbours, state)
    else:
        neighbours["cloudwatch"].add_response("describe_alarms", {"MetricAlarms": []})
    assert endpoint.main(["deploy", *HERE, "--alarm", "errors"]) == 1
    assert says in capsys.readouterr().err


def test_without_waiting_nothing_is_recorded_yet(aws: Stubber, parameters: Parameters) -> None:
    approved(aws)
    absent(aws)
    created(aws)
    aws.add_response("create_endpoint", {"EndpointArn": ENDPOINT_ARN})
    assert endpoint.main(["deploy", *HERE, "--no-wait"]) == 0
    assert parameters.values == {}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--canary-percent", "60"], "--canary-percent is 60"),
        (["--timeout", "10"], "--timeout is 10"),
        (["--instance-count", "0"], "--instance-count is 0"),
    ],
)
def test_a_value_out_of_range_is_bad_usage(
    aws: Stubber, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert endpoint.main(["deploy", *HERE, *words]) == 2
    assert says in capsys.readouterr().err


def test_status_of_nothing_is_exit_1(aws: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    absent(aws)
    assert endpoint.main(["status", *HERE]) == 1
    assert "There is no endpoint telco-churn" in capsys.readouterr().err


def test_delete_takes_config_and_model_along_and_says_so(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    there(aws, version=2)
    aws.add_response("delete_endpoint", {}, {"EndpointName": NAME})
    aws.add_response("delete_endpoint_config", {}, {"EndpointConfigName": "a-config"})
    aws.add_response("delete_model", {}, {"ModelName": "a-model"})
    assert endpoint.main(["delete", *HERE]) == 0
    said = capsys.readouterr().out.split("\n")
    assert said[1:4] == [
        "  endpoint telco-churn",
        "  endpoint configuration a-config",
        "  model a-model",
    ]


def test_delete_of_nothing_is_no_error(aws: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    absent(aws)
    assert endpoint.main(["delete", *HERE]) == 0
    assert "nothing to delete" in capsys.readouterr().out


class Runtime:
    """Answers 42 and keeps the request."""

    def __init__(self) -> None:
        self.request: dict[str, Any] = {}

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        self.request = request
        return {"Body": io.BytesIO(b"42\n"), "ContentType": "text/csv"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [('{"a": 1}', "application/json"), ("1,2", "text/csv")],
)
def test_invoke_sends_the_body_as_what_it_looks_like(
    aws: Stubber,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    content_type: str,
) -> None:
    runtime = Runtime()
    monkeypatch.setattr(settings, "sagemaker_runtime", lambda _: runtime)
    assert endpoint.main(["invoke", *HERE, "--body", body]) == 0
    assert capsys.readouterr().out == "42\n"
    assert (runtime.request["Body"], runtime.request["ContentType"]) == (
        body.encode(),
        content_type,
    )


def test_invoke_sends_a_file(aws: Stubber, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime, path = Runtime(), tmp_path / "rows.csv"
    path.write_text("1,2\n")
    monkeypatch.setattr(settings, "sagemaker_runtime", lambda _: runtime)
    assert endpoint.main(["invoke", *HERE, "--file", str(path)]) == 0
    assert runtime.request["Body"] == b"1,2\n"
    assert endpoint.main(["invoke", *HERE, "--file", str(tmp_path / "none.csv")]) == 2


@pytest.mark.parametrize("argv", [[], ["deploy", "--version", "x"], ["invoke"]])
def test_bad_usage_exits_with_two(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        endpoint.main(argv)
    assert caught.value.code == 2


def test_a_guarded_deploy_does_not_end_an_experiment(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    approved(aws)
    status(aws, "InService")
    half = {"ModelName": "a-model", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    config = {
        "EndpointConfigName": "a-config",
        "EndpointConfigArn": ENDPOINT_ARN,
        "ProductionVariants": [{**half, "VariantName": name} for name in "AB"],
        "CreationTime": NOW,
    }
    aws.add_response("describe_endpoint_config", config)
    for _ in "AB":
        aws.add_client_error("describe_model", "ValidationException", "Could not find model")
    assert endpoint.main(["deploy", *HERE, "--strategy", "canary"]) == 1
    assert "first `python -m deploy.variants promote` or `abort`" in capsys.readouterr().err


def test_an_endpoint_that_failed_is_to_be_deleted_first(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    approved(aws)
    there(aws, version=1, state="Failed")
    recorded(aws, 1)
    created(aws)
    assert endpoint.main(["deploy", *HERE]) == 1
    assert "takes no update; `python -m deploy.endpoint delete`" in capsys.readouterr().err
