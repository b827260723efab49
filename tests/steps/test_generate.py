"""The made-up customers: the same every time, documented, and with a known best."""

import csv
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steps import customers, generate, tables
from steps.problem import Problem, load

ROOT = Path(__file__).parents[2]
DICTIONARY = (ROOT / "docs" / "data_dictionary.md").read_text("utf-8")


@pytest.fixture(scope="module")
def spec() -> Problem:
    return load(ROOT / "config" / "engagement.yaml")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "customers.csv"
    generate.write(path, rows=22_000, seed=5)
    return path


@pytest.fixture(scope="module")
def frame(spec: Problem, file: Path) -> pd.DataFrame:
    return tables.read(spec, [file])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate.write(tmp_path / name, rows=150, seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_a_shorter_file_is_the_beginning_of_a_longer_one(tmp_path: Path, file: Path) -> None:
    for rows in (99, 10_001):
        generate.write(tmp_path / "short.csv", rows=rows, seed=5)
        short = (tmp_path / "short.csv").read_bytes()
        assert short.count(b"\n") == rows + 1
        assert file.read_bytes().startswith(short)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (20_000, 60_000):
        tracemalloc.start()
        generate.write(tmp_path / "made.csv", rows=rows, seed=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "made.csv"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generate, "_batch", full)
    with pytest.raises(OSError, match="No space left"):
        generate.write(path, rows=10, seed=1)
    assert [member.name for member in tmp_path.iterdir()] == ["made.csv"]
    assert path.read_text() == "old"


def test_the_file_has_the_columns_of_the_spec_in_order(spec: Problem, file: Path) -> None:
    with file.open(newline="") as lines:
        header = next(csv.reader(lines))
    assert header == [column.name for column in spec.columns]
    assert len(spec.features) == 49
    assert [model.target for model in spec.models] == list(generate.MODELS.values())
    assert [model.name for model in spec.models] == list(generate.MODELS)


def test_every_column_stands_in_the_dictionary_with_its_kind(spec: Problem) -> None:
    section = DICTIONARY.partition("## Columns")[2].partition("## Formulas")[0]
    rows = dict(re.findall(r"^\| (\w+) \| (\w+)", section, flags=re.MULTILINE))
    for column in spec.columns:
        assert rows.get(column.name) == column.kind, column.name


def test_the_dictionary_tells_gates_and_missing_shares_as_they_are(spec: Problem) -> None:
    for model in spec.models:
        row = rf"^\| {model.name} \| {model.metric} \|.*\| {model.gate.threshold:.2f} \|$"
        assert re.search(row, DICTIONARY, flags=re.MULTILINE), model.name
    for name, share in customers.MISSING.items():
        assert re.search(rf"^\| {name} \|.*\| {100 * share:g} % \|", DICTIONARY, flags=re.MULTILINE)


def test_values_are_those_that_the_spec_allows(spec: Problem, frame: pd.DataFrame) -> None:
    assert not tables.unreadable(frame, spec)
    for column in spec.columns:
        cells = frame[column.name].dropna()
        if column.values:
            assert set(cells) == set(column.values), column.name
        if column.min is not None:
            assert cells.min() >= column.min, column.name
        if column.max is not None:
            assert cells.max() <= column.max, column.name


def test_missing_shares_are_the_documented_ones(spec: Problem, frame: pd.DataFrame) -> None:
    for column in spec.columns:
        share = frame[column.name].isna().mean()
        assert share == pytest.approx(customers.MISSING.get(column.name, 0.0), abs=0.01)
        assert share <= column.null_share


def test_targets_have_the_shares_that_are_told(frame: pd.DataFrame) -> None:
    assert 0.19 < frame["churned"].mean() < 0.23
    assert 0.018 < frame["is_anomaly"].mean() < 0.028
    assert frame["next_best_content"].value_counts(normalize=True).min() > 0.05
    assert frame["engagement_score"].between(0, 1).all()


def test_features_are_correlated_as_in_life(frame: pd.DataFrame) -> None:
    def together(left: str, right: str) -> float:
        return float(frame[left].corr(frame[right], method="spearman"))

    assert together("sessions_last_7_days", "active_days_last_30_days") > 0.6
    assert together("network_centrality", "connections") > 0.6
    assert together("avg_sentiment_score", "support_tickets_last_90_days") < -0.2


def test_odds_match_what_is_drawn() -> None:
    parts = [(expected, drawn) for _, _, expected, drawn in generate.blocks(30_000, 3)]
    for target in ("engagement_score", "churned", "lifetime_value", "is_anomaly"):
        expected = np.concatenate([part[0][target] for part in parts])
        drawn = np.concatenate([part[1][target] for part in parts]).astype(float)
        assert drawn.mean() == pytest.approx(expected.mean(), rel=0.05), target
        high = expected > np.quantile(expected, 0.8)
        assert drawn[high].mean() == pytest.approx(expected[high].mean(), rel=0.05), target
    chances = np.concatenate([part[0]["next_best_content"] for part in parts])
    drawn = np.concatenate([part[1]["next_best_content"] for part in parts])
    assert chances.sum(axis=1) == pytest.approx(np.ones(len(chances)))
    shares = np.bincount(drawn, minlength=6) / len(drawn)
    assert shares == pytest.approx(chances.mean(axis=0), abs=0.01)


def test_the_best_reachable_metrics_lie_above_the_gates(spec: Problem) -> None:
    best = generate.best_reachable(rows=30_000, seed=20260101)
    assert list(best) == [model.name for model in spec.models]
    for model in spec.models:
        reachable = best[model.name][model.metric]
        assert model.gate.threshold < 0.97 * reachable < 0.97, model.name


def test_the_dictionary_holds_what_best_prints() -> None:
    best = generate.best_reachable()
    table = re.findall(r"^\| (\w+) \| (\w+) \| (0\.\d+) \|", DICTIONARY, flags=re.MULTILINE)
    assert len(table) == 5
    for model, metric, value in table:
        assert f"{best[model][metric]:.4f}" == value


def test_the_command_writes_the_file_and_prints_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made.csv"
    assert generate.main(["--rows", "500", "--seed", "1", "--out", str(out), "--best"]) == 0
    assert "anomaly" in capsys.readouterr().out
    assert len(out.read_text().splitlines()) == 501


def test_the_command_fails_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--rows", "5", "--out", str(tmp_path / "no" / "made.csv")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    for usage in (["--rows", "0", "--best"], []):
        with pytest.raises(SystemExit) as caught:
            generate.main(usage)
        assert caught.value.code == 2
