"""The resources that Search finds: for each, where its records come from and what they hold beside
the row. Tags are added to a record when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine import (
    experiments,
    pipeline_rows,
    serving,
    trial_components,
    tuning_rows,
)
from local_sagemaker.engine.expressions import as_text
from local_sagemaker.engine.job_components import TRIALS
from local_sagemaker.engine.properties import number
from local_sagemaker.plane import Plane
from local_sagemaker.store import KINDS, Row

Records = list[tuple[int, Row]]


@dataclass(frozen=True)
class Searchable:
    """The member of SearchRecord, the member that holds the ARN, and all there is to search."""

    member: str
    arn: str
    records: Callable[[Plane], Records]


def _rows(member: str, kind: str, shown: Callable[[Plane, Row], Row] | None = None) -> Searchable:
    def records(plane: Plane) -> Records:
        rows = plane.store.numbered(kind)
        return rows if shown is None else [(number, shown(plane, row)) for number, row in rows]

    return Searchable(member, KINDS[kind].arn, records)


def _trials(plane: Plane) -> Records:
    parts: dict[str, list[Row]] = {}
    for _, row in trial_components.everything(plane):
        summary = {**row, "TrialComponentSource": row.get("Source")}
        for name in row[TRIALS]:
            parts.setdefault(name.lower(), []).append(summary)
    return [
        (number, {**row, "TrialComponentSummaries": parts.get(row["TrialName"].lower(), [])})
        for number, row in plane.store.numbered(experiments.TRIAL)
    ]


def _components(plane: Plane) -> Records:
    owners = {
        row["TrialName"].lower(): {key: row[key] for key in ("TrialName", "ExperimentName")}
        for row in plane.store.rows(experiments.TRIAL)
    }
    points = plane.store.points()

    def shown(row: Row) -> Row:
        parents = [owners[name.lower()] for name in row[TRIALS] if name.lower() in owners]
        return {**trial_components.with_points(row, points), "Parents": parents}

    return [(number, shown(row)) for number, row in trial_components.everything(plane)]


def _execution(_: Plane, row: Row) -> Row:
    given = [{"Name": n, "Value": as_text(value)} for n, value in row["Parameters"].items()]
    return {**row, "PipelineParameters": given}


RESOURCES: dict[str, Searchable] = {
    "TrainingJob": _rows("TrainingJob", "training-job"),
    "Experiment": _rows("Experiment", experiments.EXPERIMENT),
    "ExperimentTrial": Searchable("Trial", "TrialArn", _trials),
    "ExperimentTrialComponent": Searchable("TrialComponent", "TrialComponentArn", _components),
    "Endpoint": _rows("Endpoint", serving.KIND, serving.described),
    "ModelPackage": _rows("ModelPackage", "model-package"),
    "ModelPackageGroup": _rows("ModelPackageGroup", "model-package-group"),
    "Pipeline": _rows("Pipeline", pipeline_rows.PIPELINE),
    "PipelineExecution": _rows("PipelineExecution", pipeline_rows.EXECUTION, _execution),
    "HyperParameterTuningJob": _rows(
        "HyperParameterTuningJob", tuning_rows.KIND, tuning_rows.described
    ),
}


def with_tags(plane: Plane, resource: Searchable, record: Row) -> Row:
    return {**record, "Tags": plane.store.tags(record[resource.arn])}


def sort_values(found: list[list[Any]]) -> list[Any]:
    """What each record is sorted by, its first value; texts that are all numbers sort as such."""
    firsts = [values[0] if values else None for values in found]
    texts = [each for each in firsts if isinstance(each, str)]
    if texts and all(number(each) is not None for each in firsts if each is not None):
        return [None if each is None else number(each) for each in firsts]
    return [str(each) if texts and each is not None else each for each in firsts]
