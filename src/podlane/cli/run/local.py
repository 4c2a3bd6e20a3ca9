"""A coordinator of this process with a runner that serves it, on a cluster of the user's choice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from podlane.cli import places
from podlane.cli.run import clusters, rundir, runnerconfig
from podlane.cli.runner import executing
from podlane.cli.servers.cachesettings import CacheSettings
from podlane.coordinator.app import CoordinatorSettings, RunningCoordinator, running_coordinator
from podlane.kit.jsonvalue import text
from podlane.runner import system_id
from podlane.runner.app import StopRequest, local_manager, run_manager
from podlane.runner.configuration.settings import GlobalSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """What ``podlane run`` was asked. ``listen`` and ``external_url`` matter for real clusters."""

    place: clusters.Place
    runner: GlobalSettings | None = None
    concurrent: int | None = None
    listen: str | None = None
    external_url: str | None = None
    caches: CacheSettings = field(default_factory=CacheSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    settings: LocalSettings
    coordinator: RunningCoordinator
    note: clusters.Note


@asynccontextmanager
async def running_here(
    settings: LocalSettings, note: clusters.Note
) -> AsyncIterator[RunningCoordinator]:
    """Yield a coordinator that is being served; all of it is gone when the block is left."""
    listen, external_url = _addresses(settings)
    with rundir.private(places.data_dir() / "coordinators") as folder:
        made = CoordinatorSettings(
            data_dir=folder, listen=listen, external_url=external_url,
            cache_dir=places.caches_dir(),
            ci_separated_caches=settings.caches.ci_separated_caches,
            jobs_cache_index=settings.caches.jobs_cache_index,
        )  # fmt: skip
        async with running_coordinator(made) as coordinator, anyio.create_task_group() as tasks:
            run = _Run(settings=settings, coordinator=coordinator, note=note)
            stop = StopRequest()
            tasks.start_soon(_serve_jobs, run, stop)
            try:
                yield coordinator
            finally:
                stop.ask_drain()


async def _serve_jobs(run: _Run, stop: StopRequest) -> None:
    """Open the cluster and run the runner on it until told to stop."""
    manager = local_manager(await anyio.to_thread.run_sync(system_id.load, places.data_dir()))
    async with clusters.open_cluster(run.settings.place, run.note) as cluster:
        target = runnerconfig.Target(
            url=run.coordinator.url,
            token=run.coordinator.runner_token,
            embedded=cluster.embedded,
            namespace=cluster.access.namespace,
            concurrent=run.settings.concurrent,
        )
        settings = runnerconfig.point(run.settings.runner, target)
        if left_out := runnerconfig.left_out(run.settings.runner, target):
            keys = ", ".join(left_out)
            run.note(f"on this machine without these settings of another cluster: {keys}")
        namespace = text(settings.runners[0].executor_table, "namespace")
        if cluster.embedded and namespace != cluster.access.namespace:
            await clusters.ensure_namespace(cluster.access, namespace)
        await run_manager(
            settings,
            manager=manager,
            open_executor=executing.opener(lambda _: cluster.access),
            stop=stop,
        )


def _addresses(settings: LocalSettings) -> tuple[str, str | None]:
    """Return where to listen, and the URL for pods when it is not that address."""
    if settings.listen is not None or settings.external_url is not None:
        return settings.listen or "0.0.0.0:0", settings.external_url
    if settings.place.is_this_machine:
        return "127.0.0.1:0", None
    return f"{clusters.own_address(settings.place)}:0", None
