"""A crew that is brought up because a request needs it: one thread starts it, all requests wait.

What a multi-model endpoint (multi_model.py) and a serverless variant (serverless.py) have in
common. A request that has waited long enough is told to come again, and the start goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from local_sagemaker.engine.crew import Crew, RetiredError
from local_sagemaker.engine.model_servers import InstanceError
from local_sagemaker.engine.routing import RoutingError


class Warming:
    """A crew on its way to its first instance. `done` is called with it once it is up or cannot
    be, before anybody is let through.
    """

    def __init__(self, crew: Crew, done: Callable[[Warming], None]) -> None:
        self.crew = crew
        self.problem: str | None = None
        self._done = done
        self._given_up = False
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._start, name=f"warm-{crew.post.owner}/{crew.post.stem}", daemon=True
        )
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def ready(self, seconds: float) -> Crew:
        """The crew, once it answers. Raises RoutingError; RetiredError when it was given up."""
        if not self._over.wait(seconds):
            raise RoutingError(
                "ModelNotReadyException",
                429,
                f"{self.crew.post.described} is not ready yet after {seconds:g} s; it is still "
                "being loaded. Wait and try your request again.",
            )
        if self._given_up:
            raise RetiredError(self.crew.post.described)
        if self.problem is not None:
            said = f"{self.crew.post.described} could not be loaded: {self.problem}"
            raise RoutingError(
                "ModelError", 424, said, OriginalStatusCode=500, OriginalMessage=self.problem
            )
        return self.crew

    def wait_up(self) -> None:
        """Until it answers. Raises InstanceError."""
        self._over.wait()
        if self.problem is not None:
            raise InstanceError(self.problem)

    def retire(self) -> None:
        """Give up, or stop what is up; wait until it is gone."""
        self._given_up = True
        self.crew.retire()
        self._over.wait()
        self.crew.retire()  # what came up in between

    def _start(self) -> None:
        try:
            self.crew.resize(1)
        except InstanceError as problem:
            self.problem = str(problem)
        except Exception as problem:
            self.problem = f"InternalServerError: {type(problem).__name__}: {problem}"
            raise
        finally:
            self._done(self)
            self._over.set()
