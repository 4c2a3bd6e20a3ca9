from __future__ import annotations

import pytest

from podlane.kit.errors import PermanentError, TemporaryError
from podlane.kube import errors
from podlane.kube.types import Status, StatusDetails


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", errors.NotFoundError),
        (409, "AlreadyExists", errors.AlreadyExistsError),
        (409, "Conflict", errors.ConflictError),
        (403, "Forbidden", errors.ForbiddenError),
        (401, "Unauthorized", errors.UnauthorizedError),
        (410, "Expired", errors.GoneError),
        (0, "Expired", errors.GoneError),
        (400, "BadRequest", errors.InvalidError),
        (422, "Invalid", errors.InvalidError),
        (429, "TooManyRequests", errors.TooManyRequestsError),
        (500, "InternalError", errors.ServerError),
        (503, "ServiceUnavailable", errors.ServerError),
        (418, "", errors.ApiError),
    ],
)
def test_a_status_becomes_the_error_of_its_meaning(
    code: int, reason: str, kind: type[errors.ApiError]
) -> None:
    error = errors.from_status(Status(code=code, reason=reason, message="why"), "cannot do it")
    assert isinstance(error, kind)
    assert str(error) == "cannot do it: why"
    retry = code in (429, 500, 503)
    assert isinstance(error, TemporaryError) is retry
    assert isinstance(error, PermanentError) is not retry


def test_a_server_that_asks_for_patience_is_heard() -> None:
    status = Status(code=429, details=StatusDetails(retry_after_seconds=7))
    error = errors.from_status(status)
    assert isinstance(error, TemporaryError)
    assert error.retry_after_seconds == 7
