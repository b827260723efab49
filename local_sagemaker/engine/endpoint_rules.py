"""Which kinds of endpoints may be combined: what CreateEndpointConfig checks and botocore's model
does not say.

A variant has instances or is serverless; a whole endpoint answers at once or asynchronously; a
model may be one of many (MultiModel). Source: the developer guide's exclusions of each kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_sagemaker.engine import variants
from local_sagemaker.engine.model_containers import CONTAINERS, is_multi_model
from local_sagemaker.engine.variants import ASYNC, SERVERLESS
from local_sagemaker.errors import ApiError, validation
from local_sagemaker.plane import Plane

Row = dict[str, Any]
INSTANCES = ("InstanceType", "InitialInstanceCount")
# Members of a variant that speak of instances, which a serverless one has not.
OF_INSTANCES = (
    *INSTANCES,
    "ManagedInstanceScaling",
    "RoutingConfig",
    "VolumeSizeInGB",
    "EnableSSMAccess",
    "InferenceAmiVersion",
)
MEMORY_STEP_MB = 1024


def check(plane: Plane, request: Row) -> None:
    """Refuse a CreateEndpointConfig whose parts do not go together."""
    given = request["ProductionVariants"]
    for each in given:
        if SERVERLESS in each:
            _check_serverless(each)
        else:
            _check_instances(each)
    if any(SERVERLESS in each for each in given):
        _refuse("Serverless", SERVERLESS_EXCLUDES, plane, request)
    if ASYNC in request:
        _check_async(request[ASYNC]["OutputConfig"])
        _refuse("Asynchronous", ASYNC_EXCLUDES, plane, request)


def concurrency(serverless: Row) -> Row:
    """A ServerlessConfig, if it is consistent. Raises ApiError."""
    provisioned, most = serverless.get("ProvisionedConcurrency", 1), serverless["MaxConcurrency"]
    if provisioned > most:
        raise validation(
            f"ProvisionedConcurrency {provisioned} must be less than or equal to MaxConcurrency "
            f"{most}"
        )
    return serverless


def _check_instances(variant: Row) -> None:
    missing = [member for member in INSTANCES if member not in variant]
    if missing:
        raise validation(
            f"Production variant {variant['VariantName']} needs {', '.join(missing)}, or "
            f"{SERVERLESS}"
        )


def _check_serverless(variant: Row) -> None:
    name, config = variant["VariantName"], variant[SERVERLESS]
    both = [member for member in OF_INSTANCES if member in variant]
    if both:
        raise validation(
            f"Production variant {name} has {SERVERLESS} and {', '.join(both)}; a serverless "
            "variant has no instances: leave them out"
        )
    if "ModelName" not in variant:
        raise validation(
            f"Production variant {name} has {SERVERLESS} and needs ModelName: inference "
            "components need instances"
        )
    if config["MemorySizeInMB"] % MEMORY_STEP_MB:
        raise validation(
            f"MemorySizeInMB {config['MemorySizeInMB']} of variant {name} must be one of 1024, "
            "2048, 3072, 4096, 5120, 6144"
        )
    concurrency(config)


def _check_async(output: Row) -> None:
    if "S3OutputPath" not in output:
        raise validation(
            "AsyncInferenceConfig.OutputConfig.S3OutputPath is required by the local SageMaker, "
            "which has no bucket of its own for answers"
        )
    for member in ("S3OutputPath", "S3FailurePath"):
        path = output.get(member, "s3://")
        if not path.startswith("s3://"):
            raise validation(
                f"AsyncInferenceConfig.OutputConfig.{member} {path!r} is not supported by the "
                "local SageMaker; it must be s3://<bucket>/<prefix>"
            )


def _models(plane: Plane, request: Row) -> list[Row]:
    named = [each["ModelName"] for each in request["ProductionVariants"] if "ModelName" in each]
    return [variants.model_row(plane, name) for name in named]


def _has_multi_model(plane: Plane, request: Row) -> bool:
    return any(is_multi_model(each[CONTAINERS]) for each in _models(plane, request))


def _has_pipeline(plane: Plane, request: Row) -> bool:
    return any(len(each[CONTAINERS]) > 1 for each in _models(plane, request))


def _has_vpc(plane: Plane, request: Row) -> bool:
    return any("VpcConfig" in each for each in (request, *_models(plane, request)))


def _is_isolated(plane: Plane, request: Row) -> bool:
    everything = (request, *_models(plane, request))
    return any(each.get("EnableNetworkIsolation") for each in everything)


def _captures(_: Plane, request: Row) -> bool:
    return bool(request.get("DataCaptureConfig", {}).get("EnableCapture"))


def _has_components(_: Plane, request: Row) -> bool:
    return any("ModelName" not in each for each in request["ProductionVariants"])


def _has(member: str) -> Callable[[Plane, Row], bool]:
    return lambda _, request: member in request


def _has_several(_: Plane, request: Row) -> bool:
    return len(request["ProductionVariants"]) > 1


Excludes = dict[str, Callable[[Plane, Row], bool]]
SERVERLESS_EXCLUDES: Excludes = {
    "multiple production variants": _has_several,
    "AsyncInferenceConfig": _has(ASYNC),
    "ShadowProductionVariants": _has("ShadowProductionVariants"),
    "data capture": _captures,
    "VpcConfig": _has_vpc,
    "network isolation": _is_isolated,
    "multi-model endpoints": _has_multi_model,
    "inference pipelines": _has_pipeline,
}
ASYNC_EXCLUDES: Excludes = {
    "multiple production variants": _has_several,
    "ShadowProductionVariants": _has("ShadowProductionVariants"),
    "multi-model endpoints": _has_multi_model,
    "inference components": _has_components,
}


def _refuse(kind: str, excludes: Excludes, plane: Plane, request: Row) -> None:
    found = [name for name, is_there in excludes.items() if is_there(plane, request)]
    if found:
        raise _excluded(kind, found)


def _excluded(kind: str, found: list[str]) -> ApiError:
    return validation(f"{kind} inference does not support {', '.join(found)}.")
