"""Selective execution: which steps of a pipeline run, and what the others bring from an earlier
execution.

Rules: the selected steps are in the definition, none between two of them is left out, and each
unselected step that they wait for succeeded in the source execution. Pure: finding the source is
the API's business.
"""

from typing import Any

from local_sagemaker.engine import graph, iterations
from local_sagemaker.engine.definition import Definition
from local_sagemaker.engine.paths import did_you_mean
from local_sagemaker.store import Row

CONFIG = "SelectiveExecutionConfig"
# What a step brings along from the execution that ran it.
_BROUGHT = (
    "StepName",
    "StepDisplayName",
    "StepDescription",
    "Metadata",
    "Resource",
    "Outcome",
    "Items",
    "IterationContext",
)


class SelectionError(ValueError):
    """A selection that cannot run; the message names the step and what to do."""


def chosen(execution: Row, definition: Definition) -> set[str]:
    """The names of the steps that an execution may start."""
    config = execution.get(CONFIG)
    if not config:
        return set(definition.steps)
    names = set(_names(config))
    return names | {name for name, step in definition.steps.items() if step.loop in names}


def begin(
    definition: Definition, config: dict[str, Any], source: Row | None, now: float
) -> dict[str, Row]:
    """The results that an execution with this selection begins with. Raises SelectionError."""
    needs = graph.dependencies(definition)
    names = _names(config)
    _check_names(definition, names)
    _check_connected(needs, names)
    results: dict[str, Row] = source["Steps"] if source else {}
    for name in names:
        for need in sorted(needs[name] - set(names)):
            _check_need(definition, name, need, source, results.get(need, {}))
    above = graph.upstream(needs, names) - set(names)
    definition = iterations.expanded(definition, {name: results.get(name, {}) for name in above})
    return {
        name: _brought(results[name], str(config["SourcePipelineExecutionArn"]), now)
        for name in graph.order(graph.dependencies(definition))
        if (name in above or definition.steps[name].loop in above)
        and results.get(name, {}).get("StepStatus") == "Succeeded"
    }


def _names(config: dict[str, Any]) -> list[str]:
    return [each["StepName"] for each in config["SelectedSteps"]]


def _check_names(definition: Definition, names: list[str]) -> None:
    for name in names:
        if name not in definition.steps:
            hint = did_you_mean(name, definition.steps)
            raise SelectionError(f"the pipeline has no step '{name}'; {hint}")
        loop = definition.steps[name].loop
        if loop is not None:
            raise SelectionError(
                f"step '{name}' stands in the ForEachBody of '{loop}'; select '{loop}' as a whole"
            )
        if names.count(name) > 1:
            raise SelectionError(f"step '{name}' is selected twice")


def _check_connected(needs: graph.Dependencies, names: list[str]) -> None:
    above = graph.upstream(needs, names)
    for name in sorted(above - set(names)):
        over = graph.upstream(needs, [name]) & set(names)
        if over:
            under = next(each for each in names if name in graph.upstream(needs, [each]))
            raise SelectionError(
                f"step '{name}' lies between the selected steps '{min(over)}' and '{under}'; "
                "select it too: all steps on the paths between two selected steps must be selected"
            )


def _check_need(
    definition: Definition, name: str, need: str, source: Row | None, result: Row
) -> None:
    step = definition.steps[name]
    if source is None:
        raise SelectionError(
            f"step '{name}' depends on '{need}', which is not selected; select it too or give a "
            "SourcePipelineExecutionArn whose results can be used"
        )
    arn = source["PipelineExecutionArn"]
    if step.triggers.get(need, "Any") != "Any":
        raise SelectionError(
            f"step '{name}' runs only when '{need}' has {step.triggers[need]}; select '{need}' too"
        )
    status = result.get("StepStatus")
    if status != "Succeeded":
        found = f"is {status}" if status else "did not run"
        raise SelectionError(
            f"step '{name}' needs '{need}', which {found} in the source execution {arn}; "
            f"select '{need}' too or give another SourcePipelineExecutionArn"
        )
    if need == step.parent and result.get("Outcome") != step.branch:
        raise SelectionError(
            f"step '{name}' stands in the {step.branch} branch of '{need}', which was "
            f"{result.get('Outcome')} in the source execution {arn}; select '{need}' too"
        )


def _brought(result: Row, source_arn: str, now: float) -> Row:
    return {
        **{member: result[member] for member in _BROUGHT if member in result},
        "StepStatus": "Succeeded",
        "StartTime": now,
        "EndTime": now,
        "SelectiveExecutionResult": {"SourcePipelineExecutionArn": source_arn},
    }
