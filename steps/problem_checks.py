"""How the parts of a problem must fit together: targets, facets, split and names.

check(problem) raises a ValueError that starts with the key; steps/problem.py turns that into the
ProblemError.
What one part alone may hold is decided in that part, in steps/problem.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from steps.problem_text import shown, unknown

if TYPE_CHECKING:
    from steps.problem import Model, Problem

TARGET_KIND = {
    "regression": "numeric",
    "binary": "boolean",
    "anomaly": "boolean",
    "multiclass": "categorical",
}
MOST_MODELS = 6
_FACET_KINDS = "categorical or boolean without bins, numeric with bins"


def check(problem: Problem) -> None:
    """Every rule between parts; ValueError naming the key on the first that is broken."""
    _check_columns(problem)
    for model in problem.models:
        _check_target(problem, model)
    _check_fairness(problem)
    _check_stratify(problem)


def _check_columns(problem: Problem) -> None:
    names = Counter(column.name for column in problem.columns)
    if doubled := [name for name, n in names.items() if n > 1]:
        raise ValueError(f"columns: {doubled[0]!r} stands twice")
    ids = [column.name for column in problem.columns if column.kind == "id"]
    if len(ids) > 1:
        raise ValueError(f"columns: kind id is given to {', '.join(ids)}; allowed: one id at most")
    if not problem.features:
        raise ValueError(
            "columns: no feature is left beside id, targets and ignored; add at least one"
        )
    if not 1 <= len(problem.models) <= MOST_MODELS:
        raise ValueError(f"models: holds {len(problem.models)}; allowed: 1 to {MOST_MODELS}")
    models = Counter(model.name.replace("_", "") for model in problem.models)
    if doubled := [name for name, n in models.items() if n > 1]:
        raise ValueError(f"models: two names differ in underscores only: {doubled[0]}")


def _check_target(problem: Problem, model: Model) -> None:
    where = f"models.{model.name}.target"
    names = [column.name for column in problem.columns]
    if model.target not in names:
        raise ValueError(f"{where}: {unknown('column', model.target, names)}")
    target = problem.column(model.target)
    wanted = TARGET_KIND[model.kind]
    if target.kind != wanted:
        raise ValueError(
            f"{where}: column {target.name} is {target.kind}; "
            f"allowed for a {model.kind} model: {wanted}"
        )
    where = f"columns.{target.name}"
    if model.kind == "multiclass" and len(target.values) < 3:
        given = shown(target.values)
        raise ValueError(f"{where}.values is {given}; allowed for a multiclass target: 3 or more")
    if target.null_share:
        raise ValueError(f"{where}.null_share is {target.null_share:g}; allowed for a target: 0")


def _check_fairness(problem: Problem) -> None:
    columns = {column.name: column for column in problem.columns}
    for number, facet in enumerate(problem.fairness.facets):
        where = f"fairness.facets.{number}"
        if facet.column not in columns:
            raise ValueError(f"{where}.column: {unknown('column', facet.column, columns)}")
        kind = columns[facet.column].kind
        if kind not in ("categorical", "boolean", "numeric"):
            raise ValueError(f"{where}.column: {facet.column} is {kind}; allowed: {_FACET_KINDS}")
        if (kind == "numeric") != bool(facet.bins):
            raise ValueError(f"{where}.bins: {facet.column} is {kind}; allowed: {_FACET_KINDS}")
    judged = [model.name for model in problem.models if model.kind in ("binary", "anomaly")]
    for name in problem.fairness.models:
        if name not in judged:
            raise ValueError(f"fairness.models: {unknown('binary or anomaly model', name, judged)}")
    if problem.fairness.limits and not judged:
        raise ValueError("fairness.limits: need a binary or anomaly model; this problem has none")


def _check_stratify(problem: Problem) -> None:
    columns = {column.name: column for column in problem.columns}
    name = problem.split.stratify
    if name is None:
        return
    if name not in columns:
        raise ValueError(f"split.stratify: {unknown('column', name, columns)}")
    if columns[name].kind not in ("categorical", "boolean"):
        raise ValueError(
            f"split.stratify: {name} is {columns[name].kind}; allowed: categorical or boolean"
        )
