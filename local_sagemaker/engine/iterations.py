"""The iterations of a ForEach: its body copied for every item, how many run, what they come to.

A ForEach whose items are known (`Items` in its result) is Executing until its iterations are over;
its children are ordinary steps of the expanded definition, named `<body>-<index>`, which the
executor starts, observes, caches and retries as any other. Pure: everything follows from the
definition and the results.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from local_sagemaker.engine import expressions, foreach, graph, paths
from local_sagemaker.engine.definition import Definition, Iteration, Step
from local_sagemaker.engine.expressions import ExpressionError
from local_sagemaker.engine.foreach import ForEachError
from local_sagemaker.errors import ApiError
from local_sagemaker.store import Row

Describe = Callable[[str], Any]  # the name of a step -> its properties
Statuses = Mapping[str, str]
_KNOWN_AT_ONCE = ("InputItemCount", "TotalStepCount")
_COUNTS = ("Succeeded", "Failed", "Stopped")


def expanded(definition: Definition, results: Mapping[str, Row]) -> Definition:
    """The definition with every body whose items are known replaced by its copies."""
    for name, step in definition.steps.items():
        if is_loop(step) and "Items" in results.get(name, {}):
            definition = _expand(definition, name, results[name]["Items"])
    return definition


def is_loop(step: Step) -> bool:
    return step.type.name == foreach.TYPE


def held_by(definition: Definition, loop: str) -> list[str]:
    """The names of the steps in a ForEach's body, or of its children once it is expanded."""
    return [name for name, step in definition.steps.items() if step.loop == loop]


def begun(definition: Definition, step: Step, items: list[Any]) -> Row:
    """What the result of a ForEach says once its items are known."""
    total = len(items) * len(held_by(definition, step.name))
    told = dict(zip(_KNOWN_AT_ONCE, (len(items), total), strict=True))
    return {"StepStatus": "Executing", "Items": items, "Metadata": {"ForEach": told}}


def kept_for_retry(
    definition: Definition, results: Mapping[str, Row], reacting: set[str], now: float
) -> dict[str, Row]:
    """The results that a retry leaves: what succeeded, but for what only reacted to a failure. A
    ForEach goes on with the same items; of one that succeeded everything stays.
    """
    kept: dict[str, Row] = {}
    for name, result in results.items():
        step = definition.steps[name]
        loop = step.loop if step.loop not in reacting else None
        done = loop is not None and results[loop]["StepStatus"] == "Succeeded"
        if done or (name not in reacting and result["StepStatus"] == "Succeeded"):
            kept[name] = result
        elif name not in reacting and is_loop(step) and "Items" in result:
            kept[name] = _reopened(result, now)
    return kept


def context(step: Step) -> Row | None:
    """The IterationContext of a child; None for any other step."""
    if step.iteration is None:
        return None
    item = expressions.as_text(step.iteration.item)
    return {"ParentStepName": step.loop, "Index": step.iteration.index, "Item": item}


def in_turn(definition: Definition, ready: Iterable[str], statuses: Statuses) -> list[str]:
    """Of the steps that may start, those that MaxConcurrency leaves room for; the children in the
    order of their iterations, so that one is finished before another is begun.
    """
    steps = definition.steps
    active = [steps[name].loop for name, status in statuses.items() if status in graph.ACTIVE]
    taken = Counter(loop for loop in active if loop is not None)
    chosen: list[str] = []
    for name in sorted(ready, key=lambda name: _index(steps[name])):
        loop = steps[name].loop
        if loop is None or taken[loop] < steps[loop].arguments["MaxConcurrency"]:
            chosen.append(name)
            taken.update([loop] if loop else [])
    return chosen


def over(definition: Definition, loop: str, statuses: Statuses, ready: Iterable[str]) -> bool:
    """Whether nothing of a ForEach runs and nothing more of it may start (`ready` may)."""
    children = set(held_by(definition, loop))
    active = any(statuses.get(name) in graph.ACTIVE for name in children)
    return not active and children.isdisjoint(ready)


def ending(
    definition: Definition,
    step: Step,
    results: Mapping[str, Row],
    stopping: bool,
    describe: Describe,
) -> tuple[Row, str, str]:
    """(Metadata, StepStatus, reason) of a ForEach that is over."""
    children = held_by(definition, step.name)
    statuses = {name: results[name]["StepStatus"] for name in children if name in results}
    counts = Counter(statuses.values())
    told = {f"{status}StepCount": counts[status] for status in _COUNTS}
    told["InputItemCount"] = len(results[step.name]["Items"])
    told["TotalStepCount"] = len(children)
    status, reason = _verdict(definition, results, statuses, stopping, len(children))
    more: Row = {}
    if status == "Succeeded" and step.arguments.get("Selector") is not None:
        try:
            more = {"Selector": _select(definition, step, statuses, describe)}
        except (ExpressionError, ApiError) as error:
            status, reason = "Failed", f"ClientError: {error}"
    return {"ForEach": {"Status": status, **told, **more}}, status, reason


def properties(definition: Definition, step: Step, result: Row, describe: Describe) -> Row:
    """What `Get: Steps.<ForEach>.<path>` walks through; `describe` raises ExpressionError for a
    child that has nothing to tell.
    """
    told = dict(result["Metadata"]["ForEach"])
    outputs: list[Row] = [{} for _ in result["Items"]]
    for name in held_by(definition, step.name):
        iteration = definition.steps[name].iteration
        try:
            described = describe(name)
        except ExpressionError:  # it did not run: what refers to it says that it is not there
            continue
        if iteration is not None:
            outputs[iteration.index][iteration.body] = described
    selector = told.pop("Selector", None)
    picked = {"Selected": outputs[selector["Index"]][selector["StepName"]]} if selector else {}
    return {**told, "IterationOutputs": outputs, **picked}


def _reopened(result: Row, now: float) -> Row:
    ended = ("EndTime", "FailureReason")
    kept = {member: value for member, value in result.items() if member not in ended}
    told = {member: result["Metadata"]["ForEach"][member] for member in _KNOWN_AT_ONCE}
    again = {"StepStatus": "Executing", "StartTime": now, "Metadata": {"ForEach": told}}
    return {**kept, **again}


def _expand(definition: Definition, loop: str, items: list[Any]) -> Definition:
    body = held_by(definition, loop)
    steps: dict[str, Step] = {}
    for name, step in definition.steps.items():
        if step.loop != loop:
            steps[name] = step
        if name == loop:
            copies = (
                _copy(definition.steps[each], Iteration(each, index, item), body)
                for index, item in enumerate(items)
                for each in body
            )
            steps |= {copy.name: copy for copy in copies}
    return replace(definition, steps=steps)


def _copy(step: Step, iteration: Iteration, body: list[str]) -> Step:
    """The body step for one item: what names a step of the body now names that one's copy."""

    def renamed(name: str) -> str:
        return f"{name}-{iteration.index}" if name in body else name

    arguments = _with_references(step.arguments, renamed)
    if step.type.name == "Cleanup":
        sources = [
            {**each, "StepName": renamed(each["StepName"])} for each in arguments["Resources"]["S3"]
        ]
        arguments = {**arguments, "Resources": {"S3": sources}}
    return replace(
        step,
        name=renamed(step.name),
        iteration=iteration,
        arguments=arguments,
        depends_on=tuple(map(renamed, step.depends_on)),
        triggers={renamed(need): trigger for need, trigger in step.triggers.items()},
    )


def _with_references(value: Any, renamed: Callable[[str], str]) -> Any:
    found = expressions.expression(value)
    if found is not None and found[0] == "Get":
        wanted = expressions.reference(found[1])
        if wanted.root != "Steps" or renamed(wanted.name) == wanted.name:
            return value
        return {"Get": paths.write(("Steps", renamed(wanted.name), *wanted.path))}
    if isinstance(value, dict):
        return {key: _with_references(each, renamed) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_references(each, renamed) for each in value]
    return value


def _index(step: Step) -> int:
    return step.iteration.index if step.iteration else -1


def _verdict(
    definition: Definition,
    results: Mapping[str, Row],
    statuses: Statuses,
    stopping: bool,
    total: int,
) -> tuple[str, str]:
    unanswered = graph.unanswered(definition, statuses, statuses)
    for status in graph.UNSUCCESSFUL:
        found = [name for name in unanswered if statuses[name] == status]
        if found:
            why = results[found[0]].get("FailureReason") or "no reason is known"
            reason = f"{len(found)} of {total} steps of the iterations are {status}; the first, "
            return status, f"Step failure: {reason}'{found[0]}': {why}"
    return ("Stopped", "") if stopping and len(statuses) < total else ("Succeeded", "")


def _select(definition: Definition, step: Step, statuses: Statuses, describe: Describe) -> Row:
    """The iteration that the Selector picks; of equal ones the first."""
    pick, body, path = foreach.selected(step.arguments["Selector"])
    values: dict[int, float] = {}
    for name in held_by(definition, step.name):
        iteration = definition.steps[name].iteration
        succeeded = statuses.get(name) == "Succeeded"
        if succeeded and iteration is not None and iteration.body == body:
            values[iteration.index] = _number(name, path, describe)
    if not values:
        raise ForEachError(f"Selector: no '{body}' step has succeeded")
    index = (max if pick == "MaxBy" else min)(values, key=lambda index: values[index])
    return {"StepName": body, "Index": index}


def _number(name: str, path: paths.Path, describe: Describe) -> float:
    try:
        found = paths.follow(describe(name), path)
    except paths.PathError as error:
        raise ForEachError(f"Selector: step '{name}': {error}") from None
    try:
        number = float("nan" if isinstance(found, bool) else found)
    except (TypeError, ValueError):
        number = float("nan")
    if number != number:
        raise ForEachError(
            f"Selector: {paths.write(path)} of step '{name}' is {found!r}, which is no number"
        )
    return number
