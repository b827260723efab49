"""An AWS that can only be read: its answers are made from the output shapes of botocore's models.

What TYPICAL names is one endpoint that serves version 1 of two approved ones, and nothing written
down in Parameter Store. In every other answer each member is there, once; enumerations are in the
state that most commands want to find, names are those that were asked for, and paging ends at once.
A test says what is to be different:

    facts = {"ModelApprovalStatus": "Rejected",             # a member of that name, wherever it is
             "describe_alarms": {"MetricAlarms": []},       # members of one operation's answer
             "describe_model": absent("DescribeModel")}     # or an error in its place
"""

import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from deploy import shapes

Facts = Mapping[str, Any]

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
READS = ("Describe", "List", "Get", "BatchGet", "BatchDescribe", "Head", "Search", "Query", "Scan")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = "111122223333"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:{{}}/engagement/1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/mlops"
PACKAGE = ARN.format("model-package")
PREFERRED = ("InService", "Approved", "Completed", "Succeeded", "Active", "ACTIVE", "OK", "Enabled")
# What an answer leaves out: the next page, and that something went wrong or is on its way.
LEFT_OUT = ("token", "marker", "failurereason", "pendingdeploymentsummary", "errorcode")
# A text by how its member is called; where that does not match the member's pattern, one that does.
BY_NAME = {"rolearn": ROLE, "role": ROLE, "account": ACCOUNT, "modelpackagearn": PACKAGE}
BY_NAME |= dict.fromkeys(("policy", "policydocument"), '{"Statement": []}')
BY_NAME |= dict.fromkeys(("eventpattern", "dashboardbody", "definition"), "{}")
TEXTS = (
    "engagement",
    "s3://bucket/engagement",
    PACKAGE,
    ROLE,
    f"arn:aws:sns:us-east-1:{ACCOUNT}:engagement",
    f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:engagement",
    ACCOUNT,
    "text/csv",
)


def absent(operation: str, code: str = "ValidationException") -> ClientError:
    """The error of something that is not there."""
    return ClientError({"Error": {"Code": code, "Message": "Could not find it."}}, operation)


LIVE = {"CurrentInstanceCount": 2, "DesiredInstanceCount": 2, "CurrentWeight": 1.0}
INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2, "InitialVariantWeight": 1.0}
PACKAGES = {
    "ModelPackageSummaryList": [
        {
            "ModelPackageGroupName": "engagement",
            "ModelPackageVersion": version,
            "ModelPackageArn": f"{PACKAGE[:-1]}{version}",
            "CreationTime": NOW,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": "Approved",
        }
        for version in (2, 1)
    ]
}
TYPICAL: dict[str, Any] = {
    "list_model_packages": PACKAGES,
    "get_parameter": absent("GetParameter", "ParameterNotFound"),
    "get_parameters_by_path": {"Parameters": []},
    "describe_endpoint": {
        "EndpointArn": ARN.format("endpoint"),
        "EndpointConfigName": "engagement-config",
        "EndpointStatus": "InService",
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        "ProductionVariants": [{"VariantName": "AllTraffic", "DesiredWeight": 1.0, **LIVE}],
    },
    "describe_endpoint_config": {
        "EndpointConfigArn": ARN.format("endpoint-config"),
        "CreationTime": NOW,
        "ProductionVariants": [
            {"VariantName": "AllTraffic", "ModelName": "engagement-model", **INSTANCES}
        ],
    },
    "describe_model": {
        "ModelArn": ARN.format("model"),
        "CreationTime": NOW,
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"ModelPackageName": PACKAGE},
    },
}


def readable_aws(facts: Facts) -> Callable[..., Any]:
    """What to put in the place of boto3.client."""

    def client(service: str, region_name: str = "us-east-1", **options: Any) -> Any:
        options |= {"region_name": region_name, **KEYS}
        made = boto3.Session().client(service, **options)
        made.meta.events.register("before-parameter-build", _remember)
        made.meta.events.register("before-call", _answering(facts))
        return made

    return client


def _remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["asked"] = params


def _answering(facts: Facts) -> Callable[..., Any]:
    def answer(model: Any, context: dict[str, Any], **_: Any) -> Any:
        service, operation = model.service_model.service_name, xform_name(model.name)
        given = facts.get(operation, {})
        for answer_or_error in (given, {} if given else TYPICAL.get(operation)):
            if isinstance(answer_or_error, ClientError):
                raise answer_or_error
        if not model.name.startswith(READS):
            pytest.fail(f"a dry run sent {service} {operation} {context.get('asked')}")
        body = _body(model, operation, {**context.get("asked", {}), **facts})
        if model.has_streaming_output:
            body[model.output_shape.serialization["payload"]] = StreamingBody(io.BytesIO(b"{}"), 2)
        metadata = {"ResponseMetadata": {"HTTPStatusCode": 200}}
        return AWSResponse("", 200, {}, None), {**body, **given, **metadata}

    return answer


def _body(model: Any, operation: str, known: Facts) -> dict[str, Any]:
    if not isinstance(TYPICAL.get(operation), dict):
        return dict(_made(model.output_shape, "", known, ()))
    members = model.output_shape.members
    asked = {each: known[each] for each in members if each in known}
    return {**_replaced(TYPICAL[operation], known), **asked}


def _replaced(value: Any, known: Facts) -> Any:
    if isinstance(value, list):
        return [_replaced(each, known) for each in value]
    if isinstance(value, dict):
        return {each: known.get(each, _replaced(held, known)) for each, held in value.items()}
    return value


def _made(shape: Any, name: str, known: Facts, above: tuple[str, ...]) -> Any:
    """A value of the shape of a member `name`; above: the structures that it is in."""
    if shape is None or shape.name in above:
        return {}
    if name in known and (shape.type_name == "string" or not isinstance(known[name], str)):
        return known[name]
    inside = (*above, shape.name)
    if shape.type_name == "structure":
        members = [(each, s) for each, s in shape.members.items() if not _is_left_out(each)]
        members = members[:1] if shape.is_tagged_union else members
        return {each: _made(s, each, known, inside) for each, s in members}
    if shape.type_name == "list":
        return [_made(shape.member, name, known, inside)]
    if shape.type_name == "map":
        return {_made(shape.key, "", known, inside): _made(shape.value, "", known, inside)}
    return _scalar(shape, name)


def _scalar(shape: Any, name: str) -> Any:
    if shape.type_name == "string":
        allowed = shape.metadata.get("enum", ())
        if allowed:
            return next((each for each in PREFERRED if each in allowed), allowed[0])
        return _text(name.lower(), shape.metadata.get("pattern"))
    kinds = {"timestamp": NOW, "boolean": False, "blob": b"{}"}
    return kinds.get(shape.type_name, shape.metadata.get("min", 0) or 1)


def _text(name: str, pattern: str | None) -> str:
    by_name = [text for ending, text in BY_NAME.items() if name.endswith(ending)]
    arns = [ARN.format(name.removesuffix("arn"))] if name.endswith("arn") else []
    fitting = (text for text in (*by_name, *arns, *TEXTS) if shapes._fits(pattern, text))
    return next(fitting, "engagement")


def _is_left_out(member: str) -> bool:
    return member.lower().endswith(LEFT_OUT)
