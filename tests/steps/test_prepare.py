"""prepare: which rows go where, and what is written."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.transform import Transform
from steps import prepare, tables
from steps.problem import Split


@given(
    rows=st.integers(10, 400),
    seed=st.integers(0, 2**32 - 1),
    shares=st.sampled_from([(0.2, 0.1), (0.5, 0.25), (0.05, 0.05)]),
)
def test_every_row_is_in_exactly_one_part_and_the_shares_hold(
    rows: int, seed: int, shares: tuple[float, float]
) -> None:
    split = Split(test=shares[0], validation=shares[1], seed=seed)
    parts = prepare.split_rows(None, rows, split)
    together = np.concatenate(list(parts.values()))
    assert sorted(together) == list(range(rows))
    assert abs(len(parts["test"]) - rows * shares[0]) <= 1
    assert abs(len(parts["validation"]) - rows * shares[1]) <= 2


@given(seed=st.integers(0, 2**32 - 1), positives=st.integers(1, 60))
def test_a_split_keeps_the_share_of_each_stratum_within_one_row(seed: int, positives: int) -> None:
    strata = np.zeros(300, dtype=int)
    strata[:positives] = 1
    parts = prepare.split_rows(strata, 300, Split(test=0.2, validation=0.1, seed=seed))
    assert abs(strata[parts["test"]].sum() - 0.2 * positives) <= 1
    assert abs(strata[parts["train"]].sum() - 0.7 * positives) <= 2


def test_another_seed_gives_another_split() -> None:
    first, second = (prepare.split_rows(None, 100, Split(seed=seed)) for seed in (1, 2))
    assert first["test"].tolist() != second["test"].tolist()


def test_the_parts_hold_the_encoded_rows_and_targets(shop: Any) -> None:
    output = shop.folder / "prepare/processing/output"
    transform = Transform.from_json((output / "transform/transform.json").read_text("utf-8"))
    assert transform.names == ["age", "spend", "city", "member", "joined"]
    assert transform.ignored == ("id", "score", "left", "pick", "odd", "note")
    sizes = {}
    for part in ("train", "validation", "test"):
        features = np.load(output / part / "features.npy", allow_pickle=False)
        sizes[part] = len(features)
        assert features.dtype == np.float32
        assert features.flags.c_contiguous
        for model in ("score", "left", "pick", "odd"):
            target = np.load(output / part / f"target-{model}.npy", allow_pickle=False)
            assert target.shape == (len(features),)
            assert target.dtype == np.float32
    assert sizes == {"train": 840, "validation": 120, "test": 240}


def test_rows_csv_holds_the_raw_cells_of_the_rows_behind_the_test_features(shop: Any) -> None:
    output = shop.folder / "prepare/processing/output"
    with (output / "test/rows.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [column.name for column in shop.problem.columns]
    assert all(row in shop.rows for row in rows)
    frame = tables.read(shop.problem, [output / "test/rows.csv"])
    transform = Transform.from_json((output / "transform/transform.json").read_text("utf-8"))
    again = transform.encode({name: frame[name].to_numpy() for name in transform.names})
    assert again.tobytes() == np.load(output / "test/features.npy").tobytes()


def test_categories_are_learned_from_train_rows_alone(make_shop: Any) -> None:
    made = make_shop()
    city = made.problem.columns[3].name
    output = made.prepare()
    with (output / "test/rows.csv").open(encoding="utf-8", newline="") as file:
        unlucky = next(csv.DictReader(file))["id"]
    for row in made.rows:
        row[3] = "Atlantis" if row[0] == unlucky else row[3]
    made.write_rows(made.rows)
    output = made.prepare()
    text = (output / "transform/transform.json").read_text("utf-8")
    features = Transform.from_json(text).features
    assert "Atlantis" not in next(f for f in features if f.name == city).categories
    with (output / "test/rows.csv").open(encoding="utf-8", newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    encoded = np.load(output / "test/features.npy")
    assert np.isnan(encoded[ids.index(unlucky), 2])


def test_two_runs_write_the_same_bytes(make_shop: Any) -> None:
    first, second = (_bytes(made.prepare()) for made in (make_shop(), make_shop()))
    assert first == second


def test_rows_without_a_target_are_dropped_and_counted(
    make_shop: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_shop()
    for row in made.rows[:7]:
        row[6] = "?"
    made.write_rows(made.rows)
    output = made.prepare()
    assert "7 dropped" in capsys.readouterr().out
    total = sum(len(np.load(output / p / "features.npy")) for p in ("train", "validation", "test"))
    assert total == len(made.rows) - 7


def test_several_files_are_one_table(make_shop: Any) -> None:
    made = make_shop()
    whole = _bytes(made.prepare())
    made.write_rows(made.rows[:500], "data.csv")
    made.write_rows(made.rows[500:], "more.csv")
    assert _bytes(made.prepare()) == whole


def test_a_file_without_header_or_quotes_gives_the_same_rows(make_shop: Any) -> None:
    made = make_shop(data={"header": False, "separator": ";", "missing": ["?"]})
    lines = [";".join(cell.replace('"', "") for cell in row) for row in made.rows]
    (made.data / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (made.prepare() / "test/rows.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[0] == "id"
    assert len(rows) == 240
    assert all(";".join(row) in lines for row in rows)


def test_a_text_in_a_number_column_is_refused_by_name(make_shop: Any) -> None:
    made = make_shop()
    made.rows[5][1] = "old"
    made.write_rows(made.rows)
    with pytest.raises(prepare.PrepareError, match=r"\"age\" is numeric.*'old'"):
        made.prepare()


def test_too_few_rows_are_refused(make_shop: Any) -> None:
    made = make_shop()
    made.write_rows(made.rows[:5])
    with pytest.raises(prepare.PrepareError, match="5 of 5 rows"):
        made.prepare()


def test_training_is_told_what_it_needs_of_each_model(shop: Any) -> None:
    path = shop.folder / "prepare/processing/output/transform/models.json"
    plan = json.loads(path.read_text("utf-8"))
    assert [model["name"] for model in plan["models"]] == ["score", "left", "pick", "odd"]
    assert plan["models"][2]["labels"] == ["book", "game", "song"]
    assert plan["models"][0]["early_stopping_rounds"] == 5


def _bytes(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
