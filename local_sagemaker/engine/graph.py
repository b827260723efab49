"""The graph of a pipeline: who waits for whom, in which order, and what may run now.

Dependencies are explicit (`DependsOn`), implied by every `Get` of another step, and given by the
branch or the body a step stands in. `ready` is the whole scheduling rule as one pure function over
step statuses.
"""

from collections.abc import Iterable, Mapping

from local_sagemaker.engine import expressions
from local_sagemaker.engine.definition import TRIGGERS, Definition, Step

Dependencies = Mapping[str, frozenset[str]]
ACTIVE = ("Starting", "Executing", "Stopping")
UNSUCCESSFUL = ("Failed", "Stopped")


def dependencies(definition: Definition) -> dict[str, frozenset[str]]:
    """Step name -> the steps it waits for. Expects references that lint.py found sound.

    A ForEach waits for all that its body needs from outside, so that no iteration waits half-way.
    """
    needs = {name: _waits_for(step) for name, step in definition.steps.items()}
    for name, step in definition.steps.items():
        if step.loop is not None:
            loop = step.loop
            needs[loop] |= {need for need in needs[name] if _loop_of(definition, need) != loop}
            needs[name].add(loop)
    return {name: frozenset(found) for name, found in needs.items()}


def find_cycle(graph: Dependencies) -> list[str] | None:
    """Some cycle, as the names along it (the first is repeated at the end), or None."""
    done: set[str] = set()
    for start in graph:
        if start not in done:
            cycle = _walk(graph, start, done)
            if cycle:
                return cycle
    return None


def order(graph: Dependencies) -> list[str]:
    """Every step after those it waits for; else in document order. Raises ValueError on a cycle."""
    waiting = dict(graph)
    placed: list[str] = []
    while waiting:
        free = [name for name, needs in waiting.items() if not needs & waiting.keys()]
        if not free:
            raise ValueError(f"cycle: {' -> '.join(find_cycle(waiting) or [])}")
        placed += free
        for name in free:
            del waiting[name]
    return placed


def ready(
    definition: Definition,
    graph: Dependencies,
    ordered: list[str],
    statuses: Mapping[str, str],
    outcomes: Mapping[str, str],
) -> list[str]:
    """Which steps may start, given the status of those started and the outcome of the conditions.

    What stands in a branch that was not taken never becomes ready, and neither does anything that
    waits for it: a step outside a branch shares the fate of the one inside that it depends on.
    A dependency is met by success, or by what its trigger says; that of an iteration's step on its
    ForEach while that executes.
    """

    def may_start(name: str) -> bool:
        step = definition.steps[name]
        taken = step.parent is None or outcomes.get(step.parent) == step.branch
        return (
            step.runs
            and taken
            and all(_lets_run(step, need, statuses.get(need)) for need in graph[name])
        )

    return [name for name in ordered if name not in statuses and may_start(name)]


def going_on(
    definition: Definition,
    graph: Dependencies,
    ordered: list[str],
    statuses: Mapping[str, str],
    chosen: set[str],
) -> set[str]:
    """Those of the chosen steps that failures so far do not hold back: after one that no step
    answers, only what reacts to one. A failure in a ForEach's body is, until the ForEach itself
    ends, that body's alone; a failure elsewhere lets the body go on.
    """
    failed = unanswered(definition, statuses, chosen)
    broken = {definition.steps[name].loop for name in failed}
    if not broken:
        return chosen
    reacts = reacting(definition, graph, ordered, statuses)
    return {name for name in chosen if name in reacts or definition.steps[name].loop not in broken}


def unanswered(
    definition: Definition, statuses: Mapping[str, str], names: Iterable[str]
) -> list[str]:
    """The steps that did not succeed and that no step among `names` has a trigger for."""
    steps = [definition.steps[name] for name in names]
    return [
        name
        for name, status in statuses.items()
        if status in UNSUCCESSFUL and not any(_answers(step, name, status) for step in steps)
    ]


def reacting(
    definition: Definition, graph: Dependencies, ordered: list[str], statuses: Mapping[str, str]
) -> set[str]:
    """The steps that a failed or stopped step triggers, and all that wait for one of these."""
    found: set[str] = set()
    for name in ordered:
        step = definition.steps[name]
        triggered = any(_answers(step, need, statuses.get(need)) for need in graph[name])
        if triggered or graph[name] & found:
            found.add(name)
    return found


def upstream(graph: Dependencies, names: Iterable[str]) -> set[str]:
    """Every step that one of these waits for, directly or not; without themselves unless between
    two of them.
    """
    found: set[str] = set()
    waiting = [need for name in names for need in graph[name]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def _lets_run(step: Step, need: str, status: str | None) -> bool:
    if need == step.loop:
        return status == "Executing"
    return status in TRIGGERS[step.triggers.get(need, "Completed")]


def _answers(step: Step, need: str, status: str | None) -> bool:
    return need in step.triggers and status in UNSUCCESSFUL and _lets_run(step, need, status)


def _waits_for(step: Step) -> set[str]:
    referred = {
        each.name for each in expressions.references(step.expressions) if each.root == "Steps"
    }
    return {*step.depends_on, *referred, *([step.parent] if step.parent else [])}


def _loop_of(definition: Definition, name: str) -> str | None:
    step = definition.steps.get(name)
    return step.loop if step is not None else None


def _walk(graph: Dependencies, start: str, done: set[str]) -> list[str] | None:
    # Depth first with a stack of our own: a definition may be deeper than Python's recursion limit.
    trail = [start]
    pending = [iter(sorted(graph[start]))]
    while trail:
        following = next(pending[-1], None)
        if following is None:
            done.add(trail.pop())
            pending.pop()
        elif following in trail:
            return [*trail[trail.index(following) :], following]
        elif following not in done:
            trail.append(following)
            pending.append(iter(sorted(graph.get(following, ()))))
    return None
