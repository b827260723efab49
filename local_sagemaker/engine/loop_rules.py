"""What must hold between a ForEach, its body and the other steps of a definition: rules of lint.py.

`meant` tells which step a reference is about: `Steps.F.IterationOutputs[0].Score.X` is about X of
the body step Score.
"""

import re
from collections.abc import Iterator

from local_sagemaker.engine import expressions, foreach, paths
from local_sagemaker.engine.definition import Definition, Step
from local_sagemaker.engine.expressions import Reference
from local_sagemaker.engine.paths import did_you_mean

OUTPUTS = "IterationOutputs"
SELECTED = "Selected"
AGGREGATES = (
    "Status",
    "InputItemCount",
    "TotalStepCount",
    "SucceededStepCount",
    "FailedStepCount",
    "StoppedStepCount",
)
# A step's name has at most 64 characters, that of a child ends with its index.
LONGEST_BODY_NAME = 64 - len(f"-{foreach.MOST_ITEMS - 1}")
_CHILD = re.compile(r"(?P<body>.+)-[0-9]+")


class UnknownOutput(ValueError):  # noqa: N818 - it says what is the case
    """A ForEach has no such output; the message names those it has."""


def bodies_are_referred_to_through_their_for_each(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        for name, place in _named(step):
            other = definition.steps.get(name)
            if name == step.loop:
                yield f"step '{step.name}': {place} names the ForEach in whose body it stands"
            elif other is not None and other.loop not in (None, step.loop):
                yield (
                    f"step '{step.name}': {place} names a step in the ForEachBody of "
                    f"'{other.loop}'; depend on '{other.loop}', and refer to "
                    f"Steps.{other.loop}.{OUTPUTS}[0].{name}"
                )


def bodies_answer_only_their_own_failures(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        for name, trigger in step.triggers.items():
            other = definition.steps.get(name)
            if step.loop is not None and other is not None and other.loop != step.loop:
                yield (
                    f"step '{step.name}': the Trigger {trigger} on '{name}' must be given to the "
                    f"ForEach '{step.loop}', since '{name}' does not stand in its body"
                )


def children_have_names_of_their_own(definition: Definition) -> Iterator[str]:
    bodies = {name: step.loop for name, step in definition.steps.items() if step.loop is not None}
    for name in definition.steps:
        match = _CHILD.fullmatch(name)
        if match is not None and match["body"] in bodies:
            yield (
                f"step name '{name}' is what an iteration of '{match['body']}' in the ForEachBody "
                f"of '{bodies[match['body']]}' is named; rename the step"
            )
    for name, loop in bodies.items():
        if len(name) > LONGEST_BODY_NAME:
            yield (
                f"step name '{name}' is too long for the ForEachBody of '{loop}', whose steps are "
                f"named {name}-0 and so on; {LONGEST_BODY_NAME} characters may be"
            )


def current_items_stand_in_a_body(definition: Definition) -> Iterator[str]:
    places = [(f"step '{s.name}'", s.expressions) for s in definition.steps.values() if not s.loop]
    for place, value in [*places, ("PipelineExperimentConfig", definition.experiment)]:
        for found in expressions.references(value):
            if found.root == "ForEach":
                yield f"{place}: {found.text} exists only in the steps of a ForEachBody"


def selectors_compare_a_step_of_the_body(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        body = selected_body(step)
        own = _body(definition, step.name)
        if body is not None and body not in own:
            yield (
                f"step '{step.name}': Selector: Field names '{body}', which is no step of its "
                f"ForEachBody; {did_you_mean(body, own)}"
            )


def selected_body(step: Step) -> str | None:
    """The body step that the Selector of a ForEach compares."""
    selector = step.arguments.get("Selector") if step.type.name == foreach.TYPE else None
    return foreach.selected(selector)[1] if selector is not None else None


def compared(definition: Definition, step: Step) -> tuple[Step, paths.Path] | None:
    """What the Selector of a ForEach compares."""
    body = definition.steps.get(selected_body(step) or "")
    return (body, foreach.selected(step.arguments["Selector"])[2]) if body is not None else None


def meant(definition: Definition, found: Reference) -> tuple[Step, paths.Path] | None:
    """The step whose properties a reference is about, and the path in them; None when it is a
    count of a ForEach, or about an unknown step. Raises UnknownOutput.
    """
    step = definition.steps.get(found.name)
    if step is None or step.type.name != foreach.TYPE:
        return (step, found.path) if step is not None else None
    member, *rest = found.path
    if member in AGGREGATES and not rest:
        return None
    if member == SELECTED and rest:
        return _selected(definition, step, tuple(rest))
    if member == OUTPUTS and len(rest) > 2 and isinstance(rest[0], int):
        return _in_body(definition, step, str(rest[1])), tuple(rest[2:])
    raise UnknownOutput(
        f"the ForEach step '{step.name}' exposes only {OUTPUTS}[<index>].<body step>.<member>, "
        f"{SELECTED}.<member>, {', '.join(AGGREGATES)}"
    )


def _selected(definition: Definition, step: Step, path: paths.Path) -> tuple[Step, paths.Path]:
    body = selected_body(step)
    if body is None:
        raise UnknownOutput(f"the ForEach step '{step.name}' has no Selector, so no {SELECTED}")
    return _in_body(definition, step, body), path


def _in_body(definition: Definition, step: Step, name: str) -> Step:
    own = _body(definition, step.name)
    if name not in own:
        raise UnknownOutput(
            f"'{name}' is no step of the ForEachBody of '{step.name}'; {did_you_mean(name, own)}"
        )
    return definition.steps[name]


def _body(definition: Definition, loop: str) -> list[str]:
    return [name for name, step in definition.steps.items() if step.loop == loop]


def _named(step: Step) -> Iterator[tuple[str, str]]:
    """The steps that a step names, and where."""
    yield from ((name, f"DependsOn '{name}'") for name in step.depends_on)
    for found in expressions.references(step.expressions):
        if found.root == "Steps":
            yield found.name, f"Get '{found.text}'"
