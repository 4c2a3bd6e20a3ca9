"""All evidence about a job to its outcome. Pure.

The build container's own exit code is the truth; the supervisors' records must agree with it. Where
they do not, or where something is missing, the outcome is a failure with the evidence: "unknown" is
never success.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from podlane.executors.base import StageScript
from podlane.executors.kubernetes.manifests.containers import BUILD, HELPER
from podlane.executors.kubernetes.manifests.podresources import what_to_raise
from podlane.executors.kubernetes.outcome.entrypoint import Behind, ended_before, other_code
from podlane.executors.kubernetes.outcome.stageflow import StageEnd
from podlane.executors.kubernetes.status.observe import (
    Broken,
    Finished,
    Ready,
    Verdict,
    Waiting,
    termination_text,
)
from podlane.executors.kubernetes.status.unplaced import what_to_change
from podlane.kit.units import format_go_duration
from podlane.kube.types import StateTerminated
from podlane.model.failures import FailureReason
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.model.substages import ContainerRole

SYSTEM = FailureReason.RUNNER_SYSTEM_FAILURE
NOT_WRITABLE = 120
_OURS = "podlane:"
_SIGKILL_EXIT = 137


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known at the end. ``ends``: records by stage; ``build``: the container's end.

    ``memory_limit``: how much it could use, in words. ``trouble``: why the log is not followed.
    ``entrypoint``: what stands before our
    supervisor in it.
    """

    stages: Sequence[StageScript]
    ends: Mapping[int, StageEnd]
    build: StateTerminated | None
    memory_limit: str = ""
    complete: bool = False
    canceled: bool = False
    trouble: str = ""
    entrypoint: Behind | None = None


CANCELED = JobOutcome(reason=FailureReason.JOB_CANCELED, message="canceled")


def timed_out(timeout_seconds: float) -> JobOutcome:
    """Return the outcome of a job that exceeded its timeout, in GitLab's words."""
    return JobOutcome(
        reason=FailureReason.JOB_EXECUTION_TIMEOUT,
        message=f"execution took longer than {format_go_duration(timeout_seconds)} seconds",
    )


def broken(verdict: Broken) -> JobOutcome:
    """Return the outcome of a pod that cannot go on."""
    return JobOutcome(reason=verdict.failure, message=verdict.message, hint=verdict.hint)


def never_started(waiting: Waiting) -> JobOutcome:
    """Return the outcome of a pod that did not start in time."""
    detail = f", {waiting.detail}" if waiting.detail else ""
    return JobOutcome(
        reason=SYSTEM,
        message=f"timed out waiting for pod to start (last phase: {waiting.phase}{detail})",
        hint=what_to_change(waiting.detail),
    )


def helper_died(finished: Finished, memory_limit: str) -> JobOutcome:
    """Return the outcome of a helper container that ended by itself."""
    text = termination_text(HELPER, finished.helper, memory_limit)
    hint = None
    if finished.helper.reason == "OOMKilled":
        hint = what_to_raise("helper_memory_limit", memory_limit)
    return JobOutcome(reason=SYSTEM, message=f"{text}, before the job was over", hint=hint)


def judge(evidence: Evidence) -> JobOutcome:
    """Return how the job ended."""
    if evidence.canceled:
        return CANCELED
    for index, stage in enumerate(evidence.stages):
        end = evidence.ends.get(index)
        if stage.substage.role is ContainerRole.BUILD:
            continue
        failed = _helper_failure(stage, end)
        before_script = not _build_ran(evidence)
        if failed is not None and before_script:
            return failed
    result = _build_result(evidence)
    if result is not None:
        return result
    for index, stage in enumerate(evidence.stages):
        if stage.substage.role is ContainerRole.HELPER:
            failed = _helper_failure(stage, evidence.ends.get(index))
            if failed is not None:
                return failed
    if not evidence.complete:
        names = [s.substage.name for i, s in enumerate(evidence.stages) if i not in evidence.ends]
        return JobOutcome(
            reason=SYSTEM,
            message="the job's records end before its last stage: nothing is known of "
            + ", ".join(names or ["the end of the log"]),
        )
    return SUCCESS


def build_began(stages: Sequence[StageScript], started: Collection[int]) -> bool:
    """Whether a stage of the build container has begun."""
    return any(stages[index].substage.role is ContainerRole.BUILD for index in started)


def obeys_cancel(verdict: Verdict, stages: Sequence[StageScript], started: Collection[int]) -> bool:
    """Whether the build container is there to obey: its image may still be on the way."""
    if isinstance(verdict, Broken):
        return build_began(stages, started)
    return not isinstance(verdict, Ready) or verdict.begun


def build_recorded(stages: Sequence[StageScript], ends: Collection[int]) -> bool:
    """Whether the build container left its last record."""
    own = [i for i, stage in enumerate(stages) if stage.substage.role is ContainerRole.BUILD]
    return not own or own[-1] in ends


def _unread(evidence: Evidence) -> str:
    return f" (its log could not be followed: {evidence.trouble})" if evidence.trouble else ""


def build_died(evidence: Evidence) -> JobOutcome:
    """Return the outcome of a build container that ended by itself, without a last record."""
    end = evidence.build
    assert end is not None
    message = termination_text(BUILD, end, evidence.memory_limit)
    if end.reason == "OOMKilled":
        return JobOutcome(
            reason=FailureReason.SCRIPT_FAILURE,
            exit_code=end.exit_code,
            message=message,
            hint=_memory_hint(evidence),
        )
    if evidence.entrypoint is not None and not evidence.entrypoint.entered:
        return ended_before(evidence.entrypoint, message)
    if end.exit_code == NOT_WRITABLE and _OURS in end.message:
        return JobOutcome(
            reason=SYSTEM,
            message=end.message.strip().removeprefix(_OURS).strip(),
            hint="init-permissions opens the log directory to every user of the pod: remove "
            "unsafe_skip_init_permissions from [runners.kubernetes]",
        )
    return JobOutcome(
        reason=SYSTEM, exit_code=None, message=f"{message}, and left no record{_unread(evidence)}"
    )


def _memory_hint(evidence: Evidence) -> str:
    return (
        f"let the script use less memory, or {what_to_raise('memory_limit', evidence.memory_limit)}"
    )


def _build_ran(evidence: Evidence) -> bool:
    return any(
        end.state != "skipped" and evidence.stages[index].substage.role is ContainerRole.BUILD
        for index, end in evidence.ends.items()
    )


def _helper_failure(stage: StageScript, end: StageEnd | None) -> JobOutcome | None:
    if stage.ignore_errors or end is None or end.state == "skipped":
        return None
    if end.state == "finished" and end.exit_code == 0:
        return None
    prefix = "prepare environment: " if stage.substage.name == "prepare_script" else ""
    if end.state == "timedout":
        return JobOutcome(
            reason=FailureReason.JOB_EXECUTION_TIMEOUT,
            message=f"{prefix}{stage.substage.name} took longer than "
            f"{format_go_duration(stage.timeout_seconds or 0)}",
        )
    return JobOutcome(
        reason=FailureReason.SCRIPT_FAILURE,
        exit_code=end.exit_code,
        message=f"{prefix}command terminated with exit code {end.exit_code}",
    )


def _build_result(evidence: Evidence) -> JobOutcome | None:
    """Return the failure that the build container tells, or None when it ended well."""
    end = evidence.build
    if end is None:
        return JobOutcome(reason=SYSTEM, message="it is not known how the build container ended")
    wanted = _recorded(evidence)
    if wanted is None:
        return build_died(evidence)
    stage, record = wanted
    code = 0 if record is None else _container_code(record)
    if end.exit_code != code:
        if end.reason == "OOMKilled" or end.exit_code == _SIGKILL_EXIT:
            return build_died(evidence)
        if evidence.entrypoint is None:
            return _contradiction(end, code)
        if not code:
            return other_code(evidence.entrypoint, end.exit_code)
    if record is None or stage is None:
        return None
    if record.state == "timedout":
        return JobOutcome(
            reason=FailureReason.JOB_EXECUTION_TIMEOUT,
            exit_code=code,
            message=f"{stage.substage.name} took longer than "
            f"{format_go_duration(stage.timeout_seconds or 0)}",
        )
    message = f"command terminated with exit code {code}"
    hint = None
    if end.reason == "OOMKilled":
        message = termination_text(BUILD, end, evidence.memory_limit)
        hint = _memory_hint(evidence)
    return JobOutcome(
        reason=FailureReason.SCRIPT_FAILURE, exit_code=code, message=message, hint=hint
    )


def _contradiction(end: StateTerminated, code: int) -> JobOutcome:
    return JobOutcome(
        reason=SYSTEM,
        message=f"the build container ended with exit code {end.exit_code}, but its records "
        f"say {code}: somebody changed the records, or the container was stopped",
    )


def _container_code(record: StageEnd) -> int:
    """Return what the supervisor makes of a stage's end (see ``shell/supervisor.sh``)."""
    if record.state == "finished" or record.exit_code:
        return record.exit_code or 0
    return 143


def _recorded(evidence: Evidence) -> tuple[StageScript | None, StageEnd | None] | None:
    """Return the build stage that decides, with its end; (None, None): all went well.

    None: the records of the build container are incomplete.
    """
    ran = False
    for index, stage in enumerate(evidence.stages):
        if stage.substage.role is not ContainerRole.BUILD:
            continue
        end = evidence.ends.get(index)
        if end is None or end.state == "gone":
            return None
        ran = ran or end.state != "skipped"
        failed = end.state not in ("finished", "skipped") or bool(end.exit_code)
        if failed and not stage.ignore_errors:
            return stage, end
    return (None, None) if ran else None
