"""Artifacts, actions, contexts and associations that a user makes, through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

URI = "s3://b/data.csv"
MADE: dict[str, dict[str, Any]] = {
    "artifact": {"ArtifactName": "data", "ArtifactType": "DataSet", "Source": {"SourceUri": URI}},
    "action": {
        "ActionName": "Build",
        "ActionType": "Test",
        "Source": {"SourceUri": "x", "SourceType": "ARN", "SourceId": "1"},
        "Status": "InProgress",
    },
    "context": {"ContextName": "Group_1", "ContextType": "Test", "Source": {"SourceUri": "y"}},
}
KINDS = sorted(MADE)


def create(sagemaker: Any, kind: str, **changes: Any) -> str:
    made = getattr(sagemaker, f"create_{kind}")(**MADE[kind] | changes)
    return str(made[f"{kind.title()}Arn"])


def call(sagemaker: Any, verb: str, kind: str, arn: str, **more: Any) -> Any:
    """An operation on one entity, by what it takes: an artifact's ARN, another's name."""
    which = {"ArtifactArn": arn} if kind == "artifact" else {f"{kind.title()}Name": arn}
    return getattr(sagemaker, f"{verb}_{kind}")(**which, **more)


def name_of(kind: str, arn: str) -> str:
    return arn if kind == "artifact" else str(MADE[kind][f"{kind.title()}Name"])


def artifact(sagemaker: Any, uri: str, **more: Any) -> str:
    return create(sagemaker, "artifact", Source={"SourceUri": uri}, **more)


def refused(code: str, says: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{says}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_created_is_described(sagemaker: Any, kind: str) -> None:
    more = {"Properties": {"a": "1"}, "Tags": [{"Key": "team", "Value": "x"}]}
    arn = create(sagemaker, kind, **more)
    found = call(sagemaker, "describe", kind, arn)
    for member, value in MADE[kind].items():
        assert found[member] == value
    assert found["Properties"] == {"a": "1"}
    assert found["CreationTime"] == found["LastModifiedTime"]
    assert found["LineageGroupArn"].endswith(":lineage-group/sagemaker-default-lineage-group")
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == more["Tags"]


def test_arns_have_aws_s_forms(sagemaker: Any) -> None:
    head = "arn:aws:sagemaker:us-east-1:000000000000:"
    arn = create(sagemaker, "artifact")
    assert arn.startswith(f"{head}artifact/")
    assert len(bytes.fromhex(arn.rpartition("/")[2])) == 16
    assert create(sagemaker, "action") == f"{head}action/build"
    assert create(sagemaker, "context") == f"{head}context/group_1"


@pytest.mark.parametrize("kind", KINDS)
def test_properties_are_overwritten_and_removed(sagemaker: Any, kind: str) -> None:
    arn = create(sagemaker, kind, Properties={"a": "1", "b": "2"})
    name = name_of(kind, arn)
    call(sagemaker, "update", kind, name, PropertiesToRemove=["a"])
    assert call(sagemaker, "describe", kind, name)["Properties"] == {"b": "2"}
    new = {"c": "3", "d": "4"}
    call(sagemaker, "update", kind, name, Properties=new, PropertiesToRemove=["d", "b"])
    found = call(sagemaker, "describe", kind, name)
    assert found["Properties"] == {"c": "3"}
    assert found["LastModifiedTime"] > found["CreationTime"]


def test_each_kind_has_members_of_its_own_to_update(sagemaker: Any) -> None:
    arn = create(sagemaker, "artifact")
    sagemaker.update_artifact(ArtifactArn=arn, ArtifactName="new")
    assert sagemaker.describe_artifact(ArtifactArn=arn)["ArtifactName"] == "new"
    create(sagemaker, "action")
    sagemaker.update_action(ActionName="Build", Status="Completed", Description="d")
    found = sagemaker.describe_action(ActionName="build")
    assert (found["Status"], found["Description"]) == ("Completed", "d")


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_one_is_refused(sagemaker: Any, kind: str) -> None:
    create(sagemaker, kind)
    with refused("ValidationException", "already exists"):
        create(sagemaker, kind)


def test_an_artifact_is_its_source_and_not_its_name(sagemaker: Any) -> None:
    types = [{"SourceIdType": "S3ETag", "Value": "1"}]
    first = create(sagemaker, "artifact")
    assert create(sagemaker, "artifact", Source={"SourceUri": URI, "SourceTypes": types}) != first
    assert sagemaker.delete_artifact(Source={"SourceUri": URI})["ArtifactArn"] == first
    (left,) = sagemaker.list_artifacts()["ArtifactSummaries"]
    assert left["Source"]["SourceTypes"] == types


@pytest.mark.parametrize("kind", KINDS)
def test_a_deleted_one_is_not_found(sagemaker: Any, kind: str) -> None:
    arn = create(sagemaker, kind)
    name = name_of(kind, arn)
    assert call(sagemaker, "delete", kind, name)[f"{kind.title()}Arn"] == arn
    for verb in ("describe", "update", "delete"):
        with refused("ResourceNotFound", "does not exist"):
            call(sagemaker, verb, kind, name)


def test_delete_artifact_takes_one_of_arn_and_source(sagemaker: Any) -> None:
    arn = create(sagemaker, "artifact")
    for request in ({}, {"ArtifactArn": arn, "Source": {"SourceUri": URI}}):
        with refused("ValidationException", "one of them"):
            sagemaker.delete_artifact(**request)


@pytest.mark.parametrize("kind", KINDS)
def test_lists_filter_sort_and_page(sagemaker: Any, kind: str) -> None:
    noun = kind.title()
    sources = [{"SourceUri": f"s3://b/{number}"} for number in range(3)]
    arns = [
        create(sagemaker, kind, **{f"{noun}Name": f"n{3 - number}"}, Source=source)
        for number, source in enumerate(sources)
    ]
    other = {f"{noun}Type": "Other", f"{noun}Name": "other"}
    create(sagemaker, kind, **other, Source={"SourceUri": "s3://b/other"})
    pages = sagemaker.get_paginator(f"list_{kind}s")

    def listed(**request: Any) -> list[str]:
        found = pages.paginate(**request, PaginationConfig={"PageSize": 2})
        return [each[f"{noun}Arn"] for page in found for each in page[f"{noun}Summaries"]]

    kind_of_it = {f"{noun}Type": MADE[kind][f"{noun}Type"]}
    assert listed(**kind_of_it) == arns[::-1]
    assert listed(**kind_of_it, SortOrder="Ascending") == arns
    assert listed(SourceUri="s3://b/1") == [arns[1]]
    if kind != "artifact":
        assert listed(**kind_of_it, SortBy="Name", SortOrder="Ascending") == arns[::-1]
    assert listed(CreatedAfter=4e9) == []


def test_an_association_tells_of_both_ends(sagemaker: Any) -> None:
    data, action = create(sagemaker, "artifact"), create(sagemaker, "action")
    ends = {"SourceArn": data, "DestinationArn": action}
    assert (
        sagemaker.add_association(**ends, AssociationType="ContributedTo").items() >= ends.items()
    )
    (found,) = sagemaker.list_associations(SourceArn=data)["AssociationSummaries"]
    types = {"SourceType": "DataSet", "DestinationType": "Test"}
    names = {"SourceName": "data", "DestinationName": "Build"}
    expected = {**ends, **types, **names, "AssociationType": "ContributedTo"}
    assert {name: found[name] for name in expected} == expected


def test_associations_are_filtered_sorted_and_paged(sagemaker: Any) -> None:
    arns = [artifact(sagemaker, f"s3://b/{n}", ArtifactType=f"T{n}") for n in range(3)]
    action = create(sagemaker, "action")
    for number, arn in enumerate(arns):
        more = {"AssociationType": "Produced"} if number else {}
        sagemaker.add_association(SourceArn=arn, DestinationArn=action, **more)
    sagemaker.add_association(SourceArn=action, DestinationArn=arns[0])
    pages = sagemaker.get_paginator("list_associations")

    def listed(**request: Any) -> list[tuple[str, str]]:
        found = pages.paginate(**request, PaginationConfig={"PageSize": 1})
        rows = [each for page in found for each in page["AssociationSummaries"]]
        return [(each["SourceArn"], each["DestinationArn"]) for each in rows]

    to_action = [(arn, action) for arn in arns]
    assert listed(DestinationArn=action, SortOrder="Ascending") == to_action
    assert listed(DestinationArn=action) == to_action[::-1]
    assert listed(AssociationType="Produced", SortOrder="Ascending") == to_action[1:]
    assert listed(SourceType="T2") == to_action[2:]
    assert listed(SourceType="Artifact", SortBy="SourceArn", SortOrder="Ascending") == sorted(
        to_action
    )
    assert listed(DestinationType="T0") == [(action, arns[0])]
    assert listed(SourceArn=arns[0], DestinationArn=arns[1]) == []


def test_an_association_needs_two_different_ends_that_exist(sagemaker: Any) -> None:
    arn = create(sagemaker, "artifact")
    nowhere = arn[:-4] + "0000"
    for ends in ((arn, nowhere), (nowhere, arn)):
        with refused("ResourceNotFound", "does not exist"):
            sagemaker.add_association(SourceArn=ends[0], DestinationArn=ends[1])
    with refused("ValidationException", "with itself"):
        sagemaker.add_association(SourceArn=arn, DestinationArn=arn)
    job = arn.partition(":artifact")[0] + ":experiment-trial-component/job-aws-training-job"
    with refused("ResourceNotFound", "does not exist"):
        sagemaker.add_association(SourceArn=arn, DestinationArn=job)


def test_an_association_is_made_once(sagemaker: Any) -> None:
    ends = {
        "SourceArn": create(sagemaker, "artifact"),
        "DestinationArn": create(sagemaker, "action"),
    }
    sagemaker.add_association(**ends)
    with refused("ValidationException", "already exists"):
        sagemaker.add_association(**ends)
    assert sagemaker.delete_association(**ends).items() >= ends.items()
    with refused("ResourceNotFound"):
        sagemaker.delete_association(**ends)


def test_what_has_associations_cannot_be_deleted(sagemaker: Any) -> None:
    data, action = create(sagemaker, "artifact"), create(sagemaker, "action")
    sagemaker.add_association(SourceArn=data, DestinationArn=action)
    with refused("ValidationException", "still has associations"):
        sagemaker.delete_artifact(ArtifactArn=data)
    with refused("ValidationException", "still has associations"):
        sagemaker.delete_action(ActionName="Build")
    sagemaker.delete_association(SourceArn=data, DestinationArn=action)
    sagemaker.delete_artifact(ArtifactArn=data)
    sagemaker.delete_action(ActionName="Build")


def test_the_account_has_its_default_lineage_group(sagemaker: Any) -> None:
    (found,) = sagemaker.list_lineage_groups()["LineageGroupSummaries"]
    name = found["LineageGroupName"]
    assert name == "sagemaker-default-lineage-group"
    group = sagemaker.describe_lineage_group(LineageGroupName=name)
    assert group["LineageGroupArn"] == found["LineageGroupArn"]
    for call_, wanted in (
        (sagemaker.describe_lineage_group, "another"),
        (sagemaker.get_lineage_group_policy, "another"),
        (sagemaker.get_lineage_group_policy, found["LineageGroupArn"]),
    ):
        with refused("ResourceNotFound"):
            call_(LineageGroupName=wanted)
