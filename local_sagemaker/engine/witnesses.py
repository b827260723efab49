"""Who is told of an invocation once it is over, answered or failed: the table WITNESSES.

    serving.invoke -> Watch -> each of WITNESSES in turn, in the request's own thread

So a witness may cost microseconds; what costs more it notes down, and a thread of its own (a
Flusher) goes on with it. No witness can fail a request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from local_sagemaker.engine import capture, endpoint_metrics, publishing, shadowing
from local_sagemaker.engine.endpoint_kinds import AnyCrew
from local_sagemaker.engine.fleet import Variant
from local_sagemaker.engine.invocations import Invocation
from local_sagemaker.engine.routing import Reply, RoutingError
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)


def close(plane: Plane) -> None:
    """Send what was noted down; before what it is sent to goes."""
    publishing.of(plane).close()
    capture.of(plane).close()


def tell(plane: Plane, seen: Invocation) -> None:
    """Tell every witness. The edge between a request and what is kept of it."""
    for witness in WITNESSES:
        try:
            witness(plane, seen)
        except Exception:
            log.exception("an invocation was not accounted for endpoint=%s", seen.endpoint)


class Watch:
    """Over one attempt of an invocation: keeps its times, tells the witnesses at its end.

    Nobody is told of what no variant was to blame for: a request that was refused as wrong, or one
    that came to a fleet that had just been replaced.
    """

    __slots__ = (
        "_asked",
        "_began",
        "_body",
        "_endpoint",
        "_failure",
        "_headers",
        "_plane",
        "_reply",
        "_time",
        "_way",
    )

    def __init__(
        self,
        plane: Plane,
        endpoint: str,
        way: tuple[Variant, AnyCrew, str | None],
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        self._plane = plane
        self._endpoint = endpoint
        self._way = way
        self._headers = headers
        self._body = body
        self._asked: float | None = None
        self._reply: Reply | None = None
        self._failure: RoutingError | None = None
        self._began = self._time = 0.0

    def __enter__(self) -> Watch:
        self._time = self._plane.clock.now()
        self._began = time.perf_counter()
        return self

    def asking(self) -> None:
        """The model is asked from now on."""
        self._asked = time.perf_counter()

    def answered(self, reply: Reply) -> Reply:
        """This is what the caller gets."""
        self._reply = reply
        return reply

    def broken(self, failure: RoutingError) -> None:
        """The answer had begun, and this ended it: too late for the caller's status."""
        self._failure = failure

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # GeneratorExit: the caller left within a stream, which the model had begun to answer.
        if error is None or isinstance(error, GeneratorExit):
            self._tell(self._failure)
        elif isinstance(error, RoutingError) and (self._asked or error.status != 400):
            self._tell(error)

    def _tell(self, error: RoutingError | None) -> None:
        over = time.perf_counter()
        model = None if self._asked is None else over - self._asked
        overhead = over - self._began - (model or 0.0)
        variant, crew, component = self._way
        tell(
            self._plane,
            Invocation(
                self._endpoint, variant, component, self._headers, self._body, self._reply, error,
                self._time, model, overhead, crew.alive(),
            ),
        )  # fmt: skip


def _to_shadow(plane: Plane, seen: Invocation) -> None:
    shadowing.copy(plane, seen, Watch)


Witness = Callable[[Plane, Invocation], None]
WITNESSES: tuple[Witness, ...] = (endpoint_metrics.witness, capture.witness, _to_shadow)
