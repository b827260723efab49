"""What a model runs: one container, or several in turn (Serial) or each for itself (Direct).

CreateModel's PrimaryContainer or Containers, with the model package versions that they name, become
a list of Hostname, Image, ModelDataUrl and Environment. It is kept in the model's row, so a model
goes on when its package was deleted, as at AWS.
"""

from __future__ import annotations

from local_sagemaker import images
from local_sagemaker.engine import registry
from local_sagemaker.errors import validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

CONTAINERS = "LocalContainers"  # a model row's member of ours
DIRECT = "Direct"
# A container that serves the models below its ModelDataUrl has its MultiModelConfig here.
MULTI_MODEL = "MultiModel"
# What a container keeps when the rest of it comes from a model package.
OF_THE_REQUEST = ("ContainerHostname", "Mode", "MultiModelConfig")


def of_model(plane: Plane, request: Row) -> list[Row]:
    """The containers of a CreateModel request; refuses what cannot be served here."""
    if ("PrimaryContainer" in request) == bool(request.get("Containers")):
        raise validation("CreateModel needs PrimaryContainer or Containers, one of them.")
    if "PrimaryContainer" in request:
        primary = request["PrimaryContainer"]
        found = _named(plane, _resolved(plane, primary, "PrimaryContainer"), alone="primary")
    else:
        found = _named(plane, _listed(plane, request["Containers"]))
    if execution_mode(request) == DIRECT:
        _check_direct(request, found)
    return found


def execution_mode(request: Row) -> str | None:
    """How a model's containers are called; None is in turn."""
    mode: str | None = request.get("InferenceExecutionConfig", {}).get("Mode")
    return mode


def is_multi_model(containers: list[Row]) -> bool:
    """Do they serve many models, each named by the request?"""
    return any(MULTI_MODEL in each for each in containers)


def of_image(plane: Plane, container: Row) -> list[Row]:
    """The one container with this Image, ModelDataUrl and Environment."""
    return _named(plane, [container], alone="primary")


def _listed(plane: Plane, given: list[Row]) -> list[Row]:
    runs = [_resolved(plane, each, f"Containers[{at}]") for at, each in enumerate(given)]
    if len(given) > 1 and any(len(each) > 1 for each in runs):
        raise validation(
            "A model package of several containers is a whole inference pipeline: it cannot be one "
            "of several Containers."
        )
    return [container for each in runs for container in each]


def _resolved(plane: Plane, container: Row, where: str) -> list[Row]:
    """A container as it is, or those of the model package that it names."""
    if ("Image" in container) == ("ModelPackageName" in container):
        raise validation(f"{where} needs Image or ModelPackageName, one of them.")
    if "Image" in container:
        return [container]
    packaged = _packaged(plane, container["ModelPackageName"])
    if len(packaged) > 1 and container.get("Environment"):
        raise validation(
            f"{where}: Environment is not supported by the local SageMaker for a model package of "
            "several containers; put it into the package"
        )
    if len(packaged) > 1:
        return packaged
    (only,) = packaged
    environment = {**only.get("Environment", {}), **container.get("Environment", {})}
    given = {k: v for k, v in container.items() if k in OF_THE_REQUEST}
    return [{**only, **given, "Environment": environment}]


def _packaged(plane: Plane, package: str) -> list[Row]:
    """The containers of an Approved model package version; refuses any other."""
    version = registry.version(plane, package)
    arn, status = version["ModelPackageArn"], version.get("ModelApprovalStatus", "Approved")
    if status != "Approved":
        raise validation(
            f"Model package {arn} is {status}; only an Approved version can be deployed: approve "
            "it with UpdateModelPackage first"
        )
    containers = version.get("InferenceSpecification", {}).get("Containers", [])
    if not containers:
        raise validation(f"Model package {arn} has no container, so there is nothing to deploy")
    return list(containers)


def _named(plane: Plane, containers: list[Row], alone: str = "container-1") -> list[Row]:
    """With their hostnames: as given, else by position. AWS ignores that of a PrimaryContainer."""
    given = [each["ContainerHostname"] for each in containers if "ContainerHostname" in each]
    if len(containers) == 1:
        names = [alone if alone == "primary" or not given else given[0]]
    elif not given:
        names = [f"container-{number}" for number in range(1, len(containers) + 1)]
    elif len(given) == len(set(given)) == len(containers):
        names = given
    else:
        raise validation(
            "ContainerHostname must be given for every container or for none, and must be unique; "
            f"given: {', '.join(given)}"
        )
    return [_container(plane, *pair) for pair in zip(names, containers, strict=True)]


def _container(plane: Plane, hostname: str, runs: Row) -> Row:
    images.resolve(runs["Image"], plane.own_images).serve_command()
    uri = runs.get("ModelDataUrl")
    multi = _multi_model(runs)
    if uri is not None and not multi and not (uri.startswith("s3://") and uri.endswith(".tar.gz")):
        raise validation(
            f"ModelDataUrl {uri!r} is not supported by the local SageMaker; it must be "
            "s3://<bucket>/<key>.tar.gz"
        )
    return {
        "Hostname": hostname,
        "Image": runs["Image"],
        "ModelDataUrl": uri,
        "Environment": runs.get("Environment", {}),
        **multi,
    }


def _multi_model(runs: Row) -> Row:
    """What marks a container of mode MultiModel; refuses one that has no prefix of models."""
    if runs.get("Mode") != MULTI_MODEL:
        if "MultiModelConfig" in runs:
            raise validation("MultiModelConfig is only for a container of Mode MultiModel.")
        return {}
    uri = runs.get("ModelDataUrl") or ""
    if not uri.startswith("s3://") or uri.endswith(".tar.gz"):
        raise validation(
            f"ModelDataUrl {uri!r} of a container of Mode MultiModel must be the S3 prefix below "
            "which its models lie: s3://<bucket>/<prefix>/"
        )
    return {MULTI_MODEL: runs.get("MultiModelConfig", {})}


def _check_direct(request: Row, found: list[Row]) -> None:
    named = [each for each in request.get("Containers", ()) if "ContainerHostname" in each]
    if len(found) < 2 or len(named) < len(found):
        raise validation(
            "InferenceExecutionConfig.Mode Direct needs several Containers, each with its "
            "ContainerHostname."
        )
