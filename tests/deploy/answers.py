"""An AWS that can only be read: its answers are made from the output shapes of botocore's models.

Every member is there, once; enumerations are in the state that most commands want to find, names
are those that were asked for, and paging ends at once. A test says what is to be different:

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

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:111122223333:{}/engagement/1"
READS = ("Describe", "List", "Get", "BatchGet", "BatchDescribe", "Head", "Search", "Query", "Scan")
PREFERRED = ("InService", "Approved", "Completed", "Succeeded", "Active", "ACTIVE", "OK", "Enabled")
# What an answer leaves out: the next page, and that something went wrong or is on its way.
LEFT_OUT = ("token", "marker", "failurereason", "pendingdeploymentsummary", "errorcode")

Facts = Mapping[str, Any]


def absent(operation: str, message: str = "Could not find it.") -> ClientError:
    """The error of something that is not there, as SageMaker says it."""
    return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, operation)


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
        if isinstance(given, ClientError):
            raise given
        if not model.name.startswith(READS) and operation not in facts:
            pytest.fail(f"a dry run sent {service} {operation} {context.get('asked')}")
        body = _made(model.output_shape, "", {**context.get("asked", {}), **facts}, ())
        if model.has_streaming_output:
            body[model.output_shape.serialization["payload"]] = StreamingBody(io.BytesIO(b"{}"), 2)
        metadata = {"ResponseMetadata": {"HTTPStatusCode": 200}}
        return AWSResponse("", 200, {}, None), {**(body or {}), **given, **metadata}

    return answer


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
        return (
            ARN.format(xform_name(name[:-3], "-")) if name.lower().endswith("arn") else "engagement"
        )
    kinds = {"timestamp": NOW, "boolean": False, "blob": b"{}"}
    return kinds.get(shape.type_name, shape.metadata.get("min", 0) or 1)


def _is_left_out(member: str) -> bool:
    return member.lower().endswith(LEFT_OUT)
