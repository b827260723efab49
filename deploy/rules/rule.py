"""What a rule is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One call: the service and operation as boto3 names them, and its parameters."""

    service: str
    operation: str
    parameters: Parameters

    @property
    def document(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "operation": self.operation,
            "parameters": self.parameters,
        }


@dataclass(frozen=True)
class Broken:
    """One rule that one request breaks. `refused`: AWS would say no; else AWS would say yes, and do
    something else than what is meant.
    """

    rule: str
    operation: str
    text: str
    refused: bool


@dataclass(frozen=True)
class Plan:
    """The requests that go before one."""

    requests: Sequence[Request]

    def find(self, operation: str, **named: str) -> Parameters | None:
        """The parameters of the last such request whose members have these values."""
        for each in reversed(self.requests):
            if each.operation == operation and named.items() <= each.parameters.items():
                return each.parameters
        return None

    def all(self, operation: str) -> list[Parameters]:
        return [each.parameters for each in self.requests if each.operation == operation]


Check = Callable[[Parameters, Plan], Iterable[str]]


@dataclass(frozen=True)
class Rule:
    name: str
    operations: tuple[str, ...]
    check: Check
    refused: bool


RULES: list[Rule] = []


def rule(*operations: str, refused: bool = True) -> Callable[[Check], Check]:
    """Register a rule for these operations under its function's name."""

    def register(check: Check) -> Check:
        name = check.__name__.replace("_", "-")
        RULES.append(Rule(name, operations, check, refused))
        return check

    return register


def broken(requests: Sequence[Request]) -> list[Broken]:
    """What is wrong with the last of these requests, seen after the others."""
    return list(_broken(requests[-1], Plan(requests[:-1])))


def _broken(request: Request, plan: Plan) -> Iterator[Broken]:
    for each in RULES:
        if request.operation in each.operations:
            for text in each.check(request.parameters, plan):
                yield Broken(each.name, request.operation, text, each.refused)
