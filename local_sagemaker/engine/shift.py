"""Two fleets of one endpoint while its traffic goes over from the old one to the new one."""

from __future__ import annotations

import threading

from local_sagemaker.engine.deployment import ALL, NONE, Shares
from local_sagemaker.engine.fleet import Fleet, Variant
from local_sagemaker.engine.routing import Dice


class Shift:
    """Who gets a request: first the variant is chosen, then, by its share, the fleet. Any thread
    may choose.
    """

    def __init__(self, blue: Fleet, green: Fleet) -> None:
        self.blue, self.green = blue, green
        self._lock = threading.Lock()
        self._dice = Dice()
        self._shares: Shares = {}

    @property
    def shares(self) -> Shares:
        """Of each variant's traffic, what the new fleet gets."""
        with self._lock:
            return dict(self._shares)

    def give(self, shares: Shares) -> None:
        """From now on the new fleet gets these shares."""
        with self._lock:
            self._shares = dict(shares)

    def choose(self, wanted: str | None) -> Variant:
        """The variant of the next request, of one of both fleets. Raises RoutingError."""
        shares = self.shares
        if shares and all(share == ALL for share in shares.values()):
            return self.green.choose(wanted)
        chosen = self.blue.choose(wanted)
        if self._dice.roll() < shares.get(chosen.name, NONE):
            return self.green.choose(chosen.name)
        return chosen
