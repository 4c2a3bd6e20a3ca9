"""Why pause pods are not what they should be, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.executors.kubernetes.pause_pods.manifest import PRIORITY_CLASS
from podlane.kit.errors import PodlaneError, TemporaryError
from podlane.kube.errors import ForbiddenError, InvalidError, NotFoundError

NO_CLASS, QUOTA = "no_priority_class", "quota"
IMAGE_HINT = (
    "the pods keep their room all the same; pause_pod_image names an image whose program waits, "
    "pause_pod_image_pull_secrets who may pull it"
)
_CLASS_HINT = (
    "create the PriorityClass (kubectl create priorityclass NAME --value=-1)"
    f"; {PRIORITY_CLASS} is made by a manager whose ClusterRole has get and create priorityclasses"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What to tell once: ``name`` is the same for all errors of this cause."""

    name: str
    hint: str


def cause(error: PodlaneError) -> Cause:
    """Return the cause of an error in making, deleting or listing pause pods."""
    said = error.message
    match error:
        case ForbiddenError() if "no PriorityClass" in said:
            return Cause(name=NO_CLASS, hint=_CLASS_HINT)
        case ForbiddenError() if "exceeded quota" in said:
            hint = "raise the ResourceQuota, or lower idle_count, scale_factor or max_pause_pods"
            return Cause(name=QUOTA, hint=hint)
        case ForbiddenError():
            hint = "give the manager what docs/how-to/cluster.md lists, and see what the cluster admits"
            return Cause(name="forbidden", hint=hint)
        case InvalidError():
            hint = (
                "change what the message names in [runners.kubernetes] or in its autoscaler table"
            )
            return Cause(name="invalid", hint=hint)
        case NotFoundError():
            return Cause(name="not_found", hint="create the namespace of runners.kubernetes")
        case TemporaryError():
            return Cause(name="temporary", hint="nothing, if it passes")
        case _:
            return Cause(name="other", hint=error.hint or "")
