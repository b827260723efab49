"""What one endpoint runs under one config: its variants by weight, each with a crew of instances.

Which fleet an endpoint has, and its status, is serving.py's; how a crew starts instances and
replaces dead ones crew.py's.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from local_sagemaker.engine.crew import Crew, Post
from local_sagemaker.engine.endpoint_kinds import AnyCrew
from local_sagemaker.engine.model_containers import is_multi_model
from local_sagemaker.engine.model_servers import InstanceError
from local_sagemaker.engine.multi_model import Models
from local_sagemaker.engine.routing import LOG_GROUP, Dice, RoutingError, choose
from local_sagemaker.engine.serverless import Serverless
from local_sagemaker.engine.variants import SERVERLESS, Plan, Row, is_shadow
from local_sagemaker.plane import Plane

FOLDER = "endpoints"


@dataclass(eq=False)
class Variant:
    """One variant as it runs; its shadow gets copies of its requests."""

    name: str
    weight: float
    crew: AnyCrew
    shadow: Variant | None = None

    @property
    def is_shadow(self) -> bool:
        return is_shadow(self.crew.plan)

    @property
    def strategy(self) -> str | None:
        """How a request is given to one of its instances."""
        routing: str | None = self.crew.plan.get("RoutingConfig", {}).get("RoutingStrategy")
        return routing


class Fleet:
    """All model servers of one endpoint under one config. Any thread may route through it."""

    def __init__(self, plane: Plane, endpoint: str, planned: Plan) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._dice = Dice()
        self._variants = [
            Variant(each["VariantName"], each["Weight"], _crew(plane, _post(endpoint, each), each))
            for each in planned
        ]
        self._chosen_from = [each for each in self._variants if not each.is_shadow]
        for shadow in (each for each in self._variants if each.is_shadow):
            for each in self._chosen_from:
                each.shadow = shadow

    def launch(self) -> None:
        """Start every instance, wait until all are healthy. Raises InstanceError, with none left
        running.
        """
        try:
            for variant in self._variants:
                variant.crew.resize(variant.crew.plan["Count"])
        except InstanceError:
            self.retire()
            raise

    def resize(self, name: str, weight: float, count: int) -> None:
        """Give a variant another weight and number of instances. Raises InstanceError; then nothing
        changed.
        """
        variant = self._variant(name)
        variant.crew.resize(count)
        with self._lock:
            variant.weight = weight
            variant.crew.plan |= {"Weight": weight}

    def configure(self, name: str, serverless: Row | None) -> None:
        """Give a serverless variant another concurrency. Raises InstanceError."""
        crew = self._variant(name).crew
        if isinstance(crew, Serverless) and serverless is not None:
            crew.configure(serverless)

    @property
    def for_components(self) -> bool:
        """Do inference components bring the models?"""
        return not any(each.crew.plan["Containers"] for each in self._variants)

    def counts(self) -> dict[str, int]:
        """How many instances of each variant answer."""
        return {each.name: each.crew.alive() for each in self._variants}

    def processes(self) -> dict[str, list[list[int]]]:
        """The process ids of each variant's model servers, instance by instance."""
        return {each.name: each.crew.processes() for each in self._variants}

    def plan(self) -> Plan:
        with self._lock:
            return [dict(each.crew.plan) for each in self._variants]

    def choose(self, wanted: str | None) -> Variant:
        """The variant of the next request: the wanted one, or by weight. Raises RoutingError."""
        with self._lock:
            chosen = self._variant(wanted) if wanted else self._by_weight()
        if chosen.is_shadow:
            raise RoutingError(
                "ValidationError",
                400,
                f'Variant "{wanted}" of endpoint "{self._endpoint}" is a shadow variant; it only '
                "gets copies of requests. Leave TargetVariant out or name a production variant.",
            )
        return chosen

    def retire(self) -> None:
        """Let requests under way finish, then stop every instance and wait until they are gone."""
        for each in self._variants:
            each.crew.retire()

    def _variant(self, name: str) -> Variant:
        for each in self._variants:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self._variants)
        raise RoutingError(
            "ValidationError",
            400,
            f'Variant "{name}" of endpoint "{self._endpoint}" was not found; it has: {names}.',
        )

    def _by_weight(self) -> Variant:
        try:
            return self._chosen_from[choose(self._chosen_from, self._dice.roll())]
        except ValueError as cause:
            raise RoutingError(
                "ValidationError",
                400,
                f'Every variant of endpoint "{self._endpoint}" has weight 0; name one in '
                "TargetVariant or change the weights with UpdateEndpointWeightsAndCapacities.",
            ) from cause


def _crew(plane: Plane, post: Post, planned: Row) -> AnyCrew:
    """What serves a variant: by its kind."""
    if SERVERLESS in planned:
        return Serverless(plane, post, planned)
    if is_multi_model(planned["Containers"]):
        return Models(plane, post, planned)
    return Crew(plane, post, planned)


def _post(endpoint: str, planned: Row) -> Post:
    name = planned["VariantName"]
    described = f'variant "{name}" of endpoint "{endpoint}"'
    group = f"{LOG_GROUP}/{endpoint}"
    return Post(FOLDER, endpoint, name, "production variant of", described, group)
