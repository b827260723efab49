"""Writes a first problem spec by looking at a CSV.

    python -m pipelines.new --data my.csv --target churn
    python -m pipelines.new --data adult.data --target last --out config/adult.yaml

The YAML is a start for a person to read and correct: every guess that is not plain has a comment.
It is loaded before it is kept, so what is written can be run. How the file is looked at is
pipelines/look.py, what a spec may say is steps/problem.py.
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import re
import sys
import textwrap
from collections import Counter
from pathlib import Path

from pipelines.look import MOST_VALUES, Look, LookError, Seen, as_target, look
from steps.problem import ProblemError, load

_PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.()+/-]*( [A-Za-z0-9_.()+/-]+)*")
_YAML_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
_SENSITIVE = ("gender", "sex", "race", "ethnicity", "age")
_MODEL_START = {
    "binary": ("auc", "0.6", "{max_depth: 4, learning_rate: 0.05}"),
    "multiclass": ("accuracy", None, "{max_depth: 4, learning_rate: 0.1}"),
    "regression": ("r2", "0.1", "{max_depth: 4, learning_rate: 0.05}"),
}


class UsageError(Exception):
    """What was asked for cannot be meant."""


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        out = write(options)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except (LookError, ProblemError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\nwrote {out}: read it, correct it, then run")
    print(f"  python -m pipelines.run --config {out} --data {options.data}")
    return 0


def write(options: argparse.Namespace) -> Path:
    """Look, choose the target, write the spec; the path it went to."""
    if not options.data.is_file():
        raise UsageError(f"--data {options.data}: no such file")
    name = _problem_name(options.name or options.data.stem, bool(options.name))
    out: Path = options.out or Path("config") / f"{name.replace('-', '_')}.yaml"
    if out.exists() and not options.force:
        raise UsageError(f"{out} is already there; say --force to write over it, or --out FILE")
    seen = look(options.data, options.separator, options.header)
    target, kind = as_target(_target(seen, options.target))
    columns = [target if column.name == target.name else column for column in seen.columns]
    _keep(out, spec_text(name, seen, columns, target, kind))
    _print_found(seen, columns, target, kind)
    return out


def spec_text(name: str, seen: Look, columns: list[Seen], target: Seen, kind: str) -> str:
    """The whole YAML."""
    parts = [
        f"# First spec for {seen.path.name}, made by looking at its {seen.rows:,} rows.",
        "# Every guess is yours to correct: kinds, ranges, allowed values, the gate.",
        f"name: {name}",
        f"description: Predicts {_word(target.name)} (say here what that is good for)",
        "data:",
        f"  header: {str(seen.header).lower()}" + ("" if seen.header else "  # name them below"),
        f"  separator: {json.dumps(seen.separator)}",
        f"  missing: [{', '.join(json.dumps(word, ensure_ascii=False) for word in seen.missing)}]",
        "columns:  # in the order of the file",
        *(_column_text(column, column is target) for column in columns),
        *_model_text(target, kind, seen.rows),
        *_fairness_text(columns, target),
        "split: {test: 0.2, validation: 0.1, seed: 7}",
        "deploy: {approval: automatic, instance_type: ml.m5.large}",
    ]
    return "\n".join(parts) + "\n"


def _column_text(seen: Seen, is_target: bool) -> str:
    body = [f"kind: {seen.kind}"]
    if seen.kind == "numeric":
        low, high = _range(seen)
        body += [f"min: {low}", f"max: {high}"]
    if seen.kind == "boolean":
        false = next(word for word in seen.values if word != seen.true)
        body += [f"true: [{_word(seen.true)}]", f"false: [{_word(false)}]"]
    if seen.kind == "categorical" and len(seen.values) <= MOST_VALUES:
        body.append(f"values: [{', '.join(_word(word) for word in sorted(seen.values))}]")
    if seen.missing and seen.kind in ("numeric", "categorical", "boolean", "timestamp"):
        body.append(f"null_share: {_null_share(seen)}")
    notes = [note for note in ("the target" if is_target else "", seen.reason) if note]
    comment = f"  # {'; '.join(notes)}" if notes else ""
    line = f"  {_word(seen.name)}: {{{', '.join(body)}}}"
    return "\n".join(_wrapped(line)) + comment


def _wrapped(line: str) -> list[str]:
    """A long flow mapping may go on in the next line; words are never cut."""
    if len(line) <= 110:
        return [line]
    # Words with blanks or in quotes must stay whole: a line may end after a comma only.
    marked = line.replace(", ", ",\x00").replace(" ", "\x01").replace("\x00", " ")
    lines = textwrap.wrap(
        marked, 106, break_long_words=False, break_on_hyphens=False, subsequent_indent="\x01" * 6
    )
    return [text.replace("\x01", " ") for text in lines]


def _model_text(target: Seen, kind: str, rows: int) -> list[str]:
    metric, gate, parameters = _MODEL_START[kind]
    return [
        "models:",
        f"  {_model_name(target.name)}:",
        f"    kind: {kind}",
        f"    target: {_word(target.name)}",
        f"    metric: {metric}",
        f"    gate: {{min: {gate or _guess_gate(target)}}}  # little better than guessing: "
        "raise it to just below what the first run reaches",
        "    rounds: 400",
        f"    early_stopping_rounds: {30 if rows < 50_000 else 20}",
        f"    parameters: {parameters}",
    ]


def _guess_gate(target: Seen) -> str:
    """Half way from blind guessing to sure, but low: 1/classes + 0.1."""
    return f"{min(1 / len(target.values) + 0.1, 0.6):.2f}"


def _fairness_text(columns: list[Seen], target: Seen) -> list[str]:
    lines = []
    for column in columns:
        named = any(word == column.name.strip().lower() for word in _SENSITIVE)
        if not named or column is target or column.kind not in ("categorical", "numeric", "boolean"):
            continue
        bins = f", bins: {_bins(column)}" if column.kind == "numeric" else ""
        lines.append(f"    - {{column: {_word(column.name)}{bins}}}")
    return ["fairness:  # compared in the report; add `limits` to make them gates", "  facets:"][
        : 2 * bool(lines)
    ] + lines


def _bins(column: Seen) -> list[float]:
    low, high = column.low or 0.0, column.high or 0.0
    if low < 30 and high > 50:
        return [30, 50]
    return [float(f"{low + (high - low) * part:.3g}") for part in (1 / 3, 2 / 3)]


def _range(seen: Seen) -> tuple[str, str]:
    """What was seen, with a fifth of the width to spare, but never across 0 and not beyond 0..1."""
    low, high = float(seen.low or 0.0), float(seen.high or 0.0)
    if 0 <= low and high <= 1:
        return "0", "1"
    spare = 0.2 * (high - low)
    wide_low = 0.0 if low >= 0 and low - spare < 0 else _nice(low - spare, math.floor)
    wide_high = 0.0 if high <= 0 and high + spare > 0 else _nice(high + spare, math.ceil)
    return f"{wide_low:.12g}", f"{wide_high:.12g}"


def _nice(value: float, direct: type[math.floor] | object) -> float:
    raise NotImplementedError
