"""One invocation of an endpoint as it went: what its witnesses (witnesses.py) are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from local_sagemaker.engine.fleet import Variant
from local_sagemaker.engine.routing import Reply, RoutingError
from local_sagemaker.engine.variants import CONFIG_NAME

INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"


class Invocation(NamedTuple):
    """A request that reached a variant, and what became of it: a reply or an error."""

    endpoint: str
    variant: Variant
    component: str | None  # the inference component that answered, on an endpoint for such
    headers: Mapping[str, str]  # `get` knows no case
    body: bytes
    reply: Reply | None
    error: RoutingError | None
    time: float  # epoch seconds, when the request came
    model_seconds: float | None  # None: no model was asked, for none was there
    overhead_seconds: float
    instances: int  # of the variant, or copies of the component, that answer

    @property
    def config_name(self) -> str:
        """The endpoint config that the variant is of; not always the endpoint's of this moment."""
        # An endpoint that an earlier version of the server planned does not say.
        name: str = self.variant.crew.plan.get(CONFIG_NAME, "unknown")
        return name

    @property
    def inference_id(self) -> str | None:
        return self.headers.get(INFERENCE_ID)

    @property
    def status(self) -> int:
        """What the model answered; 0 when it did not in time; our own where none was asked."""
        if self.error is None:
            return 200
        status: int = self.error.members.get("OriginalStatusCode", self.error.status)
        return status
