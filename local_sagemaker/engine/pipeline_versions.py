"""Versions of a pipeline: one per definition it was given, numbered from 1, and their aliases.

An alias names one version of its pipeline. All aliases of a pipeline stand in the pipeline's own
row, so that two requests at once cannot give one alias to two versions.
"""

from collections.abc import Callable, Iterable

from local_sagemaker.engine import pipeline_rows
from local_sagemaker.engine.pipeline_rows import VERSION
from local_sagemaker.errors import conflict, resource_not_found, validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

ALIASES = "VersionAliases"  # alias -> version: a member of ours; no Describe shape has it
MOST_ALIASES = 10


def add(plane: Plane, pipeline_arn: str, version: int, text: str) -> None:
    """Keep a definition as a version of a pipeline."""
    name = pipeline_rows.version_name(pipeline_arn, version)
    row = {
        "PipelineArn": pipeline_arn,
        "PipelineVersionId": version,
        "PipelineDefinition": text,
        "CreationTime": plane.clock.now(),
    }
    # A version that a crashed request left behind belongs to nobody.
    plane.store.delete(VERSION, name)
    plane.store.insert(VERSION, name, row)


def of(pipeline: Row) -> Callable[[Row], bool]:
    """Is a row a version of this pipeline, and not one that a crashed request left behind?"""

    def is_ours(row: Row) -> bool:
        ours = row["PipelineArn"] == pipeline["PipelineArn"]
        return bool(ours and row["PipelineVersionId"] <= pipeline["PipelineVersionId"])

    return is_ours


def delete_all(plane: Plane, pipeline: Row) -> None:
    for version in range(1, pipeline["PipelineVersionId"] + 1):
        name = pipeline_rows.version_name(pipeline["PipelineArn"], version)
        plane.store.delete(VERSION, name)


def asked_for(plane: Plane, pipeline: Row, request: Row) -> Row:
    """The version that PipelineVersionId or PipelineVersionAlias names; without both the newest."""
    alias = request.get("PipelineVersionAlias")
    if alias is not None and "PipelineVersionId" in request:
        raise validation("PipelineVersionId and PipelineVersionAlias exclude each other")
    asked = request if "PipelineVersionId" in request else pipeline
    chosen = asked["PipelineVersionId"] if alias is None else aliased(pipeline, alias)
    return pipeline_rows.find_version(plane, pipeline, chosen)


def aliased(pipeline: Row, alias: str) -> int:
    """The number of the version with this alias. Raises ResourceNotFound."""
    known: dict[str, int] = pipeline.get(ALIASES, {})
    if alias not in known:
        there = ", ".join(sorted(known)) or "none"
        raise resource_not_found(
            f"Pipeline '{pipeline['PipelineName']}' has no version with the alias '{alias}'; "
            f"its aliases: {there}"
        )
    return known[alias]


def aliases_of(pipeline: Row, version: int) -> list[str]:
    return [alias for alias, number in pipeline.get(ALIASES, {}).items() if number == version]


def with_aliases(
    pipeline: Row, version: int, added: Iterable[str], removed: Iterable[str] = ()
) -> Row:
    """The pipeline's row after a change of the aliases of one version. Raises ApiError."""
    aliases = dict(pipeline.get(ALIASES, {}))
    for alias in removed:
        if aliases.get(alias) != version:
            raise validation(f"Version {version} does not have the alias '{alias}' to remove")
        del aliases[alias]
    for alias in added:
        if alias.isdigit():
            raise validation(f"Alias '{alias}' cannot consist of numbers only")
        if aliases.get(alias, version) != version:
            raise conflict(
                f"Alias '{alias}' belongs to version {aliases[alias]} of pipeline "
                f"'{pipeline['PipelineName']}'; remove it there with UpdatePipelineVersion first"
            )
        aliases[alias] = version
    changed = {**pipeline, ALIASES: aliases}
    count = len(aliases_of(changed, version))
    if count > MOST_ALIASES:
        raise validation(
            f"Version {version} would have {count} aliases; it may have {MOST_ALIASES}"
        )
    return changed
