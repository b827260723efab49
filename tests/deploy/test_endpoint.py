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

TELCO = Path(__file__).resolve().parents[2] / "config" / "telco_churn.yaml"
HERE = ["--config", str(TELCO)]
NAME = "telco-churn"
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/telco-churn/{}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
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


def status(aws: Stubber, state: str, reason: str = "") -> None:
    answer = {
        "EndpointName": NAME,
        "EndpointArn": ENDPOINT_ARN,
        "EndpointConfigName": "a-config",
        "EndpointStatus": state,
        "FailureReason": reason,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
    }
    aws.add_response("describe_endpoint", answer, {"EndpointName": NAME})


def absent(aws: Stubber) -> None:
    aws.add_client_error(
        "describe_endpoint", "ValidationException", 'Could not find endpoint "telco-churn".'
    )


def there(aws: Stubber, version: int, count: int = 1, state: str = "InService") -> None:
    """An endpoint that serves this version."""
    status(aws, state)
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
            },
        )
    aws.add_response(
        "create_endpoint_config",
        {"EndpointConfigArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/c"},
    )


def test_a_first_deploy_creates_model_config_and_endpoint(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    approved(aws)
    absent(aws)
    created(aws)
    aws.add_response("create_endpoint", {"EndpointArn": ENDPOINT_ARN})
    status(aws, "InService")
    assert endpoint.main(["deploy", *HERE]) == 0
    said = capsys.readouterr().out
    assert said == "Endpoint telco-churn: nothing -> version 2, InService\n"


def test_another_version_updates_the_endpoint(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    approved(aws)
    there(aws, version=1)
    created(aws)
    aws.add_response("update_endpoint", {"EndpointArn": ENDPOINT_ARN})
    status(aws, "InService")
    assert endpoint.main(["deploy", *HERE, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["change"], said["version"], said["status"]) == ("update", 2, "InService")


def test_what_is_served_already_is_left_alone(
    aws: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    approved(aws)
    there(aws, version=2)
    assert endpoint.main(["deploy", *HERE]) == 0
    assert "serves version 2 already; nothing changed" in capsys.readouterr().out


def test_another_instance_count_is_a_change(aws: Stubber) -> None:
    approved(aws)
    there(aws, version=2)
    created(aws)
    aws.add_response("update_endpoint", {"EndpointArn": ENDPOINT_ARN})
    status(aws, "InService")
    assert endpoint.main(["deploy", *HERE, "--instance-count", "2"]) == 0


def test_an_interrupted_deploy_is_taken_up_again(aws: Stubber) -> None:
    approved(aws)
    absent(aws)
    created(aws, taken=True)
    aws.add_response("create_endpoint", {"EndpointArn": ENDPOINT_ARN})
    status(aws, "InService")
    assert endpoint.main(["deploy", *HERE]) == 0


def test_a_dry_run_says_what_it_would_do(aws: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    approved(aws)
    there(aws, version=1)
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


def test_status_names_what_is_served(aws: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    there(aws, version=2)
    assert endpoint.main(["status", *HERE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Endpoint telco-churn is InService"
    assert lines[2].split() == ["AllTraffic", "a-model", "2", "ml.m5.large"]


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
