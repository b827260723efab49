"""Every supported operation with requests that nobody meant: modelled errors, never a 5xx, no hang.

Shape-valid requests are drawn from botocore's model (members, enums, ranges, lengths); the invalid
ones are such a request with one part of it replaced by something of another kind.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_sagemaker import boot, wire
from local_sagemaker.operations import OPERATIONS

boot.load_api()
MODELS = {
    service: ServiceModel(Loader().load_service_model(service, "service-2"), service)
    for service in wire.TARGETS.values()
}
PREFIXES = {service: prefix for prefix, service in wire.TARGETS.items()}
DEEPEST = 6
SECONDS = 5
# Things that exist, or look as if: most random names would only ever find nothing.
NAMES = ("pipeline", "group", "model", "x", "-", "é", "a" * 70, "arn:aws:sagemaker:::x", "s3://b/k")
STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    1e308,
    "",
    "\x00",
    "x" * 300,
    [],
    [None],
    {},
    {"": 1},
)


def requests_of(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that this shape allows, patterns left out."""
    kind = shape.type_name
    if kind == "structure":
        return _structures(shape, depth)
    if kind == "list":
        most = 0 if depth > DEEPEST else min(shape.metadata.get("max", 2), 2)
        least = min(shape.metadata.get("min", 0), most)
        return st.lists(requests_of(shape.member, depth + 1), min_size=least, max_size=most)
    if kind == "map":
        return st.dictionaries(_texts(shape.key), requests_of(shape.value, depth + 1), max_size=2)
    return _scalars(shape)


def _structures(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    def members(names: list[str]) -> dict[str, st.SearchStrategy[Any]]:
        return {n: st.deferred(_later(shape.members[n], depth + 1)) for n in names}

    optional = [n for n in shape.members if n not in shape.required_members]
    shown = optional if depth < DEEPEST // 2 else []
    return st.fixed_dictionaries(members(shape.required_members), optional=members(shown))


def _later(shape: Any, depth: int) -> Callable[[], st.SearchStrategy[Any]]:
    return lambda: requests_of(shape, depth)


def _scalars(shape: Any) -> st.SearchStrategy[Any]:
    kind, limits = shape.type_name, shape.metadata
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long"):
        least = limits.get("min", 0)
        return st.integers(least, min(limits.get("max", least + 100), 1 << 40))
    if kind in ("float", "double", "timestamp"):
        return st.floats(0, 4e9)
    return _texts(shape)


def _texts(shape: Any) -> st.SearchStrategy[str]:
    if getattr(shape, "enum", None):
        return st.sampled_from(shape.enum)
    return st.sampled_from(NAMES) | st.text(max_size=8)


@st.composite
def broken(draw: st.DrawFn, shape: Any) -> Any:
    """A request of which one part is something else."""
    request = draw(requests_of(shape))
    spot = request
    while isinstance(spot, dict) and spot:
        name = draw(st.sampled_from(sorted(spot)))
        if isinstance(spot[name], dict) and spot[name] and draw(st.booleans()):
            spot = spot[name]
            continue
        spot[name] = draw(st.sampled_from(STRANGE))
        break
    return request if request else draw(st.sampled_from(STRANGE))


@pytest.fixture
def crowded(local: Any, sagemaker: Any) -> Any:
    """A server in which some of the names mean something."""
    sagemaker.create_model_package_group(ModelPackageGroupName="group")
    sagemaker.create_model_package(ModelPackageGroupName="group")
    sagemaker.create_pipeline(
        PipelineName="pipeline",
        RoleArn="arn:aws:iam::000000000000:role/local",
        PipelineDefinition=json.dumps(
            {
                "Version": "2020-12-01",
                "Steps": [{"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}],
            }
        ),
    )
    return local


def ask(address: str, operation: str, request: Any) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    try:
        prefix = PREFIXES[OPERATIONS[operation].service]
        headers = {"X-Amz-Target": f"{prefix}.{operation}"}
        connection.request("POST", "/", json.dumps(request).encode(), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def shape_of(operation: str) -> Any:
    return MODELS[OPERATIONS[operation].service].operation_model(operation).input_shape


def test_no_request_makes_the_server_fail(crowded: Any, tmp_path: Path) -> None:
    address = crowded.url.removeprefix("http://")

    @settings(
        max_examples=30,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(data=st.data())
    def one(operation: str, data: st.DataObject) -> None:
        shape = shape_of(operation)
        request = data.draw(requests_of(shape) | broken(shape), label=operation)
        status, answer = ask(address, operation, request)
        assert status in (200, 400, 403, 404, 409), f"{operation} {request}: {status} {answer}"
        if status != 200:
            assert answer["__type"], f"{operation} {request}"
            assert answer["message"], f"{operation} {request}"

    for operation in sorted(OPERATIONS):
        one(operation)
