"""The runner's settings for ``podlane run``: the user's ``config.toml``, pointed at our coordinator."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from podlane.executors.kubernetes.manifests.images import PULL_POLICIES
from podlane.kit.jsonvalue import JsonObject, obj, text
from podlane.runner.cache.settings import CacheSettings, CoordinatorCacheSettings
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings

HOST_PORTS = "podlane.dev/host-ports"
LEAST_JOBS = 4
EMBEDDED_SECONDS = 15  # a node on this machine that does not answer for so long is gone
# What another cluster has, or how its scheduler is to choose: here is one node, and nothing else.
_ELSEWHERE = (
    "affinity", "autoscaler", "context", "host", "node_selector", "node_tolerations",
    "priority_class_name", "resource_availability_check_max_attempts", "runtime_class_name",
    "scheduler_name", "service_account",
)  # fmt: skip
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The coordinator as pods see it, and what kind of cluster the pods are in."""

    url: str
    token: str
    embedded: bool
    namespace: str = "default"
    concurrent: int | None = None


def point(loaded: GlobalSettings | None, target: Target) -> GlobalSettings:
    """Return settings with one runner, the first of ``loaded`` or a plain one, for ``target``."""
    base = loaded or GlobalSettings(runners=(), concurrent=max(LEAST_JOBS, os.cpu_count() or 1))
    runner = base.runners[0] if base.runners else RunnerSettings(url="", token="")
    runner = replace(
        runner,
        url=target.url,
        token=target.token,
        name=runner.name or "podlane run",
        limit=0,
        timestamps_by_default=False,
        request_concurrency=max(runner.request_concurrency, 1),
        executor_table=_executor_table(runner.executor_table, target),
        cache=_cache(runner.cache),
    )
    return replace(base, runners=(runner,), concurrent=target.concurrent or base.concurrent)


def left_out(loaded: GlobalSettings | None, target: Target) -> tuple[str, ...]:
    """Return the keys of ``[runners.kubernetes]`` that :func:`point` leaves out for ``target``."""
    if loaded is None or not loaded.runners or not target.embedded:
        return ()
    table = loaded.runners[0].executor_table
    return tuple(key for key in _ELSEWHERE if table.get(key))


def _cache(configured: CacheSettings) -> CacheSettings:
    """Return where caches are kept: as configured, or by our coordinator, which keeps them long."""
    if configured.storage is not None:
        return configured
    return replace(configured, storage=CoordinatorCacheSettings(), shared=True)


def _executor_table(table: JsonObject, target: Target) -> JsonObject:
    made = dict(table)
    address = urlsplit(target.url)
    if address.hostname in _LOOPBACK:
        # Pods of our node reach this machine through this port; elsewhere it has no effect.
        annotations = obj(made, "pod_annotations")
        ports = filter(None, (text(annotations, HOST_PORTS), str(address.port)))
        made["pod_annotations"] = {**annotations, HOST_PORTS: ",".join(ports)}
    if not text(made, "namespace"):
        made["namespace"] = target.namespace
    if target.embedded:
        made = {key: value for key, value in made.items() if key not in _ELSEWHERE}
        if "pull_policy" not in made:
            made["pull_policy"] = "if-not-present"
            made.setdefault("allowed_pull_policies", list(PULL_POLICIES))
        made.setdefault("unreachable_timeout", EMBEDDED_SECONDS)
    return made
