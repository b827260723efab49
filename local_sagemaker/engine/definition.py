"""A pipeline definition: the JSON document that CreatePipeline receives, read into steps and
parameters.

Lives here: the shape of the document, step by step. What holds between steps (references,
dependencies, cycles) is lint.py's; expressions stay unresolved until their step starts. Nulls count
as not written.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from local_sagemaker.engine import (
    check_types,
    cleanups,
    conditions,
    expressions,
    foreach,
    lineage_steps,
    outputs,
    parameters,
    retries,
    step_types,
)
from local_sagemaker.engine.cache import parse_duration
from local_sagemaker.engine.paths import did_you_mean
from local_sagemaker.engine.retries import RetryPolicy
from local_sagemaker.engine.step_types import STEP_TYPES, StepType

VERSION = "2020-12-01"
TOP_KEYS = ("Version", "Metadata", "Parameters", "PipelineExperimentConfig", "Steps")
BRANCHES = {"True": "IfSteps", "False": "ElseSteps"}
# The trigger of a DependsOn entry -> the StepStatus of the step it names that lets ours run.
TRIGGERS = {
    "Completed": ("Succeeded",),
    "Failed": ("Failed",),
    "Stopped": ("Stopped",),
    "Any": ("Succeeded", "Failed", "Stopped"),
}
_STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")


class DefinitionError(ValueError):
    """A definition that cannot run; the message names the step and what is allowed."""


@dataclass(frozen=True)
class PropertyFile:
    name: str
    output_name: str
    file_path: str


@dataclass(frozen=True)
class Iteration:
    """Which of a ForEach's iterations a step belongs to, and the body step that it is a copy of."""

    body: str
    index: int
    item: Any


@dataclass(frozen=True)
class Step:
    """One step, wherever it stands: `parent` is the Condition whose `branch` holds it, `loop` the
    ForEach whose body does. A body step runs as copies only, one for each `iteration`.

    `arguments` is its request: the Arguments and the type's `members`. `triggers` names those of
    `depends_on` that need not succeed (TRIGGERS).
    """

    name: str
    type: StepType
    arguments: dict[str, Any]
    depends_on: tuple[str, ...] = ()
    display_name: str | None = None
    description: str | None = None
    parent: str | None = None
    branch: str | None = None
    expire_after: str | None = None  # None: not cached
    retries: tuple[RetryPolicy, ...] = ()
    property_files: dict[str, PropertyFile] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    loop: str | None = None
    iteration: Iteration | None = None

    @property
    def runs(self) -> bool:
        """Not so for a body step before it is copied."""
        return self.loop is None or self.iteration is not None

    @property
    def written_name(self) -> str:
        """Its name in the definition's text."""
        return self.iteration.body if self.iteration else self.name

    @property
    def expressions(self) -> Any:
        """Where the step's own references stand (not those of the steps that it holds)."""
        if self.type.name == "Condition":
            return list(conditions.operands(self.arguments["Conditions"]))
        if self.type.name == foreach.TYPE:
            return self.arguments["IterableItems"]
        return self.arguments


@dataclass(frozen=True)
class Definition:
    """A whole definition; `steps` is flat, in document order, branches after their condition and
    bodies after their ForEach.
    """

    parameters: tuple[parameters.Parameter, ...]
    steps: dict[str, Step]
    experiment: dict[str, Any] | None = None


def read(text: str) -> Definition:
    """Read a definition. Raises DefinitionError at the first thing that has the wrong shape."""
    document = _load(text)
    unknown = [key for key, value in document.items() if value is not None and key not in TOP_KEYS]
    if unknown:
        raise DefinitionError(f"{unknown[0]} is not supported; allowed is {', '.join(TOP_KEYS)}")
    if (document.get("Version") or VERSION) != VERSION:
        raise DefinitionError(f"Version {document['Version']!r} is not supported; use '{VERSION}'")
    steps: dict[str, Step] = {}
    for step in _steps(document.get("Steps"), "Steps"):
        if step.name in steps:
            raise DefinitionError(
                f"step name '{step.name}' is used twice; step names must be unique"
            )
        steps[step.name] = step
    return Definition(
        _parameters(document.get("Parameters") or []),
        steps,
        document.get("PipelineExperimentConfig"),
    )


def _load(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DefinitionError(
            f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno} "
            f"(character {error.pos})"
        ) from None
    except RecursionError:
        raise DefinitionError("it is nested too deeply") from None
    if not isinstance(document, dict):
        raise DefinitionError(f"it must be a JSON object, not {type(document).__name__}")
    return document


def _parameters(entries: Any) -> tuple[parameters.Parameter, ...]:
    if not isinstance(entries, list):
        raise DefinitionError("Parameters must be a list")
    try:
        declared = tuple(parameters.declare(entry) for entry in entries)
    except parameters.ParameterError as error:
        raise DefinitionError(str(error)) from None
    names = [parameter.name for parameter in declared]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DefinitionError(f"parameter '{twice[0]}' is declared twice")
    return declared


def _steps(entries: Any, place: str, parent: str | None = None, **where: Any) -> Iterator[Step]:
    if not isinstance(entries, list) or (not entries and parent is None):
        raise DefinitionError(f"{place} must be a list of steps")
    for position, entry in enumerate(entries):
        step = replace(_step(entry, f"{place}[{position}]"), parent=parent, **where)
        yield step
        if step.type.name == foreach.TYPE:
            body = step.arguments["ForEachBody"]
            yield from _steps(body, f"ForEachBody of step '{step.name}'", loop=step.name)
        if step.type.name == "Condition":
            for outcome, key in BRANCHES.items():
                inner = step.arguments.get(key) or []
                within = f"{key} of step '{step.name}'"
                yield from _steps(inner, within, step.name, branch=outcome)


def _step(entry: Any, place: str) -> Step:
    name = entry.get("Name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not _STEP_NAME.fullmatch(name):
        raise DefinitionError(
            f"{place} has the name {name!r}; a step is an object whose Name has 1 to 64 letters, "
            "digits, '-' and '_'"
        )
    kind = _type(name, entry)
    arguments = entry.get("Arguments")
    if not isinstance(arguments, dict):
        raise DefinitionError(f"step '{name}' has no Arguments")
    try:
        request = _request(kind, entry)
        _check_request(kind, request)
        triggers = _triggers(_list(entry, "DependsOn"))
        return Step(
            name,
            kind,
            request,
            tuple(triggers),
            _text(entry, "DisplayName"),
            _text(entry, "Description"),
            expire_after=_expire_after(entry.get("CacheConfig")),
            retries=tuple(retries.read(each, kind.retry) for each in _list(entry, "RetryPolicies")),
            property_files=_property_files(_list(entry, "PropertyFiles")),
            triggers={need: how for need, how in triggers.items() if how != "Completed"},
        )
    except ValueError as error:
        raise DefinitionError(f"step '{name}': {error}") from None


def _list(entry: dict[str, Any], key: str) -> list[Any]:
    value = entry.get(key)
    if value is not None and not isinstance(value, list):
        raise DefinitionError(f"{key} must be a list, not {value!r}")
    return value or []


def _text(entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise DefinitionError(f"{key} must be a text, not {value!r}")
    return value


def _type(name: str, entry: dict[str, Any]) -> StepType:
    kind = STEP_TYPES.get(str(entry.get("Type")))
    if kind is None:
        raise DefinitionError(
            f"step '{name}' has the type '{entry.get('Type')}', which is not supported; "
            f"supported is {', '.join(step_types.supported())}"
        )
    missing = step_types.missing_operations(kind)
    if missing:
        raise DefinitionError(
            f"step '{name}' has the type '{kind.name}', which is not supported: the local "
            f"SageMaker has no {', '.join(missing)}; supported is "
            f"{', '.join(step_types.supported())}"
        )
    for key, value in entry.items():
        if value is not None and key not in kind.allowed_keys:
            raise DefinitionError(
                f"step '{name}': {key} is not supported on a step of type {kind.name}; "
                f"allowed is {', '.join(kind.allowed_keys)}"
            )
    return kind


def _request(kind: StepType, entry: dict[str, Any]) -> dict[str, Any]:
    members = {name: entry[name] for name in kind.members if entry.get(name) is not None}
    arguments = entry["Arguments"]
    return {**members, kind.payload: arguments} if kind.payload else {**arguments, **members}


def _check_request(kind: StepType, request: dict[str, Any]) -> None:
    if kind.name == "Condition":
        conditions.check(request.get("Conditions"))
    if kind.name == "Fail" and request.get("ErrorMessage") is None:
        raise DefinitionError("Arguments must hold an ErrorMessage")
    if kind.payload is not None:
        _check_payload(kind, request)
    if kind.name == "Cleanup":
        cleanups.sources(request)
    if kind.name == foreach.TYPE:
        foreach.check(request)
    if kind.name == "Lineage":
        lineage_steps.check(request)
    if check_types.names_of(kind.name):
        check_types.check(kind.name, request)


def _check_payload(kind: StepType, request: dict[str, Any]) -> None:
    target = request.get(kind.members[0])
    if not (isinstance(target, str) and target) and expressions.expression(target) is None:
        raise DefinitionError(f"{kind.members[0]} must be a text, not {target!r}")
    for name, value in request[str(kind.payload)].items():
        if isinstance(value, dict | list) and expressions.expression(value) is None:
            raise DefinitionError(
                f"Arguments: '{name}' must be a text, a number, a boolean or a reference, "
                f"not {value!r}"
            )
    request.setdefault("OutputParameters", [])
    outputs.check(request["OutputParameters"])


def _triggers(entries: list[Any]) -> dict[str, str]:
    """The steps that DependsOn names -> their triggers."""
    triggers: dict[str, str] = {}
    for entry in entries:
        entry = {"Step": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or not isinstance(entry.get("Step"), str):
            raise DefinitionError(f"DependsOn takes step names, not {entry!r}")
        name, trigger = entry["Step"], entry.get("Trigger") or "Completed"
        if str(trigger) not in TRIGGERS:
            raise DefinitionError(
                f"DependsOn '{name}': Trigger {trigger!r} is not one of {', '.join(TRIGGERS)}"
            )
        if triggers.get(name, trigger) != trigger:
            raise DefinitionError(
                f"DependsOn '{name}' has two triggers, {triggers[name]} and {trigger}; give one"
            )
        triggers[name] = trigger
    return triggers


def _expire_after(config: Any) -> str | None:
    if config is None:
        return None
    if not isinstance(config, dict) or not isinstance(config.get("Enabled"), bool):
        raise DefinitionError(
            f'CacheConfig takes {{"Enabled": true or false, "ExpireAfter": ...}}, not {config!r}'
        )
    if not config["Enabled"]:
        return None
    parse_duration(config.get("ExpireAfter"))
    return str(config["ExpireAfter"])


def _property_files(entries: list[Any]) -> dict[str, PropertyFile]:
    members = ("PropertyFileName", "OutputName", "FilePath")
    files: dict[str, PropertyFile] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(m), str) for m in members):
            raise DefinitionError(f"a property file needs {', '.join(members)}, not {entry!r}")
        unknown = [key for key in entry if key not in members]
        if unknown:
            raise DefinitionError(f"property file: {did_you_mean(unknown[0], members)}")
        file = PropertyFile(*(entry[member] for member in members))
        files[file.name] = file
    return files
