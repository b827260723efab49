"""Models and endpoint configurations as these commands make them: named after all they are made
from, tagged, made once.

    <endpoint>-v<version>-<digest>            a model of one version
    <model>-<digest>                          a configuration that serves it alone
    <endpoint>-<word>-<digest>                another: split, shadow, only, capture
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from botocore.exceptions import ClientError

from deploy.served import plain, version_of
from deploy.work import Work

# How SageMaker says that a name is taken.
TAKEN = ("already exist", "cannot create already existing")
LONGEST_PREFIX = 40


def prefix(endpoint: str) -> str:
    return endpoint[:LONGEST_PREFIX].rstrip("-")


def is_ours(name: str, endpoint: str) -> bool:
    """Whether a model or configuration is named as these commands name those of the endpoint."""
    digest = "-[0-9a-f]{6}"
    kinds = f"(v[0-9]+{digest}({digest})?|(split|shadow|only|capture){digest})"
    return re.fullmatch(f"{re.escape(prefix(endpoint))}-{kinds}", name) is not None


def digest(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:6]


def model(work: Work, package: str) -> str:
    """The model of a version of the registry, by its ARN; made if need be."""
    version, role = version_of(package), work.place.role_arn
    name = f"{prefix(work.endpoint)}-v{version}-{digest(package, role)}"
    make(
        work,
        "create_model",
        ModelName=name,
        ExecutionRoleArn=role,
        PrimaryContainer={"ModelPackageName": package},
        Tags=work.tags(version=version),
    )
    return name


def variant(template: dict[str, Any], name: str, model: str, **changes: Any) -> dict[str, Any]:
    """A variant like the template, of this name and model; what `changes` has as None stays."""
    given = {member: value for member, value in changes.items() if value is not None}
    return {**plain(template), "VariantName": name, "ModelName": model, **given}


def config(
    work: Work,
    stem: str,
    variants: list[dict[str, Any]],
    kept: dict[str, Any],
    tags: dict[str, str],
    shadows: list[dict[str, Any]] | None = None,
) -> str:
    """An endpoint configuration of these variants; made if need be. `kept`: its other members."""
    members = {"ProductionVariants": variants, **kept}
    members |= {"ShadowProductionVariants": shadows} if shadows else {}
    name = f"{stem}-{digest(members, tags.get('champion'))}"
    make(
        work,
        "create_endpoint_config",
        EndpointConfigName=name,
        Tags=work.tags(**tags),
        **members,
    )
    return name


def stem(work: Work, word: str) -> str:
    """What the names of configurations of a kind begin with."""
    return f"{prefix(work.endpoint)}-{word}"


def make(work: Work, operation: str, **request: Any) -> None:
    """Create what may be there from an earlier attempt: its name says all that it is made from."""
    try:
        work.requests.send(work.sagemaker, operation, **request)
    except ClientError as error:
        if not any(words in error.response["Error"]["Message"].lower() for words in TAKEN):
            raise
