"""What AWS's XGBoost image does at `serve`: the user's script where there is one, else algorithm
mode.

Algorithm mode loads what its training wrote, /opt/ml/model/xgboost-model, or the k models of a
cross-validation and answers their mean. The model is loaded before the port answers. Facts:
aws/sagemaker-xgboost-container. Pickled models of old images are refused: loading one runs its
code.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from local_sagemaker.containers import model_http, script_server, xgboost_answers, xgboost_payloads
from local_sagemaker.containers.model_http import PLAIN, Answer, Headers
from local_sagemaker.containers.script_server import SetupError

LARGEST_BYTES = 20 << 20  # the image caps MAX_CONTENT_LENGTH here
PICKLE = b"\x80"  # how a pickle of protocol 2 or later begins; native models begin with "{"
UNUSED = ("sklearn", "pandas")


@dataclass(frozen=True)
class Ensemble:
    """The boosters that answer together, and what must be held while one predicts."""

    boosters: list[Any]
    objective: str
    num_class: int
    lock: contextlib.AbstractContextManager[Any]

    def predict(self, matrix: Any) -> Any:
        """DMatrix of n rows -> float32 (n,) or (n, classes): the mean over the models."""
        with self.lock:
            answers = [_predict(each, matrix) for each in self.boosters]
        return answers[0] if len(answers) == 1 else sum(answers) / len(answers)


def has_script(environ: Mapping[str, str]) -> bool:
    """Is this script mode: a program is named, or the archive holds one and no xgboost-model?"""
    if environ.get("SAGEMAKER_PROGRAM"):
        return True
    model = model_dir(environ)
    return (model / "code" / "inference.py").is_file() and not list(model.glob("xgboost-model*"))


def model_dir(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model"


def load(directory: Path, every: bool) -> Ensemble:
    """All model files of the archive (only the first unless `every`). Raises SetupError."""
    files = sorted(p for p in directory.glob("*") if p.is_file() and p.name[0] != ".")
    if not files:
        raise SetupError(
            f"there is no model in {directory}; model.tar.gz must hold xgboost-model (or set "
            "SAGEMAKER_PROGRAM to serve with a script of yours)"
        )
    xgboost = import_xgboost()
    boosters = [_load_one(xgboost, path) for path in (files if every else files[:1])]
    learner = json.loads(boosters[0].save_config())["learner"]
    # Of the boosters, only gbtree may predict in several threads at once (XGBoost's docs).
    trees = learner["gradient_booster"]["name"] == "gbtree"
    lock = contextlib.nullcontext() if trees else threading.Lock()
    classes = int(learner["learner_model_param"]["num_class"])
    return Ensemble(boosters, learner["objective"]["name"], classes, lock)


def import_xgboost() -> ModuleType:
    """XGBoost without scikit-learn and pandas, which it imports only to subclass their classes: 3 s
    of start-up and 100 MB that serving has no use for.
    """
    hidden = [] if "xgboost" in sys.modules else [n for n in UNUSED if n not in sys.modules]
    # None in sys.modules is Python's documented way to say "importing this raises ImportError".
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import xgboost
    finally:
        for name in hidden:
            del sys.modules[name]
    return xgboost  # type: ignore[no-any-return]


def answer(
    ensemble: Ensemble, style: xgboost_answers.Style, body: bytes, headers: Headers
) -> Answer:
    """One invocation, with the statuses that the image gives: 204, 400, 406, 415 or 200."""
    if not body:
        return 204, PLAIN, b""
    try:
        matrix = xgboost_payloads.matrix(import_xgboost(), body, headers.get("Content-Type"))
    except (ValueError, UnicodeDecodeError) as problem:
        return 415, PLAIN, str(problem).encode()
    try:
        accept = xgboost_answers.accepted(headers.get("Accept"), style)
    except ValueError as problem:
        return 406, PLAIN, str(problem).encode()
    try:
        predictions = ensemble.predict(matrix)
    except Exception as problem:  # noqa: BLE001 - the edge: XGBoost's error becomes the 400
        traceback.print_exc()
        first = next((line for line in str(problem).splitlines() if line), "unknown reason")
        return 400, PLAIN, f"Unable to evaluate payload provided: {first}".encode()
    return _written(ensemble, style, predictions, accept)


def _written(
    ensemble: Ensemble, style: xgboost_answers.Style, predictions: Any, accept: str
) -> Answer:
    try:
        text = xgboost_answers.write(
            predictions, accept, style, ensemble.objective, ensemble.num_class
        )
    except ValueError as problem:
        return 500, PLAIN, str(problem).encode()
    return 200, accept, text.encode()


def _predict(booster: Any, matrix: Any) -> Any:
    best = booster.attr("best_iteration")
    trees = (0, int(best) + 1) if best is not None else (0, 0)
    return booster.predict(matrix, iteration_range=trees, validate_features=False)


def _load_one(xgboost: ModuleType, path: Path) -> Any:
    content = bytearray(path.read_bytes())
    if content.startswith(PICKLE):
        raise SetupError(
            f"{path.name} is a pickle, and loading one would run its code; save the model with "
            "Booster.save_model('xgboost-model') instead"
        )
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(content)  # by content: the file's name has no ending to go by
    except xgboost.core.XGBoostError as problem:
        reason = next((line for line in str(problem).splitlines() if line), "unknown reason")
        raise SetupError(f"{path.name} cannot be loaded as an XGBoost model: {reason}") from problem
    return booster


def main(environ: Mapping[str, str]) -> int:
    if has_script(environ):
        return script_server.main(environ)
    try:
        every = environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true").lower() == "true"
        style = xgboost_answers.style(environ)
        ensemble = load(model_dir(environ), every)
    except (SetupError, ValueError) as problem:
        print(f"cannot serve: {problem}", file=sys.stderr)
        return 1
    largest = min(int(environ.get("MAX_CONTENT_LENGTH") or 6 << 20), LARGEST_BYTES)
    port = int(environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
    print(f"serving {len(ensemble.boosters)} XGBoost model(s) on port {port}", flush=True)
    model_http.serve(port, lambda body, headers: answer(ensemble, style, body, headers), largest)
    return 0
