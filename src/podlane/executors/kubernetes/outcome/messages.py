"""Coming in and going out: what is told before the pod, and why a job got no further."""

from __future__ import annotations

from collections.abc import Sequence

from podlane.executors.base import Emit, Level, Message, StageFinished, StageStarted
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.status.observe import Verdict, Waiting
from podlane.kit.clock import Clock
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.kit.units import human_seconds
from podlane.kube.errors import (
    ApiError,
    ForbiddenError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
)
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

    def __init__(self, pod: PodPlan, *, silent: bool = False) -> None:
        self._silent = silent
        self._pod = f"{pod.namespace}/{pod.name}"
        self._last = ""

    async def tell(self, verdict: Verdict, emit: Emit) -> None:
        """Tell what the pod waits for, if that is news."""
        if self._silent or not isinstance(verdict, Waiting):
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


def refused(error: PodlaneError, *, own_token: bool = False) -> JobOutcome:
    """Return the outcome of a pod that could not even be created.

    ``own_token``: the job works with a token of its own.
    """
    return JobOutcome(
        reason=FailureReason.RUNNER_SYSTEM_FAILURE,
        message=f"setting up pod: {error.message}",
        hint=error.hint or _what_to_change(error, own_token=own_token),
    )


def _what_to_change(error: PodlaneError, *, own_token: bool) -> str | None:
    if isinstance(error, TooManyRequestsError):
        return "the API server is overloaded"
    if isinstance(error, ApiError):
        for said, hint in _HINTS:
            if said in error.message:
                return hint
    if isinstance(error, NotFoundError) and 'namespaces "' in error.message:
        return (
            "create the namespace, or name another one in [runners.kubernetes] or "
            "KUBERNETES_NAMESPACE_OVERWRITE"
        )
    if isinstance(error, UnauthorizedError) and own_token:
        return "KUBERNETES_BEARER_TOKEN is not valid, or no longer, for this cluster"
    if isinstance(error, ForbiddenError):
        who = "the owner of KUBERNETES_BEARER_TOKEN" if own_token else "the manager"
        right = next((right for call, right in _RIGHTS if call in error.message), _ROLE)
        return f"{who} needs {right}"
    return None


_DOCS = "docs/how-to/cluster.md"
_ROLE = f"the role in {_DOCS} in this namespace"
_HINTS = (
    ("exceeded quota", "the namespace's ResourceQuota is used up: raise it, or lower concurrent"),
    (
        "because it is being terminated",
        "the namespace is being deleted: wait until it is gone and create it anew, or name another",
    ),
    (
        "error looking up service account",
        (
            "create it in this namespace, or correct service_account in [runners.kubernetes], or "
            "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE where the job may choose"
        ),
    ),
    (
        " is invalid: ",
        (
            "the API server does not take the pod that [runners.kubernetes] describes: correct the "
            "setting, or the patch of pod_spec, that makes the named field"
        ),
    ),
    (
        "cannot be handled as a",
        "a patch of pod_spec in [runners.kubernetes] gives the named field a value of another type",
    ),
)
# By the request that was refused: what is beyond that role, and what no request has told before.
_RIGHTS = (
    (
        "cannot create namespaces",
        f"the right to create and delete namespaces for namespace_per_job ({_DOCS})",
    ),
    ("cannot list pods", f"the right to list and watch pods in this namespace ({_DOCS})"),
    (
        "cannot create poddisruptionbudgets",
        f"the right to create poddisruptionbudgets for pod_disruption_budget ({_DOCS})",
    ),
    (
        "cannot get serviceaccounts",
        f"the right to get serviceaccounts for resource_availability_check_max_attempts ({_DOCS})",
    ),
)


def cluster_away(seconds: float, trouble: PodlaneError) -> PodlaneError:
    """Return why a job ends whose cluster has not answered for so long, or will never answer."""
    if isinstance(trouble, ForbiddenError):
        return PodlaneError(
            f"the pod cannot be followed: {trouble.message}",
            hint="whoever runs the job needs the right to watch pods in this namespace: the role in "
            "docs/how-to/cluster.md",
        )
    return PodlaneError(
        f"the cluster has not answered for {human_seconds(seconds)}: {trouble.message}",
        hint="the pod, if there still is one, ends at its deadline; unreachable_timeout in "
        "[runners.kubernetes] is how long an outage may last",
    )
