"""The expression language of a pipeline definition: `Get`, `Std:Join`, `Std:JsonGet`.

Lives here: finding every reference inside a JSON value, checking how it is written, and evaluating
the value in a `Scope`. Pure: where a step's properties or a property file come from is the Scope's
business (steps.py); which references a definition may contain is checked in lint.py.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine import paths

ROOTS = ("Parameters", "Execution", "Steps", "ForEach")
CURRENT_ITEM = "CurrentItem"  # the only thing in ForEach
FUNCTIONS = ("Std:Join", "Std:JsonGet")
EXECUTION_VARIABLES = (
    "StartDateTime",
    "CurrentDateTime",
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "TrainingJobName",
    "ProcessingJobName",
)


class ExpressionError(ValueError):
    """An expression that is written wrongly, or that has no value."""


@dataclass(frozen=True)
class Reference:
    """One `Get`: `Steps.Train.A.B` is root "Steps", name "Train", path ("A", "B")."""

    text: str
    root: str
    name: str
    path: paths.Path

    @property
    def property_file(self) -> str | None:
        """The property file that this names, or None: Steps.<Step>.PropertyFiles.<file>."""
        is_file = self.root == "Steps" and len(self.path) == 2 and self.path[0] == "PropertyFiles"
        return str(self.path[1]) if is_file else None


@dataclass(frozen=True)
class Scope:
    """Where references get their values from, at the moment a step starts."""

    parameters: Mapping[str, Any]
    execution: Mapping[str, Any]
    step: Callable[[str], Any]  # step name -> its properties (a Describe response)
    property_file: Callable[[str, str], str]  # step name, property file -> its s3:// URI
    document: Callable[[str], Any]  # s3:// URI of a JSON file -> its content
    item: Any = None  # of the iteration, for a step of a ForEachBody


def reference(text: Any) -> Reference:
    """Read the text of a `Get`. Raises ExpressionError with what is allowed."""
    if not isinstance(text, str):
        raise ExpressionError(f"Get takes a text such as 'Parameters.Name', not {text!r}")
    try:
        root, *rest = paths.parse(text)
    except paths.PathError as error:
        raise ExpressionError(f"Get: {error}") from None
    if root not in ROOTS:
        raise ExpressionError(f"Get '{text}' must begin with {', '.join(ROOTS)}")
    if not rest or not isinstance(rest[0], str):
        raise ExpressionError(f"Get '{text}' names nothing inside {root}")
    if root == "ForEach" and rest[0] != CURRENT_ITEM:
        raise ExpressionError(f"Get '{text}': there is only ForEach.{CURRENT_ITEM}")
    if root in ("Parameters", "Execution") and len(rest) > 1:
        raise ExpressionError(f"Get '{text}' goes too deep: {root}.{rest[0]} is a plain value")
    if root == "Steps" and len(rest) == 1:
        raise ExpressionError(f"Get '{text}' must name a property of step '{rest[0]}'")
    return Reference(text, str(root), rest[0], tuple(rest[1:]))


def expression(value: Any) -> tuple[str, Any] | None:
    """("Get" | "Std:...", operand) when the value is an expression, None when it is plain data."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((key, operand),) = value.items()
    return (key, operand) if key == "Get" or str(key).startswith("Std:") else None


def references(value: Any) -> Iterator[Reference]:
    """Every reference inside a JSON value, in order; checks how each expression is written."""
    found = expression(value)
    if found is None:
        for child in _children(value):
            yield from references(child)
        return
    key, operand = found
    if key == "Get":
        yield reference(operand)
        return
    check_function(key, operand)
    yield from references(operand["Values"] if key == "Std:Join" else _source(operand))


def check_function(key: str, operand: Any) -> None:
    """Raises ExpressionError unless `operand` is what function `key` takes."""
    if key not in FUNCTIONS:
        raise ExpressionError(f"function '{key}' is not supported; there is {', '.join(FUNCTIONS)}")
    if not isinstance(operand, dict):
        raise ExpressionError(f"{key} takes an object, not {operand!r}")
    if key == "Std:Join":
        if not isinstance(operand.get("On", ""), str) or not isinstance(
            operand.get("Values"), list
        ):
            raise ExpressionError(
                f'Std:Join takes {{"On": text, "Values": [...]}}, not {operand!r}'
            )
        return
    if not isinstance(operand.get("Path"), str) or not {"PropertyFile", "S3Uri"} & operand.keys():
        raise ExpressionError('Std:JsonGet takes {"PropertyFile" or "S3Uri": ..., "Path": text}')
    try:
        paths.parse_json_path(operand["Path"])
    except paths.PathError as error:
        raise ExpressionError(f"Std:JsonGet: {error}") from None


def evaluate(value: Any, scope: Scope) -> Any:
    """The value with every expression replaced by what it stands for, types kept.

    Members that are null in the definition are left out, as if they had not been written.
    Raises ExpressionError naming the expression that has no value.
    """
    found = expression(value)
    if found is None:
        if isinstance(value, dict):
            return {key: evaluate(item, scope) for key, item in value.items() if item is not None}
        return [evaluate(item, scope) for item in value] if isinstance(value, list) else value
    key, operand = found
    if key == "Get":
        return _get(reference(operand), scope)
    check_function(key, operand)
    return _join(operand, scope) if key == "Std:Join" else _json_get(operand, scope)


def as_text(value: Any) -> str:
    """How a value reads inside Std:Join: text as it is, everything else as its JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _source(operand: dict[str, Any]) -> Any:
    return operand["PropertyFile"] if "PropertyFile" in operand else operand["S3Uri"]


def _get(wanted: Reference, scope: Scope) -> Any:
    if wanted.root == "Steps":
        if wanted.property_file is not None:
            raise ExpressionError(
                f"Get '{wanted.text}' is a property file; read it with Std:JsonGet"
            )
        try:
            return paths.follow(scope.step(wanted.name), wanted.path)
        except paths.PathError as error:
            raise ExpressionError(f"Get '{wanted.text}' has no value: {error}") from None
    if wanted.root == "ForEach":
        return _current_item(wanted, scope.item)
    values = scope.parameters if wanted.root == "Parameters" else scope.execution
    if wanted.name not in values:
        hint = paths.did_you_mean(wanted.name, values)
        raise ExpressionError(f"Get '{wanted.text}' has no value here; {hint}")
    return values[wanted.name]


def _current_item(wanted: Reference, item: Any) -> Any:
    """The item, an object as its JSON text; or a member of it, also of an object given as text."""
    if not wanted.path:
        return as_text(item) if isinstance(item, dict) else item
    try:
        document = json.loads(item) if isinstance(item, str) else item
        return paths.follow(document, wanted.path)
    except paths.PathError as error:
        raise ExpressionError(f"Get '{wanted.text}' has no value: {error}") from None
    except (ValueError, RecursionError):
        raise ExpressionError(
            f"Get '{wanted.text}' has no value: the item {item!r} is no JSON object"
        ) from None


def _join(operand: dict[str, Any], scope: Scope) -> str:
    values = [evaluate(value, scope) for value in operand["Values"]]
    return str(operand.get("On", "")).join(as_text(value) for value in values)


def _json_get(operand: dict[str, Any], scope: Scope) -> Any:
    uri = _document_uri(operand, scope)
    try:
        return paths.follow(scope.document(uri), paths.parse_json_path(operand["Path"]))
    except paths.PathError as error:
        raise ExpressionError(f"Std:JsonGet of {uri}: {error}") from None


def _document_uri(operand: dict[str, Any], scope: Scope) -> str:
    if "PropertyFile" not in operand:
        return str(evaluate(operand["S3Uri"], scope))
    source = expression(operand["PropertyFile"])
    wanted = reference(source[1]) if source is not None and source[0] == "Get" else None
    if wanted is None or wanted.property_file is None:
        raise ExpressionError(
            'Std:JsonGet: PropertyFile takes {"Get": "Steps.<Step>.PropertyFiles.<Name>"}, '
            f"not {operand['PropertyFile']!r}"
        )
    return scope.property_file(wanted.name, wanted.property_file)
