"""The registry of API operations: which there are, which members each supports, and how one is
called.

A handler is `fn(plane, request) -> answer`, registered under AWS's name. A name that AWS does not
have, or a member that the operation does not have, fails at import. What is not registered is
refused by name.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local_sagemaker import wire
from local_sagemaker.errors import ApiError, conflict, validation
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate

Body = dict[str, Any]
Handler = Callable[[Plane, Body], Body]


@dataclass(frozen=True)
class Operation:
    """One supported API operation; `supports` None means every member."""

    name: str
    handler: Handler
    supports: frozenset[str] | None
    kept: frozenset[str]
    only: Mapping[str, tuple[Any, ...]]
    service: str = wire.SAGEMAKER


OPERATIONS: dict[str, Operation] = {}
TOKEN_SECONDS = 86_400.0
_TOKENS = threading.RLock()


def operation(
    name: str,
    supports: tuple[str, ...] | None = None,
    *,
    kept: tuple[str, ...] = (),
    only: Mapping[str, tuple[Any, ...]] | None = None,
    service: str = wire.SAGEMAKER,
) -> Callable[[Handler], Handler]:
    """Register the handler of an API operation.

    `supports`: the members that have an effect, dotted, lists transparent:
    "InputDataConfig.ChannelName". Naming a member without naming anything below it supports all
    below it. `kept`: members that mean nothing on one machine and change no answer (RoleArn, KMS
    keys): stored, shown by Describe, not acted on. `only`: members that are supported with these
    values and no other.
    """
    only = dict(only or {})
    wire.check_members(name, (*(supports or ()), *kept, *only), service)

    def register(handler: Handler) -> Handler:
        if name in OPERATIONS:
            raise ValueError(f"{name} is registered twice")
        members = None if supports is None else frozenset((*supports, *kept, *only))
        OPERATIONS[name] = Operation(name, handler, members, frozenset(kept), only, service)
        return handler

    return register


def call(plane: Plane, name: str, request: Body, service: str = wire.SAGEMAKER) -> Body:
    """Validate, run and shape one API operation; timestamps in and out are epoch seconds. Raises
    ApiError.
    """
    found, request = check(name, request, service)
    token_member = wire.token_member(name, service)
    if token_member is None or token_member not in request:
        return wire.project(name, found.handler(plane, request), service=service)
    return _once(plane, found, request, token_member)


def check(name: str, request: Body, service: str = wire.SAGEMAKER) -> tuple[Operation, Body]:
    """The operation and the request as its handler gets it; raises ApiError as a call would."""
    found = OPERATIONS.get(name)
    if found is None or found.service != service:
        raise unknown(name, service)
    request = wire.validate(name, request, service)
    _refuse_unsupported(found, request)
    return found, request


def unknown(name: str, service: str = wire.SAGEMAKER) -> ApiError:
    known = wire.is_operation(name, service)
    owner = "SageMaker" if service == wire.SAGEMAKER else service
    what = "is not supported by the local SageMaker" if known else f"is no operation of {owner}"
    return ApiError(
        "UnknownOperationException",
        f"{name} {what}; `python -m local_sagemaker operations` lists what is supported",
    )


def _refuse_unsupported(found: Operation, request: Body) -> None:
    for path, value in wire.members(found.name, request, found.service):
        if found.supports is not None and not _is_supported(path, found.supports):
            raise validation(
                f"{found.name}: member {path!r} is not supported by the local SageMaker; leave it "
                "out. `python -m local_sagemaker operations` lists the supported members"
            )
        if path in found.only and value not in found.only[path]:
            allowed = " or ".join(repr(each) for each in found.only[path])
            raise validation(
                f"{found.name}: {path} = {value!r} is not supported by the local SageMaker; "
                f"it may be {allowed}"
            )


def _is_supported(path: str, supports: frozenset[str]) -> bool:
    if path in supports or any(other.startswith(f"{path}.") for other in supports):
        return True
    # Below a member that is listed with nothing below it, everything is supported.
    parent = path.rpartition(".")[0]
    while parent:
        if any(other.startswith(f"{parent}.") for other in supports):
            return False
        if parent in supports:
            return True
        parent = parent.rpartition(".")[0]
    return False


def _once(plane: Plane, found: Operation, request: Body, token_member: str) -> Body:
    """Same token, same body: the first answer again; same token, other body: a conflict.

    What the handler writes and the answer are stored in one transaction: a server that is killed
    has done both or neither.
    """
    body = {name: value for name, value in request.items() if name != token_member}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    key = f"{found.name}:{request[token_member]}"
    with _TOKENS, plane.bus.held(), plane.store.together():
        before = plane.store.get("request-token", key)
        if before is None:
            answer = wire.project(found.name, found.handler(plane, request))
            _remember(plane, key, digest, answer)
            return answer
    if before["Digest"] != digest:
        raise conflict(
            f"{token_member} {request[token_member]!r} was used before with another {found.name} "
            "request; use a new token"
        )
    answer = before["Answer"]
    return dict(answer)


def _remember(plane: Plane, key: str, digest: str, answer: Body) -> None:
    row = {"Digest": digest, "Answer": answer, "CreationTime": plane.clock.now()}
    try:
        plane.store.insert("request-token", key, row)
    except Duplicate:  # a nested call with the same token has answered already
        return


def forget_old_tokens(plane: Plane) -> None:
    """Tokens are remembered for a day (AWS keeps them for hours)."""
    oldest = plane.clock.now() - TOKEN_SECONDS
    plane.store.delete_where("request-token", lambda row: row["CreationTime"] < oldest)


def describe() -> dict[str, dict[str, list[str]]]:
    """Every supported operation, and of its members: supported, limited, kept, refused."""
    return {name: _members(OPERATIONS[name]) for name in sorted(OPERATIONS)}


def _members(found: Operation) -> dict[str, list[str]]:
    everything = wire.list_members(found.name, found.service)
    if found.supports is None:
        return {"supported": everything}
    named = {path.partition(".")[0] for path in found.supports}
    only = [f"{p} = {' or '.join(map(repr, v))}" for p, v in sorted(found.only.items())]
    parts = {
        "supported": sorted(found.supports - found.kept - found.only.keys()),
        "with these values only": only,
        "kept, not acted on": sorted(found.kept),
        "refused": [name for name in everything if name not in named],
    }
    return {part: names for part, names in parts.items() if names}
