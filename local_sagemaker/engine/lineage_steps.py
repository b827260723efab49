"""Lineage steps: entities and associations that a pipeline records of itself.

All that a step records is one transaction, so that a killed server has recorded all or nothing. An
entity that is there already is used as it is, as AWS does everywhere: a pipeline runs more than
once. Only an action or context of that name that is something else fails the step. AWS leaves open
under what an artifact without a name is shown: here, its SourceUri.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker import operations
from local_sagemaker.engine import expressions, lineage, lineage_recorder, paths
from local_sagemaker.engine.lineage import ACTION, ARTIFACT, CONTEXT, NOUNS
from local_sagemaker.plane import Plane
from local_sagemaker.store import KINDS, Duplicate, Row

KIND = "pipeline-lineage"
NAME = "LineageName"
# Member of the Arguments -> the kind of its entities, in the order of their making.
ENTITIES = {"Actions": ACTION, "Artifacts": ARTIFACT, "Contexts": CONTEXT}
# As many as AWS's LineageMetadata has room for.
MOST_ENTITIES, MOST_ASSOCIATIONS = 5, 10


def check(request: Row) -> None:
    """Raises ValueError unless the Arguments are what a Lineage step takes."""
    known = (*ENTITIES, "Associations")
    written = {member: value for member, value in request.items() if value is not None}
    for member, value in written.items():
        if member not in known:
            raise ValueError(f"Arguments: {paths.did_you_mean(member, known)}")
        most = MOST_ENTITIES if member in ENTITIES else MOST_ASSOCIATIONS
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise ValueError(f"{member} must be a list of objects, not {value!r}")
        if len(value) > most:
            raise ValueError(f"{member} has {len(value)} entries; the most is {most}")
    if not any(written.values()):
        raise ValueError(f"Arguments must hold an entry of {', '.join(known)}")
    names = _names(request)
    for each in request.get("Associations") or ():
        unknown = set(each) - {"Source", "Destination", "AssociationType"}
        if unknown:
            raise ValueError(f"an association takes no {', '.join(sorted(unknown))}")
        for end in ("Source", "Destination"):
            _check_end(end, each.get(end), names)


def _names(request: Row) -> dict[str, list[Any]]:
    """Type -> the names of the step's own entities; an expression stands for any name."""
    return {
        NOUNS[kind]: [each.get(f"{NOUNS[kind]}Name") for each in request.get(member) or ()]
        for member, kind in ENTITIES.items()
    }


def _check_end(end: str, value: Any, names: dict[str, list[Any]]) -> None:
    members = set(value) if isinstance(value, dict) else set()
    if members == {"Arn"}:
        return
    if members != {"Name", "Type"} or value["Type"] not in names:
        types = " | ".join(names)
        raise ValueError(f'{end} takes {{"Name", "Type": {types}}} or {{"Arn"}}, not {value!r}')
    known = names[value["Type"]]
    if (
        all(isinstance(name, str) for name in (value["Name"], *known))
        and value["Name"] not in known
    ):
        raise ValueError(
            f"{end} names the {value['Type']} '{value['Name']}', which this step does not make; "
            "refer to any other by its Arn"
        )


def exposed(request: Row) -> list[paths.Path] | None:
    """What later steps may refer to; None where that is known only when the step runs."""
    found: list[paths.Path] = [("Associations",)]
    for noun, names in _names(request).items():
        for name in names:
            if name is None or expressions.expression(name) is not None:
                return None
            found.append((f"{noun}Arns", str(name)))
    return found


def begin(plane: Plane, request: Row, execution: Row) -> str:
    """Record everything. Raises ApiError, and then nothing is recorded."""
    name = str(request[NAME])
    lineage_recorder.catch_up(plane)  # before, and not in our transaction
    with lineage.exclusive(plane), plane.store.together():
        row: Row = {NAME: name, "PipelineArn": execution["PipelineArn"], "Status": "Succeeded"}
        for member, kind in ENTITIES.items():
            made = (_make(plane, kind, each) for each in request.get(member) or ())
            row[f"{NOUNS[kind]}Arns"] = dict(made)
        row["Associations"] = [
            _join(plane, row, each) for each in request.get("Associations") or ()
        ]
        plane.store.insert(KIND, name, {**row, "CreationTime": plane.clock.now()})
    return name


def _make(plane: Plane, kind: str, entity: Row) -> tuple[str, str]:
    """(The name of an entity, its ARN), once it is there."""
    noun = NOUNS[kind]
    _, request = operations.check(f"Create{noun}", entity)
    row = lineage.new(plane, kind, request)
    there = plane.store.get(kind, row[KINDS[kind].name])
    same = (f"{noun}Type", "Source") if kind != ARTIFACT else ()
    if there is None or any(there[member] != row[member] for member in same):
        lineage.create(plane, kind, request)
    label = request.get(f"{noun}Name") or request["Source"]["SourceUri"]
    return str(label), str(row[f"{noun}Arn"])


def _join(plane: Plane, made: Row, association: Row) -> Row:
    ends = {f"{end}Arn": _arn(made, association[end]) for end in ("Source", "Destination")}
    kind = association.get("AssociationType")
    asked = {**ends, **({"AssociationType": kind} if kind else {})}
    _, request = operations.check("AddAssociation", asked)
    try:
        lineage.join(plane, request)
    except Duplicate:  # of an earlier run
        return ends
    return ends


def _arn(made: Row, end: Row) -> str:
    if "Arn" in end:
        return str(end["Arn"])
    arns = made[f"{end['Type']}Arns"]
    if end["Name"] not in arns:
        raise expressions.ExpressionError(
            f"an association names the {end['Type']} '{end['Name']}', which this step does not make"
        )
    return str(arns[end["Name"]])


def metadata(plane: Plane, name: str) -> Row:
    row = plane.store.get(KIND, name) or {}
    members = (*(f"{noun}Arns" for noun in NOUNS.values()), "Associations")
    return {member: row[member] for member in members if member in row}
