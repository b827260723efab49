"""Trial components: those that users make, and one for every job.

A job's component is derived from the job's row whenever it is read (job_components.py), and is part
of the trial that the job's ExperimentConfig names. So nothing is written while jobs run, and after
a kill -9 there is nothing to catch up with. Only what a user changes of it (members, associations,
its deletion) is a row, an overlay under the component's name that says of which job it is.

Metrics are those of the job's log and those that were put with sagemaker-metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from local_sagemaker.arns import is_arn
from local_sagemaker.engine import experiments, job_components, metrics
from local_sagemaker.engine.job_components import TRIALS
from local_sagemaker.errors import resource_not_found, validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import KINDS, Point, Row

KIND = "experiment-trial-component"
MAPS = {"Parameters": 300, "InputArtifacts": 60, "OutputArtifacts": 60}  # and how many they hold
OF_JOB = "OfJob"  # an overlay's kind of job; a user's own component has no such member
DELETED = "Deleted"  # in an overlay: the user has deleted the job's component


def find(plane: Plane, name_or_arn: str) -> Row:
    """The component, by name or ARN. Raises ResourceNotFound."""
    found = get(plane, name_or_arn)
    if found is None:
        raise resource_not_found(f"TrialComponent '{name_or_arn}' not found.")
    return found


def get(plane: Plane, name_or_arn: str) -> Row | None:
    name = name_or_arn.rpartition("/")[2] if is_arn(name_or_arn) else name_or_arn
    stored = plane.store.get(KIND, name)
    if stored is not None and OF_JOB not in stored:
        found: Row | None = stored
    else:
        found = _of_job(plane, name, stored)
    if found is None:
        return None
    return with_points(found, plane.store.points(found["TrialComponentName"]))


def everything(plane: Plane) -> list[tuple[int, Row]]:
    """Every component and a number of its own; Metrics are those of the log alone."""
    stored = plane.store.numbered(KIND)
    overlays = {row["TrialComponentName"].lower(): row for _, row in stored}
    found = [(number, row) for number, row in stored if OF_JOB not in row]
    for kind in job_components.JOBS:
        for number, job in plane.store.numbered(kind):
            name = job_components.component_name(kind, job[KINDS[kind].arn])
            derived = _derived(kind, job, overlays.get(name))
            if derived is not None:
                found.append((number, derived))
    return found


def of_trial(plane: Plane, trial_name: str) -> list[Row]:
    return [row for _, row in everything(plane) if is_part(row, trial_name)]


def is_part(component: Row, trial_name: str) -> bool:
    """Is the component associated with this trial?"""
    return trial_name.lower() in (each.lower() for each in component[TRIALS])


def check(request: Row) -> None:
    """What the model cannot say of a component's members; raises ApiError."""
    for name, value in request.get("Parameters", {}).items():
        if len(value) != 1:
            raise validation(
                f"Parameters '{name}' must have StringValue or NumberValue, exactly one of them"
            )


def with_points(row: Row, points: Mapping[str, Iterable[Point]]) -> Row:
    """The component with the metrics that were put, which go before those of the log."""
    put: dict[str, metrics.Summary] = {}
    times: dict[str, float] = {}
    for name, _, time, value in points.get(row["TrialComponentName"].lower(), ()):
        put.setdefault(name, metrics.Summary()).add(value)
        times[name] = time
    logged = [each for each in row.get("Metrics", ()) if each["MetricName"] not in put]
    source = {"SourceArn": row.get("Source", {}).get("SourceArn", row["TrialComponentArn"])}
    shown = [{**each.members(name, times[name]), **source} for name, each in put.items()]
    return {**row, "Metrics": [*logged, *shown]}


def change(plane: Plane, name: str, changes: Row) -> Row:
    """Set members; of maps, entries, of which those that are None go. Raises ApiError."""
    with experiments.CHANGING:
        found = find(plane, name)
        name = found["TrialComponentName"]
        for member, most in MAPS.items():
            held = len(_merged(found, changes).get(member, {}))
            if held > most:
                raise validation(f"{member} of '{name}' would be {held}; the most is {most}")
        _begin_overlay(plane, found)
        changes = {**changes, "LastModifiedTime": plane.clock.now()}

        def edit(row: Row) -> Row:
            return _merged(row, changes, keep_removed=OF_JOB in row)

        plane.store.edit(KIND, name, edit)
        return find(plane, name)


def delete(plane: Plane, name: str) -> Row:
    """Raises ApiError when there is none, or while it is part of a trial."""
    with experiments.CHANGING:
        found = find(plane, name)
        if found[TRIALS]:
            raise validation(
                f"TrialComponent '{found['TrialComponentArn']}' is linked to 1 or more trials and "
                "cannot be deleted."
            )
        name = found["TrialComponentName"]
        with plane.store.together():
            plane.store.delete(KIND, name)
            plane.store.remove_points(name)
            plane.store.remove_tags(found["TrialComponentArn"], _tag_keys(plane, found))
            if job_components.job_of(name) and _of_job(plane, name, None) is not None:
                _begin_overlay(plane, {**found, DELETED: True})
        return found


def associate(plane: Plane, name: str, trial_name: str) -> Row:
    with experiments.CHANGING:
        trial, found = experiments.trial(plane, trial_name), find(plane, name)
        if not is_part(found, trial_name):
            found = change(plane, name, {TRIALS: [*found[TRIALS], trial["TrialName"]]})
    return {**found, **trial}


def disassociate(plane: Plane, name: str, trial_name: str) -> Row:
    with experiments.CHANGING:
        trial, found = experiments.trial(plane, trial_name), find(plane, name)
        if not is_part(found, trial_name):
            raise resource_not_found(
                f"TrialComponent '{found['TrialComponentName']}' is not associated with Trial "
                f"'{trial['TrialName']}'."
            )
        rest = [each for each in found[TRIALS] if each.lower() != trial_name.lower()]
        found = change(plane, name, {TRIALS: rest})
    return {**found, **trial}


def _of_job(plane: Plane, name: str, overlay: Row | None) -> Row | None:
    job = job_components.job_of(name)
    row = plane.store.get(*job) if job is not None else None
    return _derived(job[0], row, overlay) if job is not None and row is not None else None


def _derived(kind: str, job: Row, overlay: Row | None) -> Row | None:
    """None when the user has deleted it, or has made a component of that name before."""
    if overlay is not None and (DELETED in overlay or OF_JOB not in overlay):
        return None
    derived = job_components.component(kind, job)
    if overlay is None:
        return derived
    moment = max(derived["LastModifiedTime"], overlay["LastModifiedTime"])
    return {**_merged(derived, overlay), "LastModifiedTime": moment}


def _begin_overlay(plane: Plane, found: Row) -> None:
    name = found["TrialComponentName"]
    if plane.store.get(KIND, name) is not None:
        return
    kind, _ = job_components.job_of(name) or ("", "")
    members = ("TrialComponentName", "TrialComponentArn", "LastModifiedTime", DELETED)
    row = {member: found[member] for member in members if member in found}
    plane.store.insert(KIND, name, {**row, OF_JOB: kind})


def _merged(row: Row, changes: Row, keep_removed: bool = False) -> Row:
    merged = {**row, **changes}
    for member in MAPS:
        if member in row or member in changes:
            both = {**row.get(member, {}), **changes.get(member, {})}
            kept = both.items() if keep_removed else _there(both)
            merged[member] = dict(kept)
    return merged


def _there(values: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in values.items() if value is not None)


def _tag_keys(plane: Plane, found: Row) -> list[str]:
    return [tag["Key"] for tag in plane.store.tags(found["TrialComponentArn"])]
