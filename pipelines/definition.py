"""Compiled definitions: text from a pipeline module, kept for as long as nothing changed.

Importing the SDK costs seconds of CPU, and equal inputs compile to equal bytes, so the definition
of our own pipeline is kept under build/definitions/, keyed by everything it is made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipelines import modules
from pipelines.bundle import LOCK, Bundle

KEPT = Path("build/definitions")


class Compiled(NamedTuple):
    """A pipeline's name and its definition, as JSON text."""

    name: str
    definition: str


def compile_pipeline(
    module_name: str, kwargs: Mapping[str, Any], offered: Mapping[str, Any]
) -> Compiled:
    """Import the module, and compile the pipeline that it makes."""
    module = modules.load(module_name)
    pipeline = modules.get_pipeline(module, kwargs, offered)
    return Compiled(str(pipeline.name), str(pipeline.definition()))


def compile_ours(
    code: Bundle, kwargs: Mapping[str, Any], offered: Mapping[str, Any], folder: Path = KEPT
) -> Compiled:
    """compile_pipeline for our own module, from the kept definition when there is one."""
    asked = json.dumps([dict(kwargs), dict(offered)], sort_keys=True, default=str)
    path = folder / f"{_inputs(code)}-{_sha(asked.encode())}.json"
    if path.exists():
        return Compiled(**json.loads(path.read_text()))
    compiled = compile_pipeline(modules.OURS, kwargs, offered)
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(compiled._asdict()))
    partial.replace(path)
    return compiled


def likely_kept(code: Bundle, folder: Path = KEPT) -> bool:
    """True when this code has been compiled before, for some target: the SDK may not be needed."""
    return any(folder.glob(f"{_inputs(code)}-*.json"))


def parameters(definition: str) -> list[dict[str, Any]]:
    """The parameters that the definition declares."""
    return list(json.loads(definition)["Parameters"])


def step_names(definition: str) -> list[str]:
    """All steps, those of branches in the place of their condition."""
    return list(_names(json.loads(definition)["Steps"]))


def _names(steps: list[dict[str, Any]]) -> Iterator[str]:
    for step in steps:
        yield step["Name"]
        if step["Type"] == "Condition":
            yield from _names(step["Arguments"]["IfSteps"])
            yield from _names(step["Arguments"]["ElseSteps"])


def _inputs(code: Bundle) -> str:
    here = Path(__file__).parent
    sources = [*sorted(here.glob("*.py")), *sorted(here.glob("*.yaml")), LOCK]
    return _sha(code.sha256.encode(), *(path.read_bytes() for path in sources))


def _sha(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:20]
