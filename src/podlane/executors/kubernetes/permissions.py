"""What the manager may have to do in the namespace of its pods, and what for."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.executors.kubernetes.settings.keys import KubernetesSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A verb on a resource (``pods/exec`` is a subresource). ``optional``: jobs run without it.

    ``setting``: the key of the settings without which nobody needs it.
    """

    verb: str
    resource: str
    purpose: str
    optional: bool = False
    setting: str = ""


# Of the whole cluster, and only for [runners.kubernetes.autoscaler]: who has its priority class made
# by somebody else needs none of them.
PAUSE_POD_PERMISSIONS = (
    Permission(
        verb="get", resource="priorityclasses", purpose="the class of pause pods", optional=True,
        setting="autoscaler",
    ),
    Permission(
        verb="create", resource="priorityclasses", purpose="the same, where it is missing",
        optional=True, setting="autoscaler",
    ),
)  # fmt: skip

# All but "patch secrets" and "list secrets" are in the role of GitLab Runner's documentation.
PERMISSIONS = (
    Permission(verb="create", resource="pods", purpose="the job's pod"),
    Permission(verb="get", resource="pods", purpose="the pod, when an answer was lost"),
    Permission(verb="list", resource="pods", purpose="the pods at the start of the watch"),
    Permission(verb="watch", resource="pods", purpose="one watch for all jobs"),
    Permission(verb="delete", resource="pods", purpose="the end of the job"),
    # An exec over WebSocket is a GET; since 1.35 Kubernetes wants "create" for it as well.
    Permission(verb="get", resource="pods/exec", purpose="the log, cancel, the exec strategy"),
    Permission(verb="create", resource="pods/exec", purpose="the same since Kubernetes 1.35"),
    Permission(
        verb="get", resource="pods/log", purpose="what services and entrypoints print",
        optional=True,
    ),
    Permission(verb="create", resource="secrets", purpose="scripts and variables of the job"),
    Permission(verb="get", resource="secrets", purpose="the Secret, when an answer was lost"),
    Permission(verb="delete", resource="secrets", purpose="the end of a job without a pod"),
    Permission(
        verb="patch", resource="secrets", purpose="the pod owns its Secret", optional=True
    ),
    Permission(
        verb="update", resource="secrets", purpose="the same, where patch is not allowed",
        optional=True,
    ),
    Permission(
        verb="list", resource="secrets", purpose="what a dead manager left", optional=True
    ),
    Permission(
        verb="list", resource="events", purpose="why a pod did not start", optional=True
    ),
    Permission(
        verb="watch", resource="events", purpose="a pod's events (FF_PRINT_POD_EVENTS)",
        optional=True,
    ),
)  # fmt: skip

# What some settings need beyond that; namespaces belong to the whole cluster.
SETTING_PERMISSIONS = (
    Permission(
        verb="create", resource="namespaces", purpose="a namespace for each job",
        setting="namespace_per_job",
    ),
    Permission(
        verb="delete", resource="namespaces", purpose="the end of such a namespace",
        setting="namespace_per_job",
    ),
    Permission(
        verb="get", resource="namespaces", purpose="the namespace, when an answer was lost",
        optional=True, setting="namespace_per_job",
    ),
    Permission(
        verb="list", resource="namespaces", purpose="namespaces that a dead manager left",
        optional=True, setting="namespace_per_job",
    ),
    Permission(
        verb="create", resource="poddisruptionbudgets", purpose="the budget of each pod",
        setting="pod_disruption_budget",
    ),
    Permission(
        verb="get", resource="serviceaccounts", purpose="whether the pod's account is there",
        setting="resource_availability_check_max_attempts",
    ),
)  # fmt: skip


def needed(settings: KubernetesSettings) -> tuple[Permission, ...]:
    """Return all that a manager with these settings may have to do."""
    more = (*SETTING_PERMISSIONS, *PAUSE_POD_PERMISSIONS)
    return (*PERMISSIONS, *(one for one in more if _is_on(settings, one.setting)))


def _is_on(settings: KubernetesSettings, key: str) -> bool:
    match key:
        case "autoscaler":
            return settings.autoscaler is not None and bool(settings.autoscaler.policy)
        case "resource_availability_check_max_attempts":
            return bool(settings.resource_availability_check_max_attempts) and bool(
                settings.service_account or settings.service_account_overwrite_allowed
            )
        case _:
            value: object = getattr(settings, key)
            return bool(value)
