"""What is kept and removed, while others look on and go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from podlane.coordinator.sources.repository import Repositories
from podlane.coordinator.state.engine import Engine, EngineSettings
from podlane.coordinator.state.live import LiveJob, LivePipeline
from podlane.coordinator.state.retention import Retention
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.rows import ArtifactRow
from podlane.coordinator.storage.store import Store
from podlane.coordinator.submission import Snapshot, Submission
from podlane.model.pipeline import Pipeline, PipelineJob
from podlane.model.states import JobEvent

SNAPSHOT = Snapshot(
    repository="r", project_path="g/p", sha="a" * 40, before_sha="0" * 40, ref="main"
)
CONTENT = Pipeline(
    stages=("test",), jobs=(PipelineJob(name="job", stage="test", script=("true",)),)
)


class Stopped:
    def now(self) -> float:
        return 1000.0


@dataclass(frozen=True)
class House:
    engine: Engine
    store: Store
    retention: Retention

    def add(self, number: int, parent: int | None = None) -> None:
        """Add a pipeline of one job, which has succeeded."""
        above = None if parent is None else self.first(parent)
        self.engine.create(Submission(pipeline=CONTENT, source="/src"), SNAPSHOT, number, above)
        live, job = self.first(number)
        for event in (JobEvent.OFFER, JobEvent.SUCCEED):
            self.engine.apply(live, job, event)
        self.engine.advance(live)

    def give_artifact(self, number: int) -> None:
        """Give the job of a pipeline an artifact that has expired."""
        _, job = self.first(number)
        row = ArtifactRow(
            job_id=job.row.id, type="archive", format="zip", filename="artifacts.zip",
            path=f"{job.row.id}/archive", size=1, expire_in="1 second", created_at=0.0,
        )  # fmt: skip
        self.store.save(row)
        job.artifacts = {row.type: row}

    @property
    def stored(self) -> set[int]:
        return {row.id for row in self.store.pipelines(limit=100)}

    def first(self, number: int) -> tuple[LivePipeline, LiveJob]:
        """Return a pipeline and its job."""
        live = self.engine.pipelines[number]
        return live, live.attempts[0]


@contextmanager
def house(tmp_path: Path, *, keep: int) -> Iterator[House]:
    store = Store(tmp_path / "db")
    engine = Engine(store=store, settings=EngineSettings(), clock=Stopped())
    retention = Retention(
        engine=engine, store=store, blobs=Blobs(tmp_path), clock=Stopped(),
        repositories=Repositories(tmp_path / "repositories"), keep_pipelines=keep,
    )  # fmt: skip
    try:
        yield House(engine, store, retention)
    finally:
        store.close()


def test_a_family_goes_at_once_from_memory_and_database(tmp_path: Path) -> None:
    async def main(place: House) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(place.retention.tidy)
            while len(place.engine.pipelines) > 1:
                await anyio.lowlevel.checkpoint()
                seen.append((set(place.engine.pipelines), place.stored))

    seen: list[tuple[set[int], set[int]]] = []
    with house(tmp_path, keep=1) as place:
        place.add(1)
        place.add(2, parent=1)
        place.add(3)
        anyio.run(main, place)
    assert all(memory == stored and len(memory) in {1, 3} for memory, stored in seen), seen
    assert seen[-1] == ({3}, {3})


def test_pipelines_may_begin_while_artifacts_expire(tmp_path: Path) -> None:
    async def main(place: House) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(place.retention.tidy)
            while place.first(1)[1].artifacts:
                await anyio.lowlevel.checkpoint()
            place.add(3)

    with house(tmp_path, keep=10) as place:
        for number in (1, 2):
            place.add(number)
            place.give_artifact(number)
        anyio.run(main, place)
        assert not place.first(2)[1].artifacts
