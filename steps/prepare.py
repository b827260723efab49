"""Step 2: splits the data and encodes it, once, for every model.

    processing/input/data/*
      -> processing/output/{train,validation,test}/   features.npy, target-<model>.npy
         processing/output/test/rows.csv              the raw test rows
         processing/output/transform/                 transform.json, models.json

The transform is fitted on train rows alone. `models.json` is what training needs to know of each
model, so that `train` needs no more than numpy and XGBoost. Reading the files is `tables.py`'s.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from inference.transform import Feature, Transform, fit
from steps import job, rows_file, tables
from steps import problem as specs

Rows = npt.NDArray[np.intp]
FEWEST_ROWS = 10


class PrepareError(Exception):
    """The data cannot be split and encoded."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = job.parser("prepare", "Split and encode the data.")
    job.add_problem(parser)
    arguments = parser.parse_args(argv)
    problem = job.problem(arguments)
    paths = tables.files(arguments.root / "processing/input/data")
    output = arguments.root / "processing/output"
    frame = tables.read(problem, paths)
    _check_readable(problem, frame)
    targets = {model.name: _target(problem, model, frame) for model in problem.models}
    usable = np.flatnonzero(np.all([~np.isnan(t) for t in targets.values()], axis=0))
    parts = {name: usable[rows] for name, rows in _split(problem, frame, usable).items()}
    transform = fit_transform(problem, frame, parts["train"])
    for name, rows in parts.items():
        _write_part(output / name, transform, frame, targets, rows)
    rows_file.copy(problem, paths, parts["test"], len(frame), output / "test/rows.csv")
    _write_transform(output / "transform", problem, transform)
    dropped = len(frame) - len(usable)
    counts = " ".join(f"{name}={len(rows)}" for name, rows in parts.items())
    print(f"prepare: {counts} rows, {dropped} dropped for a missing target")
    return 0


def fit_transform(problem: specs.Problem, frame: pd.DataFrame, rows: Rows) -> Transform:
    """The transform of the problem's features, fitted on these rows of the frame."""
    features = [
        fit(
            Feature(column.name, column.kind, true=column.true, false=column.false),
            frame[column.name].to_numpy()[rows],
        )
        for column in problem.features
    ]
    names = {feature.name for feature in features}
    return Transform(
        features=tuple(features),
        missing=tuple(dict.fromkeys(["", *(word.strip() for word in problem.data.missing)])),
        ignored=tuple(column.name for column in problem.columns if column.name not in names),
    )


def split_rows(strata: npt.NDArray[Any] | None, rows: int, split: specs.Split) -> dict[str, Rows]:
    """Row numbers, ascending, of train, validation and test; every row is in exactly one.

    Rows are shuffled by `split.seed`, ordered by stratum, and dealt out at even distances, so that
    each stratum, whatever its size, has its share within one row. `strata` None: one stratum.
    """
    order = np.random.default_rng(split.seed).permutation(rows)
    if strata is not None:
        order = order[np.argsort(strata[order], kind="stable")]
    test = _every(order, split.test)
    rest = order[~np.isin(order, test)]
    validation = _every(rest, split.validation / (1 - split.test))
    train = rest[~np.isin(rest, validation)]
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}


def _every(order: Rows, share: float) -> Rows:
    """round(share x n) members at even distances."""
    steps = np.floor(np.arange(len(order) + 1) * share + 0.5)
    chosen: Rows = order[np.diff(steps) > 0]
    return chosen


def _split(problem: specs.Problem, frame: pd.DataFrame, usable: Rows) -> dict[str, Rows]:
    if len(usable) < FEWEST_ROWS:
        raise PrepareError(
            f"{len(usable)} of {len(frame)} rows have every target; at least {FEWEST_ROWS} are"
            " needed to train, validate and test"
        )
    if problem.stratify is None:
        return split_rows(None, len(usable), problem.split)
    codes, _ = pd.factorize(frame[problem.stratify].iloc[usable], sort=True)
    return split_rows(codes, len(usable), problem.split)


def _check_readable(problem: specs.Problem, frame: pd.DataFrame) -> None:
    for bad in tables.unreadable(frame, problem):
        raise PrepareError(
            f'column "{bad.column}" is {problem.column(bad.column).kind}, but {bad.rows} of its'
            f" cells are not, like {', '.join(map(repr, bad.samples))}; run validate for all"
        )


def _target(
    problem: specs.Problem, model: specs.Model, frame: pd.DataFrame
) -> npt.NDArray[np.float32]:
    """(rows,) float32: the number, 0/1, or the class's place in `values`; NaN is missing."""
    cells = frame[model.target].to_numpy()
    if model.kind != "multiclass":
        return cells.astype(np.float32)
    labels = problem.column(model.target).values
    codes: dict[str | None, float] = {label: float(code) for code, label in enumerate(labels)}
    codes[None] = np.nan
    unknown = sorted({cell for cell in cells if cell is not None} - set(labels))
    if unknown:
        raise PrepareError(
            f'column "{model.target}" holds {unknown[0]!r}; its classes are {", ".join(labels)}'
        )
    return np.array([codes[cell] for cell in cells], dtype=np.float32)


def _write_part(
    folder: Path,
    transform: Transform,
    frame: pd.DataFrame,
    targets: dict[str, npt.NDArray[np.float32]],
    rows: Rows,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: frame[name].to_numpy()[rows] for name in transform.names}
    np.save(folder / "features.npy", transform.encode(columns), allow_pickle=False)
    for name, target in targets.items():
        np.save(folder / f"target-{name}.npy", target[rows], allow_pickle=False)


def _write_transform(folder: Path, problem: specs.Problem, transform: Transform) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "transform.json").write_text(transform.to_json(), encoding="utf-8")
    models = []
    for model in problem.models:
        content = model.model_dump(mode="json", exclude={"gate"})
        labels = problem.column(model.target).values if model.kind == "multiclass" else ()
        models.append({**content, "labels": list(labels)})
    plan = {"problem": problem.name, "seed": problem.split.seed, "models": models}
    text = json.dumps(plan, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "models.json").write_text(text + "\n", encoding="utf-8")
