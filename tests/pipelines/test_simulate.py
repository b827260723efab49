"""Traffic with planted drift: which cells change, and what reaches the endpoint."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipelines import settings, simulate
from pipelines.drifts import DRIFTS, UNSEEN, DriftError, parse
from pipelines.settings import Settings
from steps.problem import Problem, load

SPEC = """
name: shop
columns:
  id: {kind: id}
  age: {kind: numeric, null_share: 0.1}
  plan: {kind: categorical, values: [basic, gold]}
  churned: {kind: boolean}
models:
  churn: {kind: binary, target: churned, metric: auc, gate: {min: 0.6}}
"""
ROWS = [(f"c{n}", n % 50 or "", ("basic", "gold")[n % 2], n % 3 == 0) for n in range(200)]


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    (tmp_path / "shop.yaml").write_text(SPEC)
    return load(tmp_path / "shop.yaml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    lines = ["id,age,plan,churned", *(",".join(map(str, row)) for row in ROWS)]
    path.write_text("\n".join(lines) + "\n")
    return path


class Endpoint:
    """Keeps what it is sent; refuses rows of gold when told to."""

    def __init__(self, refuses: str = "") -> None:
        self.sent: dict[str, list[str]] = {}
        self.refuses = refuses

    def describe_endpoint(self, **members: str) -> dict[str, str]:
        return members

    def invoke_endpoint(self, **members: str) -> dict[str, Any]:
        cells = next(csv.reader([members["Body"]]))
        if self.refuses in cells:
            error = {"Error": {"Code": "ModelError", "Message": "no gold"}}
            raise ClientError(error, "InvokeEndpoint")  # type: ignore[arg-type]
        self.sent[members["InferenceId"]] = cells
        return {"Body": io.BytesIO(b"0.5"), "InvokedProductionVariant": "A"}


def run(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, tmp_path: Path, *words: str
) -> tuple[int, Endpoint]:
    place = Settings("local", "us-east-1", "000000000000", "", "", {})
    monkeypatch.setattr(settings, "resolve", lambda *_, **__: place)
    monkeypatch.setattr(settings, "client", lambda *_: endpoint)
    given = ["--config", str(tmp_path / "shop.yaml"), "--data", str(tmp_path / "shop.csv")]
    return simulate.main([*given, *words]), endpoint


def test_rows_reach_the_endpoint_with_an_inference_id_each_and_labels_are_kept(
    problem: Problem,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = tmp_path / "labels.csv"
    words = ["--requests", "150", "--labels", str(labels), "--json"]
    exit_code, endpoint = run(monkeypatch, Endpoint("?"), tmp_path, *words)
    document = json.loads(capsys.readouterr().out)
    assert (exit_code, document["answered"], document["refused"]) == (0, {"A": 150}, 0)
    known = list(csv.DictReader(io.StringIO(labels.read_text())))
    assert [row["inference_id"] for row in known] == [f"{document['run']}-{n}" for n in range(150)]
    # Ages and plans are as in the file, and the label is that of the same row.
    truth = {(str(age), plan): set() for _, age, plan, _ in ROWS}  # type: ignore[var-annotated]
    for _, age, plan, churned in ROWS:
        truth[str(age), plan].add(str(churned))
    for row in known:
        assert row["churned"] in truth[tuple(endpoint.sent[row["inference_id"]])]


def test_a_refused_row_has_no_label_and_is_exit_code_1(
    problem: Problem,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = tmp_path / "labels.csv"
    words = ["--requests", "200", "--labels", str(labels)]
    exit_code, endpoint = run(monkeypatch, Endpoint("gold"), tmp_path, *words)
    assert exit_code == 1
    assert "100 refused" in (said := capsys.readouterr().out)
    assert "First refusal: no gold" in said
    assert len(labels.read_text().splitlines()) == 101 == len(endpoint.sent) + 1


def test_the_same_seed_sends_the_same_rows(problem: Problem, file: Path) -> None:
    first, again, other = (simulate.sample(problem, file, 50, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(simulate.sample(problem, file, 450, 1)) == 450


@pytest.mark.parametrize("kind", sorted(DRIFTS))
def test_a_drift_changes_its_column_and_no_other(problem: Problem, file: Path, kind: str) -> None:
    clean, drifted = (simulate.sample(problem, file, 200, 1) for _ in range(2))
    planted = parse(kind, problem)
    planted.plant(drifted, 1)
    changed = {
        name
        for before, after in zip(clean, drifted, strict=True)
        for name in before
        if before[name] != after[name]
    }
    assert changed == {planted.column.name}


def test_what_each_drift_does(problem: Problem, file: Path) -> None:
    def cells(drift: str) -> list[str]:
        rows, planted = simulate.sample(problem, file, 200, 1), parse(drift, problem)
        planted.plant(rows, 1)
        return [row[planted.column.name] for row in rows]

    ages = [float(cell) for cell in cells("shift:age=2") if cell]
    assert 24 + 20 < sum(ages) / len(ages) < 26 + 40
    assert all(age.is_integer() for age in ages)
    assert sum("." in cell for cell in cells("fractions:age")) > 60
    assert sum(cell.startswith("-") for cell in cells("negative:age")) > 60
    assert cells("missing:age=1") == [""] * 200
    assert 60 < cells("unseen:plan").count(UNSEEN) < 140
    assert cells("mix:plan=1") == [cells("mix:plan=1")[0]] * 200
    labels = [row["churned"] for row in simulate.sample(problem, file, 200, 1)]
    assert sorted(cells("concept")) == sorted(labels)
    assert cells("concept") != labels


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("rain", "allowed: missing, shift"),
        ("shift:plan", "shift is for a column such as: age"),
        ("unseen:id", "unseen is for a column such as: plan"),
        ("missing:age=much", "'much' should be a number above 0"),
        ("missing:age=-1", "'-1' should be a number above 0"),
    ],
)
def test_a_drift_that_cannot_be_planted_is_named(problem: Problem, given: str, said: str) -> None:
    with pytest.raises(DriftError, match=said):
        parse(given, problem)


def test_bad_input_is_exit_code_2_and_sends_nothing(
    problem: Problem,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (["--requests", "0"], ["--drift", "missing:age=2"], ["--drift", "x"]):
        exit_code, endpoint = run(monkeypatch, Endpoint("?"), tmp_path, *words)
        assert (exit_code, endpoint.sent) == (2, {})
    file.write_text("id,age,plan\n")
    exit_code, endpoint = run(monkeypatch, Endpoint("?"), tmp_path)
    assert (exit_code, endpoint.sent) == (2, {})
    assert "no column churned" in capsys.readouterr().err
