"""The root of our errors, by what the caller does next.

PodlaneError
├── TemporaryError      try again later (``retry_after_seconds`` when the other side said when)
├── PermanentError      give up: trying again cannot help
└── UsageError          tell the user: what they asked for cannot be done as asked (exit code 2)

Anything else that escapes is a bug. What the user wrote wrong in a file is a
``kit.diagnostics.Diagnostic``, not an exception.
"""

from __future__ import annotations


class PodlaneError(Exception):
    """A sentence that says what happened, where and why; ``hint`` says what to change."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TemporaryError(PodlaneError):
    """The same call may succeed later."""

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class PermanentError(PodlaneError):
    """The same call cannot succeed; something has to change first."""


class UsageError(PodlaneError):
    """The user asked for something that cannot be done as asked; the CLI exits with 2."""
