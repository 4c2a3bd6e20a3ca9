"""The pod of a job, put together from its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podlane.executors.kubernetes.manifests.affinity import pod_affinity
from podlane.executors.kubernetes.manifests.lifecycle import dns_config
from podlane.executors.kubernetes.manifests.podresources import pod_resources
from podlane.executors.kubernetes.manifests.security import pod_security
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.jsonvalue import Json, JsonObject

_DNS_POLICIES = {
    "none": "None",
    "default": "Default",
    "cluster-first": "ClusterFirst",
    "cluster-first-with-host-net": "ClusterFirstWithHostNet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodParts:
    """Everything that goes into one pod, decided."""

    name: str
    namespace: str
    secret: str
    labels: Mapping[str, Json]
    annotations: Mapping[str, Json]
    containers: tuple[JsonObject, ...]
    init_containers: tuple[JsonObject, ...]
    volumes: tuple[Json, ...]
    host_names: tuple[str, ...]
    pull_secrets: tuple[str, ...]
    active_deadline_seconds: int | None


def pod_manifest(parts: PodParts, settings: KubernetesSettings) -> JsonObject:
    """Return the pod."""
    optional: dict[str, Json] = {
        "initContainers": [*parts.init_containers],
        "activeDeadlineSeconds": parts.active_deadline_seconds,
        "terminationGracePeriodSeconds": settings.pod_termination_grace_period_seconds,
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": settings.automount_service_account_token,
        "schedulerName": settings.scheduler_name,
        "priorityClassName": settings.priority_class_name,
        "runtimeClassName": settings.runtime_class_name,
        "nodeSelector": {**settings.node_selector},
        "tolerations": tolerations(settings.node_tolerations),
        "affinity": pod_affinity(settings.affinity),
        "resources": pod_resources(settings),
        "imagePullSecrets": [{"name": name} for name in parts.pull_secrets],
        "securityContext": pod_security(settings.pod_security_context),
        "hostAliases": _host_aliases(parts, settings),
        "dnsPolicy": _DNS_POLICIES.get(settings.dns_policy),
        "dnsConfig": dns_config(settings.dns_config),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": parts.name,
            "namespace": parts.namespace,
            "labels": {**parts.labels},
            "annotations": {**parts.annotations},
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [*parts.containers],
            "volumes": [*parts.volumes],
            **{key: value for key, value in optional.items() if value not in (None, "", [], {})},
        },
    }


def secret_manifest(parts: PodParts, data: Mapping[str, str], kind: str) -> JsonObject:
    """Return the Secret that carries the plan. ``data`` is base64 already."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {
            "name": parts.secret,
            "namespace": parts.namespace,
            "labels": {**parts.labels},
        },
        "data": {**data},
    }


def owner_patch(pod_name: str, pod_uid: str) -> JsonObject:
    """Return the patch that makes the pod the owner of an object: both go together."""
    owner: JsonObject = {"apiVersion": "v1", "kind": "Pod", "name": pod_name, "uid": pod_uid}
    return {"metadata": {"ownerReferences": [owner]}}


def _host_aliases(parts: PodParts, settings: KubernetesSettings) -> list[Json]:
    pairs = [(alias.ip, alias.hostnames) for alias in settings.host_aliases]
    if parts.host_names:
        pairs.insert(0, ("127.0.0.1", parts.host_names))
    return [{"ip": ip, "hostnames": [*names]} for ip, names in pairs]


def tolerations(configured: Mapping[str, str]) -> list[Json]:
    """Read GitLab's ``"key[=value]" = "Effect"``; an empty key tolerates everything."""
    found: list[Json] = []
    for raw, effect in configured.items():
        key, equals, value = raw.partition("=")
        toleration: JsonObject = {"operator": "Equal" if equals else "Exists"}
        if key:
            toleration["key"] = key
        if equals:
            toleration["value"] = value
        if effect:
            toleration["effect"] = effect
        found.append(toleration)
    return found
