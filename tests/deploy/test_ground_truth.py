"""Labels of a CSV, in S3 as monitors read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy import ground_truth
from pipelines import settings
from pipelines.settings import Settings

PUT = ["put", "--model", "churn", "--labels", "labels.csv"]


class Bucket:
    """The part of S3 that is used, with boto3's own service model."""

    def __init__(self) -> None:
        import boto3

        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.meta = boto3.client("s3", region_name="us-east-1", **keys).meta
        self.objects: dict[str, str] = {}

    def put_object(self, **members: Any) -> dict[str, Any]:
        self.objects[f"{members['Bucket']}/{members['Key']}"] = members["Body"].decode()
        return {}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    monkeypatch.chdir(tmp_path)
    made = Bucket()
    place = Settings("local", "us-east-1", "000000000000", "", "b", {})
    monkeypatch.setattr(settings, "resolve", lambda *_, **__: place)
    monkeypatch.setattr(settings, "client", lambda *_: made)
    return made


def test_labels_lie_below_their_hour_in_the_merge_format(bucket: Bucket) -> None:
    Path("labels.csv").write_text("inference_id,churned\norder-1,yes\norder-2,\norder-3,FALSE\n")
    assert ground_truth.main([*PUT, "--at", "2026-01-05T10:59"]) == 0
    ((key, body),) = bucket.objects.items()
    assert key.startswith("b/engagement/ground-truth/churn/2026/01/05/10/")
    assert key.endswith(".jsonl")
    assert [json.loads(line) for line in body.splitlines()] == [
        {
            "groundTruthData": {"data": label, "encoding": "CSV"},
            "eventMetadata": {"eventId": event},
            "eventVersion": "0",
        }
        for event, label in (("order-1", "1"), ("order-3", "0"))
    ]
    assert ground_truth.main([*PUT, "--at", "2026-01-05T10:59"]) == 0
    assert len(bucket.objects) == 1


def test_many_labels_are_several_objects(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground_truth, "LABELS_AN_OBJECT", 2)
    lines = "".join(f"e{n},{n}\n" for n in range(5))
    Path("labels.csv").write_text("id,worth\n" + lines)
    words = ["put", "--labels", "labels.csv", "--id-column", "id", "--column", "worth"]
    assert ground_truth.main([*words, "--to", "s3://other/truth"]) == 0
    assert sorted(len(body.splitlines()) for body in bucket.objects.values()) == [1, 2, 2]
    assert all(key.startswith("other/truth/20") for key in bucket.objects)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("inference_id,left\na,1\n", "no column 'churned'; it has inference_id, left"),
        ("inference_id,churned\na,1\nb,maybe\n", "row 2: churned is 'maybe'"),
        ("inference_id,churned\na,1\na,0\n", "row 2: a second label of 'a'"),
        ("inference_id,churned\n,1\n", "row 1: no inference id"),
        ("inference_id,churned\na,\n", "has no label"),
    ],
)
def test_a_file_that_cannot_be_meant_is_named_and_nothing_is_put(
    bucket: Bucket, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    Path("labels.csv").write_text(content)
    assert ground_truth.main(PUT) == 2
    assert said in capsys.readouterr().err
    assert bucket.objects == {}
