"""What the Kubernetes API answers when it refuses, as errors; used by the client and by the node.

ApiError(PodlaneError)           ``code``, ``reason``, ``status``
├── NotFoundError, AlreadyExistsError, ConflictError, ForbiddenError, UnauthorizedError,
│   GoneError (410: the resource version is too old), InvalidError (400, 422)   PermanentError
└── TooManyRequestsError, ServerError                                           TemporaryError
UnreachableError(TemporaryError)  no answer at all: network, TLS, a broken stream
AccessError(UsageError)           the kubeconfig does not let us in
"""

from __future__ import annotations

from podlane.kit.errors import PermanentError, PodlaneError, TemporaryError, UsageError
from podlane.kube.types import Status, StatusCause, StatusDetails


class ApiError(PodlaneError):
    """The API server refused; ``where`` (verb, resource, server) stands before its message."""

    def __init__(self, status: Status, where: str = "", *, hint: str | None = None) -> None:
        said = status.message or status.reason or f"HTTP status {status.code}"
        super().__init__(f"{where}: {said}" if where else said, hint=hint)
        self.status = status
        self.code = status.code
        self.reason = status.reason


class _PermanentApiError(ApiError, PermanentError):
    """Trying again cannot help."""


class NotFoundError(_PermanentApiError):
    """There is no such object."""


class AlreadyExistsError(_PermanentApiError):
    """There is an object of this name."""


class ConflictError(_PermanentApiError):
    """The object is another one, or another version, than the request assumed."""


class ForbiddenError(_PermanentApiError):
    """We are known but may not."""


class UnauthorizedError(_PermanentApiError):
    """We are not known."""


class GoneError(_PermanentApiError):
    """The resource version is too old for a watch: list again."""


class InvalidError(_PermanentApiError):
    """The request or the object is not valid."""


class _TemporaryApiError(ApiError, TemporaryError):
    """The same request may succeed later."""

    def __init__(self, status: Status, where: str = "", *, hint: str | None = None) -> None:
        super().__init__(status, where, hint=hint)
        details = status.details
        self.retry_after_seconds = None if details is None else details.retry_after_seconds


class TooManyRequestsError(_TemporaryApiError):
    """The server asks us to slow down."""


class ServerError(_TemporaryApiError):
    """The server failed."""


class UnreachableError(TemporaryError):
    """The server did not answer, or the stream broke."""


class AccessError(UsageError):
    """A kubeconfig (or the service account of this pod) that cannot be used, and why."""


_BY_CODE: dict[int, type[ApiError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
    429: TooManyRequestsError,
}
_SERVER_ERRORS = 500


def from_status(status: Status, where: str = "") -> ApiError:
    """Return the error that a Status means."""
    if status.reason == "AlreadyExists":
        return AlreadyExistsError(status, where)
    if status.reason in ("Expired", "Gone"):
        return GoneError(status, where)
    kind = _BY_CODE.get(status.code)
    if kind is None:
        kind = ServerError if status.code >= _SERVER_ERRORS else _PermanentApiError
    return kind(status, where)


def failure(
    code: int, reason: str, message: str, *, details: StatusDetails | None = None
) -> ApiError:
    """Return the error for a Status made here (the node's half)."""
    return from_status(
        Status(status="Failure", code=code, reason=reason, message=message, details=details)
    )


def not_found(resource: str, name: str) -> ApiError:
    """Return Kubernetes' answer for a missing object."""
    details = StatusDetails(name=name, kind=resource)
    return failure(404, "NotFound", f'{resource} "{name}" not found', details=details)


def already_exists(resource: str, name: str) -> ApiError:
    """Return Kubernetes' answer for a second object of one name."""
    details = StatusDetails(name=name, kind=resource)
    return failure(409, "AlreadyExists", f'{resource} "{name}" already exists', details=details)


def conflict(resource: str, name: str, why: str) -> ApiError:
    """Return Kubernetes' answer for a precondition that does not hold."""
    details = StatusDetails(name=name, kind=resource)
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return failure(409, "Conflict", message, details=details)


def expired(asked: int, oldest: int) -> ApiError:
    """Return Kubernetes' answer for a resource version that history no longer reaches."""
    return failure(410, "Expired", f"too old resource version: {asked} ({oldest})")


def bad_request(message: str) -> ApiError:
    """Return Kubernetes' answer for a request that makes no sense."""
    return failure(400, "BadRequest", message)


def invalid(kind: str, name: str, causes: tuple[StatusCause, ...]) -> ApiError:
    """Return Kubernetes' answer for an object that breaks rules; one cause for each field."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = StatusDetails(name=name, kind=kind, causes=causes)
    return failure(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', details=details)
