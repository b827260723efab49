"""The OutputParameters of Lambda and Callback steps: what a definition declares, and their values.

Values travel as text (a step's Metadata, SendPipelineExecutionStepSuccess) and are typed where the
definition refers to them: `Steps.<step>.OutputParameters['name']`.
"""

from typing import Any

from local_sagemaker.engine import parameters, paths
from local_sagemaker.engine.expressions import as_text
from local_sagemaker.engine.parameters import Parameter

OUTPUT_TYPES = ("String", "Integer", "Float", "Boolean")
MOST_OUTPUTS = 50
LONGEST_VALUE = 1024

Declared = list[dict[str, str]]  # [{"OutputName", "OutputType"}], as in the definition
Outputs = list[dict[str, str]]  # [{"Name", "Value"}], as AWS shows them


class OutputError(ValueError):
    """An output that is not declared, not there, or not of its type."""


def check(entries: Any) -> None:
    """Raises OutputError unless `entries` is what a definition may declare."""
    if not isinstance(entries, list) or len(entries) > MOST_OUTPUTS:
        raise OutputError(f"OutputParameters must be a list of {MOST_OUTPUTS} entries at most")
    names: list[str] = []
    for entry in entries:
        name = entry.get("OutputName") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or set(entry) != {"OutputName", "OutputType"}:
            raise OutputError(
                f"OutputParameters: {entry!r} must be an OutputName and an OutputType"
            )
        if entry["OutputType"] not in OUTPUT_TYPES:
            raise OutputError(
                f"output '{name}' has OutputType {entry['OutputType']!r}; "
                f"allowed is {', '.join(OUTPUT_TYPES)}"
            )
        if name in names:
            raise OutputError(f"output '{name}' is declared twice")
        names.append(name)


def names(declared: Declared) -> list[str]:
    return [each["OutputName"] for each in declared]


def pick(declared: Declared, answer: Any) -> Outputs:
    """The declared outputs in what a Lambda function returned. Raises OutputError."""
    if not declared:
        return []
    if not isinstance(answer, dict):
        raise OutputError(f"it returned {as_text(answer)[:100]}, which is no JSON object")
    missing = [name for name in names(declared) if name not in answer]
    if missing:
        hint = paths.did_you_mean(missing[0], answer)
        raise OutputError(f"it returned no '{missing[0]}', which is an output of the step; {hint}")
    found = [{"Name": name, "Value": as_text(answer[name])} for name in names(declared)]
    values(declared, found)
    return found


def take(declared: Declared, given: Outputs) -> Outputs:
    """The outputs that a consumer of a callback has sent. Raises OutputError."""
    sent = [each["Name"] for each in given]
    for name in sent:
        if name not in names(declared):
            hint = paths.did_you_mean(name, names(declared))
            raise OutputError(f"output '{name}' is not declared by the step; {hint}")
        if sent.count(name) > 1:
            raise OutputError(f"output '{name}' is given twice")
    values(declared, given)
    return given


def values(declared: Declared, found: Outputs) -> dict[str, Any]:
    """Name -> typed value. Raises OutputError."""
    types = {each["OutputName"]: each["OutputType"] for each in declared}
    return {each["Name"]: _typed(each, types[each["Name"]]) for each in found}


def _typed(output: dict[str, str], output_type: str) -> Any:
    name, text = output["Name"], output["Value"]
    if len(text) > LONGEST_VALUE:
        raise OutputError(f"output '{name}' has {len(text)} characters; {LONGEST_VALUE} may be")
    try:
        return parameters.value(Parameter(name, output_type), text)
    except parameters.ParameterError:
        raise OutputError(f"output '{name}' is {output_type}, which cannot be {text!r}") from None
