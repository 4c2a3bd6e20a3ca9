"""What the manager may have to do in the namespace of its pods, and what for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A verb on a resource (``pods/exec`` is a subresource). ``optional``: jobs run without it."""

    verb: str
    resource: str
    purpose: str
    optional: bool = False


# Of the whole cluster, and only for [runners.kubernetes.autoscaler]: who has its priority class made
# by somebody else needs none of them.
PAUSE_POD_PERMISSIONS = (
    Permission(
        verb="get", resource="priorityclasses", purpose="the class of pause pods", optional=True
    ),
    Permission(
        verb="create", resource="priorityclasses", purpose="the same, where it is missing",
        optional=True,
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
        verb="get", resource="pods/log", purpose="logs of services (CI_DEBUG_SERVICES)",
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
)  # fmt: skip
