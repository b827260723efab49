"""Serve a model as AWS's XGBoost and scikit-learn images do in script mode: `docker run <image>
serve`.

The user's program (SAGEMAKER_PROGRAM in SAGEMAKER_SUBMIT_DIRECTORY, else code/ of the model) gives
model_fn, and either transform_fn or input_fn, predict_fn, output_fn. The model is loaded first;
only then does the port answer, so a model that cannot be loaded ends this process with the reason
in its log. Standard library only: nothing but the user's own imports costs time or memory. Run
through run.py; HTTP is model_http.py's.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from local_sagemaker.containers import model_http, requirements_txt
from local_sagemaker.containers.model_http import JSON, Answer, Headers

# the toolkit hands these over as str, all others as bytes
TEXT_TYPES = ("application/json", "text/csv")
# Classes of sagemaker_containers and sagemaker_inference that a program may raise.
UNSUPPORTED_FORMAT, TOOLKIT_ERROR = "UnsupportedFormatError", "BaseInferenceToolkitError"


class SetupError(Exception):
    """The model cannot be served at all; the message says what is missing and what to do."""


class NotAcceptableError(Exception):
    """The default output_fn cannot write the asked content type."""


@dataclass(frozen=True)
class Settings:
    """Where the model and its program are, and how to answer."""

    model_dir: Path
    code_dir: Path
    program: str
    port: int
    accept: str


def settings(environ: Mapping[str, str]) -> Settings:
    """Read the container's environment. Raises SetupError."""
    model_dir = Path(environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model"
    submitted = environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or str(model_dir / "code")
    if submitted.startswith("s3://"):
        raise SetupError(
            f"SAGEMAKER_SUBMIT_DIRECTORY = {submitted!r}: a program on S3 is not supported yet; "
            "put it into code/ of model.tar.gz and leave SAGEMAKER_SUBMIT_DIRECTORY out"
        )
    return Settings(
        model_dir=model_dir,
        code_dir=Path(submitted),
        program=environ.get("SAGEMAKER_PROGRAM") or "inference.py",
        port=int(environ.get("SAGEMAKER_BIND_TO_PORT") or 8080),
        accept=environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or JSON,
    )


def load_program(chosen: Settings) -> ModuleType:
    """Import the user's module with its folder first on the module path. Raises SetupError."""
    path = chosen.code_dir / chosen.program
    if not path.is_file():
        raise SetupError(
            f"SAGEMAKER_PROGRAM: there is no {path}; model.tar.gz must hold it as "
            f"code/{chosen.program}"
        )
    try:
        requirements_txt.install(chosen.code_dir)
    except requirements_txt.RequirementsError as problem:
        raise SetupError(str(problem)) from problem
    sys.path.insert(0, str(chosen.code_dir))
    module = importlib.import_module(".".join(Path(chosen.program).with_suffix("").parts))
    _check_functions(module, chosen.program)
    return module


def _check_functions(module: ModuleType, program: str) -> None:
    if not hasattr(module, "model_fn"):
        raise SetupError(
            f"{program} has no model_fn(model_dir); it has no default and must be defined"
        )
    if hasattr(module, "transform_fn"):
        parts = [name for name in ("input_fn", "predict_fn", "output_fn") if hasattr(module, name)]
        if parts:
            raise SetupError(
                f"{program} has transform_fn and also {', '.join(parts)}; keep one way"
            )
    elif not hasattr(module, "input_fn"):
        raise SetupError(
            f"{program} has neither input_fn nor transform_fn; the image's default input_fn is not "
            "supported yet, define input_fn(body, content_type) or transform_fn"
        )


def default_predict_fn(data: Any, model: Any) -> Any:
    """As the images do: predict, with a Booster's feature names left unchecked."""
    if type(model).__module__.startswith("xgboost") and hasattr(model, "get_dump"):
        return model.predict(data, validate_features=False)
    return model.predict(data)


def default_output_fn(prediction: Any, accept: str) -> tuple[str, str]:
    """JSON or CSV of an array or a list. Raises NotAcceptableError."""
    values = prediction.tolist() if hasattr(prediction, "tolist") else prediction
    if accept == JSON:
        return json.dumps(values), accept
    if accept == "text/csv":
        rows = values if isinstance(values, list) else [values]
        lines = [",".join(map(str, row if isinstance(row, list) else [row])) for row in rows]
        return "\n".join(lines) + "\n", accept
    raise NotAcceptableError(
        f"Accept {accept!r} is not supported by the default output_fn; it may be {JSON} or text/csv"
    )


def transformer(module: ModuleType, model: Any) -> Callable[[Any, str, str], Any]:
    """(body, content type, accept) -> what the user's functions answer."""
    if hasattr(module, "transform_fn"):
        transform = module.transform_fn
        return lambda body, content_type, accept: transform(model, body, content_type, accept)
    read = module.input_fn
    predict = getattr(module, "predict_fn", default_predict_fn)
    write = getattr(module, "output_fn", default_output_fn)

    def go(body: Any, content_type: str, accept: str) -> Any:
        prediction = predict(read(body, content_type), model)
        try:
            return write(prediction, accept)
        except Exception as problem:
            if _is(problem, UNSUPPORTED_FORMAT):
                raise NotAcceptableError(str(problem)) from problem
            raise

    return go


def _is(problem: Exception, name: str) -> bool:
    """By name: which toolkit's class the program has raised does not matter."""
    return any(each.__name__ == name for each in type(problem).__mro__)


def _status(problem: Exception) -> int:
    """As AWS's toolkits: a format is the caller's fault, and their own errors carry a status."""
    if isinstance(problem, NotAcceptableError):
        return 406
    status = getattr(problem, "status_code", None)
    if _is(problem, TOOLKIT_ERROR) and isinstance(status, int) and 400 <= status < 600:
        return status
    return 415 if _is(problem, UNSUPPORTED_FORMAT) else 500


def answer(
    transform: Callable[[Any, str, str], Any], body: bytes, headers: Headers, default: str
) -> Answer:
    """One invocation: status, content type, body. What the user's code raises is the status that
    _status gives it, with its message.
    """
    content_type = headers.get("Content-Type") or JSON
    accept = headers.get("Accept") or default
    accept = default if accept == "*/*" else accept
    try:
        given = body.decode() if content_type in TEXT_TYPES else body
        result = transform(given, content_type, accept)
        return (200, *_encoded(result, accept))
    except Exception as problem:  # noqa: BLE001 - the edge: the user's code may raise anything
        status = _status(problem)
        if status == 500:
            traceback.print_exc()
        return status, "text/plain", (str(problem) or type(problem).__name__).encode()


def _encoded(result: Any, accept: str) -> tuple[str, bytes]:
    if isinstance(result, tuple):
        result, accept = result
    if isinstance(result, str):
        return accept, result.encode()
    if isinstance(result, bytes | bytearray | memoryview):
        return accept, bytes(result)
    raise TypeError(
        f"output_fn or transform_fn answered {type(result).__name__}; it must be str, bytes, or a "
        "pair of one of them and a content type"
    )


def main(environ: Mapping[str, str]) -> int:
    try:
        chosen = settings(environ)
        module = load_program(chosen)
    except SetupError as problem:
        print(f"cannot serve: {problem}", file=sys.stderr)
        return 1
    model = module.model_fn(str(chosen.model_dir))
    transform = transformer(module, model)
    print(f"serving {chosen.program} on port {chosen.port}", flush=True)
    model_http.serve(
        chosen.port, lambda body, headers: answer(transform, body, headers, chosen.accept)
    )
    return 0
