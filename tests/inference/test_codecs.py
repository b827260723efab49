"""codecs: what a request may look like, what is refused and how, what an answer looks like."""

import json
from typing import Any

import numpy as np
import pytest

from inference import codecs
from inference.codecs import RequestError
from inference.transform import Transform

ROW = '40,"Paris, ""Est""",Yes,1970-01-02'
ENCODED = [40, 1, 1, 86400]
ANSWERS = [
    {"score": 1.5, "pick": {"label": "game, new", "probabilities": {"book": 0.2, "game, new": 0.8}}}
]


@pytest.mark.parametrize(
    "body",
    [
        ROW,
        ROW + "\n",
        ROW + "\r\n\r\n",
        "\ufeff" + ROW,
        "age,city,member,joined\n" + ROW,
        ' age , city,member,joined\n 40 ,"Paris, ""Est""",yes, 1970-01-02 \n',
        'joined,left,member,city,age,id\n1970-01-02,?,Yes,"Paris, ""Est""",40,7',
    ],
)
def test_a_csv_row_is_read_with_or_without_a_header(transform: Transform, body: str) -> None:
    found = codecs.decode(transform, body.encode(), "text/csv; charset=utf-8")
    np.testing.assert_array_equal(found, [ENCODED])


def test_empty_cells_are_missing(transform: Transform) -> None:
    assert np.isnan(codecs.decode(transform, b",,?,\n40,Rio,No,", "text/csv")[0]).all()


@pytest.mark.parametrize(
    "content",
    [
        {"age": 40, "city": 'Paris, "Est"', "member": True, "joined": "1970-01-02T00:00:00Z"},
        {"instances": [{"age": "40", "city": 'Paris, "Est"', "member": "Yes",
                        "joined": "1970-01-02T01:00:00+01:00", "id": "x"}]},
    ],
)  # fmt: skip
def test_json_rows_are_read(transform: Transform, content: Any) -> None:
    found = codecs.decode(transform, json.dumps(content).encode(), "Application/JSON")
    np.testing.assert_array_equal(found, [ENCODED])


def test_a_column_left_out_of_json_is_missing(transform: Transform) -> None:
    found = codecs.decode(transform, b'{"age": 1}', "application/json")
    np.testing.assert_array_equal(found, [[1, np.nan, np.nan, np.nan]])


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b"x", "text/libsvm", 415, 'Content-Type "text/libsvm" is not read; send application/json'),
        (b"x", None, 415, 'Content-Type ""'),
        (b"x", "text/csv; charset=klingon", 415, 'charset "klingon" is not known'),
        (b"\xff", "text/csv", 400, "not utf-8"),
        (b"", "text/csv", 400, "the body is empty"),
        (b"\n \n", "text/csv", 400, "the body is empty"),
        (b"1,Rio,Yes", "text/csv", 400, "row 1 has 3 cells; 4 are expected: age, city"),
        (b'"1,Rio', "text/csv", 400, "not CSV"),
        (b"age,city,membr,joined\n1,Rio,Yes,", "text/csv", 400, "unknown column 'membr'"),
        (b"age,city,age,joined\n1,Rio,Yes,", "text/csv", 400, 'names column "age" twice'),
        (b"age,city,member,joined\n", "text/csv", 400, "a header and no row"),
        (b"abc,Rio,Yes,", "text/csv", 400, 'column "age", row 1: "abc" is not a number'),
        (b"1e39,Rio,Yes,", "text/csv", 400, "not a finite 32-bit number"),
        (b"{", "application/json", 400, "not JSON"),
        (b"[1]", "application/json", 400, 'must be {"instances"'),
        (b"3", "application/json", 400, 'must be {"instances"'),
        (b'{"instances": []}', "application/json", 400, "at least one row"),
        (b'{"instances": [[1]]}', "application/json", 400, 'must be {"instances"'),
        (b'{"age": NaN}', "application/json", 400, "send null for a missing value"),
        (b'{"agee": 1}', "application/json", 400, "unknown column 'agee'"),
        (b"{}", "application/json", 400, "no column given"),
        (b'{"age": "old"}', "application/json", 400, '"old" is not a number'),
        (b"[" * 100_000, "application/json", 400, "not JSON"),
    ],
)
def test_a_bad_request_is_refused_with_its_status_and_reason(
    transform: Transform, body: bytes, content_type: str | None, status: int, said: str
) -> None:
    with pytest.raises(RequestError) as raised:
        codecs.decode(transform, body, content_type)
    assert raised.value.status == status
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("TEXT/CSV; header=absent", "text/csv"),
        ("application/json;q=0.5, text/csv", "text/csv"),
        ("image/png, text/csv;q=0.1", "text/csv"),
    ],
)
def test_the_favourite_of_accept_is_answered(accept: str | None, answer: str) -> None:
    assert codecs.answer_type(accept) == answer


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "text/csv;q=high"])
def test_an_accept_that_cannot_be_met_is_406(accept: str) -> None:
    with pytest.raises(RequestError, match="ask for application/json or text/csv") as raised:
        codecs.answer_type(accept)
    assert raised.value.status == 406


def test_csv_answers_have_a_line_a_row_and_labels(transform: Transform) -> None:
    assert codecs.encode(ANSWERS * 2, "v1", "text/csv") == b'1.5,"game, new"\n' * 2


def test_json_answers_carry_the_version() -> None:
    answer = json.loads(codecs.encode(ANSWERS, "v1", "application/json"))
    assert answer == {"predictions": ANSWERS, "model_version": "v1"}
