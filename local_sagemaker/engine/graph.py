"""The graph of a pipeline: who waits for whom, in which order, and what may run now.

Dependencies are explicit (`DependsOn`), implied by every `Get` of another step, and given by the
branch a step stands in. `ready` is the whole scheduling rule as one pure function over step
statuses.
"""

from collections.abc import Iterable, Mapping

from local_sagemaker.engine import expressions
from local_sagemaker.engine.definition import TRIGGERS, Definition, Step

Dependencies = Mapping[str, frozenset[str]]
UNSUCCESSFUL = ("Failed", "Stopped")


def dependencies(definition: Definition) -> dict[str, frozenset[str]]:
    """Step name -> the steps it waits for. Expects references that lint.py found sound."""
    return {name: frozenset(_waits_for(step)) for name, step in definition.steps.items()}


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
    A dependency is met by success, or by what its trigger says.
    """

    def may_start(name: str) -> bool:
        step = definition.steps[name]
        taken = step.parent is None or outcomes.get(step.parent) == step.branch
        return taken and all(_lets_run(step, need, statuses.get(need)) for need in graph[name])

    return [name for name in ordered if name not in statuses and may_start(name)]


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
    return status in TRIGGERS[step.triggers.get(need, "Completed")]


def _answers(step: Step, need: str, status: str | None) -> bool:
    return need in step.triggers and status in UNSUCCESSFUL and _lets_run(step, need, status)


def _waits_for(step: Step) -> set[str]:
    referred = {
        each.name for each in expressions.references(step.expressions) if each.root == "Steps"
    }
    return {*step.depends_on, *referred, *([step.parent] if step.parent else [])}


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
