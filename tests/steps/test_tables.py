"""Reading CSV files as the spec says: types, missing cells, and files of a wrong shape."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps import tables
from steps.problem import Problem
from steps.tables import TableError

COLUMNS: list[dict[str, Any]] = [
    {"name": "key", "kind": "id"},
    {"name": "age", "kind": "numeric"},
    {"name": "color", "kind": "categorical"},
    {"name": "member", "kind": "boolean", "true": ["Yes"], "false": ["No"]},
    {"name": "joined", "kind": "timestamp"},
    {"name": "left", "kind": "boolean"},
]
HEADER = "key,age,color,member,joined,left\n"
ROW = "a1,30.5,red,Yes,2024-01-02T00:00:00Z,true\n"


def spec(**data: Any) -> Problem:
    model = {"name": "m", "kind": "binary", "target": "left", "metric": "auc", "gate": {"min": 0.5}}
    raw = {"name": "tiny", "data": data, "columns": COLUMNS, "models": [model]}
    return Problem.model_validate(raw)


def read(tmp_path: Path, text: str, partial: bool = False, **data: Any) -> Any:
    path = tmp_path / "data.csv"
    path.write_text(text, encoding="utf-8")
    return tables.read(spec(**data), [path], partial)


def test_every_kind_gets_its_type(tmp_path: Path) -> None:
    row = read(tmp_path, HEADER + ROW).iloc[0].to_dict()
    assert row == {
        "key": "a1",
        "age": 30.5,
        "color": "red",
        "member": 1.0,
        "joined": 1704153600.0,
        "left": 1.0,
    }


def test_cells_are_trimmed_and_the_words_of_missing_are_missing(tmp_path: Path) -> None:
    text = 'a1, 30 , "red " , yes ,2024-01-02,F\na2, ? ,?, ?,,0\na3,,,,,FALSE\n'
    frame = read(tmp_path, text, header=False, missing=["?"])
    assert frame["age"].tolist()[0] == 30
    assert frame["color"].tolist() == ["red", None, None]
    assert frame["left"].tolist() == [0.0, 0.0, 0.0]
    for name in ("age", "member", "joined"):
        assert frame[name].isna().tolist() == [False, True, True], name
        assert frame[name].dtype == float, name


def test_columns_come_in_the_order_of_the_spec(tmp_path: Path) -> None:
    text = "left,joined,member,color,age,key\ntrue,2024-01-02,No,red,3,a1\n"
    frame = read(tmp_path, text)
    assert list(frame) == [column["name"] for column in COLUMNS]
    assert frame["member"].tolist() == [0.0]


@pytest.mark.parametrize("separator", [";", "\t", "|", " "])
def test_another_separator(tmp_path: Path, separator: str) -> None:
    text = (HEADER + ROW).replace(",", separator)
    assert read(tmp_path, text, separator=separator)["age"].tolist() == [30.5]


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    text = "\ufeff" + (HEADER + ROW + ROW).replace("\n", "\r\n")
    frame = read(tmp_path, text)
    assert frame["key"].tolist() == ["a1", "a1"]
    assert frame["left"].tolist() == [1.0, 1.0]


def test_ids_stay_as_they_are_written(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + ROW.replace("a1", "0007"))["key"].tolist() == ["0007"]


def test_several_files_are_one_table(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(HEADER + ROW.replace("a1", name))
    frame = tables.read(spec(), sorted(tmp_path.glob("*.csv")))
    assert frame["key"].tolist() == ["one.csv", "two.csv"]
    assert frame.index.tolist() == [0, 1]


def test_cells_of_a_wrong_kind_stay_and_are_listed(tmp_path: Path) -> None:
    bad = "a2,old,red,maybe,yesterday,true\na3,inf,red,No,2024-01-02,true\na4,old,red,,,true\n"
    frame = read(tmp_path, HEADER + ROW + bad)
    assert frame["age"].tolist() == ["30.5", "old", "inf", "old"]
    assert tables.unreadable(frame, spec()) == [
        ("age", ["old", "inf"], 3),
        ("member", ["maybe"], 1),
        ("joined", ["yesterday"], 1),
    ]


def test_an_infinite_number_alone_is_no_number_either(tmp_path: Path) -> None:
    frame = read(tmp_path, HEADER + ROW + ROW.replace("30.5", "-inf"))
    assert tables.unreadable(frame, spec()) == [("age", ["-inf"], 1)]


def test_a_readable_table_has_no_unreadable_cells(tmp_path: Path) -> None:
    assert tables.unreadable(read(tmp_path, HEADER + ROW), spec()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"data\.csv: the file is empty"),
        ("\n\n", r"data\.csv: the file is empty"),
        (HEADER, r"data\.csv: has no rows"),
        (HEADER.replace("age,", "") + ROW, r"no column age; the file has key, color"),
        (HEADER.replace("age", "Age") + ROW, r"no column age"),
        (HEADER.replace("left", "left,x") + ROW[:-1] + ",1\n", r"column x is not in the spec"),
        (HEADER.replace("age", "key") + ROW, r"the header names 'key' twice"),
        (HEADER + ROW + "a2,3\n", r"line 3 has 2 cells instead of 6"),
        (HEADER + ROW + ROW[:-1] + ",more\n", r"line 3 has 7 cells instead of 6"),
        (HEADER + ROW[:-1] + ",more\n" + ROW, r"line 2 has 7 cells instead of 6"),
        (HEADER + ROW[:-1] + ",more\n", r"line 2 has 7 cells instead of 6"),
        (HEADER + "a1\n", r"line 2 has 1 cells instead of 6"),
    ],
)
def test_a_file_of_a_wrong_shape_is_one_error(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(TableError, match=told):
        read(tmp_path, text)


def test_without_a_header_the_number_of_cells_is_checked(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="first line has 2 cells, the spec names 6 columns"):
        read(tmp_path, "a,b\n", header=False)


def test_bytes_that_are_no_utf8_are_one_error(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    for text in (b"\xff\xfe", HEADER.encode() + ROW.encode() * 5000 + b"\xff,,,,,\n"):
        path.write_bytes(text)
        with pytest.raises(TableError, match="cannot be read"):
            tables.read(spec(), [path])


def test_no_file_at_all_is_an_error() -> None:
    with pytest.raises(TableError, match="no data file"):
        tables.read(spec(), [])


def test_partial_reading_keeps_what_is_there(tmp_path: Path) -> None:
    frame = read(tmp_path, "age,new\n3,x\n", partial=True)
    assert frame.to_dict("list") == {"age": [3.0], "new": ["x"]}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_number_reads_as_python_reads_it(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    rows = "".join(ROW.replace("30.5", repr(value)) for value in values)
    found = read(tmp_path_factory.mktemp("numbers"), HEADER + rows)["age"].tolist()
    assert all(math.isclose(a, b, rel_tol=1e-14) for a, b in zip(found, values, strict=True))


def test_data_files_are_found_whatever_their_names_end_with(tmp_path: Path) -> None:
    for name in ("adult.data", "part/0.csv", "_SUCCESS", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = tables.files(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["adult.data", "part/0.csv"]
