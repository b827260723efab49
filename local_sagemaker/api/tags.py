"""Tags of any resource, by its ARN."""

from __future__ import annotations

from typing import Any

from local_sagemaker import paging
from local_sagemaker.engine import trial_components
from local_sagemaker.errors import validation
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane

MOST_TAGS = 50
PAGES = paging.Spec("Key", None, {"Key": "Key"}, "Ascending", MOST_TAGS)


@operation("AddTags")
def add_tags(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    arn = _existing(plane, request["ResourceArn"])
    wanted = {tag["Key"] for tag in plane.store.tags(arn)} | {t["Key"] for t in request["Tags"]}
    if len(wanted) > MOST_TAGS:
        raise validation(f"{arn} would have {len(wanted)} tags; the most is {MOST_TAGS}")
    plane.store.set_tags(arn, request["Tags"])
    return {"Tags": plane.store.tags(arn)}


@operation("ListTags")
def list_tags(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    arn = _existing(plane, request["ResourceArn"])
    tags, token = paging.page(list(enumerate(plane.store.tags(arn))), request, PAGES)
    return {"Tags": tags, "NextToken": token}


@operation("DeleteTags")
def delete_tags(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    plane.store.remove_tags(_existing(plane, request["ResourceArn"]), request["TagKeys"])
    return {}


def _existing(plane: Plane, arn: str) -> str:
    if plane.store.find_arn(arn) is None and trial_components.get(plane, arn) is None:
        raise validation(f"Could not find the resource {arn}; Create answers with a resource's ARN")
    return arn
