"""Uploads happen once per content."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipelines import uploads
from pipelines.bundle import Bundle


class Bucket:
    """S3 as far as uploads use it: HeadBucket, HeadObject, PutObject, UploadFile."""

    def __init__(self, exists: bool = True, code: str = "404") -> None:
        self.exists, self.code = exists, code
        self.objects: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []

    def head_bucket(self, **_: str) -> None:
        if not self.exists:
            raise ClientError({"Error": {"Code": self.code, "Message": ""}}, "HeadBucket")

    def create_bucket(self, **request: Any) -> None:
        self.created.append(request)

    def head_object(self, **request: str) -> None:
        if request["Key"] not in self.objects:
            raise ClientError({"Error": {"Code": self.code, "Message": ""}}, "HeadObject")

    def put_object(self, **request: Any) -> None:
        self.objects[request["Key"]] = request["Body"]

    def upload_file(self, path: str, bucket: str, key: str) -> None:
        self.objects[key] = Path(path).read_bytes()


def test_a_bundle_is_uploaded_once() -> None:
    bucket, bundle = Bucket(), Bundle({"run.py": b"1", "steps/train.py": b"2"})
    assert uploads.upload_bundle(bucket, "b", "churn", bundle)
    prefix = bundle.prefix("churn")
    with tarfile.open(fileobj=io.BytesIO(bucket.objects[f"{prefix}/job-code.tar"])) as packed:
        member = packed.extractfile("steps/train.py")
        assert packed.getnames() == ["steps/train.py"]
        assert member is not None
        assert member.read() == b"2"
    before = dict(bucket.objects)
    bucket.objects[f"{prefix}/run.py"] = b"left alone"
    assert not uploads.upload_bundle(bucket, "b", "churn", bundle)
    assert bucket.objects == before | {f"{prefix}/run.py": b"left alone"}


def test_an_interrupted_upload_is_done_again() -> None:
    bucket, bundle = Bucket(), Bundle({"run.py": b"1"})
    bucket.objects[f"{bundle.prefix('churn')}/run.py"] = b"half"
    assert uploads.upload_bundle(bucket, "b", "churn", bundle)
    assert bucket.objects[f"{bundle.prefix('churn')}/run.py"] == b"1"


def test_the_marker_is_not_part_of_what_jobs_download() -> None:
    bucket, bundle = Bucket(), Bundle({"run.py": b"1"})
    uploads.upload_bundle(bucket, "b", "churn", bundle)
    inside = [key for key in bucket.objects if key.startswith(bundle.prefix("churn") + "/")]
    assert inside == [f"{bundle.prefix('churn')}/{name}" for name in ("run.py", "job-code.tar")]


def test_data_is_addressed_by_its_content_and_name(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("a.csv", "copy/a.csv", "other/a.csv"))
    for path, text in ((one, "x"), (same, "x"), (other, "y")):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert uploads.data_key("p", one) == uploads.data_key("p", same)
    assert uploads.data_key("p", one) != uploads.data_key("p", other)
    assert uploads.data_key("p", one).endswith("/a.csv")


def test_a_name_that_s3_uris_cannot_hold_is_made_one(tmp_path: Path) -> None:
    path = tmp_path / "my data (1).csv"
    path.write_text("x")
    assert uploads.data_key("p", path).endswith("/my_data__1_.csv")


def test_data_that_is_there_is_not_sent_again(tmp_path: Path) -> None:
    path, bucket = tmp_path / "a.csv", Bucket()
    path.write_text("x")
    assert uploads.upload_data(bucket, "b", "k", path)
    assert not uploads.upload_data(bucket, "b", "k", path)


@pytest.mark.parametrize(
    ("region", "configuration"),
    [
        ("us-east-1", {}),
        ("eu-west-1", {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}),
    ],
)
def test_a_missing_bucket_is_created_in_its_region(
    region: str, configuration: dict[str, Any]
) -> None:
    bucket = Bucket(exists=False)
    assert uploads.ensure_bucket(bucket, "b", region)
    assert bucket.created == [{"Bucket": "b", **configuration}]


def test_a_bucket_of_somebody_else_is_an_error_not_a_missing_one() -> None:
    with pytest.raises(ClientError):
        uploads.ensure_bucket(Bucket(exists=False, code="403"), "b", "us-east-1")
