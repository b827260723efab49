"""The cache key of a step, and how long a result stays valid."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import cache

PROCESSING = ("AppSpecification", "Environment", "ProcessingInputs")
TRAINING = ("AlgorithmSpecification", "CheckpointConfig", "HyperParameters", "InputDataConfig")


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("P30D", "2024-03-01T12:00:00"),
        ("p30d", "2024-03-01T12:00:00"),
        ("30d", "2024-03-01T12:00:00"),
        ("PT1H", "2024-03-31T11:00:00"),
        ("T16m", "2024-03-31T11:44:00"),
        ("30dT5h", "2024-03-01T07:00:00"),
        ("P4DT12H", "2024-03-27T00:00:00"),
        ("P2W", "2024-03-17T12:00:00"),
        ("P1M", "2024-02-29T12:00:00"),
        ("P1Y", "2023-03-31T12:00:00"),
        ("P1Y1M", "2023-02-28T12:00:00"),
        ("P9999Y", "1970-01-01T00:00:00"),
    ],
)
def test_durations_count_back_on_the_calendar(text: str, before: str) -> None:
    now = moment("2024-03-31T12:00:00")
    assert cache.parse_duration(text).before(now) == moment(before)


@pytest.mark.parametrize("text", ["", "P", "PT", "30", "5x", "P-1D", "T5d", None, 30, "1h"])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="ExpireAfter"):
        cache.parse_duration(text)


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_longer_duration_reaches_further_back(days: int, more: int) -> None:
    now = moment("2024-03-31T12:00:00")
    short, long = (cache.parse_duration(f"P{n}D").before(now) for n in (days, days + more))
    assert long <= short


def parts(
    arguments: dict[str, Any], attributes: tuple[str, ...] = PROCESSING, **contents: str
) -> Any:
    def fingerprint(uri: str) -> str:
        return contents.get(uri.rpartition("/")[2].partition(".")[0], "v1")

    return cache.key_parts(attributes, arguments, fingerprint)


def processing(code: str = "s3://b/code.py", **changes: Any) -> dict[str, Any]:
    return {
        "AppSpecification": {"ImageUri": "image"},
        "ProcessingInputs": [{"InputName": "code", "S3Input": {"S3Uri": code}}],
        "ProcessingOutputConfig": {"Outputs": [{"S3Output": {"S3Uri": "s3://b/out"}}]},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large"}},
        **changes,
    }


def test_attributes_outside_the_key_do_not_matter() -> None:
    other = processing(
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.xlarge"}},
        ProcessingOutputConfig={"Outputs": [{"S3Output": {"S3Uri": "s3://b/elsewhere"}}]},
        RoleArn="another",
    )
    assert parts(processing()) == parts(other)


def test_a_changed_attribute_changes_its_own_part_only() -> None:
    before, after = parts(processing()), parts(processing(Environment={"A": "1"}))
    assert {name for name in before if before[name] != after[name]} == {"Environment"}


def test_changed_content_under_the_same_uri_changes_the_key() -> None:
    before, after = parts(processing()), parts(processing(), code="v2")
    assert {name for name in before if before[name] != after[name]} == {"content of s3://b/code.py"}


def test_the_order_of_members_does_not_matter() -> None:
    assert parts(processing(Environment={"A": "1", "B": "2"})) == parts(
        processing(Environment={"B": "2", "A": "1"})
    )


def test_uris_in_arguments_and_json_encoded_hyperparameters_are_followed() -> None:
    app = {"ImageUri": "i", "ContainerArguments": ["--input", "s3://b/data.csv"]}
    assert "content of s3://b/data.csv" in parts(processing(AppSpecification=app))
    hyper = {"HyperParameters": {"sagemaker_submit_directory": '"s3://b/source.tar.gz"'}}
    assert "content of s3://b/source.tar.gz" in parts(hyper, TRAINING)


def test_what_the_job_itself_writes_is_not_content() -> None:
    training = {
        "HyperParameters": {"output": "s3://b/out/model"},
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        "CheckpointConfig": {"S3Uri": "s3://b/checkpoints"},
    }
    assert [name for name in parts(training, TRAINING) if name.startswith("content")] == []


def test_no_attributes_means_every_argument() -> None:
    assert set(parts({"EndpointName": "e", "EndpointConfigName": "c"}, ())) == {
        "EndpointName",
        "EndpointConfigName",
    }
