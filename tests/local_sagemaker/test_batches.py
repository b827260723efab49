"""Cutting objects into records and mini-batches, and what is written for a record."""

from __future__ import annotations

import csv
import io
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import joining, splitting
from local_sagemaker.engine.joining import RecordError
from local_sagemaker.engine.splitting import RecordTooLargeError
from local_sagemaker.engine.transform import settings

LINE = (
    st.binary(min_size=1, max_size=12).map(lambda b: b.translate(None, b"\r\n")).filter(bytes.strip)
)
FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=6)


@given(lines=st.lists(LINE, max_size=20), end=st.sampled_from([b"\n", b"\r\n"]), last=st.booleans())
def test_lines_come_back_whatever_their_ends(lines: list[bytes], end: bytes, last: bool) -> None:
    content = end.join(lines) + (end if last else b"")
    assert list(splitting.records(io.BytesIO(content), "Line", 100)) == lines


@given(records=st.lists(LINE, max_size=30), limit=st.integers(12, 40), many=st.booleans())
def test_batches_keep_every_record_in_order_and_the_limit(
    records: list[bytes], limit: int, many: bool
) -> None:
    found = list(splitting.batches(((r, r.upper()) for r in records), limit, many))
    assert [r for originals, _ in found for r in originals] == records
    assert [r for _, sent in found for r in sent] == [r.upper() for r in records]
    assert all(len(b"\n".join(sent)) <= limit for _, sent in found)
    if not many:
        assert all(len(sent) == 1 for _, sent in found)
    for (_, this), (_, following) in itertools.pairwise(found):
        assert not many or len(b"\n".join([*this, following[0]])) > limit  # none was sent early


@pytest.mark.parametrize(
    "content", [b"a\n" + b"x" * 11, b"a\n" + b"x" * 11 + b"\n", b"a\n" + b"x" * 50]
)
def test_a_line_that_is_too_long_is_named_and_the_rest_of_it_not_read(content: bytes) -> None:
    file = io.BytesIO(content)
    with pytest.raises(RecordTooLargeError, match="record 2"):
        list(splitting.records(file, "Line", 10))
    assert file.tell() <= 14


def test_a_line_of_just_the_limit_passes() -> None:
    content = b"x" * 10 + b"\r\n" + b"y" * 10
    assert list(splitting.records(io.BytesIO(content), "Line", 10)) == [b"x" * 10, b"y" * 10]


def chosen(kind: str, joins: bool = False, **filters: str) -> joining.Processing:
    row = {
        "TransformInput": {"ContentType": kind},
        "TransformOutput": {"Accept": kind},
        "DataProcessing": {"JoinSource": "Input" if joins else "None", **filters},
    }
    return joining.processing(row)


@given(rows=st.lists(st.lists(FIELD, min_size=1, max_size=5), min_size=1, max_size=4))
def test_csv_fields_are_cut_as_csv_says_and_kept_as_written(rows: list[list[str]]) -> None:
    for row in rows:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="").writerow(row)
        line = buffer.getvalue()
        everything = chosen("text/csv", InputFilter="$[0:]").outgoing(line.encode()).decode()
        assert everything == line
        one = chosen("text/csv", InputFilter="$[-1]").outgoing(line.encode()).decode()
        assert (next(csv.reader([one])) or [""]) == [row[-1]]


def test_the_whole_record_is_joined_though_part_of_it_was_sent() -> None:
    way = chosen("text/csv", joins=True, InputFilter="$[1:]")
    assert way.outgoing(b"id,1,2") == b"1,2"
    assert joining.assembled(way, [b"id,1,2"], b"0.5\n", "Line") == b"id,1,2,0.5\n"


def test_answers_that_are_not_as_many_as_records_fail() -> None:
    way = chosen("text/csv", joins=True)
    with pytest.raises(RecordError, match="answered 1 lines for 2 records"):
        joining.assembled(way, [b"1", b"2"], b"0.1,0.2", "Line")


def test_only_a_newline_ends_an_answer() -> None:
    way = chosen("text/csv", joins=True)
    joined = joining.assembled(way, [b"1", b"2"], "a\u2028b\r\nc\n".encode(), "Line")
    assert joined.decode() == "1,a\u2028b\n2,c\n"


def test_one_json_document_may_stand_on_many_lines() -> None:
    way = chosen("application/json", joins=True)
    joined = joining.assembled(way, [b'{"a": 1}'], json.dumps({"p": 2}, indent=1).encode(), "None")
    assert json.loads(joined) == {"a": 1, "SageMakerOutput": {"p": 2}}


def test_what_is_no_json_is_named() -> None:
    with pytest.raises(RecordError, match="a record is not JSON"):
        chosen("application/jsonlines", InputFilter="$.a").outgoing(b"{")


@pytest.mark.parametrize(
    ("asked", "proposed", "wanted"),
    [
        ({}, {}, (1, 6, "MULTI_RECORD")),
        (
            {},
            {"MaxConcurrentTransforms": 8, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2},
            (8, 2, "SINGLE_RECORD"),
        ),
        (
            {"MaxConcurrentTransforms": 2, "BatchStrategy": "MultiRecord", "MaxPayloadInMB": 3},
            {"MaxConcurrentTransforms": 8, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2},
            (2, 3, "MULTI_RECORD"),
        ),
        ({"MaxPayloadInMB": 50}, {"MaxConcurrentTransforms": 8}, (2, 50, "MULTI_RECORD")),
        ({}, {"MaxConcurrentTransforms": "x", "BatchStrategy": 3}, (1, 6, "MULTI_RECORD")),
    ],
)
def test_the_request_comes_before_the_container_before_the_defaults(
    asked: dict[str, object], proposed: dict[str, object], wanted: tuple[int, int, str]
) -> None:
    assert settings(asked, proposed) == wanted
