"""A variant of many models: each is loaded when a request first names it, the one that was not
asked for the longest makes room.

    TargetModel -> s3://<prefix>/<TargetModel> -> a crew of one model server (crew.py) -> requests

AWS has one container load all models through POST /models; here each model has a process of its
own, so every image that serves one model serves many, and two models with programs of the same name
do not meet. What is bounded is how many are loaded: config.loaded_models an instance.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from local_sagemaker.engine import measures
from local_sagemaker.engine.crew import Crew, Post, RetiredError
from local_sagemaker.engine.model_containers import MULTI_MODEL
from local_sagemaker.engine.routing import Hop, RoutingError
from local_sagemaker.engine.variants import Row
from local_sagemaker.engine.warming import Warming
from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError, parse

CACHE = "ModelCacheSetting"
MICROSECONDS = 1e6


class Models:
    """The models of one variant that are loaded, and those on their way. Any thread may ask."""

    def __init__(self, plane: Plane, post: Post, plan: Row) -> None:
        self.post = post
        self.plan = plan
        self._plane = plane
        self._lock = threading.Lock()
        self._retired = False
        self._leaving: list[threading.Thread] = []
        self._loaded: dict[str, Warming] = {}  # the one that was asked for last is last
        (self._container,) = plan["Containers"]
        self._cached = self._container[MULTI_MODEL].get(CACHE) != "Disabled"

    def resize(self, count: int) -> None:
        """So many instances: room for as many times the models of one."""
        with self._lock:
            self.plan |= {"Count": count}
            self._dismiss(self._surplus(0))

    def alive(self) -> int:
        count: int = self.plan["Count"]
        return 0 if self._retired else count

    def processes(self) -> list[list[int]]:
        """The process ids of the loaded models' servers, as of one instance."""
        with self._lock:
            crews = [each.crew for each in self._loaded.values()]
        return [[pid for crew in crews for each in crew.processes() for pid in each]]

    @contextmanager
    def taken(self, target: str | None, strategy: str | None = None) -> Iterator[list[Hop]]:
        """The way to a model, which is loaded if need be. Raises RoutingError; RetiredError when
        it was unloaded meanwhile, or somebody else serves now.
        """
        if target is None:
            raise ValueError("a request to one of many models names it")
        warming = self._asked(target)
        crew = self._waited(warming)
        try:
            with crew.taken(None, strategy) as hops:
                yield hops
        finally:
            if not self._cached:
                self._unload(target, warming)

    def retire(self) -> None:
        """Let requests under way finish, then unload every model."""
        with self._lock:
            self._retired = True
            self._dismiss(list(self._loaded.values()))
            self._loaded = {}
            leaving = self._leaving
        for each in leaving:
            each.join()

    def _waited(self, warming: Warming) -> Crew:
        began, was_loaded = self._plane.clock.now(), warming.is_over
        crew = warming.ready(self._plane.config.loading_seconds)
        waited = (self._plane.clock.now() - began) * MICROSECONDS
        self._measure(ModelCacheHit=float(was_loaded), ModelLoadingWaitTime=waited)
        return crew

    def _asked(self, target: str) -> Warming:
        """The model as it is, or on its way. Raises RoutingError when there is none."""
        found = self._found(target)
        if found is not None:
            return found
        self._check_exists(target)  # asks S3: not while everybody waits
        with self._lock:
            if self._retired:
                raise RetiredError(self.post.described)
            found = self._loaded.get(target)
            if found is None:
                self._dismiss(self._surplus(1))
                found = self._loaded[target] = self._load(target)
        return found

    def _found(self, target: str) -> Warming | None:
        with self._lock:
            if self._retired:
                raise RetiredError(self.post.described)
            found = self._loaded.pop(target, None)
            if found is not None:
                self._loaded[target] = found
            return found

    def _load(self, target: str) -> Warming:
        began = self._plane.clock.now()

        def done(warming: Warming) -> None:
            with self._lock:
                if warming.problem is not None and self._loaded.get(target) is warming:
                    del self._loaded[target]  # the next request tries again
                loaded = len(self._loaded)
            took = (self._plane.clock.now() - began) * MICROSECONDS
            self._measure(ModelLoadingTime=took, LoadedModelCount=float(loaded))

        return Warming(Crew(self._plane, self._post(target), self._plan(target)), done)

    def _unload(self, target: str, warming: Warming) -> None:
        with self._lock:
            if self._loaded.get(target) is warming:
                self._dismiss([self._loaded.pop(target)])

    def _dismiss(self, models: list[Warming]) -> None:
        """Unload models that get no new requests, while others go on; the lock is held."""
        self._leaving = [each for each in self._leaving if each.is_alive()]
        for each in models:
            thread = threading.Thread(target=self._left, args=(each,), daemon=True)
            self._leaving.append(thread)
            thread.start()

    def _left(self, model: Warming) -> None:
        began = self._plane.clock.now()
        model.retire()
        self._measure(ModelUnloadingTime=(self._plane.clock.now() - began) * MICROSECONDS)

    def _surplus(self, more: int) -> list[Warming]:
        """Forget the models that must go so that there is room for `more`; the lock is held."""
        room = self._plane.config.loaded_models * self.plan["Count"]
        names = [name for name, each in self._loaded.items() if each.is_over]
        return [self._loaded.pop(name) for name in names[: max(0, len(self._loaded) + more - room)]]

    def _check_exists(self, target: str) -> None:
        uri = self._uri(target)
        place = parse(uri)
        try:
            found = any(key == place.key for key, _, _ in self._plane.storage.list(uri))
        except StorageError:
            found = False
        if not found:
            raise RoutingError(
                "ValidationError",
                400,
                f"Failed to download model data(bucket: {place.bucket}, key: {place.key}). Please "
                "ensure that there is an object located at the URL and that the role passed to "
                "CreateModel has permissions to download the model.",
            )

    def _uri(self, target: str) -> str:
        return f"{self._container['ModelDataUrl'].rstrip('/')}/{target.lstrip('/')}"

    def _post(self, target: str) -> Post:
        digest = hashlib.sha256(target.encode()).hexdigest()[:8]
        described = f'Model "{target}" of {self.post.described}'
        post = self.post
        return replace(post, stem=f"{post.stem}-{digest}", described=described)

    def _plan(self, target: str) -> Row:
        container = {**self._container, "ModelDataUrl": self._uri(target)}
        return {**self.plan, "Count": 1, "Containers": [container]}

    def _measure(self, **values: float) -> None:
        now = self._plane.clock.now()
        measures.of(self._plane).add(self.post.owner, self.post.stem, now, values)
