"""What can be planted into traffic: a function for each kind of drift, over rows as they are sent.

A row is a dict, column name -> text, empty for missing. A drift changes rows in place and knows
which columns it may change; `pipelines/simulate.py` reads, sends and counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from steps.problem import Column, Problem

Rows = list[dict[str, str]]
UNSEEN = "never-seen-before"


class DriftError(Exception):
    """The drift cannot be planted; the message says what may be."""


@dataclass(frozen=True)
class Drift:
    """`plant(rows, column, amount, random)`; `kinds`: of columns it fits; `amount`: its default."""

    plant: Callable[[Rows, Column, float, random.Random], None]
    kinds: tuple[str, ...]
    amount: float
    words: str


@dataclass(frozen=True)
class Planted:
    """One drift of the command line, as `kind:column=amount`, checked against the problem."""

    kind: str
    column: Column
    amount: float

    def plant(self, rows: Rows, seed: int) -> None:
        # Of its own for each drift, so that a second one does not change what the first does.
        dice = random.Random(f"{seed}:{self.kind}:{self.column.name}")  # noqa: S311  no secret
        DRIFTS[self.kind].plant(rows, self.column, self.amount, dice)


def parse(given: str, problem: Problem) -> Planted:
    """`kind`, `kind:column` or `kind:column=amount`. Raises DriftError.

    Without a column it is the first that fits; without an amount the kind's own.
    """
    kind, _, rest = given.partition(":")
    name, has_amount, amount = rest.partition("=")
    if kind not in DRIFTS:
        raise DriftError(f"--drift {given}: {kind!r} is unknown; allowed: {', '.join(DRIFTS)}")
    drift = DRIFTS[kind]
    fitting = [each for each in _columns(problem, kind) if each.kind in drift.kinds]
    found = [each for each in fitting if not name or each.name == name]
    if not found:
        names = ", ".join(each.name for each in fitting) or "none of this problem"
        raise DriftError(f"--drift {given}: {kind} is for a column such as: {names}")
    return Planted(kind, found[0], _amount(given, amount) if has_amount else drift.amount)


def _columns(problem: Problem, kind: str) -> Iterable[Column]:
    return problem.targets if kind == "concept" else problem.features


def _amount(given: str, text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise DriftError(f"--drift {given}: the amount {text!r} should be a number above 0")
    return amount


def _missing(rows: Rows, column: Column, share: float, dice: random.Random) -> None:
    for row in _some(rows, share, dice):
        row[column.name] = ""


def _shift(rows: Rows, column: Column, amount: float, _: random.Random) -> None:
    present = [row for row in rows if _number(row[column.name]) is not None]
    values = [float(row[column.name]) for row in present]
    mean = sum(values) / len(values) if values else 0.0
    deviation = (sum((each - mean) ** 2 for each in values) / max(len(values), 1)) ** 0.5 or 1.0
    whole = all(each.is_integer() for each in values)
    for row, value in zip(present, values, strict=True):
        moved = value + amount * deviation
        # What was whole stays whole: this is a drift of the distribution alone.
        row[column.name] = f"{round(moved) if whole else moved:.12g}"


def _fractions(rows: Rows, column: Column, share: float, dice: random.Random) -> None:
    for row in _some(rows, share, dice):
        value = _number(row[column.name])
        if value is not None:
            row[column.name] = f"{value + 0.25:.12g}"


def _negative(rows: Rows, column: Column, share: float, dice: random.Random) -> None:
    for row in _some(rows, share, dice):
        value = _number(row[column.name])
        if value is not None:
            row[column.name] = f"{-abs(value) - 1:.12g}"


def _unseen(rows: Rows, column: Column, share: float, dice: random.Random) -> None:
    for row in _some(rows, share, dice):
        row[column.name] = UNSEEN


def _mix(rows: Rows, column: Column, share: float, dice: random.Random) -> None:
    """The commonest value becomes commoner: values that are known, in other shares."""
    seen = [row[column.name] for row in rows if row[column.name]]
    commonest = max(sorted(set(seen)), key=seen.count, default="")
    for row in _some(rows, share, dice):
        row[column.name] = commonest


def _concept(rows: Rows, column: Column, share: float, dice: random.Random) -> None:
    """What happened changes places among the rows: the same labels, no longer those predicted."""
    chosen = list(_some(rows, share, dice))
    labels = [row[column.name] for row in chosen]
    dice.shuffle(labels)
    for row, label in zip(chosen, labels, strict=True):
        row[column.name] = label


DRIFTS = {
    "missing": Drift(_missing, ("numeric", "categorical", "boolean"), 0.5, "cells are empty"),
    "shift": Drift(_shift, ("numeric",), 2.0, "numbers move by so many standard deviations"),
    "fractions": Drift(_fractions, ("numeric",), 0.5, "whole numbers become fractions"),
    "negative": Drift(_negative, ("numeric",), 0.5, "numbers fall below zero"),
    "unseen": Drift(_unseen, ("categorical",), 0.5, "a value that training never saw"),
    "mix": Drift(_mix, ("categorical",), 0.8, "known values in other shares"),
    "concept": Drift(
        _concept, ("numeric", "categorical", "boolean"), 0.9, "labels change places: --labels"
    ),
}


def _some(rows: Rows, share: float, dice: random.Random) -> Iterable[dict[str, str]]:
    if share > 1:
        raise DriftError(f"an amount of {share:g} is no share of the rows; allowed: up to 1")
    return (row for row in rows if dice.random() < share)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
