"""Step 1 of the pipeline: does the data look as the problem spec says?

    processing/input/data/* -> processing/output/validation/{validation.json, data_docs/}

The suite of steps/expectations.py is run by Great Expectations, whose Data Docs are kept and made
to open without a network. Data that does not pass stops the pipeline: DataRefusedError says why in
one paragraph, which steps/run.py leaves where SageMaker looks for it. Nothing is written outside
--root, nothing is sent anywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from steps import data_docs, job, tables
from steps.expectations import Expectation, detail, expectations
from steps.problem import Problem

Failure = dict[str, str | None]
_SHOWN = 8
_UNREADABLE = "readable_table"  # ours: there is no table that an expectation could be asked of


class DataRefusedError(Exception):
    """The data is not what the spec says; the message is the whole story."""


def validate(problem: Problem, paths: list[Path], out: Path) -> dict[str, Any]:
    """Check the files, write validation.json and data_docs/ into `out`, give back the former."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        frame = tables.read(problem, paths, partial=True)
    except tables.TableError as error:
        failure: Failure = {"expectation": _UNREADABLE, "column": None, "detail": str(error)}
        outcome = {"success": False, "rows": 0, "expectations": 1, "failed": [failure]}
    else:
        outcome = _checked(problem, frame, out / "data_docs")
    (out / "validation.json").write_text(json.dumps(outcome, indent=1) + "\n")
    return outcome


def _checked(problem: Problem, frame: pd.DataFrame, docs: Path) -> dict[str, Any]:
    bad = {found.column: found for found in tables.unreadable(frame, problem)}
    wanted = [
        expectation
        for expectation in expectations(problem, bad.keys())
        if expectation.arguments.get("column", frame.columns[0]) in frame
    ]
    results = run_suite(problem.name, frame, wanted, docs)
    columns = {column.name: column for column in problem.columns}
    failed: list[Failure] = []
    for expectation, result in zip(wanted, results, strict=True):
        if result["success"]:
            continue
        name = expectation.arguments.get("column")
        if name in bad and expectation.type == "ExpectColumnValuesToBeOfType":
            result["result"] |= {
                "unexpected_count": bad[name].rows,
                "element_count": len(frame),
                "partial_unexpected_list": bad[name].samples,
            }
        failed.append(
            {
                "expectation": result["expectation_config"]["type"],
                "column": name,
                "detail": detail(expectation, columns.get(name or ""), result["result"]),
            }
        )
    return {
        "success": not failed,
        "rows": len(frame),
        "expectations": len(wanted),
        "failed": failed,
    }


def run_suite(
    name: str, frame: pd.DataFrame, wanted: list[Expectation], docs: Path
) -> list[dict[str, Any]]:
    """Great Expectations on the frame: results in the order of `wanted`, pages in `docs`."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read once, when it is imported
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("input")
    rows = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    members = [
        getattr(gx.expectations, expectation.type)(**expectation.arguments, meta={"order": order})
        for order, expectation in enumerate(wanted)
    ]
    # Not through a checkpoint: it stores and compares everything several times.
    result = rows.get_batch({"dataframe": frame}).validate(
        gx.ExpectationSuite(name=name, expectations=members), result_format="BASIC"
    )
    write_page(result, docs)
    found = [each.to_json_dict() for each in result.results]
    return sorted(found, key=lambda each: each["expectation_config"]["meta"]["order"])


def write_page(result: Any, docs: Path) -> None:
    """docs/index.html: the result as a page to read."""
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "index.html").write_text(data_docs.page(result), "utf-8")


def paragraph(outcome: dict[str, Any]) -> str:
    """Why the data was refused, for the status of the job: at most 1,000 characters."""
    failed = outcome["failed"]
    if failed[0]["expectation"] == _UNREADABLE:
        return f"Data validation failed: the data cannot be read. {failed[0]['detail']}"
    reasons = [
        f"{failure['column']}: {failure['detail']}" if failure["column"] else failure["detail"]
        for failure in failed[:_SHOWN]
    ]
    more = f" ... and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
    lead = f"Data validation failed: {len(failed)} of {outcome['expectations']} expectations"
    text = f"{lead} do not hold. {'; '.join(reasons)}{more}"
    return text if len(text) <= 1000 else text[:997] + "..."


def main(argv: Sequence[str] | None = None) -> int:
    parser = job.parser("validate", "Check the data against the problem spec.")
    job.add_problem(parser)
    arguments = parser.parse_args(argv)
    problem = job.problem(arguments)
    paths = tables.files(arguments.root / "processing/input/data")
    outcome = validate(problem, paths, arguments.root / "processing/output/validation")
    if not outcome["success"]:
        raise DataRefusedError(paragraph(outcome))
    print(f"validate: {outcome['rows']:,} rows pass {outcome['expectations']} expectations")
    return 0
