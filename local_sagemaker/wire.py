"""The wire protocol: the only user of botocore's service models. `service` is SageMaker's, unless
another is named.

Requests: types, required and unknown members, ranges, lengths, enums and patterns, refused in AWS's
words. Answers: a row projected onto the operation's output shape, so Describe = look up, then
project. Timestamps are epoch seconds inside and on the wire. Models are loaded on first use (20 ms)
and shapes on theirs.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel

from local_sagemaker import constraints
from local_sagemaker.errors import ApiError, validation

Moment = Callable[[float], Any]  # epoch seconds, as somebody wants to read them

SAGEMAKER = "sagemaker"
METRICS = "sagemaker-metrics"
RUNTIME = "sagemaker-runtime"
AUTOSCALING = "application-autoscaling"
# JSON 1.1: what X-Amz-Target begins with, and whose operation it then names.
TARGETS = {"SageMaker": SAGEMAKER, "AnyScaleFrontendService": AUTOSCALING}
CONTENT_TYPE = "application/x-amz-json-1.1"


@functools.cache
def _model(service: str) -> Any:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@functools.cache
def _input(operation: str, service: str) -> Any:
    return _model(service).operation_model(operation).input_shape


@functools.cache
def _output(operation: str, service: str) -> Any:
    return _model(service).operation_model(operation).output_shape


def is_operation(name: str, service: str = SAGEMAKER) -> bool:
    return name in operation_names(service)


@functools.cache
def operation_names(service: str = SAGEMAKER) -> frozenset[str]:
    """Every operation of a service, supported here or not."""
    return frozenset(_model(service).operation_names)


def decode(target: str, body: bytes) -> tuple[str, str, dict[str, Any]]:
    """(service, operation, request) of one JSON 1.1 call."""
    prefix, _, name = target.partition(".")
    if prefix not in TARGETS:
        raise ApiError(
            "UnknownOperationException",
            f"X-Amz-Target {target!r} is not understood; it should be "
            + " or ".join(f"{each}.<Operation>" for each in TARGETS),
        )
    return TARGETS[prefix], name, read_json(body)


def read_json(body: bytes) -> dict[str, Any]:
    """The request of a call whose body is all of it."""
    try:
        request = json.loads(body or b"{}")
    except (ValueError, RecursionError) as cause:
        raise ApiError("SerializationException", f"the body is not JSON: {cause}") from cause
    if not isinstance(request, dict):
        raise ApiError("SerializationException", "the body must be a JSON object")
    return request


def encode(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()


def error_body(error: ApiError) -> bytes:
    return json.dumps({"__type": error.code, "message": error.message}).encode()


def validate(operation: str, request: dict[str, Any], service: str = SAGEMAKER) -> dict[str, Any]:
    """The request, checked against the model; nulls are dropped, timestamps become floats. Raises
    ApiError.
    """
    shape = _input(operation, service)
    if shape is None:
        return {}
    found: list[str] = []
    checked = constraints.check(shape, request, "", found)
    if found:
        noun = "error" if len(found) == 1 else "errors"
        raise validation(f"{len(found)} validation {noun} detected: {'; '.join(found)}")
    return dict(checked)


@functools.cache
def token_member(operation: str, service: str = SAGEMAKER) -> str | None:
    """The member that makes a repeated request harmless (ClientRequestToken), if there is one."""
    shape = _input(operation, service)
    if shape is None:
        return None
    tokens = (name for name, m in shape.members.items() if m.metadata.get("idempotencyToken"))
    return next(tokens, None)


def project(
    operation: str,
    row: dict[str, Any],
    moment: Moment | None = None,
    service: str = SAGEMAKER,
) -> dict[str, Any]:
    """What of the row the operation's output shape has; absent and None members are left out, and
    `moment` writes the timestamps.
    """
    shape = _output(operation, service)
    return {} if shape is None else _project(shape, row, moment)


def _project(shape: Any, value: Any, moment: Moment | None) -> Any:
    kind = shape.type_name
    if moment is not None and kind == "timestamp":
        return moment(value)
    if kind == "structure" and isinstance(value, dict):
        members = shape.members
        return {
            name: _project(members[name], each, moment)
            for name, each in value.items()
            if each is not None and name in members
        }
    if kind == "list" and isinstance(value, (list, tuple)):
        return [_project(shape.member, each, moment) for each in value]
    if kind == "map" and isinstance(value, dict):
        return {name: _project(shape.value, each, moment) for name, each in value.items()}
    return value


def members(
    operation: str, request: dict[str, Any], service: str = SAGEMAKER
) -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every member in the request; lists transparent, maps closed."""
    yield from _members(_input(operation, service), request, "")


def _members(shape: Any, value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if shape is None:
        return
    if shape.type_name == "list":
        for each in value:
            yield from _members(shape.member, each, prefix)
    elif shape.type_name == "structure":
        for name, each in value.items():
            path = f"{prefix}.{name}" if prefix else name
            yield path, each
            yield from _members(shape.members[name], each, path)


def check_members(operation: str, paths: tuple[str, ...], service: str = SAGEMAKER) -> None:
    """Raise ValueError when the operation, or one of the dotted members, does not exist."""
    if not is_operation(operation, service):
        raise ValueError(f"{service} has no operation {operation!r}")
    for path in paths:
        shape = _input(operation, service)
        for part in path.split("."):
            while shape is not None and shape.type_name == "list":
                shape = shape.member
            if shape is None or part not in getattr(shape, "members", {}):
                raise ValueError(f"{operation} has no member {path!r}")
            shape = shape.members[part]


def list_members(operation: str, service: str = SAGEMAKER) -> list[str]:
    """The members of an operation's request, in the model's order."""
    shape = _input(operation, service)
    return [] if shape is None else list(shape.members)


@functools.cache
def record_shape(member: str) -> Any:
    """The shape of what Search answers with in this member of a SearchRecord."""
    return _model(SAGEMAKER).shape_for("SearchRecord").members[member]


@functools.cache
def patterns_left_out() -> frozenset[str]:
    """Patterns of the model that Python cannot compile, so that the server does not check them."""
    shapes = (_model(SAGEMAKER).shape_for(name) for name in _model(SAGEMAKER).shape_names)
    patterns = {pattern for shape in shapes if (pattern := shape.metadata.get("pattern"))}
    return frozenset(p for p in patterns if constraints.compiled(p) is None)
