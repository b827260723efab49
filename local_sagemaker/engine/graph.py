"""The graph of a pipeline: who waits for whom, in which order, and what may run now.

Dependencies are explicit (`DependsOn`), implied by every `Get` of another step, and given by the
branch a step stands in. `plan` is the whole scheduling rule as one pure function over step
statuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from local_sagemaker.engine import expressions
from local_sagemaker.engine.definition import Definition, Step

Dependencies = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Plan:
    """What may start now, and what never will because its branch was not taken."""

    ready: tuple[str, ...]
    blocked: frozenset[str]


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


def plan(
    definition: Definition,
    graph: Dependencies,
    ordered: list[str],
    statuses: Mapping[str, str],
    outcomes: Mapping[str, str],
) -> Plan:
    """Which steps may start, given the status of those started and the outcome of the conditions.

    A step is blocked when its branch was not taken or anything it waits for is blocked: a step
    outside a branch that depends on one inside shares that one's fate.
    """
    blocked: set[str] = set()
    ready: list[str] = []
    for name in ordered:
        step = definition.steps[name]
        taken = outcomes.get(step.parent, step.branch) if step.parent else step.branch
        if taken != step.branch or graph[name] & blocked:
            blocked.add(name)
        elif name not in statuses and all(statuses.get(n) == "Succeeded" for n in graph[name]):
            ready.append(name)
    return Plan(tuple(ready), frozenset(blocked))


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
