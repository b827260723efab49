"""What must hold between the steps of a definition before it is accepted: one small rule after
another.

Each rule looks at the whole definition and yields messages that name the step and say what to do;
`check` runs them all and raises once with everything that was found.
"""

from collections.abc import Callable, Iterator
from typing import Any

from local_sagemaker.engine import (
    check_types,
    cleanups,
    expressions,
    graph,
    lineage_steps,
    loop_rules,
    outputs,
    paths,
)
from local_sagemaker.engine.definition import Definition, DefinitionError, Step, read
from local_sagemaker.engine.expressions import EXECUTION_VARIABLES, Reference
from local_sagemaker.engine.paths import did_you_mean

Rule = Callable[[Definition], Iterator[str]]

# Execution variables that exist only inside the step that launches the job -> that step's type.
_JOB_VARIABLES = {"TrainingJobName": "Training", "ProcessingJobName": "Processing"}


def parse(text: str) -> Definition:
    """A definition that can run. Raises DefinitionError with everything that is wrong with it."""
    definition = read(text)
    check(definition)
    return definition


def check(definition: Definition) -> None:
    for rules in (_SYNTAX, _MEANING, _SHAPE):
        problems = [problem for rule in rules for problem in rule(definition)]
        if problems:
            raise DefinitionError("; ".join(problems))


def expressions_can_be_read(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        try:
            list(expressions.references(step.expressions))
        except expressions.ExpressionError as error:
            yield f"step '{step.name}': {error}"


def experiment_knows_parameters_and_execution(definition: Definition) -> Iterator[str]:
    try:
        found = list(expressions.references(definition.experiment))
    except expressions.ExpressionError as error:
        yield f"PipelineExperimentConfig: {error}"
        return
    yield from (
        f"PipelineExperimentConfig: Get '{each.text}' refers to a step"
        for each in found
        if each.root == "Steps"
    )


def parameters_are_declared(definition: Definition) -> Iterator[str]:
    declared = [parameter.name for parameter in definition.parameters]
    for place, found in _references(definition):
        if found.root == "Parameters" and found.name not in declared:
            hint = did_you_mean(found.name, declared)
            yield f"{place}: parameter '{found.name}' is not declared in Parameters; {hint}"


def execution_variables_exist(definition: Definition) -> Iterator[str]:
    for place, found in _references(definition):
        if found.root == "Execution" and found.name not in EXECUTION_VARIABLES:
            hint = did_you_mean(found.name, EXECUTION_VARIABLES)
            yield f"{place}: {found.text} is unknown; {hint}"


def job_variables_stand_in_their_job(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        for found in expressions.references(step.expressions):
            kind = _JOB_VARIABLES.get(found.name) if found.root == "Execution" else None
            if kind not in (None, step.type.name):
                yield f"step '{step.name}': {found.text} exists only inside a {kind} step"


def steps_are_known(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        for name in step.depends_on:
            if name not in definition.steps:
                hint = did_you_mean(name, definition.steps)
                yield f"step '{step.name}': DependsOn names the unknown step '{name}'; {hint}"
        for found in _of_steps(step):
            if found.name not in definition.steps:
                hint = did_you_mean(found.name, definition.steps)
                yield f"step '{step.name}': Get '{found.text}' names an unknown step; {hint}"


def property_files_are_declared(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        for found in _of_steps(step):
            producer = definition.steps.get(found.name)
            file = found.property_file
            if producer is not None and file is not None and file not in producer.property_files:
                hint = did_you_mean(file, producer.property_files)
                yield (
                    f"step '{step.name}': step '{producer.name}' declares no property file "
                    f"'{file}'; {hint}"
                )


def property_files_have_an_output(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        names = _output_names(step)
        for file in step.property_files.values():
            if file.output_name not in names:
                yield (
                    f"step '{step.name}': property file '{file.name}' is in output "
                    f"'{file.output_name}', which the step does not have; "
                    f"{did_you_mean(file.output_name, names)}"
                )


def steps_expose_something(definition: Definition) -> Iterator[str]:
    for step in definition.steps.values():
        for found in _of_steps(step):
            try:
                meant = loop_rules.meant(definition, found)
            except loop_rules.UnknownOutput as error:
                yield f"step '{step.name}': Get '{found.text}': {error}"
                continue
            if problem := _not_exposed(meant):
                yield f"step '{step.name}': Get '{found.text}': {problem}"
        if problem := _not_exposed(loop_rules.compared(definition, step)):
            yield f"step '{step.name}': Selector: {problem}"


def cleanups_have_sources(definition: Definition) -> Iterator[str]:
    waits_for = graph.dependencies(definition)
    for step in definition.steps.values():
        for source in cleanups.sources(step.arguments) if step.type.name == "Cleanup" else ():
            problem = _source_problem(definition.steps.get(source["StepName"]), source)
            if problem is None and source["StepName"] not in waits_for[step.name]:
                problem = "must be in DependsOn, so that its outputs are there"
            if problem is not None:
                yield f"step '{step.name}': the source '{source['StepName']}' {problem}"


def steps_form_no_cycle(definition: Definition) -> Iterator[str]:
    cycle = graph.find_cycle(graph.dependencies(definition))
    if cycle:
        yield f"the steps wait for each other in a cycle: {' -> '.join(cycle)}"


_EXPOSED: dict[str, list[paths.Path]] = {"Fail": [], "Cleanup": [], "Condition": [("Outcome",)]}

# Later groups rely on what earlier ones have found to be sound.
_SYNTAX: tuple[Rule, ...] = (expressions_can_be_read, experiment_knows_parameters_and_execution)
_MEANING: tuple[Rule, ...] = (
    parameters_are_declared,
    execution_variables_exist,
    job_variables_stand_in_their_job,
    steps_are_known,
    property_files_are_declared,
    property_files_have_an_output,
    steps_expose_something,
    loop_rules.bodies_are_referred_to_through_their_for_each,
    loop_rules.bodies_answer_only_their_own_failures,
    loop_rules.children_have_names_of_their_own,
    loop_rules.current_items_stand_in_a_body,
    loop_rules.selectors_compare_a_step_of_the_body,
)
_SHAPE: tuple[Rule, ...] = (cleanups_have_sources, steps_form_no_cycle)


def _references(definition: Definition) -> Iterator[tuple[str, Reference]]:
    for step in definition.steps.values():
        for found in expressions.references(step.expressions):
            yield f"step '{step.name}'", found
    for found in expressions.references(definition.experiment):
        yield "PipelineExperimentConfig", found


def _of_steps(step: Step) -> Iterator[Reference]:
    return (each for each in expressions.references(step.expressions) if each.root == "Steps")


def _source_problem(source: Step | None, entry: dict[str, Any]) -> str | None:
    if source is None:
        return "is no step of this pipeline"
    if source.type.name not in cleanups.SOURCES:
        return f"is a {source.type.name} step; allowed is {', '.join(cleanups.SOURCES)}"
    if cleanups.SOURCES[source.type.name] and entry.get("S3Uris") is None:
        return f"is a {source.type.name} step and needs S3Uris: exactly the objects to delete"
    return None


def _not_exposed(meant: tuple[Step, paths.Path] | None) -> str | None:
    step, path = meant or (None, ())
    exposed = _exposed(step) if step is not None else None
    if step is None or exposed is None or path in exposed:
        return None
    names = ", ".join(paths.write(each) for each in exposed)
    found = f"exposes {f'only {names}' if names else 'nothing'}"
    return f"the {step.type.name} step '{step.name}' {found}"


def _exposed(step: Step) -> list[paths.Path] | None:
    """Everything that a step exposes; None when that is the description of a resource."""
    if step.type.payload is not None:
        names = outputs.names(step.arguments["OutputParameters"])
        return [("OutputParameters", name) for name in names]
    if check_types.names_of(step.type.name):
        return [(name,) for name in check_types.exposed(step.type.name)]
    if step.type.name == "Lineage":
        return lineage_steps.exposed(step.arguments)
    return _EXPOSED.get(step.type.name)


def _output_names(step: Step) -> list[str]:
    config = step.arguments.get("ProcessingOutputConfig")
    outputs = config.get("Outputs") if isinstance(config, dict) else None
    if not isinstance(outputs, list):
        return []
    return [
        str(each["OutputName"])
        for each in outputs
        if isinstance(each, dict) and "OutputName" in each
    ]
