"""Was a prediction right, and how far off was it? By the problem's model, or by options."""

from __future__ import annotations

from typing import Any

from deploy.commands import DeployError
from deploy.evidence import Score
from steps.problem import TRUE_WORDS, Problem

KINDS = {"correct": ("binary", "anomaly", "multiclass"), "loss": ("regression",)}


def scorer(
    metric: str, problem: Problem, field: str | None, threshold: float | None, most: float | None
) -> Score:
    """How an answer is scored: correct is 1 or 0; loss is |difference| / most, at most 1.

    field: the member of an answer that is meant; default: the problem's first model of that kind.
    """
    fitting = [model for model in problem.models if model.kind in KINDS[metric]]
    field = field or (fitting[0].name if fitting else None)
    if metric == "loss":
        if most is None or most <= 0:
            raise DeployError("--metric loss needs --loss-max, the largest loss that counts.", 2)
        return lambda answer, label: min(abs(_number(answer, field) - float(label)) / most, 1.0)
    yes_or_no = any(model.name == field and model.kind != "multiclass" for model in fitting)
    limit = 0.5 if threshold is None and yes_or_no else threshold
    return lambda answer, label: float(_right(_value(answer, field), label, limit))


def _right(value: Any, label: str, threshold: float | None) -> bool:
    if threshold is not None and isinstance(value, float | int):
        return (value >= threshold) == _true(label)
    return _same(value, label)


def _true(label: str) -> bool:
    try:
        return float(label) > 0
    except ValueError:
        return label.strip().lower() in TRUE_WORDS


def _same(value: Any, label: str) -> bool:
    try:
        return float(value) == float(label)
    except (TypeError, ValueError):
        return str(value).strip() == label.strip()


def _value(answer: Any, field: str | None) -> Any:
    """Of an answer, the member that is meant, and of a member its label."""
    if isinstance(answer, dict) and field is not None:
        if field not in answer:
            there = ", ".join(sorted(answer))
            raise DeployError(f"--field is {field}; the captured answers have: {there}.", 2)
        answer = answer[field]
    return answer["label"] if isinstance(answer, dict) and "label" in answer else answer


def _number(answer: Any, field: str | None) -> float:
    value = _value(answer, field)
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise DeployError(f"A loss needs a number; the captured answer is {value!r}.", 2)
    return float(value)
