"""Pipeline modules by name, as SageMaker's project templates run them.

A pipeline module offers get_pipeline(**kwargs), and may offer
get_pipeline_custom_tags(tags, region, project_arn). Ours is pipelines.training; any other that
follows the template's conventions works too.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

OURS = "pipelines.training"


class UsageError(Exception):
    """The command line asks for something that does not exist; exit code 2."""


def load(name: str) -> ModuleType:
    """The pipeline module; UsageError when there is none of that name, or it makes no pipeline."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"--module-name {name}: there is no module {error.name}.") from error
    if not callable(getattr(module, "get_pipeline", None)):
        raise UsageError(f"--module-name {name}: it has no function get_pipeline.")
    return module


def get_pipeline(module: ModuleType, kwargs: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
    """module.get_pipeline with the user's kwargs, and with what we offer where it takes it."""
    taken = inspect.signature(module.get_pipeline).parameters
    extra = {name: value for name, value in offered.items() if name in taken}
    return module.get_pipeline(**{**extra, **kwargs})


def custom_tags(module: ModuleType, tags: list[dict[str, str]], kwargs: Mapping[str, Any]) -> Any:
    """tags, or what the module's hook makes of them."""
    hook = getattr(module, "get_pipeline_custom_tags", None)
    if hook is None:
        return tags
    return hook(tags, kwargs.get("region"), kwargs.get("sagemaker_project_arn"))


def mapping(text: str | None, flag: str) -> dict[str, Any]:
    """The dict that a flag holds, as a Python literal or as JSON."""
    value = _literal(text, flag) if text else {}
    if not isinstance(value, dict):
        raise UsageError(f"{flag} is {text}; allowed: a dict such as {{'region': 'eu-west-1'}}.")
    return value


def tags(text: str | None, flag: str) -> list[dict[str, str]]:
    """The list of Key/Value pairs that a flag holds."""
    value = _literal(text, flag) if text else []
    if not isinstance(value, list) or any(set(tag) != {"Key", "Value"} for tag in value):
        raise UsageError(f"{flag} is {text}; allowed: [{{'Key': 'team', 'Value': 'growth'}}].")
    return value


def _literal(text: str, flag: str) -> Any:
    for read in (ast.literal_eval, json.loads):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    raise UsageError(f"{flag} is {text}; allowed: a Python literal, or JSON.")
