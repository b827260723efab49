"""Archives that a user gives: what is refused, named, before it can do harm."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker.containers import archives
from local_sagemaker.containers.archives import ArchiveError, Limits
from tests.local_sagemaker import hosting, training

SMALL = Limits(unpacked_bytes=10_000, members=5)


def member(name: str, text: bytes = b"x", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    item = tarfile.TarInfo(name)
    item.size = len(text)
    for each, value in more.items():
        setattr(item, each, value)
    return item, text


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, b"", type=kind, linkname=target)


def packed(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", format=form) as tar:
        for item, text in members:
            tar.addfile(item, io.BytesIO(text))
    return raw.getvalue()


def unpack(tmp_path: Path, body: bytes, allowed: Limits = SMALL) -> Path:
    (tmp_path / "model.tar.gz").write_bytes(body)
    inside = tmp_path / "outside" / "inside"
    inside.mkdir(parents=True)
    archives.unpack(tmp_path / "model.tar.gz", inside, allowed)
    return inside


def test_files_folders_and_links_within_are_unpacked(tmp_path: Path) -> None:
    inside = unpack(tmp_path, packed(member("./a/b", b"text"), link("a/c", "b")))
    assert (inside / "a" / "c").read_text() == "text"


@pytest.mark.parametrize(
    "members",
    [
        [member("../x")],
        [member("a/../../x")],
        [member("/etc/x")],
        [link("a", "/etc"), member("a/x")],
        [link("a", ".."), member("a/x")],
        [link("a", "/etc/passwd", tarfile.LNKTYPE)],
        [link("a", "../../secret", tarfile.LNKTYPE)],
        [member("a", b"", type=tarfile.CHRTYPE)],
        [member("a", b"", type=tarfile.BLKTYPE)],
        [member("a", b"", type=tarfile.FIFOTYPE)],
    ],
    ids=lambda members: f"{members[0][0].name}-{members[0][0].linkname or members[0][0].type}",
)
def test_what_leads_out_or_is_no_file_is_refused_by_name(tmp_path: Path, members: Any) -> None:
    with pytest.raises(ArchiveError, match=r"model\.tar\.gz"):
        unpack(tmp_path, packed(*members))
    assert [each.name for each in (tmp_path / "outside").iterdir()] == ["inside"]


def test_links_that_resolve_beyond_the_longest_path_do_not_lead_out(tmp_path: Path) -> None:
    """The published way around Python's filter: folders and links until realpath gives up."""
    folder, here, members = "d" * 247, "", []
    for name in "abcdefghijklmnop":
        members += [member(f"{here}{folder}", b"", type=tarfile.DIRTYPE)]
        members += [link(f"{here}{name}", folder)]
        here += f"{folder}/"
    chain = "/".join("abcdefghijklmnop") + "/" + "l" * 254
    members += [link(chain, "../" * 16), link("escape", f"{chain}/../../outside")]
    members += [member("escape/x", b"out")]
    with pytest.raises(ArchiveError, match="holds a path of"):
        unpack(tmp_path, packed(*members, form=tarfile.PAX_FORMAT), Limits())


def test_more_bytes_than_the_limit_are_refused_before_they_are_written(tmp_path: Path) -> None:
    body = packed(member("a", b"1" * 9_000), member("zeros", b"0" * 9_000))
    with pytest.raises(
        ArchiveError, match=r"model\.tar\.gz unpacks to 18000 bytes or more; the limit is 10000"
    ):
        unpack(tmp_path, body)
    assert not (tmp_path / "outside/inside/zeros").exists()


def test_more_members_than_the_limit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"model\.tar\.gz has more than 5 members"):
        unpack(tmp_path, packed(*(member(f"{number}") for number in range(6))))


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    item = tarfile.TarInfo("pax")
    item.type, item.size = tarfile.XHDTYPE, 7 << 30
    body = gzip.compress(item.tobuf(tarfile.USTAR_FORMAT) + b"0" * 100_000)
    with pytest.raises(ArchiveError, match=r"unpacks to 75161\d+ bytes or more"):
        unpack(tmp_path, body)


CUT = packed(member("a", b"1" * 900))[:-60]


@pytest.mark.parametrize("body", [b"text", CUT, b""], ids=["text", "cut", "empty"])
def test_what_is_no_whole_archive_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(ArchiveError, match=r"model\.tar\.gz is not a safe tar\.gz"):
        unpack(tmp_path, body)


def test_the_limits_come_from_the_environment_and_must_be_numbers() -> None:
    given = {archives.BYTES_VARIABLE: "7", archives.MEMBERS_VARIABLE: "3"}
    assert archives.limits(given) == Limits(7, 3)
    assert archives.limits({}) == Limits()
    with pytest.raises(ArchiveError, match="LOCAL_SAGEMAKER_UNPACKED_BYTES = '-1'"):
        archives.limits({archives.BYTES_VARIABLE: "-1"})


@pytest.fixture
def strict(start: Callable[..., Any], tmp_path: Path) -> Any:
    return start(tmp_path / "strict", slots=1, archive_limits=SMALL)


def test_a_model_that_is_too_large_fails_its_endpoint_with_the_reason(strict: Any) -> None:
    client = strict.client()
    hosting.create_model(strict, client, code=hosting.ADDER + "#" * 20_000)
    row = hosting.deploy(strict, client, hosting.variant("one"))
    assert row["EndpointStatus"] == "Failed"
    assert "model.tar.gz unpacks to" in row["FailureReason"]


def test_sources_that_are_too_large_fail_their_job_with_the_reason(strict: Any) -> None:
    uri = training.source_dir(strict, {"train.py": "#" * 20_000})
    program = {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri}
    strict.client().create_training_job(**training.request(strict, program))
    reason = strict.until("training-job", "job")["FailureReason"]
    assert "sourcedir.tar.gz unpacks to 20000 bytes or more; the limit is 10000" in reason
