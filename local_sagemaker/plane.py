"""The Plane: the running local SageMaker as one value, passed to every handler and engine
function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local_sagemaker.clock import Clock
from local_sagemaker.config import Config
from local_sagemaker.events import Bus
from local_sagemaker.images import Image
from local_sagemaker.storage import Storage
from local_sagemaker.store import Store

if (
    TYPE_CHECKING
):  # processes.py knows the operating system; nobody needs to import it to name its type
    from local_sagemaker.processes import Processes


@dataclass(eq=False)  # one plane is never another: it may be a key
class Plane:
    """Everything a handler may use. `call` runs another API operation with full validation."""

    config: Config
    clock: Clock
    store: Store
    bus: Bus
    storage: Storage
    processes: Processes
    call: Callable[[str, dict[str, Any]], dict[str, Any]]
    own_images: Mapping[str, Image] = field(default_factory=dict)
