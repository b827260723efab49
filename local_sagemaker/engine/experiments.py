"""Experiments and their trials: finding them, making those that a pipeline or a job asks for.

What a trial consists of is in trial_components.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from local_sagemaker.arns import arn
from local_sagemaker.errors import resource_not_found, validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Row

EXPERIMENT = "experiment"
TRIAL = "experiment-trial"
# A trial is checked and then added to, or found empty and then deleted: one of these at a time.
# Whoever takes it may not have written in a transaction that is still open.
CHANGING = threading.RLock()


def experiment(plane: Plane, name: str) -> Row:
    """The experiment's row. Raises ResourceNotFound."""
    row = plane.store.get(EXPERIMENT, name)
    if row is None:
        raise resource_not_found(f"Experiment '{arn(plane.config, EXPERIMENT, name)}' not found.")
    return row


def trial(plane: Plane, name: str) -> Row:
    """The trial's row. Raises ResourceNotFound."""
    row = plane.store.get(TRIAL, name)
    if row is None:
        raise resource_not_found(f"Trial '{arn(plane.config, TRIAL, name)}' not found.")
    return row


def trials_of(plane: Plane, experiment_name: str) -> list[Row]:
    return plane.store.rows(TRIAL, in_experiment(experiment_name))


def in_experiment(experiment_name: str) -> Callable[[Row], bool]:
    """Does a trial belong to this experiment? Names are compared as the store does."""
    return lambda row: str(row["ExperimentName"]).lower() == experiment_name.lower()


def new(plane: Plane, kind: str, members: Row) -> Row:
    """A new experiment's or trial's row."""
    name_member, arn_member = NAMES[kind]
    now = plane.clock.now()
    return {
        "DisplayName": members[name_member],
        **{member: value for member, value in members.items() if member != "Tags"},
        arn_member: arn(plane.config, kind, members[name_member]),
        "CreationTime": now,
        "CreatedBy": {},
        "LastModifiedTime": now,
        "LastModifiedBy": {},
    }


def record_execution(plane: Plane, execution: Row) -> None:
    """Make the experiment and the trial of an execution, where they are not there yet."""
    names = execution.get("PipelineExperimentConfig") or {}
    if "ExperimentName" not in names:
        return
    source = {"Source": {"SourceArn": execution["PipelineArn"]}}
    with CHANGING:
        _ensure(plane, EXPERIMENT, {"ExperimentName": names["ExperimentName"], **source})
        if "TrialName" in names:
            run = {"Source": {"SourceArn": execution["PipelineExecutionArn"]}}
            ensure_trial(plane, names["ExperimentName"], names["TrialName"], run)


def ensure_trial(plane: Plane, experiment_name: str, name: str, source: Row) -> None:
    """Make the trial unless it is there. Raises ApiError when it is another experiment's."""
    with CHANGING:
        owner = experiment(plane, experiment_name)["ExperimentName"]
        _ensure(plane, TRIAL, {"TrialName": name, "ExperimentName": owner, **source})
        check_owner(trial(plane, name), experiment_name)


def check_owner(row: Row, experiment_name: str) -> None:
    """Raise ApiError unless the trial belongs to this experiment."""
    if not in_experiment(experiment_name)(row):
        raise validation(
            f"Trial '{row['TrialName']}' belongs to experiment '{row['ExperimentName']}', not to "
            f"'{experiment_name}'; name that experiment, or another trial"
        )


def job_config(plane: Plane, request: Row, job_name: str) -> Row:
    """The ExperimentConfig of a new job's row, {} when it has none: its names are checked, and a
    job that names an experiment alone gets a trial of its own.
    """
    config = request.get("ExperimentConfig")
    if not config:
        return {}
    names = [config[name] for name in ("ExperimentName",) if name in config]
    if "TrialName" in config:
        row = trial(plane, config["TrialName"])
        for name in names:
            check_owner(row, name)
    elif names:
        config = {**config, "TrialName": f"{job_name}-aws-trial"}
        ensure_trial(plane, names[0], config["TrialName"], {})
    return {"ExperimentConfig": config}


def step_config(arguments: Row, execution: Row) -> Row:
    """A job's request as a step of the execution makes it: in the execution's trial, if any."""
    names = execution.get("PipelineExperimentConfig") or {}
    if "TrialName" not in names:
        return arguments
    given = arguments.get("ExperimentConfig") or {}
    return {**arguments, "ExperimentConfig": {**given, **names}}


def _ensure(plane: Plane, kind: str, members: Row) -> None:
    name = members[NAMES[kind][0]]
    if plane.store.get(kind, name) is not None:
        return
    try:
        plane.store.insert(kind, name, new(plane, kind, members))
    except Duplicate:  # somebody else was quicker: it is there
        return


NAMES = {EXPERIMENT: ("ExperimentName", "ExperimentArn"), TRIAL: ("TrialName", "TrialArn")}
