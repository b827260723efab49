"""Every List operation: each member of its request really filters, sorts or pages, or is refused by
name. And the waiters of botocore end as they should.

Both go over what is registered and what botocore's models say, so that a new operation is tested
as it comes; listing.py has what they are asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError, WaiterError
from botocore.loaders import Loader

from local_sagemaker import operations
from local_sagemaker.store import KINDS
from tests.local_sagemaker.conftest import Local
from tests.local_sagemaker.listing import (
    ARN,
    BETWEEN,
    PAGES,
    WORLDS,
    Row,
    World,
    kind_of,
    members,
    new_rows,
    of_kind,
)

WAITERS = Loader().load_service_model("sagemaker", "waiters-2")["waiters"]
LISTS = sorted(name for name in operations.OPERATIONS if name.startswith("List"))

Check = Callable[[World], None]


def after(name: str, member: str) -> Check:
    return lambda w: w.filters(member, BETWEEN, lambda row: row[name] > BETWEEN)


def before(name: str, member: str) -> Check:
    return lambda w: w.filters(member, BETWEEN, lambda row: row[name] < BETWEEN)


def status_equals(world: World) -> None:
    status = str(world.kind.status)
    for value in members(world.operation)["StatusEquals"].enum:
        wanted = world.meant(lambda row, value=value: row[status] == value)
        assert set(world.listed(StatusEquals=value)) == wanted


def sorts(world: World) -> None:
    of_word = {"Name": world.kind.name, "Status": world.kind.status}
    for word in members(world.operation)["SortBy"].enum:
        member = str(of_word.get(word, word))
        by_identity = {row[world.identity or world.kind.arn]: row for row in world.rows}
        for order in ("Ascending", "Descending"):
            found = world.listed(SortBy=word, SortOrder=order)
            values = [sort_value(by_identity[each], member) for each in found]
            assert len(values) == len(world.rows)
            assert values == sorted(values, reverse=order == "Descending"), (word, order)


def sort_value(row: Row, member: str) -> Any:
    if member == "ModelPackageName" and member not in row:
        return f"{row['ModelPackageGroupName']}/{row['ModelPackageVersion']}"
    return row[member]


def orders(world: World) -> None:
    up = world.listed(SortOrder="Ascending")
    assert len(up) == len(world.rows)
    assert up == world.listed(SortOrder="Descending")[::-1] != up[::-1]


def pages(world: World) -> None:
    size = max(2, members(world.operation)["MaxResults"].metadata.get("min", 1))
    token: Row = {}
    parts: list[Any] = []
    while True:
        answer = world.answer(MaxResults=size, **token)
        parts.append(answer[PAGES[world.operation]["result_key"]])
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert len(parts) > 1
    assert all(len(part) == size for part in parts[:-1])
    found = [each[world.identity or world.kind.arn] for part in parts for each in part]
    assert len(found) == len(world.rows)
    assert found == world.listed()
    with pytest.raises(ClientError, match="was not given for this request"):
        world.answer(NextToken="x" * 40)


def of_alias(world: World) -> None:
    world.filters("PipelineVersionAlias", "live", lambda row: row["PipelineVersionId"] == 2)


def of_group(world: World) -> None:
    world.filters("ModelPackageGroupName", "churn", lambda row: "ModelPackageVersion" in row)


def of_package_type(world: World) -> None:
    for word, versioned in (("Versioned", True), ("Unversioned", False)):
        wanted = world.meant(lambda row, v=versioned: ("ModelPackageVersion" in row) == v)
        assert set(world.listed(ModelPackageType=word)) == wanted


def of_account(world: World) -> None:
    assert len(world.listed(CrossAccountFilterOption="SameAccount")) == len(world.rows)
    with pytest.raises(ClientError, match="CrossAccountFilterOption = 'CrossAccount'"):
        world.listed(CrossAccountFilterOption="CrossAccount")


def name_contains(world: World) -> None:
    world.filters(
        "NameContains", "ECH", lambda row: "echo" in str(row.get(world.kind.name)).lower()
    )


def version_contains(world: World) -> None:
    world.filters("NameContains", "Hur", lambda row: "ModelPackageVersion" in row)


def prefix(world: World) -> None:
    world.filters("PipelineNamePrefix", "al", lambda row: row["PipelineName"] == "alpha")


def equals(member: str, name: str, value: Any) -> Check:
    """The member filters by what the resources have at this name; dotted below another."""

    def has(row: Row) -> bool:
        found: Any = row
        for part in name.split("."):
            found = found.get(part, {})
        return bool(value in found if isinstance(found, list) else value == found)

    return lambda world: world.filters(member, value, has)


CHECKS: dict[str, Check] = {
    "ActionType": equals("ActionType", "ActionType", "Approve"),
    "ArtifactType": equals("ArtifactType", "ArtifactType", "DataSet"),
    "AssociationType": equals("AssociationType", "AssociationType", "Produced"),
    "ContextType": equals("ContextType", "ContextType", "Group"),
    "DestinationArn": equals("DestinationArn", "DestinationArn", f"{ARN}:artifact/alpha"),
    "DestinationType": equals("DestinationType", "DestinationType", "DataSet"),
    "EndpointNameEquals": equals("EndpointNameEquals", "EndpointName", "two"),
    "ListTrials.ExperimentName": equals("ExperimentName", "ExperimentName", "one"),
    "ListTrials.TrialComponentName": lambda world: world.filters(
        "TrialComponentName", "part", lambda row: row["TrialName"] == "alpha"
    ),
    "ListTrialComponents.ExperimentName": lambda world: world.filters(
        "ExperimentName", "one", lambda row: "first" in row["Trials"]
    ),
    "ListTrialComponents.SourceArn": equals("SourceArn", "Source.SourceArn", f"{ARN}:job/y"),
    "SourceArn": equals("SourceArn", "SourceArn", f"{ARN}:artifact/alpha"),
    "SourceType": equals("SourceType", "SourceType", "DataSet"),
    "SourceUri": equals("SourceUri", "Source.SourceUri", "s3://b/y"),
    "TrialName": equals("TrialName", "Trials", "first"),
    "VariantNameEquals": equals("VariantNameEquals", "VariantName", "b"),
    "CreationTimeAfter": after("CreationTime", "CreationTimeAfter"),
    "CreationTimeBefore": before("CreationTime", "CreationTimeBefore"),
    "CreatedAfter": after("CreationTime", "CreatedAfter"),
    "CreatedBefore": before("CreationTime", "CreatedBefore"),
    "LastModifiedTimeAfter": after("LastModifiedTime", "LastModifiedTimeAfter"),
    "LastModifiedTimeBefore": before("LastModifiedTime", "LastModifiedTimeBefore"),
    "NameContains": name_contains,
    "ListModelPackages.NameContains": version_contains,
    "PipelineNamePrefix": prefix,
    "StatusEquals": status_equals,
    "SortBy": sorts,
    "SortOrder": orders,
    "MaxResults": pages,
    "NextToken": pages,
    "PipelineVersionAlias": of_alias,
    "ModelPackageGroupName": of_group,
    "ModelPackageType": of_package_type,
    "ModelApprovalStatus": lambda world: world.filters(
        "ModelApprovalStatus", "Rejected", lambda row: row["ModelApprovalStatus"] == "Rejected"
    ),
    "CrossAccountFilterOption": of_account,
}


@pytest.mark.parametrize("operation", LISTS)
def test_each_member_of_a_list_works_or_is_refused(local: Local, operation: str) -> None:
    world = WORLDS.get(operation, of_kind)(local, operation)
    wrong: dict[str, str] = {}
    for member in members(operation):
        try:
            check(world, member)
        except (AssertionError, ClientError, KeyError) as problem:
            wrong[member] = f"{type(problem).__name__}: {problem}"
    assert wrong == {}


def check(world: World, member: str) -> None:
    own, general = CHECKS.get(f"{world.operation}.{member}"), CHECKS.get(member)
    if not is_supported(world.operation, member):
        with pytest.raises(ClientError, match=f"member '{member}' is not supported"):
            world.answer(**{member: an_example(members(world.operation)[member])})
    elif own or general:
        (own or general)(world)  # type: ignore[misc]
    else:  # what it is asked of
        assert member in world.request, f"CHECKS has no check of {member}"
        assert len(world.listed()) == len(world.rows)


def is_supported(operation: str, member: str) -> bool:
    found = operations.OPERATIONS[operation]
    return found.supports is None or member in found.supports


def an_example(shape: Any) -> Any:
    if shape.enum:
        return shape.enum[0]
    return f"{ARN}:training-plan/x" if shape.type_name == "string" else 1


ACCEPTORS = [
    pytest.param(name, waiter["operation"], each, id=f"{name}-{each['state']}-{each['expected']}")
    for name, waiter in WAITERS.items()
    if waiter["operation"] in operations.OPERATIONS
    for each in waiter["acceptors"]
]


@pytest.mark.parametrize(("waiter", "operation", "acceptor"), ACCEPTORS)
def test_a_waiter_ends_as_it_should(
    local: Local, sagemaker: Any, waiter: str, operation: str, acceptor: dict[str, Any]
) -> None:
    kind = KINDS[kind_of(operation.removeprefix("Describe"))]
    if acceptor["matcher"] == "path":
        assert acceptor["argument"] == kind.status
        row = new_rows(kind, [acceptor["expected"]])[0]
        local.plane.store.insert(kind_of(operation.removeprefix("Describe")), "thing", row)
    wait = sagemaker.get_waiter(xform_name(waiter)).wait
    settings = {"Delay": 1, "MaxAttempts": 1}
    if acceptor["state"] == "success":
        wait(**{kind.name: "thing"}, WaiterConfig=settings)
    else:
        with pytest.raises(WaiterError, match="terminal failure"):
            wait(**{kind.name: "thing"}, WaiterConfig=settings)
