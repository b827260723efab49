"""S3 and directories, against a real S3 server; workspaces and metrics beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.config import Config
from local_sagemaker.engine import metrics, workspace
from local_sagemaker.errors import ApiError
from local_sagemaker.storage import Storage, StorageError, relative_name


@pytest.fixture
def storage(s3_endpoint: str, tmp_path: Path) -> Iterator[Storage]:
    made = Storage(Config(home=tmp_path, s3_endpoint=s3_endpoint))
    yield made
    made.client.close()
    made.close()


def test_a_directory_goes_up_and_comes_down_the_same(
    storage: Storage, bucket: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    content = {"a": b"", "deep/b.bin": os.urandom(3 << 20), "deep/er/c é.txt": "ü".encode()}
    for name, data in content.items():
        (source / name).write_bytes(data)
    assert storage.upload(source, f"s3://{bucket}/to/here") == sum(map(len, content.values()))
    storage.download(f"s3://{bucket}/to/here/", tmp_path / "back")
    back = {
        p.relative_to(tmp_path / "back").as_posix(): p.read_bytes()
        for p in (tmp_path / "back").rglob("*")
        if p.is_file()
    }
    assert back == content
    assert storage.read_text(f"s3://{bucket}/to/here/deep/er/c é.txt") == "ü"


def test_the_fingerprint_follows_the_content_not_the_place(
    storage: Storage, s3: Any, bucket: str
) -> None:
    for key, text in {"one/x": "1", "two/x": "1", "three/x": "2", "four/y": "1"}.items():
        s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
    prints = {
        name: storage.fingerprint(f"s3://{bucket}/{name}/")
        for name in ("one", "two", "three", "four")
    }
    assert prints["one"] == prints["two"]
    assert len(set(prints.values())) == 3


@pytest.mark.parametrize("method", ["fingerprint", "read_text", "list"])
def test_a_missing_bucket_is_named(storage: Storage, method: str) -> None:
    uri = "s3://nobodys-bucket/key"
    with pytest.raises(
        StorageError, match=f"NoSuchBucket: the bucket of {uri} does not exist"
    ) as caught:
        getattr(storage, method)(uri)
    assert caught.value.code == "NoSuchBucket"


def test_a_missing_key_is_named(storage: Storage, bucket: str, tmp_path: Path) -> None:
    uri = f"s3://{bucket}/nothing"
    assert storage.list(uri) == []
    for call in (lambda: storage.read_text(uri), lambda: storage.download(uri, tmp_path)):
        with pytest.raises(StorageError, match=uri) as caught:
            call()
        assert caught.value.code == "NoSuchKey"


@pytest.mark.parametrize("uri", ["", "bucket/key", "http://b/k", "s3://", "s3:///key"])
def test_what_is_no_s3_uri_is_refused(storage: Storage, uri: str) -> None:
    with pytest.raises(StorageError, match="s3://bucket/key"):
        storage.list(uri)


def test_an_unreachable_s3_is_an_error_that_names_the_uri(tmp_path: Path) -> None:
    storage = Storage(Config(home=tmp_path, s3_endpoint="http://127.0.0.1:9"))
    with pytest.raises(StorageError, match="s3://b/k"):
        storage.read_text("s3://b/k")
    storage.client.close()


def test_a_key_cannot_leave_its_directory(
    storage: Storage, s3: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "list", lambda _: [("in/../../escaped", "etag", 1)])
    with pytest.raises(StorageError, match="leads out of its directory"):
        storage.download(f"s3://{bucket}/in/", tmp_path / "inside")


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        ("data/train/", "data/train/x.csv", "x.csv"),
        ("data/train", "data/train/x.csv", "x.csv"),
        ("data/train", "data/train/deep/x.csv", "deep/x.csv"),
        ("data/train", "data/train2/x.csv", "train2/x.csv"),
        ("data/x.csv", "data/x.csv", "x.csv"),
        ("", "x.csv", "x.csv"),
        ("", "deep/x.csv", "deep/x.csv"),
    ],
)
def test_where_an_object_lands(prefix: str, key: str, name: str) -> None:
    assert relative_name(prefix, key) == name


names = st.text("ab/.", min_size=1, max_size=12)


@given(key=names, cut=st.integers(0, 12))
def test_an_object_lands_under_some_end_of_its_key(key: str, cut: int) -> None:
    assert key.endswith(relative_name(key[:cut], key))


def test_an_archive_depends_on_the_content_alone(tmp_path: Path) -> None:
    archives = []
    for n in (1, 2):
        source = tmp_path / str(n)
        (source / "d").mkdir(parents=True)
        for name in ("b", "d/a") if n == 1 else ("d/a", "b"):
            (source / name).write_text(name)
            os.utime(source / name, (n, n))
        workspace.pack(source, tmp_path / f"{n}.tar.gz")
        archives.append((tmp_path / f"{n}.tar.gz").read_bytes())
    assert archives[0] == archives[1]


@pytest.mark.parametrize("path", ["/etc/passwd", "/opt/ml/../x", "/opt/mlx", "opt/ml/x"])
def test_a_path_outside_opt_ml_is_no_place_in_a_workspace(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="not below /opt/ml"):
        workspace.at(tmp_path, path)


def test_a_message_that_is_cut_inside_a_letter_is_still_text(tmp_path: Path) -> None:
    (tmp_path / "message").write_text("ü" * 600 + "x")
    assert workspace.read_text(tmp_path / "message") == "ü" * 512
    (tmp_path / "odd").write_text("x" + "ü" * 600)
    assert workspace.read_text(tmp_path / "odd") == "x" + "ü" * 511


def test_metrics_take_the_last_number_of_each_definition(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "[0]\ttrain-auc:0.1\tvalidation-auc:0.2\n[1]\ttrain-auc:0.3\tvalidation-auc:nope\n"
    )
    definitions = [
        {"Name": "train:auc", "Regex": "train-auc:([0-9.]+)"},
        {"Name": "validation:auc", "Regex": r".*\[[0-9]+\].*#011validation-auc:(\S+)"},
        {"Name": "absent", "Regex": "absent=(.*)"},
    ]
    assert metrics.final(metrics.summaries(definitions, [log], 5.0)) == [
        {"MetricName": "train:auc", "Value": 0.3, "Timestamp": 5.0},
        {"MetricName": "validation:auc", "Value": 0.2, "Timestamp": 5.0},
    ]


@pytest.mark.parametrize("regex", ["(", "no group"])
def test_a_useless_regex_is_refused_by_name(regex: str) -> None:
    with pytest.raises(ApiError, match=re.escape(repr(regex))):
        metrics.check([{"Name": "m", "Regex": regex}])
