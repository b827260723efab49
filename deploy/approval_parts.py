"""The parts of the approval flow: queue, role, function, rules. Each is read first, then made,
changed or left; what happened to each is yielded. Policies are in approval_policies.py.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from deploy import approval_policies as policies
from deploy import work
from deploy.commands import DeployError
from deploy.requests import Requests
from pipelines import settings
from pipelines.settings import PROJECT, Settings
from steps.problem import Problem

SOURCE = PROJECT / "inference" / "handlers" / "approval.py"
HANDLER, RUNTIME = "approval.handler", "python3.12"
TIMEOUT_SECONDS, MEMORY_MB = 60, 256
POLICY = "approval"
TARGET = "approval"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
ABSENT = (
    "ResourceNotFoundException",
    "NoSuchEntity",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
)
# IAM takes seconds until a new role is known everywhere.
ASSUMED_TRIES = 30

Row = tuple[str, str, str]
CREATED, UPDATED, UNCHANGED, REMOVED = "created", "updated", "unchanged", "removed"
MISSING = "missing"


@dataclass(frozen=True)
class Flow:
    """One group whose approvals reach one endpoint, at one place."""

    place: Settings
    group: str
    endpoint: str
    problem: Problem
    partition: str
    account: str
    requests: Requests

    @property
    def name(self) -> str:
        """Of function, role and queue, and of what begins so."""
        return f"{self.endpoint[:40].rstrip('-')}-approval"

    def arn(self, service: str, resource: str, region: bool = True) -> str:
        where = self.place.region if region else ""
        return f"arn:{self.partition}:{service}:{where}:{self.account}:{resource}"

    @property
    def queue_arn(self) -> str:
        return self.arn("sqs", self.name)

    @property
    def role_arn(self) -> str:
        return self.arn("iam", f"role/{self.name}", region=False)

    @property
    def function_arn(self) -> str:
        return self.arn("lambda", f"function:{self.name}")

    @property
    def parameters(self) -> str:
        """The folder in Parameter Store of what the endpoint serves."""
        return work.folder(self.problem, self.endpoint)

    def rule_arn(self, rule: str) -> str:
        return self.arn("events", f"rule/{rule}")

    @property
    def patterns(self) -> dict[str, dict[str, Any]]:
        """Rule name -> the events it is for."""
        return policies.patterns(self.name, self.group, self.endpoint)

    @cached_property
    def sqs(self) -> Any:
        return settings.client(self.place, "sqs")

    @cached_property
    def iam(self) -> Any:
        return settings.client(self.place, "iam")

    @cached_property
    def functions(self) -> Any:
        return settings.client(self.place, "lambda")

    @cached_property
    def events(self) -> Any:
        return settings.client(self.place, "events")


def queue(flow: Flow) -> Iterator[Row]:
    """Where events end that could not be delivered or handled."""
    rules = [flow.rule_arn(name) for name in flow.patterns]
    wanted = {"Policy": policies.text(policies.queue(flow.queue_arn, rules))}
    url = _queue_url(flow)
    if url is None:
        flow.requests.send(flow.sqs, "create_queue", QueueName=flow.name, Attributes=wanted)
    elif _attribute(flow, url, "Policy") != wanted["Policy"]:
        flow.requests.send(flow.sqs, "set_queue_attributes", QueueUrl=url, Attributes=wanted)
    else:
        yield "queue", flow.name, UNCHANGED
        return
    yield "queue", flow.name, UPDATED if url else CREATED


def role(flow: Flow) -> Iterator[Row]:
    trust = policies.trust(flow.account)
    allowed = policies.function(flow)
    there = _found(flow.iam.get_role, RoleName=flow.name)
    if there is None:
        flow.requests.send(
            flow.iam,
            "create_role",
            RoleName=flow.name,
            AssumeRolePolicyDocument=policies.text(trust),
            Description=f"Serves approved versions of {flow.group} by endpoint {flow.endpoint}",
        )
    now = there and _found(flow.iam.get_role_policy, RoleName=flow.name, PolicyName=POLICY)
    if now and now["PolicyDocument"] == allowed:
        yield "role", flow.name, UNCHANGED
        return
    flow.requests.send(
        flow.iam,
        "put_role_policy",
        RoleName=flow.name,
        PolicyName=POLICY,
        PolicyDocument=policies.text(allowed),
    )
    yield "role", flow.name, UPDATED if there else CREATED


def function(flow: Flow) -> Iterator[Row]:
    body, wanted = zipped(), _configuration(flow)
    there = _found(flow.functions.get_function_configuration, FunctionName=flow.name)
    if there is None:
        _create_function(flow, body, wanted)
        change = CREATED
    else:
        change = _update_function(flow, there, body, wanted)
    yield "function", flow.name, change


def rules(flow: Flow) -> Iterator[Row]:
    for name, pattern in flow.patterns.items():
        there = _found(flow.events.describe_rule, Name=name)
        same = there is not None and json.loads(there["EventPattern"]) == pattern
        targets = _targets(flow, name) if there else []
        target = {
            "Id": TARGET,
            "Arn": flow.function_arn,
            "DeadLetterConfig": {"Arn": flow.queue_arn},
        }
        allowed = name in _allowed(flow)
        if same and there and there["State"] == "ENABLED" and targets == [target] and allowed:
            yield "rule", name, UNCHANGED
            continue
        text = policies.text(pattern)
        flow.requests.send(flow.events, "put_rule", Name=name, EventPattern=text, State="ENABLED")
        flow.requests.send(flow.events, "put_targets", Rule=name, Targets=[target])
        if not allowed:
            _allow(flow, name)
        yield "rule", name, UPDATED if there else CREATED


def without_rules(flow: Flow) -> Iterator[Row]:
    for name in flow.patterns:
        if _found(flow.events.describe_rule, Name=name) is None:
            yield "rule", name, MISSING
            continue
        ids = [each["Id"] for each in _targets(flow, name)]
        if ids:
            flow.requests.send(flow.events, "remove_targets", Rule=name, Ids=ids)
        flow.requests.send(flow.events, "delete_rule", Name=name)
        yield "rule", name, REMOVED


def without_function(flow: Flow) -> Iterator[Row]:
    if _found(flow.functions.get_function_configuration, FunctionName=flow.name) is None:
        yield "function", flow.name, MISSING
        return
    flow.requests.send(flow.functions, "delete_function", FunctionName=flow.name)
    yield "function", flow.name, REMOVED


def without_role(flow: Flow) -> Iterator[Row]:
    if _found(flow.iam.get_role, RoleName=flow.name) is None:
        yield "role", flow.name, MISSING
        return
    if _found(flow.iam.get_role_policy, RoleName=flow.name, PolicyName=POLICY):
        flow.requests.send(flow.iam, "delete_role_policy", RoleName=flow.name, PolicyName=POLICY)
    flow.requests.send(flow.iam, "delete_role", RoleName=flow.name)
    yield "role", flow.name, REMOVED


def without_queue(flow: Flow) -> Iterator[Row]:
    url = _queue_url(flow)
    if url is None:
        yield "queue", flow.name, MISSING
        return
    flow.requests.send(flow.sqs, "delete_queue", QueueUrl=url)
    yield "queue", flow.name, REMOVED


def shown(flow: Flow) -> Iterator[Row]:
    for name in flow.patterns:
        there = _found(flow.events.describe_rule, Name=name)
        yield "rule", name, str(there["State"]) if there else MISSING
    found = _found(flow.functions.get_function_configuration, FunctionName=flow.name)
    code = found and ("up to date" if found["CodeSha256"] == _sha256(zipped()) else "other code")
    yield "function", flow.name, code or MISSING
    has_role = _found(flow.iam.get_role, RoleName=flow.name) is not None
    yield "role", flow.name, "there" if has_role else MISSING
    url = _queue_url(flow)
    dead = url and _attribute(flow, url, "ApproximateNumberOfMessages")
    yield "queue", flow.name, f"{dead or 0} dead letters" if url else MISSING


def zipped() -> bytes:
    """The function's code: equal sources, equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(SOURCE.name, ZIP_TIME)
        entry.external_attr = 0o644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, SOURCE.read_bytes())
    return buffer.getvalue()


def _configuration(flow: Flow) -> dict[str, Any]:
    tags = {"project": "ml-pipeline", "problem": flow.problem.name}
    return {
        "Role": flow.role_arn,
        "Handler": HANDLER,
        "Runtime": RUNTIME,
        "Timeout": TIMEOUT_SECONDS,
        "MemorySize": MEMORY_MB,
        "DeadLetterConfig": {"TargetArn": flow.queue_arn},
        "Environment": {
            "Variables": {
                "MODEL_PACKAGE_GROUP": flow.group,
                "ENDPOINT_NAME": flow.endpoint,
                "ROLE_ARN": flow.place.role_arn,
                "INSTANCE_TYPE": flow.problem.deploy.instance_type,
                "PARAMETERS": flow.parameters,
                "TAGS": json.dumps(tags, sort_keys=True),
            }
        },
    }


def _create_function(flow: Flow, body: bytes, wanted: dict[str, Any]) -> None:
    request = {"FunctionName": flow.name, "Code": {"ZipFile": body}, **wanted}
    for _ in range(ASSUMED_TRIES):
        try:
            flow.requests.send(flow.functions, "create_function", **request)
        except ClientError as error:
            if "cannot be assumed" not in error.response["Error"]["Message"]:
                raise
            time.sleep(flow.place.poll_seconds)
        else:
            return
    raise DeployError(f"Lambda cannot assume the role {flow.name} yet; run install again.")


def _update_function(flow: Flow, there: dict[str, Any], body: bytes, wanted: dict[str, Any]) -> str:
    change = UNCHANGED
    if any(there.get(member) != value for member, value in wanted.items()):
        flow.requests.send(
            flow.functions, "update_function_configuration", FunctionName=flow.name, **wanted
        )
        _settle(flow)
        change = UPDATED
    if there["CodeSha256"] != _sha256(body):
        flow.requests.send(
            flow.functions, "update_function_code", FunctionName=flow.name, ZipFile=body
        )
        _settle(flow)
        change = UPDATED
    return change


def _settle(flow: Flow) -> None:
    """Lambda refuses a change while another is under way."""
    if not flow.requests.dry_run:
        flow.functions.get_waiter("function_updated_v2").wait(FunctionName=flow.name)


def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _allow(flow: Flow, rule: str) -> None:
    flow.requests.send(
        flow.functions,
        "add_permission",
        FunctionName=flow.name,
        StatementId=rule,
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=flow.rule_arn(rule),
    )


def _allowed(flow: Flow) -> set[str]:
    """The rules that may invoke the function, by the names of its policy's statements."""
    found = _found(flow.functions.get_policy, FunctionName=flow.name)
    statements = json.loads(found["Policy"])["Statement"] if found else []
    return {each["Sid"] for each in statements}


def _targets(flow: Flow, rule: str) -> list[dict[str, Any]]:
    return list(flow.events.list_targets_by_rule(Rule=rule)["Targets"])


def _queue_url(flow: Flow) -> str | None:
    found = _found(flow.sqs.get_queue_url, QueueName=flow.name)
    return str(found["QueueUrl"]) if found else None


def _attribute(flow: Flow, url: str, name: str) -> str | None:
    found = flow.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    value = found.get("Attributes", {}).get(name)
    return None if value is None else str(value)


def _found(read: Callable[..., Any], **named: str) -> dict[str, Any] | None:
    try:
        return dict(read(**named))
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return None
        raise
