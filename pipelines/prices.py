"""The table of prices: pipelines/prices.yaml, or a file of the same shape that the user gives.

A price is a fact of a date and a region; both stand in the table and in every answer made from it.
What is computed from prices is pipelines/cost.py (a run) and deploy/pricing.py (serving).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

TABLE = Path(__file__).with_name("prices.yaml")
MINUTES_PER_HOUR = 60

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CostError(Exception):
    """A cost that cannot be told, or is too high; exit_code is 2 when the user's input is wrong."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Instance(_Part):
    """An instance type: USD an hour, and what the machine has."""

    hour: Positive
    vcpu: Annotated[int, Field(ge=1)]
    memory_gb: Positive
    accelerator: str = ""
    good_for: str = ""


class Usage(_Part):
    """What is paid by use: USD for `per` of a unit."""

    price: Positive
    per: Positive = 1.0
    unit: str


class Prices(_Part):
    """The whole table."""

    as_of: str
    region: str
    source: str
    hours_per_month: Positive
    instances: dict[str, Instance]
    usage: dict[str, Usage]

    def instance(self, instance_type: str) -> Instance:
        """The machine of that type; CostError naming those that have a price."""
        if instance_type not in self.instances:
            raise CostError(
                f"There is no price of {instance_type}; there is one of: "
                f"{', '.join(self.instances)}. Add it to a table of your own (a copy of "
                f"{TABLE.name}) and give that with --prices FILE.",
                1,
            )
        return self.instances[instance_type]

    def running(self, instance_type: str, instances: float, minutes: float) -> float:
        """USD for so many instances over so many minutes."""
        return self.instance(instance_type).hour * instances * minutes / MINUTES_PER_HOUR

    def month(self, instance_type: str, instances: float) -> float:
        """USD for so many instances that are up for a month."""
        return self.running(instance_type, instances, self.hours_per_month * MINUTES_PER_HOUR)

    def used(self, name: str, quantity: float) -> float:
        """USD for a quantity of something that is paid by use."""
        if name not in self.usage:
            known = ", ".join(sorted(self.usage))
            raise CostError(f"There is no price of {name!r}; allowed: {known}.")
        return self.usage[name].price * quantity / self.usage[name].per

    @property
    def note(self) -> str:
        """What every answer ends with."""
        return f"Prices of {self.region}, {self.source}: check before you rely on it."


def load(path: Path | None = None) -> Prices:
    """The project's table, or the user's; CostError when it cannot be read."""
    path = path or TABLE
    try:
        return Prices.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CostError(f"--prices {path} cannot be read: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise CostError(f"--prices {path} is no table of prices: {wrong}") from error
