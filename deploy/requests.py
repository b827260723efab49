"""The changes a command asks of AWS: each is checked, then sent, or with --dry-run only shown.

What is only read needs none of this: a dry run reads too, so that what it shows is what would be
sent now. The checks are the service's model (shapes.py) and the combinations that AWS refuses,
though its model allows them (rules).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from deploy import rules, shapes
from deploy.commands import DeployError
from deploy.rules import Request


@dataclass
class Requests:
    """The requests of one command, in order."""

    dry_run: bool = False
    made: list[Request] = field(default_factory=list)

    def send(self, client: Any, operation: str, **parameters: Any) -> dict[str, Any]:
        """Check, note and send a request; what AWS answered, {} in a dry run.

        `operation` is boto3's name of it: "create_model". Raises DeployError when the request is
        one that AWS would refuse, and what boto3 raises.
        """
        model = client.meta.service_model
        request = Request(model.service_name, operation, parameters)
        shape = model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
        wrong = shapes.complaints(shape, parameters)
        wrong = wrong or [each.text for each in rules.broken([*self.made, request]) if each.refused]
        if wrong:
            raise DeployError(f"{operation} cannot be sent: {'; '.join(wrong)}")
        self.made.append(request)
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
