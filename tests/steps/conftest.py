"""A small shop: 1,200 customers, a model of every kind, and the steps run over them once."""

import csv
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steps import evaluate, package, prepare, train
from steps.problem import Problem, from_json

ROWS = 1200
CITIES = ["Köln", 'Paris, "Est"', "Rio"]
PICKS = ["book", "game", "song"]
MODELS = {"score": "regression", "left": "binary", "pick": "multiclass", "odd": "anomaly"}
METRICS = {"score": "rmse", "left": "auc", "pick": "ndcg", "odd": "pr_auc"}
GATES = {"score": {"max": 5.0}, "left": {"min": 0.6}, "pick": {"min": 0.5}, "odd": {"min": 0.2}}


def specification() -> dict[str, Any]:
    fit = {"rounds": 25, "early_stopping_rounds": 5, "parameters": {"max_depth": 3}}
    return {
        "name": "shop",
        "data": {"missing": ["?"]},
        "columns": [
            {"name": "id", "kind": "id"},
            {"name": "age", "kind": "numeric"},
            {"name": "spend", "kind": "numeric", "null_share": 0.2},
            {"name": "city", "kind": "categorical", "values": CITIES, "null_share": 0.2},
            {"name": "member", "kind": "boolean", "true": ["Yes"], "false": ["No"]},
            {"name": "joined", "kind": "timestamp"},
            {"name": "score", "kind": "numeric"},
            {"name": "left", "kind": "boolean"},
            {"name": "pick", "kind": "categorical", "values": PICKS},
            {"name": "odd", "kind": "boolean"},
            {"name": "note", "kind": "ignore"},
        ],
        "models": [
            {
                "name": name,
                "kind": kind,
                "target": name,
                "metric": METRICS[name],
                "gate": GATES[name],
                **fit,
            }
            for name, kind in MODELS.items()
        ],
        "fairness": {
            "facets": [{"column": "city"}, {"column": "age", "bins": [30, 50]}],
            "models": ["left"],
            "limits": {"demographic_parity_difference": 0.9},
        },
        "split": {"test": 0.2, "validation": 0.1, "seed": 3},
    }


def customers(rows: int = ROWS, seed: int = 1) -> list[list[str]]:
    """Rows of cells in column order."""
    draw = np.random.default_rng(seed)
    age = draw.integers(18, 80, rows)
    spend = draw.gamma(2, 50, rows).round(2)
    city = draw.integers(0, 3, rows)
    member = draw.random(rows) < 0.4
    score = age / 10 + 2 * member + draw.normal(0, 1, rows)
    left = draw.random(rows) < 1 / (1 + np.exp((age - 45) / 8))
    pick = (city + (draw.random(rows) < 0.3)) % 3
    odd = (spend > 220) & (draw.random(rows) < 0.9)
    return [
        [
            f"c{i}",
            str(age[i]),
            "?" if i % 11 == 0 else str(spend[i]),
            "" if i % 13 == 0 else CITIES[city[i]],
            "Yes" if member[i] else "No",
            f"20{10 + i % 15}-0{1 + i % 9}-1{i % 9}T12:00:00Z",
            f"{score[i]:.4f}",
            "true" if left[i] else "false",
            PICKS[pick[i]],
            "1" if odd[i] else "0",
            "x",
        ]
        for i in range(rows)
    ]


class Shop:
    """The folders of one run; `run_all` fills them as the pipeline does."""

    def __init__(self, folder: Path, spec: dict[str, Any], rows: list[list[str]]) -> None:
        self.folder = folder
        self.rows = rows
        self.problem: Problem = from_json(json.dumps(spec))
        self.spec_path = folder / "problem.json"
        self.spec_path.write_text(json.dumps(spec), encoding="utf-8")
        self.data = folder / "prepare/processing/input/data"
        self.data.mkdir(parents=True)
        self.write_rows(rows)

    def write_rows(self, rows: list[list[str]], name: str = "data.csv") -> None:
        with (self.data / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(column.name for column in self.problem.columns)
            writer.writerows(rows)

    def prepare(self) -> Path:
        root = self.folder / "prepare"
        assert prepare.main(["--root", str(root), "--problem", str(self.spec_path)]) == 0
        return root / "processing/output"

    def train(self, model: str, run: str = "train") -> Path:
        root = self.folder / f"{run}-{model}"
        _link(self.folder / "prepare/processing/output", root / "input/data", "train")
        _link(self.folder / "prepare/processing/output", root / "input/data", "validation")
        _link(self.folder / "prepare/processing/output", root / "input/data", "transform")
        assert train.main(["--root", str(root), "--model", model]) == 0
        return root / "model"

    def pack_models(self, step: str) -> None:
        for model in self.problem.models:
            target = self.folder / step / "processing/input/models" / model.name
            target.mkdir(parents=True, exist_ok=True)
            with tarfile.open(target / "model.tar.gz", "w:gz") as archive:
                archive.add(self.folder / f"train-{model.name}" / "model", ".")

    def evaluate(self, *arguments: str) -> Path:
        root = self.folder / "evaluate"
        _link(self.folder / "prepare/processing/output", root / "processing/input", "test")
        _link(self.folder / "prepare/processing/output", root / "processing/input", "transform")
        self.pack_models("evaluate")
        told = ["--root", str(root), "--problem", str(self.spec_path), *arguments]
        assert evaluate.main(told) == 0
        return root / "processing/output"

    def package(self) -> Path:
        root = self.folder / "package"
        _link(self.folder / "prepare/processing/output", root / "processing/input", "transform")
        _link(self.folder / "evaluate/processing/output", root / "processing/input", "evaluation")
        self.pack_models("package")
        assert package.main(["--root", str(root)]) == 0
        return root / "processing/output/bundle/model.tar.gz"

    def run_all(self) -> None:
        self.prepare()
        for model in self.problem.models:
            self.train(model.name)
        self.evaluate()
        self.package()


def _link(source: Path, target: Path, name: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if not (target / name).exists():
        (target / name).symlink_to(source / name)


MakeShop = Callable[..., Shop]


@pytest.fixture
def make_shop(tmp_path: Path) -> MakeShop:
    """make_shop(rows=..., **changes to the spec) -> Shop with its data written, nothing run."""

    def make(rows: list[list[str]] | None = None, **changes: Any) -> Shop:
        folder = tmp_path / f"shop{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return Shop(folder, {**specification(), **changes}, rows or customers())

    return make


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only wait for each other's threads, long when the machine is busy."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SM_NUM_CPUS", "1")
        yield


@pytest.fixture(scope="session")
def shop(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Every step run once. Read it, do not write into it."""
    made = Shop(tmp_path_factory.mktemp("shop"), specification(), customers())
    made.run_all()
    return made
