"""Validation: good data passes with pages to read; bad data is refused with every reason."""

import json
import re
import socket
from pathlib import Path

import pytest

from steps import generate, validate
from steps.expectations import expectations
from steps.problem import Problem, load

# Great Expectations 1.24 warns of what it uses itself, while it is imported and when it runs.
pytestmark = pytest.mark.filterwarnings("ignore")

SPEC = load(Path(__file__).parents[2] / "config" / "engagement.yaml")
MISTAKES = [
    ("age", ["abc", "n/a"], "be_of_type", "2 of 40 cells are not numeric, like 'abc', 'n/a'"),
    ("is_student", ["maybe"], "be_of_type", "1 of 40 cells are not boolean, like 'maybe'"),
    ("customer_id", ["x", "x"], "be_unique", "2 of 40 cells hold a value that stands more"),
    ("churned", [""], "not_be_null", "1 of 40 cells are missing; allowed share: 0"),
    ("nps_score", [""] * 25, "not_be_null", "cells are missing; allowed share: 0.42"),
    ("night_share", ["-0.1"], "be_between", "1 of 40 cells are outside 0 to 1, like '-0.1'"),
    ("next_best_content", ["song"], "be_in_set", "hold none of article, community"),
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("made") / "customers.csv"
    generate.write(path, rows=300, seed=9)
    return path.read_text().splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "ml/processing/input/data").mkdir(parents=True)
    (tmp_path / "problem.json").write_text(SPEC.to_json())
    return tmp_path / "ml"


@pytest.fixture(scope="module")
def refused(
    rows: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str | None, str], str]:
    """All of MISTAKES, too few rows and a renamed column in one file: the reasons by expectation.

    One run of Great Expectations for all of them, because each costs a second.
    """
    lines = list(rows[:41])
    lines[0] = lines[0].replace("weekend_share", "weekendshare")
    for column, values, _, _ in MISTAKES:
        lines = changed(lines, column, *values)
    root = tmp_path_factory.mktemp("refused")
    (root / "bad.csv").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "write_page", lambda result, docs: None)
        validate.validate(SPEC, [root / "bad.csv"], root)
    outcome = json.loads((root / "validation.json").read_text())
    assert outcome["success"] is False
    return {(one["column"], one["expectation"]): one["detail"] for one in outcome["failed"]}


def cell(line: str, column: str, value: str) -> str:
    cells = line.split(",")
    cells[[c.name for c in SPEC.columns].index(column)] = value
    return ",".join(cells)


def changed(lines: list[str], column: str, *values: str) -> list[str]:
    """The first rows get these values in this column."""
    lines[1 : 1 + len(values)] = [
        cell(line, column, value) for line, value in zip(lines[1:], values, strict=False)
    ]
    return lines


def run(root: Path) -> int:
    return validate.main(["--root", str(root), "--problem", str(root.parent / "problem.json")])


def test_good_data_passes_and_leaves_pages_that_open_without_a_network(
    root: Path, rows: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = root.parent / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **_: asked.append(a))
    (root / "processing/input/data/a.csv").write_text("\n".join(rows) + "\n")

    assert run(root) == 0

    out = root / "processing/output/validation"
    found = json.loads((out / "validation.json").read_text())
    assert found["success"] is True
    assert found["rows"] == 300
    assert found["expectations"] >= 30
    page = (out / "data_docs/index.html").read_text()
    assert not re.search(
        r"<(script|link|img)[^>]*(src|href)=[\"']https?://|url\([\"']?https?:", page
    )
    assert page.count("next_best_content") > 1
    assert asked == []
    assert list(home.iterdir()) == []


def test_bad_data_stops_with_every_reason_in_one_paragraph(root: Path, rows: list[str]) -> None:
    lines = changed(changed(list(rows), "age", "200", "150"), "plan", "gold")
    (root / "processing/input/data/a.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(validate.DataRefusedError) as caught:
        run(root)
    reason = str(caught.value)
    assert "2 of 1" in reason
    assert "age: 2 of 300 cells are outside 18 to 90, like '200.0', '150.0'" in reason
    assert "plan: 1 of 300 cells hold none of free, basic, plus, premium, like 'gold'" in reason
    assert "\n" not in reason
    assert (root / "processing/output/validation/data_docs/index.html").is_file()


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[0])
def test_a_mistake_in_the_cells_is_told_with_column_count_and_samples(
    refused: dict[tuple[str | None, str], str], mistake: tuple[str, list[str], str, str]
) -> None:
    column, _, expectation, told = mistake
    assert told in refused[column, f"expect_column_values_to_{expectation}"]


def test_a_missing_column_and_an_unknown_one_are_named(
    refused: dict[tuple[str | None, str], str],
) -> None:
    detail = refused[None, "expect_table_columns_to_match_set"]
    assert "missing from the file: weekend_share" in detail
    assert "in the file but not in the spec: weekendshare" in detail


def test_too_few_rows_are_not_enough(refused: dict[tuple[str | None, str], str]) -> None:
    detail = refused[None, "expect_table_row_count_to_be_between"]
    assert detail == "the file has 40 rows; at least 50 are needed"


def test_nothing_else_is_refused(refused: dict[tuple[str | None, str], str]) -> None:
    mistaken = {column for column, _, _, _ in MISTAKES}
    assert {column for column, _ in refused} == mistaken | {None}
    assert len(refused) == len(MISTAKES) + 2


def test_a_file_that_is_no_table_is_refused_before_any_expectation(root: Path) -> None:
    with pytest.raises(validate.DataRefusedError, match=r"cannot be read\. no data file"):
        run(root)
    (root / "processing/input/data/a.csv").write_text("")
    with pytest.raises(
        validate.DataRefusedError, match=r"cannot be read\. a\.csv: the file is empty"
    ):
        run(root)
    found = json.loads((root / "processing/output/validation/validation.json").read_text())
    assert found["failed"][0]["expectation"] == "readable_table"


def test_a_long_list_of_reasons_is_cut_short() -> None:
    failure = {"expectation": "e", "column": "c", "detail": "d " * 60}
    outcome = {"expectations": 99, "failed": [failure] * 20}
    text = validate.paragraph(outcome)
    assert len(text) <= 1000
    assert text.startswith("Data validation failed: 20 of 99 expectations do not hold. c: d d")


def test_the_engagement_suite_has_an_expectation_for_every_column() -> None:
    wanted = expectations(SPEC, unreadable=())
    assert len(wanted) >= 30
    named = {one.arguments["column"] for one in wanted if "column" in one.arguments}
    assert named == {column.name for column in SPEC.columns}


def test_ignored_columns_and_unreadable_ranges_are_not_asked_about() -> None:
    raw = SPEC.model_dump(mode="json", exclude_defaults=True)
    raw["columns"] = [
        {"name": c["name"], "kind": "ignore"} if c["name"] == "country" else c
        for c in raw["columns"]
    ]
    wanted = expectations(Problem.model_validate(raw), unreadable=["age"])
    assert not [one for one in wanted if one.arguments.get("column") == "country"]
    of_age = [one.type for one in wanted if one.arguments.get("column") == "age"]
    assert of_age == ["ExpectColumnValuesToNotBeNull", "ExpectColumnValuesToBeOfType"]
