"""Ask an endpoint, and judge the answer: which variant gave it, how fast, of which version."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from botocore.exceptions import ClientError

from deploy.examples import CSV, JSON, Body


@dataclass(frozen=True)
class Reply:
    """One answer. `wrong`: why it is none. `bundle`: the version that the answer itself names."""

    variant: str
    seconds: float
    wrong: str = ""
    bundle: str | None = None


def ask(runtime: Any, endpoint: str, body: Body, accept: str, target: str | None = None) -> Reply:
    """One invocation; an error of the endpoint is a Reply that says so."""
    pinned = {"TargetVariant": target} if target else {}
    begun = time.perf_counter()
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint,
            Body=body.content,
            ContentType=body.content_type,
            Accept=accept,
            **pinned,
        )
        content = answer["Body"].read()
    except ClientError as error:
        said = error.response["Error"]
        wrong = f"{said['Code']}: {said['Message']}"
        return Reply(target or "", time.perf_counter() - begun, wrong)
    seconds = time.perf_counter() - begun
    variant = answer.get("InvokedProductionVariant", "")
    if target and variant != target:
        return Reply(variant, seconds, f"variant {variant} answered in place of {target}")
    return _read(variant, seconds, answer.get("ContentType", ""), content)


def _read(variant: str, seconds: float, content_type: str, content: bytes) -> Reply:
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == JSON:
            return Reply(variant, seconds, *_json(json.loads(content)))
        wrong = _csv(content.decode()) if kind == CSV else "" if content else "it is empty"
    except (ValueError, csv.Error) as error:
        wrong = f"it is not {kind}: {error}"
    return Reply(variant, seconds, wrong)


def _json(document: Any) -> tuple[str, str | None]:
    """What is wrong with a JSON answer, and the version that it names."""
    if not isinstance(document, dict):
        return ("", None) if document not in (None, [], "") else ("it is empty", None)
    predictions = document.get("predictions", document)
    version = document.get("model_version")
    return "" if predictions else "it has no prediction", None if version is None else str(version)


def _csv(text: str) -> str:
    rows = list(csv.reader(text.splitlines(), strict=True))
    whole = rows and all(row and all(cell.strip() for cell in row) for row in rows)
    return "" if whole else "it has an empty row or cell"


def percentile(seconds: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; of a sequence that is not empty."""
    ranked = sorted(seconds)
    return ranked[max(ceil(len(ranked) * percent / 100), 1) - 1]
