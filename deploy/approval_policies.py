"""The documents of the approval flow: which events, and who may do what. No calls here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.approval_parts import Flow

VERSION = "2012-10-17"

Document = dict[str, Any]


def text(document: Document) -> str:
    return json.dumps(document, sort_keys=True)


def patterns(name: str, group: str, endpoint: str) -> dict[str, Document]:
    """Rule name -> event pattern. SageMaker writes an endpoint's status in capitals here."""
    return {
        f"{name}-decided": {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Package State Change"],
            "detail": {
                "ModelPackageGroupName": [group],
                "ModelApprovalStatus": ["Approved", "Rejected"],
            },
        },
        f"{name}-in-service": {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Endpoint State Change"],
            "detail": {"EndpointName": [endpoint], "EndpointStatus": ["IN_SERVICE"]},
        },
    }


def trust(account: str) -> Document:
    """Lambda alone, and for this account's functions alone."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    condition = {"StringEquals": {"aws:SourceAccount": account}}
    return {"Version": VERSION, "Statement": [{**statement, "Condition": condition}]}


def queue(queue_arn: str, rule_arns: list[str]) -> Document:
    """The rules may send what they could not deliver."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arns}},
    }
    return {"Version": VERSION, "Statement": [statement]}


def function(flow: Flow) -> Document:
    """What the function calls, on what it may concern; SageMaker's ARNs are in lower case."""
    prefix = flow.endpoint[:40].rstrip("-").lower()

    def sagemaker(*resources: str) -> list[str]:
        return [flow.arn("sagemaker", resource) for resource in resources]

    group = flow.group.lower()
    endpoint = f"endpoint/{flow.endpoint.lower()}"
    served = [f"{flow.parameters}/{each}" for each in ("active-version", "versions/*/metadata")]
    logs = f"log-group:/aws/lambda/{flow.name}"
    return {
        "Version": VERSION,
        "Statement": [
            _allow(
                ["ListModelPackages", "DescribeModelPackage"],
                sagemaker(f"model-package-group/{group}", f"model-package/{group}/*"),
            ),
            _allow(
                ["DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel", "ListTags"],
                sagemaker(endpoint, "endpoint-config/*", "model/*"),
            ),
            _allow(
                ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"],
                sagemaker(endpoint, f"endpoint-config/{prefix}-*", f"model/{prefix}-*"),
            ),
            _allow(
                ["AddTags"],
                sagemaker(endpoint, f"endpoint-config/{prefix}-*", f"model/{prefix}-*"),
            ),
            {
                **_allow(["PassRole"], [flow.place.role_arn], "iam"),
                "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            },
            _allow(
                ["GetParameter", "PutParameter"],
                [flow.arn("ssm", f"parameter{name}") for name in served],
                "ssm",
            ),
            _allow(["SendMessage"], [flow.queue_arn], "sqs"),
            _allow(
                ["CreateLogGroup", "CreateLogStream", "PutLogEvents"],
                [flow.arn("logs", logs), flow.arn("logs", f"{logs}:*")],
                "logs",
            ),
        ],
    }


def _allow(actions: list[str], resources: list[str], service: str = "sagemaker") -> Document:
    return {
        "Effect": "Allow",
        "Action": [f"{service}:{action}" for action in actions],
        "Resource": resources,
    }
