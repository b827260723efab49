"""The user's own pre- and post-processing scripts, imported by path."""

import importlib.util
import inspect
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steps.monitors.environment import MonitorError

LOGGER = logging.getLogger("monitor.script")


def preprocessor(path: Path) -> Callable[[Any], Any]:
    """preprocess_handler(record) or preprocess_handler(record, logger) of the script."""
    handler = _function(path, "preprocess_handler")
    more = (LOGGER,) if len(inspect.signature(handler).parameters) > 1 else ()
    return lambda record: _called(path, lambda: handler(record, *more))


def post_process(path: Path) -> None:
    """Runs postprocess_handler() of the script."""
    _called(path, _function(path, "postprocess_handler"))


def _function(path: Path, name: str) -> Callable[..., Any]:
    if not path.is_file():
        raise MonitorError(f"the script {path} is missing; is it an input of the job?")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise MonitorError(f"the script {path} is not Python; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    _called(path, lambda: loader.exec_module(module))
    function = getattr(module, name, None)
    if not callable(function):
        raise MonitorError(f"the script {path} has no function {name}")
    return function  # type: ignore[no-any-return]


def _called(path: Path, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
        ]
        where = f"line {lines[-1]}" if lines else "loading"
        raise MonitorError(f"the script {path} failed, {where}: {error!r}") from error
