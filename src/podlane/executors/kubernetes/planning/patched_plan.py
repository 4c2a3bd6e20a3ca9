"""The plan of a pod after the patches of ``pod_spec``, and what the trace says about them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from podlane.executors.base import Level, Message
from podlane.executors.kubernetes.manifests.podpatch import patched
from podlane.executors.kubernetes.manifests.podresources import memory_limits
from podlane.executors.kubernetes.planning.flags import PATCHES_FLAG
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.settings.podspec import Patch
from podlane.kit.jsonvalue import obj


def with_patches(plan: PodPlan, patches: Sequence[Patch]) -> PodPlan:
    """Return ``plan`` for the patched pod.

    Raises:
        PatchMismatchError, PatchDamageError: the patches do not fit, or break the job.
    """
    spec = patched(obj(plan.pod, "spec"), patches, plan.where)
    names = ", ".join(f"{each.label.partition('.pod_spec')[2]} ({each.kind})" for each in patches)
    note = Message(text=f"Patched the spec of the pod by pod_spec {names}")
    return replace(
        plan,
        pod=plan.pod | {"spec": spec},
        memory_limits=memory_limits(spec),
        notes=(*plan.notes, note),
    )


def without_patches(plan: PodPlan, count: int) -> PodPlan:
    """Return ``plan`` as it is, with a note that ``count`` patches are left out."""
    text = (
        f"The {count} patches of pod_spec in the runner's configuration have no effect, because "
        f"{PATCHES_FLAG} is off"
    )
    return replace(plan, notes=(*plan.notes, Message(text=text, level=Level.WARNING)))
