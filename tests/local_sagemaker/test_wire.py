"""The wire protocol: what a request must be, in AWS's words, and what an answer shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_sagemaker import operations, wire
from local_sagemaker.errors import ApiError

ROLE = "arn:aws:iam::000000000000:role/local"


def refused(operation: str, request: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        wire.validate(operation, request)
    return caught.value


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        (
            "CreatePipeline",
            {"PipelineName": "a_b", "RoleArn": ROLE, "ClientRequestToken": "t" * 32},
            "1 validation error detected: Value 'a_b' at 'pipelineName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: "
            "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}",
        ),
        (
            "DescribeTrainingJob",
            {},
            "1 validation error detected: Value null at 'trainingJobName' failed to satisfy "
            "constraint: Member must not be null",
        ),
        (
            "ListTrainingJobs",
            {"MaxResults": 101, "SortOrder": "Up"},
            "2 validation errors detected: Value '101' at 'maxResults' failed to satisfy "
            "constraint: Member must have value less than or equal to 100; "
            "Value 'Up' at 'sortOrder' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Ascending, Descending]",
        ),
        (
            "AddTags",
            {
                "ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/x",
                "Tags": [{"Key": "k" * 129, "Value": ""}],
            },
            f"1 validation error detected: Value '{'k' * 129}' at 'tags.1.member.key' failed to "
            "satisfy constraint: Member must have length less than or equal to 128",
        ),
    ],
)
def test_faults_are_told_in_awss_words(operation: str, request_: Any, message: str) -> None:
    error = refused(operation, request_)
    assert error.code == "ValidationException"
    assert error.message == message


def test_a_map_reports_its_broken_rule_in_brackets() -> None:
    wanted = {"PipelineName": "x"} | {
        "ModelName": "m",
        "PrimaryContainer": {"Environment": {"1": ""}},
    }
    del wanted["PipelineName"]
    message = refused("CreateModel", wanted).message
    assert "at 'primaryContainer.environment'" in message
    assert "Map keys must satisfy constraint: [Member must satisfy regular expression" in message


@pytest.mark.parametrize(
    ("member", "value", "says"),
    [
        ("TrainingJobName", 1, "NUMBER_VALUE can not be converted to a String"),
        ("TrainingJobName", [], "START_ARRAY can not be converted to a String"),
        ("EnableNetworkIsolation", "true", "STRING_VALUE can not be converted to a Boolean"),
        ("ResourceConfig", [], "START_ARRAY can not be converted to a structure"),
        ("InputDataConfig", {}, "START_OBJECT can not be converted to a list"),
    ],
)
def test_a_wrong_type_is_a_serialization_error(member: str, value: Any, says: str) -> None:
    error = refused("CreateTrainingJob", {member: value})
    assert error.code == "SerializationException"
    assert says in error.message


def test_an_unknown_member_is_named_with_those_there_are() -> None:
    message = refused("DescribeTrainingJob", {"TrainingJobNam": "x"}).message
    assert "unknown member 'TrainingJobNam'" in message
    assert "TrainingJobName" in message


def test_a_text_that_is_far_too_long_is_refused_at_once() -> None:
    message = refused("DescribeTrainingJob", {"TrainingJobName": "a-" * 1_000_000 + "!"}).message
    assert message.endswith("Member must have length less than or equal to 63")
    assert len(message) < 2000


def test_nulls_are_as_if_they_were_not_given() -> None:
    assert wire.validate("ListTrainingJobs", {"NextToken": None, "MaxResults": 5}) == {
        "MaxResults": 5
    }


@pytest.mark.parametrize("given", [1_700_000_000, 1_700_000_000.0, "2023-11-14T22:13:20+00:00"])
def test_times_are_seconds_inside(given: Any) -> None:
    request = wire.validate("ListTrainingJobs", {"CreationTimeAfter": given})
    assert request == {"CreationTimeAfter": 1_700_000_000.0}


def test_an_answer_shows_what_the_operation_shows() -> None:
    row = {
        "TrainingJobName": "x",
        "TrainingJobArn": None,
        "Ours": 1,
        "SecondaryStatusTransitions": [{"Status": "Starting", "StartTime": 1.5, "Ours": 2}],
        "HyperParameters": {"any": "key"},
    }
    assert wire.project("DescribeTrainingJob", row) == {
        "TrainingJobName": "x",
        "SecondaryStatusTransitions": [{"Status": "Starting", "StartTime": 1.5}],
        "HyperParameters": {"any": "key"},
    }


def test_only_these_patterns_of_the_model_are_left_unchecked() -> None:
    """Java knows \\p{L} and pairs of surrogates inside brackets; Python's re does not."""
    assert len(wire.patterns_left_out()) <= 9
    for pattern in wire.patterns_left_out():
        assert r"\p{" in pattern or r"\uD800" in pattern


def test_supported_members_may_be_named_at_any_depth() -> None:
    supports = frozenset({"A", "B.C", "B.D.E"})
    allowed = ["A", "A.X", "A.X.Y", "B", "B.C", "B.C.Z", "B.D", "B.D.E"]
    refused = ["C", "B.X", "B.D.F", "AB"]
    assert all(operations._is_supported(path, supports) for path in allowed)
    assert not any(operations._is_supported(path, supports) for path in refused)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
member_names = {
    name: wire.list_members(name)
    for name in ("CreateTrainingJob", "CreateProcessingJob", "CreateModelPackage", "ListTags")
}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), operation=st.sampled_from(sorted(member_names)))
def test_no_request_makes_validation_fail_otherwise_than_by_an_api_error(
    data: st.DataObject, operation: str
) -> None:
    names = st.sampled_from(member_names[operation]) | st.text(max_size=5)
    codes: set[str] = set()
    request = data.draw(st.dictionaries(names, anything, max_size=4))
    try:
        checked = wire.validate(operation, request)
    except ApiError as error:
        codes.add(error.code)
    else:
        json.dumps(checked)
    assert codes <= {"ValidationException", "SerializationException"}
