"""Which data a run uses, and what is said when it cannot be used."""

import sys
from pathlib import Path

import pytest

from pipelines import data
from pipelines.data import DataError
from steps.problem import Generate, Problem


@pytest.fixture
def generated(telco: Problem) -> Problem:
    recipe = telco.data.model_copy(update={"generate": Generate(rows=100, seed=1)})
    return telco.model_copy(update={"data": recipe})


def test_an_s3_prefix_is_taken_as_it_is(telco: Problem) -> None:
    assert data.start(telco, "s3://b/rows/", None).uri == "s3://b/rows/"


def test_a_file_is_taken_where_it_lies(telco: Problem, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x")
    assert data.finish(data.start(telco, str(path), None)) == path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.csv", "cannot be read: No such file"),
        (".", "is a folder"),
        ("empty.csv", "is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_bad_usage(
    telco: Problem, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match=said) as caught:
        data.start(telco, str(tmp_path / name), None)
    assert caught.value.exit_code == 2


def test_a_problem_without_a_recipe_needs_data(telco: Problem) -> None:
    with pytest.raises(DataError, match="telco-churn needs data: give --data"):
        data.start(telco, None, None)


def test_rows_of_given_data_cannot_be_chosen(telco: Problem) -> None:
    with pytest.raises(DataError, match="--rows says how many rows to generate"):
        data.start(telco, "s3://b/rows/", 5)


def test_generated_rows_are_kept_for_the_next_run(
    generated: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = data.start(generated, None, 20, tmp_path)
    path = data.finish(source)
    assert len(path.read_text().splitlines()) == 21
    monkeypatch.setattr(sys, "executable", "/nowhere")
    again = data.start(generated, None, 20, tmp_path)
    assert (again.path, again.generator) == (path, None)


def test_other_rows_seeds_and_generators_make_other_files(
    generated: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = data._recipe_sha("20", "1")
    assert before != data._recipe_sha("21", "1")
    assert before != data._recipe_sha("20", "2")
    (tmp_path / "steps").mkdir()
    for name in data.GENERATOR:
        (tmp_path / name).write_text("changed")
    monkeypatch.setattr(data, "PROJECT", tmp_path)
    assert before != data._recipe_sha("20", "1")


def test_a_generator_that_fails_gives_its_reason(
    generated: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "PROJECT", Path(__file__).resolve().parents[2])
    source = data.start(generated, None, 20, tmp_path)
    data.stop(source)
    assert source.generator is not None
    with pytest.raises(DataError, match="could not be generated: ") as caught:
        data.finish(source)
    assert caught.value.exit_code == 1
