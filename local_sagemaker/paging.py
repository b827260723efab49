"""How every List operation pages: filter, sort, then slice; and what its NextToken is.

The token names the last row given (its sort value and number), so pages stay right while rows come
and go. It is opaque to callers and refused when it was not made for this very question.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_sagemaker.errors import ApiError, validation

Row = dict[str, Any]
Numbered = tuple[int, Row]
SortKey = tuple[bool, Any, int]

# Request member -> (row member, is it an upper bound).
TIME_FILTERS: dict[str, tuple[str, bool]] = {
    "CreationTimeAfter": ("CreationTime", False),
    "CreationTimeBefore": ("CreationTime", True),
    "CreatedAfter": ("CreationTime", False),
    "CreatedBefore": ("CreationTime", True),
    "LastModifiedTimeAfter": ("LastModifiedTime", False),
    "LastModifiedTimeBefore": ("LastModifiedTime", True),
}
NOT_THE_QUESTION = frozenset({"NextToken", "MaxResults"})


@dataclass(frozen=True)
class Spec:
    """What a kind needs for its pages: name and status members, sort keys (first = default)."""

    name_member: str
    status_member: str | None
    sort_keys: Mapping[str, str]
    default_order: str
    page_size: int


def page(
    rows: Sequence[Numbered], request: Mapping[str, Any], spec: Spec
) -> tuple[list[Row], str | None]:
    """The rows of one page and the token of the next page, None when this is the last."""
    kept = [item for item in rows if matches(item[1], request, spec)]
    key = _sort_key(request, spec)
    descending = request.get("SortOrder", spec.default_order) == "Descending"
    kept.sort(key=key, reverse=descending)
    question = _digest(request)
    if "NextToken" in request:
        last = _read_token(request["NextToken"], question)
        kept = [item for item in kept if (key(item) < last if descending else key(item) > last)]
    size = request.get("MaxResults", spec.page_size)
    token = _write_token(key(kept[size - 1]), question) if len(kept) > size else None
    return [row for _, row in kept[:size]], token


def matches(row: Row, request: Mapping[str, Any], spec: Spec) -> bool:
    """Does the row pass the filters that AWS gives to every List operation?"""
    if request.get("NameContains", "").lower() not in str(row.get(spec.name_member, "")).lower():
        return False
    status = row.get(spec.status_member) if spec.status_member else None
    if status is not None and status != request.get("StatusEquals", status):
        return False
    return all(
        _in_time(row, request[name], *TIME_FILTERS[name])
        for name in TIME_FILTERS
        if name in request
    )


def _in_time(row: Row, limit: float, member: str, upper: bool) -> bool:
    value = row.get(member)
    if value is None:
        return False
    return bool(value <= limit if upper else value >= limit)


def _sort_key(request: Mapping[str, Any], spec: Spec) -> Callable[[Numbered], SortKey]:
    sort_by = request.get("SortBy") or next(iter(spec.sort_keys))
    if sort_by not in spec.sort_keys:
        allowed = ", ".join(spec.sort_keys)
        raise validation(f"SortBy {sort_by!r} is not supported; it may be one of: {allowed}")
    member = spec.sort_keys[sort_by]

    def key(item: Numbered) -> SortKey:
        value = item[1].get(member)
        return (value is not None, value if value is not None else 0, item[0])

    return key


def _digest(request: Mapping[str, Any]) -> str:
    question = {name: value for name, value in request.items() if name not in NOT_THE_QUESTION}
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]


def _write_token(last: SortKey, question: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([question, *last]).encode()).decode()


def _read_token(token: str, question: str) -> SortKey:
    try:
        made_for, present, value, number = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error, TypeError) as cause:
        raise _bad_token(token) from cause
    if made_for != question or not isinstance(number, int):
        raise _bad_token(token)
    return (bool(present), value, number)


def _bad_token(token: str) -> ApiError:
    return validation(
        f"NextToken {token!r} was not given for this request; start again without NextToken"
    )
