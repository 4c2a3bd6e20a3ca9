"""Which stage runs after what happened before; the manager's copy of the supervisor's rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.executors.base import StageScript
from podlane.kit.units import format_go_duration
from podlane.model.failures import FailureReason
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.model.substages import AFTER_SCRIPT, PREPARE_SCRIPT, ContainerRole, RunsWhen


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnd:
    """How a stage ended: a state and, where a script ran, its exit code.

    States: ``finished``, ``skipped``, ``canceled``, ``timedout``; ``gone`` (its container died),
    ``lost`` (nobody knows).
    """

    state: str
    exit_code: int | None
    evidence: str = ""


class Flow:
    """The state of a job between its stages: ``running`` until something went wrong."""

    def __init__(self) -> None:
        self._status = "running"
        self._begun = False
        self._over = False
        self._hopeless = False
        self._outcome = SUCCESS

    def wanted(self, stage: StageScript) -> bool:
        """Whether the stage runs now."""
        if self._hopeless:
            return False
        if stage.substage.role is ContainerRole.BUILD:
            if not self._begun and self._status != "running":
                return False
        elif self._begun:
            self._over = True
        match stage.substage.when:
            case RunsWhen.ON_SUCCESS:
                return self._status == "running"
            case RunsWhen.ON_FAILURE:
                return self._status != "running"
            case RunsWhen.ALWAYS:
                return True

    def status_word(self, stage: StageScript) -> str:
        """Return ``CI_JOB_STATUS`` for a stage that begins now."""
        if stage.substage.role is ContainerRole.BUILD:
            self._begun = True
        if stage.substage == AFTER_SCRIPT:
            self._over = True
            return "success" if self._status == "running" else self._status
        return self._status

    def stoppable(self, stage: StageScript) -> bool:
        """Whether *cancel* stops this stage: everything up to the user's script."""
        return not self._over and stage.substage != AFTER_SCRIPT

    def cancel(self) -> None:
        """Take note of a cancel between two stages."""
        if self._status == "running" and not self._over:
            self._status = "canceled"
            self._outcome = _CANCELED

    def ended(self, stage: StageScript, end: StageEnd) -> None:
        """Take note of a stage's end."""
        failed = end.state != "finished" or bool(end.exit_code)
        if not failed or stage.ignore_errors:
            return
        if self._status == "running":
            self._status = end.state if end.state in ("canceled", "timedout") else "failed"
            self._outcome = _outcome(stage, end)
        if stage.substage == PREPARE_SCRIPT or end.state == "lost":
            self._hopeless = True

    def outcome(self) -> JobOutcome:
        """Return how the job ended."""
        return self._outcome


_CANCELED = JobOutcome(reason=FailureReason.JOB_CANCELED, message="canceled")


def _outcome(stage: StageScript, end: StageEnd) -> JobOutcome:
    name = stage.substage.name
    prefix = "prepare environment: " if stage.substage == PREPARE_SCRIPT else ""
    if end.state == "canceled":
        return _CANCELED
    if end.state == "timedout":
        bound = format_go_duration(stage.timeout_seconds or 0)
        return JobOutcome(
            reason=FailureReason.JOB_EXECUTION_TIMEOUT,
            exit_code=end.exit_code,
            message=f"{prefix}{name} took longer than {bound}",
        )
    if end.state == "lost":
        return JobOutcome(
            reason=FailureReason.RUNNER_SYSTEM_FAILURE,
            message=f"it is not known how {name} ended: {end.evidence or 'its stream broke'}",
            hint="the attach strategy survives broken streams: set "
            'FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY to "false"',
        )
    return JobOutcome(
        reason=FailureReason.SCRIPT_FAILURE,
        exit_code=end.exit_code,
        message=f"{prefix}command terminated with exit code {end.exit_code}",
    )
