"""The changes a command asks of AWS: each is checked, then sent, or with --dry-run only shown.

What is only read needs none of this: a dry run reads too, so that what it shows is what would be
sent now. The check is botocore's service model: types and required members, and the names' lengths,
patterns and enumerations, which boto3 itself leaves to AWS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deploy.commands import DeployError


@dataclass(frozen=True)
class Request:
    """One call: the service and operation as boto3 names them, and its parameters."""

    service: str
    operation: str
    parameters: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "operation": self.operation,
            "parameters": self.parameters,
        }


@dataclass
class Requests:
    """The requests of one command, in order."""

    dry_run: bool = False
    made: list[Request] = field(default_factory=list)

    def send(self, client: Any, operation: str, **parameters: Any) -> dict[str, Any]:
        """Check, note and send a request; what AWS answered, {} in a dry run.

        `operation` is boto3's name of it: "create_model". Raises DeployError when the service's
        model does not allow the request, and what boto3 raises.
        """
        model = client.meta.service_model
        shape = model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
        wrong = list(_complaints(shape, parameters))
        if wrong:
            raise DeployError(f"{operation} cannot be sent: {'; '.join(wrong)}")
        self.made.append(Request(model.service_name, operation, parameters))
        if self.dry_run:
            return {}
        return dict(getattr(client, operation)(**parameters))

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [each.document for each in self.made]

    def text(self) -> str:
        """For people: what would be sent."""
        return "\n".join(
            f"{each.service} {each.operation} "
            + json.dumps(each.parameters, indent=2, sort_keys=True, default=str)
            for each in self.made
        )


def _complaints(shape: Any, parameters: dict[str, Any]) -> Iterator[str]:
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        yield report.generate_report().replace("\n", ", ")
        return
    yield from _wrong_texts(shape, parameters, "")


def _wrong_texts(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Every string below that is not as its shape wants it, and every list that is too long."""
    if shape.type_name == "structure":
        for name, item in value.items():
            yield from _wrong_texts(shape.members[name], item, f"{path}.{name}".lstrip("."))
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from _wrong_texts(shape.key, name, path)
            yield from _wrong_texts(shape.value, item, f"{path}[{name}]")
    elif shape.type_name == "list":
        if len(value) > shape.metadata.get("max", len(value)):
            yield f"{path} has {len(value)} items; at most {shape.metadata['max']} are allowed"
        for index, item in enumerate(value):
            yield from _wrong_texts(shape.member, item, f"{path}[{index}]")
    elif shape.type_name == "string":
        yield from _wrong_text(shape, value, path)


def _wrong_text(shape: Any, value: str, path: str) -> Iterator[str]:
    facts = shape.metadata
    allowed = facts.get("enum")
    if allowed and value not in allowed:
        yield f"{path} is {value!r}; allowed: {', '.join(allowed)}"
    lowest, highest = facts.get("min", 0), facts.get("max", len(value))
    if not lowest <= len(value) <= highest:
        yield f"{path} is {value!r}: {len(value)} characters; allowed: {lowest} to {highest}"
    if not _fits(facts.get("pattern"), value):
        yield f"{path} is {value!r}; it must match {facts['pattern']}"


def _fits(pattern: str | None, value: str) -> bool:
    try:
        return pattern is None or re.fullmatch(pattern, value) is not None
    except re.error:  # the models' patterns are Java's, some of which Python cannot read
        return True
