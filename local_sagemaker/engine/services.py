"""boto3 clients of the AWS services beside us (MiniStack, or AWS itself) that steps call.

One client a service and plane, made on first use, shared by all threads. What a service refuses
becomes an ApiError with the service's own code.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from local_sagemaker.errors import ApiError
from local_sagemaker.plane import Plane

CONNECTIONS = 64
_CLIENTS: weakref.WeakKeyDictionary[Plane, dict[str, Any]] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def client(plane: Plane, service: str, read_timeout: float = 60.0, attempts: int = 3) -> Any:
    """The plane's client of a service; the options count where it is first asked for."""
    with _LOCK:
        clients = _CLIENTS.setdefault(plane, {})
        if service not in clients:
            clients[service] = _new(plane, service, read_timeout, attempts)
        return clients[service]


def close(plane: Plane) -> None:
    with _LOCK:
        for each in _CLIENTS.pop(plane, {}).values():
            each.close()


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what botocore raises into an ApiError that names what was called."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        code, message = str(said.get("Code", "Unknown")), said.get("Message", str(error))
        raise ApiError(code, f"{what}: {message}", status) from error
    except BotoCoreError as error:
        raise ApiError("ServiceUnavailable", f"{what}: {error}", 503) from error


def _new(plane: Plane, service: str, read_timeout: float, attempts: int) -> Any:
    import boto3
    from botocore.config import Config as ClientConfig

    config = plane.config
    return boto3.client(
        service,
        endpoint_url=config.s3_endpoint,
        region_name=config.region,
        aws_access_key_id=config.access_key,
        aws_secret_access_key=config.secret_key,
        config=ClientConfig(
            max_pool_connections=CONNECTIONS,
            read_timeout=read_timeout,
            retries={"total_max_attempts": attempts, "mode": "standard"},
        ),
    )
