"""What a pause pod is: it asks for what a job's pod asks for, with a priority that yields to any job."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from podlane.executors.kubernetes.manifests.affinity import pod_affinity
from podlane.executors.kubernetes.manifests.images import rewrite
from podlane.executors.kubernetes.manifests.metadata import PROCESS, SYSTEM_ID
from podlane.executors.kubernetes.manifests.pod import tolerations
from podlane.executors.kubernetes.manifests.security import pod_security
from podlane.executors.kubernetes.settings.autoscaler import Autoscaler
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kit.names import dns_label, label_value
from podlane.kit.units import exact_quantity

# Ours; its value tells pods of other settings apart.
TEMPLATE = "podlane.dev/pause-pod"
RUNNER = "manager.runner.gitlab.com/id-short"
PRIORITY_CLASS = "gitlab-runner-idle-capacity"
# Pods whose manager died without anybody to follow it end by themselves.
LIFE_SECONDS = 3600
# Else the cluster's autoscaler keeps the node of any pod that no controller would make again.
_ANNOTATIONS = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
_PRIORITY = -1
_IMAGE = "registry.k8s.io/pause:3.10"
_NAME_LIMIT = 54


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What all pause pods of a runner have in common. ``mark`` is another one for other settings."""

    namespace: str
    runner: str
    process: str
    labels: JsonObject
    spec: JsonObject
    mark: str
    own_class: bool

    def pod(self, suffix: str) -> tuple[str, JsonObject]:
        """Return the name of one pod, which ``suffix`` makes unique, and the pod."""
        name = f"{dns_label(f'runner-pause-{self.runner}', _NAME_LIMIT)}-{suffix}"
        metadata: JsonObject = {
            "name": name, "namespace": self.namespace, "labels": {**self.labels},
            "annotations": {**_ANNOTATIONS},
        }  # fmt: skip
        spec = {**self.spec}
        return name, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose pods they are: runner and manager by name, and the process that keeps them."""

    runner: str
    system_id: str
    process: str


def make_template(settings: KubernetesSettings, autoscaler: Autoscaler, owner: Owner) -> Template:
    """Return what pause pods are with these settings."""
    spec = _spec(settings, autoscaler)
    mark = hashlib.sha256(msgspec.json.encode(spec, order="sorted")).hexdigest()[:16]
    runner, system = label_value(owner.runner), label_value(owner.system_id)
    # Not metadata.RUNNER: the watch of the jobs' pods selects by it. SYSTEM_ID and PROCESS let the
    # sweep of a later manager find what this one left. There is no household: nobody takes them over.
    process = owner.process.partition(".")[0]
    return Template(
        namespace=settings.namespace or "default",
        runner=runner,
        process=process,
        labels={
            "runner.gitlab.com/pause-pod": "true",
            RUNNER: runner,
            "manager.runner.gitlab.com/system-id": system,
            SYSTEM_ID: system,
            PROCESS: process,
            TEMPLATE: mark,
        },
        spec=spec,
        mark=mark,
        own_class=spec["priorityClassName"] == PRIORITY_CLASS,
    )


def priority_class() -> JsonObject:
    """Return the class of pause pods; pods without a class have the priority 0, and come first."""
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": PRIORITY_CLASS},
        "value": _PRIORITY,
        "globalDefault": False,
        "description": "Pods that keep room for CI jobs, and yield to any other pod.",
    }


def _spec(settings: KubernetesSettings, autoscaler: Autoscaler) -> JsonObject:
    image = rewrite(autoscaler.pause_pod_image or _IMAGE, settings.image_rewrites)
    requests = requested(settings)
    container: JsonObject = {
        "name": "pause",
        "image": image.reference,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": requests} if requests else {},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    # Only of nodes: who should be near whom concerns the jobs' pods, whose labels these have not.
    affinity = pod_affinity(settings.affinity)
    nodes: JsonObject = {key: affinity[key] for key in affinity if key == "nodeAffinity"}
    secrets = [name for name in autoscaler.pause_pod_image_pull_secrets if name]
    optional: dict[str, Json] = {
        "nodeSelector": {**settings.node_selector},
        "tolerations": tolerations(settings.node_tolerations),
        "affinity": nodes,
        "serviceAccountName": settings.service_account,
        "schedulerName": settings.scheduler_name,
        "runtimeClassName": settings.runtime_class_name,
        "imagePullSecrets": [{"name": name} for name in secrets],
        "securityContext": pod_security(settings.pod_security_context),
    }
    return {
        "restartPolicy": "Always",
        "activeDeadlineSeconds": LIFE_SECONDS,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "priorityClassName": autoscaler.pause_pod_priority_class_name or PRIORITY_CLASS,
        "containers": [container],
        **{key: value for key, value in optional.items() if value not in (None, "", [], {})},
    }


def requested(settings: KubernetesSettings) -> JsonObject:
    """Return what a scheduler counts for a job's pod with these settings.

    That is the request of the whole pod, or else its containers' (their limits, where they have none),
    or else the limit of the whole pod.
    """
    found: JsonObject = {}
    for name in ("cpu", "memory", "ephemeral_storage"):
        prefixes = ["", "helper_", *["service_"] * len(settings.services)]
        parts = [
            part
            for prefix in prefixes
            if (part := _first(settings, f"{prefix}{name}_request", f"{prefix}{name}_limit"))
        ]
        whole = _first(settings, f"pod_{name}_request")
        total = whole or _sum(parts, milli=name == "cpu") or _first(settings, f"pod_{name}_limit")
        if total:
            found[name.replace("_", "-")] = total
    return found


def _first(settings: KubernetesSettings, *keys: str) -> str:
    """Return the first of these settings that is set; not all of them exist."""
    values = (getattr(settings, key, "") for key in keys)
    return next((value for value in values if isinstance(value, str) and value), "")


def _sum(parts: list[str], *, milli: bool) -> str:
    if len(parts) == 1:
        return parts[0]
    total = sum((exact_quantity(part) or Fraction(0) for part in parts), Fraction(0))
    if not total:
        return ""
    return f"{math.ceil(total * 1000)}m" if milli else str(math.ceil(total))
