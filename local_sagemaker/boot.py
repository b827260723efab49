"""Putting a Plane together, bringing back what the last server left, and taking it down.

The command line and the tests start here. Every api module is imported by name below: importing
registers.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from local_sagemaker import operations, overlays, own_images
from local_sagemaker.clock import Clock, SystemClock
from local_sagemaker.config import Config
from local_sagemaker.engine import (
    async_inference,
    async_queue,
    components,
    forwarding,
    host_metrics,
    jobs,
    lambdas,
    lineage_recorder,
    pipelines,
    rollout,
    scaling,
    services,
    serving,
    tuning,
    witnesses,
)
from local_sagemaker.events import Bus
from local_sagemaker.plane import Plane
from local_sagemaker.processes import Processes
from local_sagemaker.storage import Storage
from local_sagemaker.store import Store

API = (
    "actions",
    "artifacts",
    "associations",
    "contexts",
    "endpoint_configs",
    "endpoints",
    "experiments",
    "inference_components",
    "lineage_groups",
    "lineage_queries",
    "model_package_groups",
    "model_packages",
    "models",
    "pipeline_callbacks",
    "pipeline_executions",
    "pipeline_versions",
    "pipelines",
    "processing_jobs",
    "scalable_targets",
    "scaling_activities",
    "scaling_policies",
    "scheduled_actions",
    "search",
    "tags",
    "training_jobs",
    "transform_jobs",
    "trial_components",
    "trials",
    "tuning_jobs",
)
STATE = "state.sqlite"


def load_api() -> None:
    """Fill the registry of operations."""
    for name in API:
        importlib.import_module(f"local_sagemaker.api.{name}")


def build(config: Config, clock: Clock | None = None) -> Plane:
    """A plane with nothing running in it yet; its home is made if need be. Raises
    OwnImagesError."""
    load_api()
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = config.images or config.home / "images.yaml"
    own = own_images.load(file, required=config.images is not None)
    overlays.write_shims(config.home)
    plane = Plane(
        config=config,
        clock=clock or SystemClock(),
        store=Store(config.home / STATE),
        bus=Bus(),
        storage=Storage(config),
        processes=Processes(config),
        call=_not_yet,
        own_images=own,
    )
    plane.call = functools.partial(operations.call, plane)
    return plane


def recover(plane: Plane) -> None:
    """After a start: pipelines are last, since they look at all the others, and start new ones."""
    forwarding.of(plane).start()  # first: what the recovery changes is news as well
    operations.forget_old_tokens(plane)
    lineage_recorder.recover(plane)
    jobs.recover(plane)
    tuning.recover(plane)
    lambdas.recover(plane)
    serving.recover(plane)
    host_metrics.of(plane).start()
    async_inference.recover(plane)
    components.recover(plane)
    scaling.start(plane)
    pipelines.recover(plane)


def shut_down(plane: Plane) -> None:
    """Stop what runs. Nothing is written about it: recover() tells the truth at the next start."""
    scaling.close(plane)
    pipelines.close(plane)
    tuning.close(plane)
    lineage_recorder.close(plane)
    lambdas.close(plane)
    jobs.close(plane)
    async_queue.close(plane)
    plane.processes.close()
    rollout.close(plane)
    jobs.join(plane)
    host_metrics.of(plane).close()
    witnesses.close(plane)
    async_queue.join(plane)
    forwarding.of(plane).close()
    plane.storage.close()
    services.close(plane)
    plane.store.close()


def _not_yet(name: str, _: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError(f"{name} was called before the plane was complete")
