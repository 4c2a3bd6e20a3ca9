"""What is kept, and for how long: the newest pipelines, artifacts until they expire."""

from __future__ import annotations

import anyio
import anyio.to_thread

from podlane.compiler import durations
from podlane.coordinator.sources.repository import Repositories
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.live import LiveJob, LivePipeline, family_completed
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.rows import ArtifactRow
from podlane.coordinator.storage.store import Store
from podlane.kit.clock import Clock


def is_expired(row: ArtifactRow, now: float) -> bool:
    """Whether ``artifacts:expire_in`` has passed; without one, or with ``never``, it never has."""
    lifetime = durations.seconds(row.expire_in) if row.expire_in else None
    return lifetime is not None and now > row.created_at + lifetime


class Retention:
    """Removes what is not kept. ``keep_pipelines`` counts finished ones; children go with theirs."""

    def __init__(
        self, *, engine: Engine, store: Store, blobs: Blobs, repositories: Repositories,
        clock: Clock, keep_pipelines: int,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._store = store
        self._blobs = blobs
        self._repositories = repositories
        self._clock = clock
        self._keep = keep_pipelines

    async def tidy(self) -> None:
        """Remove old pipelines with all that belongs to them, and expired artifacts."""
        finished = [
            live
            for live in self._engine.pipelines.values()
            if live.parent is None and family_completed(live)
        ]
        for root in finished[: max(len(finished) - self._keep, 0)]:
            await self._remove(list(root.family()))
        now = self._clock.now()
        for live in list(self._engine.pipelines.values()):  # new ones may come meanwhile
            # Until a pipeline and its children have finished, jobs may need each other's artifacts.
            for job in live.attempts if family_completed(live) else ():
                await self._expire(job, now)

    async def _remove(self, family: list[LivePipeline]) -> None:
        # Nobody may see, and no crash may leave, a part of a family.
        self._store.delete_pipelines(*(live.row.id for live in family))
        for live in family:
            self._engine.forget(live)
        for live in family:
            snapshot, forget = live.row.snapshot, self._repositories.forget
            await anyio.to_thread.run_sync(forget, snapshot, live.row.id)
            for job in live.attempts:
                await anyio.to_thread.run_sync(self._blobs.remove, job.row.id)

    async def _expire(self, job: LiveJob, now: float) -> None:
        for kind, row in list(job.artifacts.items()):
            if is_expired(row, now):
                del job.artifacts[kind]
                self._store.delete_artifact(row)
                path = self._blobs.artifact_path(row.path)
                await anyio.Path(path).unlink(missing_ok=True)
