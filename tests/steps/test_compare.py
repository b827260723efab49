"""compare: two versions on the test rows that they share, by a paired bootstrap."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steps import compare, predictions
from steps.predictions import Said

ROWS = 400
Version = Callable[..., Path]


@pytest.fixture
def version(tmp_path: Path) -> Version:
    """version(name, noise): what Evaluate leaves of a binary model, the worse the more noise."""

    def make(name: str, noise: float, rows: range = range(ROWS), labels: Any = ("",)) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        draw = np.random.default_rng(7)
        targets = (np.arange(2 * ROWS) % 2).astype(np.float32)[list(rows)]
        values = targets + noise * draw.normal(size=2 * ROWS)[list(rows)]
        lines = [f"c{each},{each % 5}" for each in rows]
        (folder / "rows.csv").write_text("\n".join(["id,age", *lines]) + "\n")
        said = Said(targets, values.astype(np.float32), labels)
        predictions.write(folder / predictions.NAME, folder / "rows.csv", {"left": said})
        gate = {"metric": "auc", "direction": "min"}
        models = {"left": {"kind": "binary", "gate": gate, "threshold": None}}
        (folder / "evaluation.json").write_text(json.dumps({"models": models}))
        return folder

    return make


def answer(capsys: pytest.CaptureFixture[str], *folders: Path) -> Any:
    assert compare.main([str(each) for each in folders]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_challenger_that_predicts_worse_on_the_same_rows_is_worse(
    version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, version("good", 0.3), version("bad", 1.5))
    left = found["models"]["left"]
    assert found["rows"] == ROWS
    assert left["worse"]
    assert left["low"] < left["gain"] < left["high"] < 0
    assert left["gain"] == pytest.approx(left["challenger"] - left["champion"])


def test_the_other_way_round_it_is_better(
    version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    left = answer(capsys, version("bad", 1.5), version("good", 0.3))["models"]["left"]
    assert not left["worse"]
    assert left["low"] > 0


def test_equal_predictions_differ_by_nothing(
    version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    left = answer(capsys, version("one", 0.8), version("two", 0.8))["models"]["left"]
    assert (left["gain"], left["low"], left["high"], left["worse"]) == (0, 0, 0, False)


def test_a_smaller_error_is_a_gain(version: Version, capsys: pytest.CaptureFixture[str]) -> None:
    folders = version("bad", 0.9), version("good", 0.2)
    for each in folders:
        gate = {"metric": "rmse", "direction": "max"}
        verdict = {"kind": "regression", "gate": gate}
        (each / "evaluation.json").write_text(json.dumps({"models": {"left": verdict}}))
    left = answer(capsys, *folders)["models"]["left"]
    assert left["challenger"] < left["champion"]
    assert left["low"] > 0


def test_of_two_test_sets_only_the_rows_in_both_count(
    version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = version("old", 0.5), version("new", 0.5, range(300, 700))
    found = answer(capsys, old, new)
    assert found["rows"] == 100
    assert found["models"]["left"]["gain"] == 0  # of the same row both say the same


@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [
        (range(390, 700), ("",), "they share 10; at least 30 are needed"),
        (range(ROWS), ("a", "b"), "the classes of left are not the same"),
    ],
)
def test_what_cannot_be_compared_is_said_with_the_numbers(
    version: Version, capsys: pytest.CaptureFixture[str], rows: range, labels: Any, said: str
) -> None:
    folders = version("old", 0.5), version("new", 0.5, rows, labels)
    assert compare.main([str(each) for each in folders]) == 1
    assert said in capsys.readouterr().err


def test_a_run_without_predictions_cannot_be_compared(
    version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = version("old", 0.5), version("new", 0.5)
    (old / predictions.NAME).unlink()
    assert compare.main([str(old), str(new)]) == 1
    assert "predictions.npz does not hold the predictions" in capsys.readouterr().err


def test_a_row_that_is_there_twice_pairs_up_twice() -> None:
    first, second = np.array([5, 7, 5], np.uint64), np.array([7, 5, 5, 5], np.uint64)
    ours, theirs = predictions.shared(first, second)
    assert (first[ours] == second[theirs]).all()
    assert len(ours) == 3


def test_what_evaluate_leaves_of_every_kind_can_be_compared(
    shop: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shop.folder / "evaluate/processing/output/evaluation"
    again = shutil.copytree(folder, tmp_path / "again")
    found = answer(capsys, folder, again)
    assert set(found["models"]) == {"score", "left", "pick", "odd"}
    judged = json.loads((folder / "evaluation.json").read_text())["models"]
    for name, each in found["models"].items():
        measured = judged[name]["metrics"][each["metric"]]["value"]
        assert each["challenger"] == pytest.approx(measured, rel=1e-6)
