"""Whatever runners and users do in whatever order, a pipeline ends and its story is lawful."""

from __future__ import annotations

import json
import random
from pathlib import Path

import anyio
import msgspec
import pytest

from podlane.coordinator.events import CoordinatorEvent, JobStateChanged, PipelineFinished
from podlane.gitlab.answers import JobOffered
from podlane.gitlab.wire import JobUpdate
from podlane.model.job import Job
from podlane.model.pipeline import AllowFailure, Need, Pipeline, PipelineJob, Trigger, When
from podlane.model.states import TRANSITIONS, JobState
from tests.contract.runner_api.bench import Bench, job, running_bench, working_tree

pytestmark = pytest.mark.anyio

STAGES = ("a", "b", "c")
LAWFUL = {(before, after) for (before, _), after in TRANSITIONS.items()}


CHILD = """
stages: [a, b]
one: {stage: a, script: [echo], allow_failure: true}
two: {stage: b, script: [echo]}
go: {stage: a, trigger: {include: leaf.yml, strategy: %s}}
"""
LEAF = "three: {script: [echo]}\nfour: {stage: deploy, script: [echo], when: always}\n"


def random_trigger(chance: random.Random) -> Trigger:
    file = chance.choice(["child.yml", "leaf.yml", "leaf.yml", "broken.yml"])
    strategy = chance.choice(["", "depend", "mirror"])
    return Trigger(content=json.dumps({"include": [{"local": file}]}), strategy=strategy)


def random_pipeline(chance: random.Random, *, bridges: float = 0.0) -> Pipeline:
    jobs: list[PipelineJob] = []
    for number in range(chance.randint(1, 8)):
        stage = chance.choice(STAGES)
        earlier = [j.name for j in jobs if j.stage <= stage]
        needs = None
        if earlier and chance.random() < 0.4:
            needs = tuple(Need(job=n) for n in chance.sample(earlier, min(2, len(earlier))))
        made = job(
            f"job{number}",
            stage,
            needs=needs,
            when=chance.choice([When.ON_SUCCESS, When.ON_SUCCESS, When.ALWAYS, When.ON_FAILURE]),
            allow_failure=AllowFailure(always=chance.random() < 0.3),
            retry_max=chance.choice([0, 0, 1]),
            resource_group=chance.choice(["", "", "r"]),
        )
        if chance.random() < bridges:
            made = msgspec.structs.replace(made, bridge=True, trigger=random_trigger(chance))
        jobs.append(made)
    policy = chance.choice(["none", "none", "all"])
    return Pipeline(stages=STAGES, jobs=tuple(jobs), on_job_failure=policy)


async def step(bench: Bench, chance: random.Random, pipeline_id: int, held: list[Job]) -> None:
    """Do one thing that a runner or a user might do."""
    what = chance.random()
    if what < 0.35 or not held:
        offered = await bench.client.request_job()
        if isinstance(offered, JobOffered):
            held.append(offered.job)
        return
    mine = chance.choice(held)
    if what < 0.5:
        await bench.client.update_job(mine.id, mine.token, JobUpdate(state="running"))
    elif what < 0.65:
        start = chance.choice([0, 5])
        await bench.client.patch_trace(mine.id, mine.token, start, b"12345")
    elif what < 0.97:
        state = chance.choice(["success", "failed"])
        reason = chance.choice(["script_failure", "runner_system_failure", "new_reason"])
        update = JobUpdate(state=state, failure_reason=reason, exit_code=chance.choice([0, 1]))
        await bench.client.update_job(mine.id, mine.token, update)
        if chance.random() < 0.8:
            held.remove(mine)
    else:
        await bench.coordinator.cancel(pipeline_id, force=chance.random() < 0.5)


@pytest.mark.parametrize("seed", range(12))
async def test_every_pipeline_ends_lawfully(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    await check_story(tmp_path, chance, random_pipeline(chance))


@pytest.mark.parametrize("seed", range(24))
async def test_every_family_of_pipelines_ends_lawfully(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    tree = working_tree(tmp_path / "project")
    (tree / "child.yml").write_text(CHILD % chance.choice(["depend", "mirror"]))
    (tree / "leaf.yml").write_text(LEAF)
    (tree / "broken.yml").write_text("x: [\n")
    await check_story(tmp_path, chance, random_pipeline(chance, bridges=0.7))


async def check_story(tmp_path: Path, chance: random.Random, content: Pipeline) -> None:
    """Run a pipeline with a runner and a user who do anything, and read what the watcher saw."""
    story: list[CoordinatorEvent] = []
    settings = {
        "offer_seconds": 0.2, "lost_after_seconds": 0.2, "look_around_seconds": 0.02,
        "hold_seconds": 0.2,
    }  # fmt: skip
    async with running_bench(tmp_path, **settings) as bench:
        pipeline_id = await bench.start(content)
        ended = anyio.Event()

        async def watch() -> None:
            story.extend([event async for event in bench.coordinator.events(pipeline_id)])
            ended.set()

        held: list[Job] = []
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                while not ended.is_set():
                    await step(bench, chance, pipeline_id, held)
        results = await bench.coordinator.job_results(pipeline_id)
    assert isinstance(story[-1], PipelineFinished)
    assert all(r.status in {"success", "failed", "canceled", "skipped"} for r in results)
    standing: dict[int, JobState] = {}
    for event in story:
        if isinstance(event, JobStateChanged):
            before = standing.get(event.job_id)
            assert before is None or (before, event.state) in LAWFUL
            standing[event.job_id] = event.state
