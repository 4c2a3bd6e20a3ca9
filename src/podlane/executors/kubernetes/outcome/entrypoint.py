"""Images whose own entrypoint runs first, and gets our supervisor as its argument. Pure.

Only with ``FF_KUBERNETES_HONOR_ENTRYPOINT``. Such an entrypoint is a program of somebody else: it may
never come to its argument, end before it, or end with an exit code of its own. Each is a sentence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from podlane.executors.kubernetes.manifests.containers import BUILD, HELPER
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.status.observe import Ready
from podlane.executors.kubernetes.status.sight import Sight
from podlane.kit.units import human_seconds
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome

# An image that starts a shell without its arguments says so with this file in builds_dir, where
# stages are run by exec (the documentation of GitLab Runner's Kubernetes executor).
_MARKER = ".gitlab-startup-marker"
_FLAG = "FF_KUBERNETES_HONOR_ENTRYPOINT"
_HINT = (
    'an entrypoint has to run its arguments, as `exec "$@"` does; to do without it, give the job '
    f'image:entrypoint [""], or set {_FLAG} to "false"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """An image whose entrypoint was to run our supervisor, and whether it did."""

    image: str
    entered: bool


def behind(pod: PodPlan, entered: Collection[str]) -> Behind | None:
    """Return what stands before the supervisor of ``build``, if anything does."""
    if not pod.entrypoint_seconds:
        return None
    return Behind(image=_image(pod, BUILD), entered=BUILD in entered)


def outsider(pod: PodPlan, entered: Collection[str], sight: Sight) -> str:
    """Return a container whose supervisor has not been heard of, and has to be waited for.

    While ``build`` does not run, its image may be on the way. The exec strategy waits before its
    first stages instead (:func:`knock`).
    """
    if not pod.entrypoint_seconds or pod.legacy or sight.verdict != Ready():
        return ""
    return next((name for name in (HELPER, BUILD) if name not in entered), "")


def knock(pod: PodPlan, container: str) -> str:
    """Return the script that ends when the entrypoint has come to our supervisor."""
    files = [f"{pod.where.logs}/entered.{container}", f"{pod.where.builds}/{_MARKER}"]
    tests = " || ".join(f'[ -e "{file}" ]' for file in files)
    return f"until {tests}; do sleep 0.1 2>/dev/null || sleep 1; done\n"


def not_reached(pod: PodPlan, container: str) -> JobOutcome:
    """Return the outcome of a job whose image does something else instead."""
    return JobOutcome(
        reason=FailureReason.RUNNER_CONFIGURATION_ERROR,
        message=f'the entrypoint of image {_image(pod, container)} (container "{container}") has '
        f"not run the command that it was given after {human_seconds(pod.entrypoint_seconds)}",
        hint=f"{_HINT}; one that needs longer: raise poll_timeout in [runners.kubernetes]",
    )


def ended_before(behind: Behind, how: str) -> JobOutcome:
    """Return the outcome of a job whose image's entrypoint ended instead. ``how`` in words."""
    return JobOutcome(
        reason=FailureReason.RUNNER_CONFIGURATION_ERROR,
        message=f"the entrypoint of image {behind.image} did not run the command that it was "
        f"given: {how}",
        hint=_HINT,
    )


def other_code(behind: Behind, code: int) -> JobOutcome:
    """Return the outcome of a script that ended well, but its container did not."""
    return JobOutcome(
        reason=FailureReason.SCRIPT_FAILURE,
        exit_code=code,
        message=f"the script ended well, but its container with exit code {code}, which the "
        f"entrypoint of image {behind.image} made of it",
        hint='an entrypoint that ends with `exec "$@"` leaves exit codes alone',
    )


def _image(pod: PodPlan, container: str) -> str:
    image = pod.build_image if container == BUILD else pod.helper_image
    return image.asked
