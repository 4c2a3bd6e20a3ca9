"""What can go wrong between a runner and a coordinator, by what the caller does next.

PodlaneError
├── TemporaryError
│   └── UnreachableError        no answer at all; try again
└── PermanentError
    ├── ForbiddenError          the token is not (or no longer) accepted
    ├── UnreadableJobError      fail *that* job: it names the job and carries its token
    └── BadAnswerError          the other side does not speak the Runner API
"""

from __future__ import annotations

from podlane.kit.errors import PermanentError, TemporaryError
from podlane.model.failures import FailureReason


class UnreachableError(TemporaryError):
    """The coordinator did not answer."""


class ForbiddenError(PermanentError):
    """The coordinator does not accept the token."""


class BadAnswerError(PermanentError):
    """An answer that is not the Runner API's."""


class UnreadableJobError(PermanentError):
    """A job was handed out that we cannot run; the coordinator must be told so."""

    def __init__(
        self,
        message: str,
        *,
        job_id: int,
        token: str,
        reason: FailureReason = FailureReason.RUNNER_SYSTEM_FAILURE,
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.token = token
        self.reason = reason
