"""``dns_config`` and ``container_lifecycle`` in a pod."""

from __future__ import annotations

import shlex

from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.executors.kubernetes.settings.lifecycle import DnsConfig, Handler, Lifecycle
from podlane.kit.jsonvalue import Json, JsonObject

_CLUSTER_GRACE_SECONDS = 30  # terminationGracePeriodSeconds where nobody says so


def dns_config(config: DnsConfig) -> JsonObject | None:
    """Return the pod's ``dnsConfig``, None where nothing is set."""
    options: list[Json] = [
        {"name": option.name, **({} if option.value is None else {"value": option.value})}
        for option in config.options
    ]
    lists: dict[str, list[Json]] = {
        "nameservers": [*config.nameservers],
        "searches": [*config.searches],
        "options": options,
    }
    return {key: value for key, value in lists.items() if value} or None


def container_lifecycle(lifecycle: Lifecycle) -> JsonObject:
    """Return the ``lifecycle`` field of a container as a table; empty where nothing is set."""
    hooks: JsonObject = {
        key: _handler(handler)
        for key, handler in (("postStart", lifecycle.post_start), ("preStop", lifecycle.pre_stop))
        if handler is not None
    }
    return {"lifecycle": hooks} if hooks else {}


def stop_seconds(settings: KubernetesSettings) -> int | None:
    """Return how long ``preStop`` may take, None where there is none."""
    if settings.container_lifecycle.pre_stop is None:
        return None
    seconds = settings.pod_termination_grace_period_seconds
    return _CLUSTER_GRACE_SECONDS if seconds is None else seconds


def with_farewell(
    files: dict[str, str], settings: KubernetesSettings, *, idle: bool
) -> dict[str, str]:
    """Return the pod's files with what the build container does before it ends by itself.

    Kubernetes calls ``preStop`` only in containers that it stops. In GitLab Runner that is every
    container, as in the exec strategy (``idle``); else ours ends with the job, so its supervisor
    makes the call. Requests (``http_get``) come from the containers that end with the pod alone.
    """
    seconds, handler = stop_seconds(settings), settings.container_lifecycle.pre_stop
    if idle or seconds is None or handler is None or handler.exec is None:
        return files
    script = f"exec {shlex.join(handler.exec.command)} > /dev/null 2>&1\n"
    return {
        **files,
        "plan": f"pre_stop {seconds}\n{files['plan']}",
        "stage.pre_stop": script,
    }


def _handler(handler: Handler) -> JsonObject:
    made: JsonObject = {}
    if handler.exec is not None:
        made["exec"] = {"command": [*handler.exec.command]}
    if handler.http_get is not None:
        wanted = handler.http_get
        get: JsonObject = {"port": wanted.port}
        for key, value in (
            ("host", wanted.host),
            ("path", wanted.path),
            ("scheme", wanted.scheme.upper()),
        ):
            if value:
                get[key] = value
        if wanted.http_headers:
            get["httpHeaders"] = [{"name": h.name, "value": h.value} for h in wanted.http_headers]
        made["httpGet"] = get
    if handler.tcp_socket is not None:
        socket = handler.tcp_socket
        made["tcpSocket"] = {"port": socket.port, **({"host": socket.host} if socket.host else {})}
    return made
