"""The graph of lineage as plain data, and walking it. Pure: ARNs and types, no store.

An association leads from its source to its destination; descendants lie that way, ascendants the
other. A processing job may write where it reads, so a graph may have cycles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

Links = dict[str, dict[str, str | None]]  # ARN -> neighbour's ARN -> type of the association
Edge = tuple[str, str, str | None]  # source, destination, type
DIRECTIONS = {
    "Ascendants": (False, True),
    "Descendants": (True, False),
    "Both": (True, True),
}


@dataclass
class Graph:
    """Every association, from both of its ends, and the types of the entities that have any."""

    onward: Links = field(default_factory=dict)
    backward: Links = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def add(self, source: str, destination: str, kind: str | None) -> None:
        self.onward.setdefault(source, {})[destination] = kind
        self.backward.setdefault(destination, {})[source] = kind

    def remove(self, source: str, destination: str) -> None:
        self.onward.get(source, {}).pop(destination, None)
        self.backward.get(destination, {}).pop(source, None)

    def has_edges(self, arn: str) -> bool:
        return bool(self.onward.get(arn) or self.backward.get(arn))

    def neighbours(self, arn: str, direction: str) -> Iterator[str]:
        onward, backward = DIRECTIONS[direction]
        if onward:
            yield from self.onward.get(arn, ())
        if backward:
            yield from self.backward.get(arn, ())


def depths(graph: Graph, start: str, direction: str, most: int) -> dict[str, int]:
    """How many associations away each entity is that can be reached in that many; start is 0."""
    found = {start: 0}
    last = [start]
    for depth in range(1, most + 1):
        fresh = []
        for arn in last:
            for other in graph.neighbours(arn, direction):
                if other not in found:
                    found[other] = depth
                    fresh.append(other)
        last = fresh
    return found


def on_the_way(
    graph: Graph, found: dict[str, int], direction: str, wanted: Collection[str]
) -> set[str]:
    """The wanted entities and all that lie on a shortest way from the start to one of them."""
    opposite = {"Ascendants": "Descendants", "Descendants": "Ascendants"}.get(direction, direction)
    way = set(wanted)
    waiting = list(wanted)
    while waiting:
        arn = waiting.pop()
        for other in graph.neighbours(arn, opposite):
            if other not in way and found.get(other, found[arn]) < found[arn]:
                way.add(other)
                waiting.append(other)
    return way


def edges(graph: Graph, among: Collection[str]) -> Iterator[Edge]:
    """The associations with both ends among these entities."""
    for source in among:
        for destination, kind in graph.onward.get(source, {}).items():
            if destination in among:
                yield source, destination, kind
