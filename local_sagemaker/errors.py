"""The errors the API answers with, in AWS's codes.

Raise one near the cause; `wire.error_body` turns it into HTTP once, at the edge. Which code AWS
uses where stands in the contracts: most resources say ValidationException even for "not found".
"""

from __future__ import annotations


class ApiError(Exception):
    """An answer that is an error: AWS's code, a message for a person, the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def validation(message: str) -> ApiError:
    return ApiError("ValidationException", message)


def resource_not_found(message: str) -> ApiError:
    return ApiError("ResourceNotFound", message)


def resource_in_use(message: str) -> ApiError:
    return ApiError("ResourceInUse", message)


def conflict(message: str) -> ApiError:
    return ApiError("ConflictException", message)


def limit_exceeded(message: str) -> ApiError:
    return ApiError("ResourceLimitExceeded", message)
