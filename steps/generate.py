"""Writes the data of config/engagement.yaml: any number of customers, the same every time.

    python -m steps.generate --rows 100000 --seed 20260101 --out customers.csv
    python -m steps.generate --best              the best any model can reach on that data

Rows come in blocks of 10,000, each seeded by (seed, number of the block): memory does not grow
with the rows, and a shorter file is the beginning of a longer one. Who the customers are and what
becomes of them is steps/customers.py. This runs where the data is made, not inside a job.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steps import customers
from steps.customers import WORDS, Table

BLOCK = 10_000
ROWS, SEED = 100_000, 20260101
ID = "customer_id"
MODELS = {
    "engagement": "engagement_score",
    "churn": "churned",
    "lifetime_value": "lifetime_value",
    "recommendation": "next_best_content",
    "anomaly": "is_anomaly",
}
_WHOLE_WITH_MISSING = ("household_size", "nps_score")


def write(path: Path, rows: int = ROWS, seed: int = SEED) -> None:
    """The CSV, whole or not at all; equal rows and seed give equal bytes."""
    import pyarrow.csv

    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as out:
        partial = Path(out.name)
        try:
            for start, table, _, targets in blocks(rows, seed):
                batch = _batch(start, table | targets)
                if start == 0:
                    out.write((",".join(batch.schema.names) + "\n").encode())
                pyarrow.csv.write_csv(batch, out, write_options=options)
        except BaseException:
            partial.unlink()
            raise
    partial.chmod(0o644)
    partial.replace(path)


def blocks(rows: int, seed: int) -> Iterator[tuple[int, Table, Table, Table]]:
    """(number of the first row, features, expected outcomes, drawn outcomes) per block."""
    for start in range(0, rows, BLOCK):
        rng = np.random.default_rng([seed, start // BLOCK])
        table = customers.features(rng, BLOCK)
        expected = customers.odds(table)
        drawn = customers.draw(rng, expected)
        kept = slice(min(BLOCK, rows - start))
        yield (
            start,
            {name: values[kept] for name, values in table.items()},
            {name: values[kept] for name, values in expected.items()},
            {name: values[kept] for name, values in drawn.items()},
        )


def best_reachable(rows: int = ROWS, seed: int = SEED) -> dict[str, dict[str, float]]:
    """Metrics of the perfect predictor on exactly these rows: it knows the odds, not the draw."""
    parts = [(expected, drawn) for _, _, expected, drawn in blocks(rows, seed)]
    best = {}
    for model, target in MODELS.items():
        expected = np.concatenate([part[0][target] for part in parts])
        drawn = np.concatenate([part[1][target] for part in parts])
        best[model] = _metrics(model, expected, drawn)
    return best


def _metrics(model: str, expected: Any, drawn: Any) -> dict[str, float]:
    from sklearn import metrics

    if model in ("engagement", "lifetime_value"):
        return {
            "rmse": float(metrics.root_mean_squared_error(drawn, expected)),
            "r2": float(metrics.r2_score(drawn, expected)),
        }
    if model == "recommendation":
        ahead = (expected > np.take_along_axis(expected, drawn[:, None], axis=1)).sum(axis=1)
        return {
            "accuracy": float((ahead == 0).mean()),
            "ndcg": float((1 / np.log2(2 + ahead)).mean()),
            "log_loss": float(metrics.log_loss(drawn, expected)),
        }
    return {
        "share": float(drawn.mean()),
        "auc": float(metrics.roc_auc_score(drawn, expected)),
        "pr_auc": float(metrics.average_precision_score(drawn, expected)),
        "log_loss": float(metrics.log_loss(drawn, expected)),
    }


def _batch(start: int, table: Table) -> Any:
    """Arrays -> one Arrow batch, the id in front; missing (NaN, -1) becomes null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = len(table["age"])
    numbers = pa.array(np.arange(start + 1, start + 1 + rows))
    ids = pc.binary_join_element_wise("C", pc.utf8_lpad(numbers.cast("string"), 9, "0"), "")
    columns = {ID: ids} | {name: _arrow(name, values) for name, values in table.items()}
    return pa.RecordBatch.from_pydict(columns)


def _arrow(name: str, values: Any) -> Any:
    import pyarrow as pa

    if name in WORDS:
        codes = pa.array(values.astype(np.int32), mask=values < 0)
        return pa.DictionaryArray.from_arrays(codes, WORDS[name]).dictionary_decode()
    if values.dtype == bool:
        return pa.array(values)
    empty = np.isnan(values)
    if name in _WHOLE_WITH_MISSING or name in ("age", "tenure_months", "days_since_last_session"):
        return pa.array(np.nan_to_num(values).astype(np.int32), mask=empty)
    return pa.array(values, mask=empty if empty.any() else None)


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.rows < 1 or options.seed < 0:
        parser.error("--rows must be 1 or more, --seed 0 or more")
    if not (options.out or options.best):
        parser.error("say --out FILE, --best, or both")
    if options.best:
        for model, found in best_reachable(options.rows, options.seed).items():
            print(f"{model:15}" + "  ".join(f"{key} {value:.4f}" for key, value in found.items()))
    if options.out:
        try:
            write(options.out, options.rows, options.seed)
        except OSError as error:
            print(f"{options.out}: cannot be written: {error.strerror}", file=sys.stderr)
            return 1
        print(f"wrote {options.out}: {options.rows} rows, {options.out.stat().st_size:,} bytes")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m steps.generate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=ROWS, help=f"how many customers ({ROWS})")
    parser.add_argument("--seed", type=int, default=SEED, help=f"which customers ({SEED})")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the CSV")
    parser.add_argument("--best", action="store_true", help="print the best reachable metrics")
    return parser


if __name__ == "__main__":
    sys.exit(main())
