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
from collections.abc import Callable
from pathlib import Path

from pipelines.look import MOST_VALUES, SEPARATORS, Look, LookError, Seen, as_target, look
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
    lines: list[str] = []
    for column in columns:
        named = any(word == column.name.strip().lower() for word in _SENSITIVE)
        if (
            not named
            or column is target
            or column.kind not in ("categorical", "numeric", "boolean")
        ):
            continue
        bins = f", bins: {_bins(column)}" if column.kind == "numeric" else ""
        lines.append(f"    - {{column: {_word(column.name)}{bins}}}")
    if not lines:
        return []
    title = "fairness:  # compared in the report; add `limits` to make them gates"
    return [title, "  facets:", *lines]


def _bins(column: Seen) -> list[float]:
    low, high = column.low or 0.0, column.high or 0.0
    if low < 30 and high > 50:
        return [30, 50]
    return [float(f"{low + (high - low) * part:.3g}") for part in (1 / 3, 2 / 3)]


def _range(seen: Seen) -> tuple[str, str]:
    """What was seen, with a fifth of the width to spare, but never across 0 and not beyond 0..1."""
    low, high = float(seen.low or 0.0), float(seen.high or 0.0)
    if low >= 0 and high <= 1:
        return "0", "1"
    spare = 0.2 * (high - low)
    wide_low = 0.0 if low >= 0 and low - spare < 0 else _nice(low - spare, math.floor)
    wide_high = 0.0 if high <= 0 and high + spare > 0 else _nice(high + spare, math.ceil)
    return f"{wide_low:.12g}", f"{wide_high:.12g}"


def _nice(value: float, towards: Callable[[float], int]) -> float:
    """To two digits, away from the data: 8,684.8 up is 8,700."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return towards(value / unit) * unit


def _null_share(seen: Seen) -> float:
    """Half as much again as was seen, and a little for luck."""
    return min(0.99, math.ceil((1.5 * seen.missing / seen.rows + 0.005) * 1000) / 1000)


def _word(text: str) -> str:
    """Text as YAML, in quotes where another reader could take it for something else."""
    plain = _PLAIN_WORD.fullmatch(text) and text.lower() not in _YAML_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def _problem_name(given: str, asked: bool) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")
    if not asked:
        name = name if name[:1].isalpha() else f"data-{name}".strip("-")
        name = (name[:31] if len(name) > 1 else f"{name}-data").rstrip("-")
    elif not re.fullmatch("[a-z][a-z0-9-]{1,30}", given):
        raise UsageError(
            f"--name {given}: allowed: 2 to 31 small letters, digits and -, a letter first"
        )
    return name


def _model_name(target: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", target.lower()).strip("_")[:31].strip("_")
    return name if name[:1].isalpha() else f"m_{name}"[:31].strip("_")


def _target(seen: Look, given: str) -> Seen:
    """The column of that name; `last` when no column is called so."""
    for column in seen.columns:
        if column.name == given:
            return column
    if given == "last":
        return seen.columns[-1]
    names = [column.name for column in seen.columns]
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(given.lower(), by_lower, n=1)
    hint = f" did you mean {by_lower[near[0]]!r}?" if near else ""
    shown = ", ".join(names[:30]) + (" ..." if len(names) > 30 else "")
    raise UsageError(
        f"--target {given!r} is no column of {seen.path};{hint} allowed: last, {shown}"
    )


def _keep(out: Path, text: str) -> None:
    """Only what loads is kept."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.draft")
    try:
        draft.write_text(text, "utf-8")
        load(draft)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _print_found(seen: Look, columns: list[Seen], target: Seen, kind: str) -> None:
    kinds = Counter(column.kind for column in columns)
    cut = {"\t": "a tab"}.get(seen.separator, f"{seen.separator!r}")
    header = "a header" if seen.header else "no header (column_1, column_2, ...)"
    print(f"{seen.path}: {seen.rows:,} rows, {len(columns)} columns, cut by {cut}, {header}")
    print(f"  kinds    {', '.join(f'{count} {name}' for name, count in kinds.most_common())}")
    print(f"  missing  {', '.join(repr(word) for word in seen.missing)}")
    print(f"  target   {target.name}: {kind}, {len(target.values)} different values")
    for column in columns:
        if column.reason:
            print(f"  note     {column.name}: {column.kind}; {column.reason}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.new",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="CSV", help="the file")
    parser.add_argument(
        "--target", required=True, metavar="COLUMN", help="what to predict, or last"
    )
    parser.add_argument("--out", type=Path, metavar="YAML", help="default: config/<name>.yaml")
    parser.add_argument("--name", help="name of the problem; default: from the file's name")
    parser.add_argument("--force", action="store_true", help="write over a spec that is there")
    parser.add_argument("--separator", choices=SEPARATORS, help="default: found by looking")
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line names the columns; default: found by looking",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
