"""A captured line, decoded: CSV, JSON, JSON lines, BASE64, and what is none."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.captured import CaptureError, Side, record, rows, values


def line(
    request: tuple[str, str, str] | None, answer: tuple[str, str, str] | None, **about: Any
) -> str:
    """(content type, encoding, data) of both sides."""
    sides = {"endpointInput": request, "endpointOutput": answer}
    data = {
        name: {"observedContentType": side[0], "mode": "x", "encoding": side[1], "data": side[2]}
        for name, side in sides.items()
        if side
    }
    meta = {"eventId": "e-1", "inferenceTime": "2026-01-05T10:11:12Z", **about}
    return json.dumps({"captureData": data, "eventMetadata": meta, "eventVersion": "0"})


def test_a_record_of_aws_is_read() -> None:
    """As in AWS's own sample of a captured file."""
    found = record(
        line(
            ("application/json", "JSON", '{"instances": [1.0, 2.0, 5.0]}'),
            ("application/json", "JSON", '{\n    "predictions": [3.5, 4.0, 5.5\n    ]\n}'),
        )
    )
    assert found.key == "e-1"
    assert [row["output"] for row in rows(found, "A")] == ["3.5", "4", "5.5"]
    assert next(rows(found, "A"))["column_0"] == "1"


def test_the_inference_id_of_the_caller_comes_first_and_base64_is_decoded() -> None:
    data = base64.b64encode(b"5,red\n6,blue\n").decode()
    found = record(
        line(("text/csv", "BASE64", data), ("text/csv", "CSV", "0.5\n0.25"), inferenceId="order-7")
    )
    shown = list(rows(found, "A", ["size", "colour"]))
    assert [(r["inference_id"], r["size"], r["colour"], r["output"]) for r in shown] == [
        ("order-7", "5", "red", "0.5"),
        ("order-7", "6", "blue", "0.25"),
    ]


def test_json_lines_named_cells_and_a_missing_side() -> None:
    text = '{"age": 3, "tags": ["a"]}\n{"age": 4}\n'
    found = record(line(("application/jsonlines", "JSON", text), None))
    shown = list(rows(found))
    assert (shown[0]["age"], shown[0]["tags"], shown[1]["age"]) == ("3", '["a"]', "4")
    assert shown[0]["output"] == ""


def test_bytes_that_are_no_text_are_named() -> None:
    assert values(Side("image/png", b"\x89PNG\xff")) == ["<5 bytes of image/png>"]


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"captureData": {}}',
        line(("a", "GZIP", "x"), None),
        line(("a", "BASE64", "?"), None),
        line(("a", "CSV", "1"), None, inferenceTime="yesterday"),
    ],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(CaptureError, match="no captured record"):
        record(text)


def test_a_carriage_return_ends_a_line_and_what_no_csv_can_hold_stays_text() -> None:
    assert values(Side("text/csv", b"1\r2\r\n3,4")) == [1.0, 2.0, [3.0, 4.0]]
    long = "x" * 200_000  # above the largest cell that csv reads
    assert values(Side("text/csv", long.encode())) == [long]


@example(b"\r\x00")
@given(st.binary(max_size=60))
def test_any_bytes_come_back_from_base64(data: bytes) -> None:
    found = record(line(("x/y", "BASE64", base64.b64encode(data).decode()), None))
    assert found.request == Side("x/y", data)
    assert isinstance(list(rows(found)), list)
