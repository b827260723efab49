"""Which version is active, and what each served version is: kept in SSM Parameter Store.

    /ml-pipeline/models/<problem>/active-version          v3
    /ml-pipeline/models/<problem>/versions/v3/metadata    where it lies, how good it was, what was
                                                          active before it

An endpoint that is not the problem's own has its own name in the place of <problem>. The endpoint
is the truth; these parameters are written after it has been brought to a version, the active one
last: whoever reads it finds a version that is served.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from deploy.commands import DeployError
from deploy.served import described, version_of
from deploy.work import Work

# What a version was before; all is what a rollback needs to know.
Metadata = dict[str, Any]


def version(work: Work) -> str | None:
    """The active version, such as "v3"; None when none was ever recorded."""
    return _value(work, f"{work.folder}/active-version")


def metadata(work: Work, version: str) -> Metadata:
    """What is known of a version; {} of one that was never served."""
    name = _name(work, version)
    text = _value(work, name)
    return _read(name, text) if text else {}


def _read(name: str, text: str) -> Metadata:
    """Whoever may write a parameter may write anything into it."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DeployError(
            f"Parameter {name} holds {text[:60]!r}, which is no JSON object; mend or delete it in "
            "Parameter Store. The endpoint does not depend on it."
        )
    return found


def versions(work: Work) -> dict[str, Metadata]:
    """Every version that was ever served, with its metadata, by number."""
    pages = work.ssm.get_paginator("get_parameters_by_path").paginate(
        Path=f"{work.folder}/versions", Recursive=True
    )
    found = {
        each["Name"].split("/")[-2]: _read(each["Name"], each["Value"])
        for page in pages
        for each in page["Parameters"]
        if each["Name"].endswith("/metadata")
    }
    return dict(sorted(found.items(), key=lambda item: int(item[0][1:])))


def record(work: Work, package: str) -> None:
    """Say that the endpoint serves this version of the registry from now on: metadata, then the
    active version. Writes nothing that is so already.
    """
    fresh, before = f"v{version_of(package)}", version(work)
    known = metadata(work, fresh)
    if before == fresh and known.get("modelPackageArn") == package:
        return
    previous = known.get("previousVersion") if before == fresh else before
    save(work, fresh, made(work, package, previous))
    activate(work, fresh)


def adopt(work: Work, there: dict[str, Any] | None) -> None:
    """Record what the endpoint serves alone, whoever deployed it: a rollback has to know it."""
    live = there["variants"] if there else []
    if len(live) == 1 and live[0]["package"]:
        record(work, live[0]["package"])


def save(work: Work, version: str, known: Metadata) -> None:
    _put(work, _name(work, version), json.dumps(known, sort_keys=True))


def activate(work: Work, version: str) -> None:
    """The last step of every change."""
    _put(work, f"{work.folder}/active-version", version)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def number(text: str) -> int:
    """3 of "v3" and of "3"."""
    digits = text.removeprefix("v")
    if not digits.isdecimal():
        raise DeployError(f"version is {text!r}; allowed: a number, such as v3 or 3", 2)
    return int(digits)


def made(work: Work, package: str, previous: str | None) -> Metadata:
    """What is to be known of a version of the registry that is served."""
    found = described(work.sagemaker.describe_model_package, ModelPackageName=package) or {}
    containers = found.get("InferenceSpecification", {}).get("Containers", [{}])
    kept = found.get("CustomerMetadataProperties", {})
    return {
        "s3Path": containers[0].get("ModelDataUrl", ""),
        "deployedAt": now(),
        "performanceBaseline": {
            name: _number(value)
            for name, value in kept.items()
            if "." in name and not name.endswith(".gate")
        },
        "modelPackageArn": package,
        "endpoint": work.endpoint,
        "previousVersion": previous,
    }


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _name(work: Work, version: str) -> str:
    return f"{work.folder}/versions/{version}/metadata"


def _value(work: Work, name: str) -> str | None:
    try:
        return str(work.ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        raise


def _put(work: Work, name: str, value: str) -> None:
    work.requests.send(
        work.ssm, "put_parameter", Name=name, Value=value, Type="String", Overwrite=True
    )
