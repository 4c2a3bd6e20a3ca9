"""How a job ended, for the coordinator and for people."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.model.failures import FailureReason


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """The end of a job. ``reason`` None means success. ``exit_code`` is the script's, if it ran.

    ``message`` is the sentence for the end of the trace; ``hint`` says what to change.
    """

    reason: FailureReason | None = None
    exit_code: int | None = None
    message: str = ""
    hint: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the job is a success."""
        return self.reason is None

    @property
    def is_system_failure(self) -> bool:
        """Whether we, not the user's script, failed; the trace words it so."""
        return self.reason is FailureReason.RUNNER_SYSTEM_FAILURE


SUCCESS = JobOutcome()
