"""The errors a client can be told about: one exception type per MLflow error code, and its HTTP status."""

from __future__ import annotations

from typing import ClassVar


class MlflowError(Exception):
    """An error that is answered to the client as ``{"error_code": ..., "message": ...}``."""

    error_code: ClassVar[str] = "INTERNAL_ERROR"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InternalError(MlflowError):
    """A defect of the server; the message holds nothing internal."""


class InvalidParameterValue(MlflowError):
    error_code = "INVALID_PARAMETER_VALUE"
    http_status = 400


class BadRequest(MlflowError):
    """The request itself is not readable: not JSON, a wrong content type."""

    error_code = "BAD_REQUEST"
    http_status = 400


class InvalidState(MlflowError):
    """The entity is in a state that forbids the request.

    MLflow's server answers 500, which its own clients retry for minutes; a wrong request is a 400 here.
    """

    error_code = "INVALID_STATE"
    http_status = 400


class ResourceAlreadyExists(MlflowError):
    error_code = "RESOURCE_ALREADY_EXISTS"
    http_status = 400


class ResourceDoesNotExist(MlflowError):
    error_code = "RESOURCE_DOES_NOT_EXIST"
    http_status = 404


class EndpointNotFound(MlflowError):
    error_code = "ENDPOINT_NOT_FOUND"
    http_status = 404


class PermissionDenied(MlflowError):
    error_code = "PERMISSION_DENIED"
    http_status = 403


class MethodNotAllowed(MlflowError):
    """The path exists, but not for this method; ``allowed`` are the methods it answers."""

    error_code = "BAD_REQUEST"
    http_status = 405

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class RequestTooLarge(MlflowError):
    error_code = "BAD_REQUEST"
    http_status = 413


class NotImplementedByServer(MlflowError):
    error_code = "NOT_IMPLEMENTED"
    http_status = 501


class TemporarilyUnavailable(MlflowError):
    """The server cannot take the request now; mlflow clients wait and retry (``Retry-After`` is sent)."""

    error_code = "TEMPORARILY_UNAVAILABLE"
    http_status = 503
