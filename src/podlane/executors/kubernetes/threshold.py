"""Coming in and going out: what is told before the pod, and why a job got no further."""

from __future__ import annotations

from collections.abc import Sequence

from podlane.executors.base import Emit, Level, Message, StageFinished, StageStarted
from podlane.executors.kubernetes.observe import Verdict, Waiting
from podlane.executors.kubernetes.plan import PodPlan
from podlane.kit.clock import Clock
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.kit.units import human_seconds
from podlane.kube.errors import ApiError, ForbiddenError, NotFoundError, TooManyRequestsError
from podlane.kube.informer import PodWatch
from podlane.kube.types import Pod
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome
from podlane.model.substages import PREPARE_EXECUTOR, SubStage


async def announce(notes: Sequence[Message], opening: SubStage, emit: Emit, clock: Clock) -> bool:
    """Tell what comes before the pod, and return True.

    GitLab creates the pod inside "Preparing environment".
    """
    await emit(StageStarted(substage=PREPARE_EXECUTOR, at=clock.now()))
    for note in notes:
        await emit(note)
    if opening != PREPARE_EXECUTOR:
        now = clock.now()
        await emit(StageFinished(substage=PREPARE_EXECUTOR, exit_code=0, at=now))
        await emit(StageStarted(substage=opening, at=now))
    return True


def ran_out(running: SubStage) -> Message:
    """Return GitLab's words for a sub-stage that the job's timeout ended."""
    text = (
        f"{running.name} could not run to completion because the timeout was exceeded. "
        "For more control over job and script timeouts see: "
        "https://docs.gitlab.com/ci/runners/configure_runners/"
        "#set-script-and-after_script-timeouts"
    )
    return Message(text=text, level=Level.WARNING)


class WaitingLines:
    """GitLab's lines about a pod that does not run yet, each once."""

    def __init__(self, pod: PodPlan) -> None:
        self._pod = f"{pod.namespace}/{pod.name}"
        self._last = ""

    async def tell(self, verdict: Verdict, emit: Emit) -> None:
        """Tell what the pod waits for, if that is news."""
        if not isinstance(verdict, Waiting):
            return
        line = f"Waiting for pod {self._pod} to be running, status is {verdict.phase}"
        line = f"{line} ({verdict.detail})" if verdict.detail else line
        if line != self._last:
            self._last = line
            await emit(Message(text=line))


def present(watch: PodWatch, namespace: str, name: str) -> Pod:
    """Return a pod that is to be taken over.

    Raises:
        PermanentError: it does not exist.
    """
    seen = watch.pods.get(name)
    if seen is None:
        raise PermanentError(
            f'pod "{namespace}/{name}" does not exist: it was removed while no runner manager '
            "watched it, or the manager ended before it was created",
            hint="retry the job; if it happens again, look for who or what deletes pods there",
        )
    return seen


def refused(error: PodlaneError) -> JobOutcome:
    """Return the outcome of a pod that could not even be created."""
    hint = error.hint
    if isinstance(error, TooManyRequestsError):
        hint = hint or "the API server is overloaded"
    elif isinstance(error, ApiError) and "exceeded quota" in error.message:
        hint = hint or "the namespace's ResourceQuota is used up: raise it, or lower concurrent"
    elif isinstance(error, NotFoundError) and 'namespaces "' in error.message:
        hint = hint or "create the namespace, or name another one in [runners.kubernetes]"
    elif isinstance(error, ForbiddenError):
        hint = hint or "the manager needs the role in docs/how-to/cluster.md in this namespace"
    return JobOutcome(
        reason=FailureReason.RUNNER_SYSTEM_FAILURE,
        message=f"setting up pod: {error.message}",
        hint=hint,
    )


def cluster_away(seconds: float, trouble: PodlaneError) -> PodlaneError:
    """Return why a job ends whose cluster has not answered for so long."""
    return PodlaneError(
        f"the cluster has not answered for {human_seconds(seconds)}: {trouble.message}",
        hint="the pod, if there still is one, ends at its deadline; unreachable_timeout in "
        "[runners.kubernetes] is how long an outage may last",
    )
