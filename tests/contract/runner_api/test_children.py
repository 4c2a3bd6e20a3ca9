"""Child pipelines: bridges at a coordinator over loopback, with a runner's client that does the jobs."""

from __future__ import annotations

import io
import sqlite3
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
import anyio
import pytest

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context
from podlane.coordinator.control.remote import open_coordinator
from podlane.coordinator.events import (
    ChildPipelineCreated,
    ChildPipelineFinished,
    CoordinatorEvent,
    JobResult,
    JobStateChanged,
    PipelineFinished,
)
from podlane.coordinator.submission import ChildFacts, IncludedFile, Submission
from podlane.gitlab.answers import JobOffered, NoJob
from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import UsageError
from podlane.model.job import Job, Variable
from podlane.model.pipeline import Pipeline
from tests.contract.runner_api.bench import Bench, git, running_bench
from tests.fakes.files import MemoryFetcher

pytestmark = pytest.mark.anyio

ONE_JOB = "work: {script: [echo]}\n"


def compiled(bench: Bench, files: dict[str, str]) -> Pipeline:
    """Write the files into the working tree and compile their ``.gitlab-ci.yml``."""
    for name, text in files.items():
        (bench.tree / name).write_text(text)
    found = compile_pipeline(".gitlab-ci.yml", MemoryFetcher(files), Context())
    assert found.pipeline is not None, found.diagnostics
    return found.pipeline


async def start(
    bench: Bench,
    main: str,
    child: str = ONE_JOB,
    given: Sequence[Variable] = (),
    more: Mapping[str, str] | None = None,
) -> int:
    files = {".gitlab-ci.yml": main, "child.yml": child, **(more or {})}
    pipeline = compiled(bench, files)
    return await bench.coordinator.create_pipeline(
        Submission(
            pipeline=pipeline, source=str(bench.tree), variables=tuple(given),
            predefined=pipeline.predefined,
        )
    )  # fmt: skip


async def taken(bench: Bench) -> Job:
    """Ask for jobs until there is one: a child is not there at once."""
    with anyio.fail_after(20):
        seen_before = ""
        while not isinstance(result := await bench.client.request_job(seen_before), JobOffered):
            assert isinstance(result, NoJob)
            seen_before = result.last_update
    return result.job


async def ask_in_vain(bench: Bench) -> None:
    """Ask for jobs, of which there must be none, until cancelled."""
    seen_before = ""
    while True:
        result = await bench.client.request_job(seen_before)
        assert isinstance(result, NoJob)
        seen_before = result.last_update


async def do(bench: Bench, name: str, state: str = "success") -> Job:
    """Take the next job, which must be ``name``, and end it."""
    job = await taken(bench)
    assert job.job_info.name == name
    await bench.client.update_job(job.id, job.token, JobUpdate(state=state))
    return job


async def seen(bench: Bench, pipeline_id: int) -> list[CoordinatorEvent]:
    with anyio.fail_after(20):
        return [event async for event in bench.coordinator.events(pipeline_id)]


def status_of(events: Sequence[CoordinatorEvent]) -> str:
    """Return how the pipeline ended, or rests; the last event says it."""
    last = events[-1]
    assert isinstance(last, PipelineFinished)
    return last.status


async def last_status(bench: Bench, pipeline_id: int) -> str:
    return status_of(await seen(bench, pipeline_id))


async def until(bench: Bench, pipeline_id: int, name: str, state: str) -> None:
    with anyio.fail_after(20):
        async for event in bench.coordinator.events(pipeline_id):
            if isinstance(event, JobStateChanged) and (event.name, event.state) == (name, state):
                return
    pytest.fail(f"{name} was never {state}")


async def results(bench: Bench, pipeline_id: int) -> dict[str, JobResult]:
    found = await bench.coordinator.job_results(pipeline_id)
    return {"/".join((*one.path, one.name)): one for one in found}


def value(job: Job, key: str) -> str:
    return {one.key: one.value for one in job.variables}[key]


DEPEND = "go: {trigger: {include: child.yml, strategy: depend}}\n"


@pytest.mark.parametrize(
    ("strategy", "child_state", "bridge", "pipeline"),
    [
        ("", "success", "success", "success"),
        ("", "failed", "success", "success"),
        ("strategy: depend", "success", "success", "success"),
        ("strategy: depend", "failed", "failed", "failed"),
        ("strategy: mirror", "failed", "failed", "failed"),
    ],
)
async def test_a_bridge_ends_as_its_strategy_says(
    tmp_path: Path, strategy: str, child_state: str, bridge: str, pipeline: str
) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        main = f"go:\n  trigger:\n    include: child.yml\n    {strategy}\n"
        pipeline_id = await start(bench, main)
        await do(bench, "work", child_state)
        last = (await seen(bench, pipeline_id))[-1]
        found = await results(bench, pipeline_id)
    assert isinstance(last, PipelineFinished)
    assert (last.pipeline_id, last.status) == (pipeline_id, pipeline)
    assert found["go"].status == bridge
    assert found["go"].child is not None
    assert found["go"].child.status == child_state
    assert found["go"].child.counts is bool(strategy)
    assert found["go/work"].status == child_state


async def test_the_events_of_a_child_come_between_its_beginning_and_its_end(
    tmp_path: Path,
) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DEPEND)
        await do(bench, "work")
        events = await seen(bench, pipeline_id)
    steps = [
        f"{e.name} {e.state}" if isinstance(e, JobStateChanged) else type(e).__name__
        for e in events
        if not hasattr(e, "data")
    ]
    assert steps == [
        "go created", "go pending", "go running", "ChildPipelineCreated", "work created",
        "work pending", "work offered", "work success", "ChildPipelineFinished", "go success",
        "PipelineFinished",
    ]  # fmt: skip
    (created,) = (e for e in events if isinstance(e, ChildPipelineCreated))
    assert (created.parent_id, created.bridge) == (pipeline_id, "go")
    assert [(job.name, job.stage) for job in created.jobs] == [("work", "test")]
    (ended,) = (e for e in events if isinstance(e, ChildPipelineFinished))
    assert (ended.pipeline_id, ended.status) == (created.pipeline_id, "success")


async def test_a_child_can_be_watched_by_itself_and_from_outside(tmp_path: Path) -> None:
    async with (
        running_bench(tmp_path, hold_seconds=1.0) as bench,
        open_coordinator(bench.coordinator.url, bench.coordinator.admin_token) as remote,
    ):
        pipeline_id = await start(bench, DEPEND)
        await do(bench, "work")
        whole = [event async for event in remote.events(pipeline_id)]
        (created,) = (e for e in whole if isinstance(e, ChildPipelineCreated))
        alone = [event async for event in remote.events(created.pipeline_id)]
        parents = {one.id: one.parent_id for one in await remote.pipelines()}
        assert parents == {created.pipeline_id: pipeline_id, pipeline_id: None}
    assert isinstance(whole[-1], PipelineFinished)
    assert {e.pipeline_id for e in alone} == {created.pipeline_id}
    assert isinstance(alone[-1], PipelineFinished)
    assert not [e for e in alone if isinstance(e, (ChildPipelineCreated, ChildPipelineFinished))]


async def test_variables_of_the_bridge_reach_the_child_and_its_rules(tmp_path: Path) -> None:
    main = (
        "variables: {GLOBAL: g}\n"
        "go:\n  variables: {PARENT: $CI_PIPELINE_ID, MODE: full}\n"
        "  trigger: {include: [{local: $FILE}], forward: {pipeline_variables: true}}\n"
    )
    child = (
        "workflow: {rules: [{if: '$CI_PIPELINE_SOURCE == \"parent_pipeline\"'}]}\n"
        'work: {script: [echo], rules: [{if: \'$MODE == "full" && $GIVEN == "x"\'}]}\n'
        "other: {script: [echo], rules: [{if: '$MODE == \"quick\"'}]}\n"
    )
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        given = (Variable(key="GIVEN", value="x"), Variable(key="FILE", value="child.yml"))
        pipeline_id = await start(bench, main, child, given)
        job = await do(bench, "work")
        (created,) = (
            e for e in await seen(bench, pipeline_id) if isinstance(e, ChildPipelineCreated)
        )
    names = ("PARENT", "GLOBAL", "GIVEN", "CI_PIPELINE_SOURCE", "CI_PIPELINE_ID",
             "CI_UPSTREAM_PIPELINE_ID")  # fmt: skip
    assert [value(job, name) for name in names] == [
        str(pipeline_id), "g", "x", "parent_pipeline", str(created.pipeline_id), str(pipeline_id),
    ]  # fmt: skip
    assert f"+refs/pipelines/{created.pipeline_id}:refs/pipelines/{created.pipeline_id}" in (
        job.git_info.refspecs or ()
    )


async def test_a_child_is_compiled_from_the_snapshot_not_from_the_working_tree(
    tmp_path: Path,
) -> None:
    main = "stages: [a, b]\nfirst: {stage: a, script: [echo]}\n" + DEPEND.replace(
        "{trigger", "{stage: b, trigger"
    )
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        await start(bench, main)
        (bench.tree / "child.yml").write_text("changed: {script: [echo]}\n")
        await do(bench, "first")
        await do(bench, "work")


DYNAMIC = (
    "stages: [a, b, c]\n"
    "make: {stage: a, script: [echo], artifacts: {paths: [made]}}\n"
    "go:\n  stage: b\n  variables: {PARENT: $CI_PIPELINE_ID}\n"
    "  trigger: {include: [{artifact: made/child.yml, job: make}], strategy: depend}\n"
    "after: {stage: c, script: [echo]}\n"
)


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, text in files.items():
            opened.writestr(zipfile.ZipInfo(name), text)  # the time of the zip format's beginning
    return buffer.getvalue()


async def make(bench: Bench, files: dict[str, str]) -> Job:
    """Do the job ``make``, which uploads an archive."""
    job = await taken(bench)
    form = aiohttp.FormData()
    form.add_field("file", archive(files), filename="artifacts.zip")
    url = f"{bench.coordinator.url}/api/v4/jobs/{job.id}/artifacts"
    async with aiohttp.ClientSession() as session:
        answer = await session.post(url, data=form, headers={"JOB-TOKEN": job.token})
        assert answer.status == 201
    await bench.client.update_job(job.id, job.token, JobUpdate(state="success"))
    return job


async def test_a_generated_child_takes_artifacts_of_its_parent(tmp_path: Path) -> None:
    child = (
        "include: [{local: child.yml}]\n"
        "use:\n  needs: [{pipeline: $PARENT, job: make}]\n  script: [echo]\n"
    )
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DYNAMIC)
        made = await make(bench, {"made/child.yml": child})
        jobs = {job.job_info.name: job for job in [await taken(bench), await taken(bench)]}
        assert set(jobs) == {"use", "work"}
        (dependency,) = jobs["use"].dependencies or ()
        url = f"{bench.coordinator.url}/api/v4/jobs/{dependency.id}/artifacts"
        async with aiohttp.ClientSession() as session:
            answer = await session.get(url, headers={"JOB-TOKEN": dependency.token})
            assert answer.status == 200
            assert await answer.read() == archive({"made/child.yml": child})
        for job in jobs.values():
            await bench.client.update_job(job.id, job.token, JobUpdate(state="success"))
        await do(bench, "after")
        status = await last_status(bench, pipeline_id)
    assert (dependency.id, dependency.name) == (made.id, "make")
    assert status == "success"


async def test_a_child_that_outlives_its_parent_still_gets_its_artifacts(tmp_path: Path) -> None:
    main = DYNAMIC.replace(", strategy: depend", "").partition("after:")[0]
    child = "use:\n  needs: [{pipeline: $PARENT, job: make}]\n  script: [echo]\n"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        await start(bench, main)
        await make(bench, {"made/child.yml": child})
        job = await taken(bench)
        (dependency,) = job.dependencies or ()
        url = f"{bench.coordinator.url}/api/v4/jobs/{dependency.id}/artifacts"
        async with aiohttp.ClientSession() as session:
            answer = await session.get(url, headers={"JOB-TOKEN": dependency.token})
            assert answer.status == 200
            await bench.client.update_job(job.id, job.token, JobUpdate(state="success"))
            answer = await session.get(url, headers={"JOB-TOKEN": dependency.token})
            assert answer.status == 403


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        ("{pipeline: $NOPE, job: make}", "is '', which is none of the pipelines here"),
        ("{pipeline: $PARENT, job: other}", "has no job 'other'"),
        ("{pipeline: $PARENT, job: after}", "has not succeeded, it is created"),
        ("{pipeline: $CI_PIPELINE_ID, job: make}", "is the job's own pipeline"),
    ],
)
async def test_a_missing_artifact_of_another_pipeline_fails_the_job_in_words(
    tmp_path: Path, needs: str, why: str
) -> None:
    child = f"use:\n  needs: [{needs}]\n  script: [echo]\n"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DYNAMIC)
        await make(bench, {"made/child.yml": child})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_in_vain, bench)
            await until(bench, pipeline_id, "go", "failed")
            tasks.cancel_scope.cancel()
        found = await results(bench, pipeline_id)
    assert found["go/use"].failure_reason == "missing_dependency_failure"
    assert why in found["go/use"].trace


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (
            {"else.yml": "x"},
            "Path `made/child.yml` does not exist inside the `make` artifacts archive!",
        ),
        ({"made/child.yml/x": "x"}, "was expected to be a file but it was a directory!"),
        ({"made/child.yml": " "}, "File `made/child.yml` is empty!"),
        ({"made/child.yml": "x: [\n"}, "made/child.yml of make:2:1"),
        ({"made/child.yml": "x: {scripts: a, script: b}"}, "contains unknown keys: scripts"),
        (
            {"made/child.yml": "x: {script: a, rules: [{if: $NOPE}]}"},
            "The resulting pipeline would have been empty.",
        ),
        (
            {"made/child.yml": "workflow: {rules: [{when: never}]}\nx: {script: a}"},
            "The pipeline did not run. Review the workflow:rules",
        ),
        ({"made/child.yml": "x: {trigger: other/project}"}, "pipeline of another project"),
    ],
)
async def test_a_child_that_cannot_be_created_fails_its_bridge_with_gitlabs_reason(
    tmp_path: Path, files: dict[str, str], why: str
) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DYNAMIC)
        await make(bench, files)
        await until(bench, pipeline_id, "go", "failed")
        status = await last_status(bench, pipeline_id)
        found = await results(bench, pipeline_id)
    assert found["go"].failure_reason == "downstream_pipeline_creation_failed"
    assert "The downstream pipeline could not be created" in found["go"].trace
    assert why in found["go"].trace
    assert found["after"].status == "skipped"
    assert status == "failed"


async def test_a_job_without_artifacts_makes_no_child(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DYNAMIC)
        await do(bench, "make")
        await until(bench, pipeline_id, "go", "failed")
        found = await results(bench, pipeline_id)
    assert (
        "Job `make` not found in parent pipeline or does not have artifacts!" in found["go"].trace
    )
    assert ".gitlab-ci.yml:6:22: " in found["go"].trace


async def test_children_have_children_and_theirs_have_none(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(
            bench,
            DEPEND,
            "go: {trigger: {include: second.yml, strategy: depend}}\n",
            more={
                "second.yml": "go: {trigger: {include: third.yml, strategy: depend}}\n",
                "third.yml": ONE_JOB,
            },
        )
        await until(bench, pipeline_id, "go", "failed")
        events = await seen(bench, pipeline_id)
        found = await results(bench, pipeline_id)
    assert len([e for e in events if isinstance(e, ChildPipelineCreated)]) == 2
    assert found["go/go/go"].failure_reason == "reached_max_descendant_pipelines_depth"
    assert "You reached the maximum depth of child pipelines" in found["go/go/go"].trace
    assert [found[name].status for name in ("go", "go/go")] == ["failed", "failed"]


@pytest.mark.parametrize("strategy", ["depend", "mirror"])
async def test_a_manual_job_of_the_child_holds_all_above_until_it_is_played(
    tmp_path: Path, strategy: str
) -> None:
    main = (
        f"stages: [a, b]\ngo: {{stage: a, trigger: {{include: child.yml, strategy: {strategy}}}}}\n"
        "after: {stage: b, script: [echo]}\n"
    )
    child = "work: {script: [echo], rules: [{when: manual}]}\n"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, main, child)
        events = await seen(bench, pipeline_id)
        assert status_of(events) == "manual"
        (created,) = (e for e in events if isinstance(e, ChildPipelineCreated))
        bridge = (await results(bench, pipeline_id))["go"]
        assert bridge.status == ("manual" if strategy == "mirror" else "running")
        if strategy == "mirror":
            async with open_coordinator(
                bench.coordinator.url, bench.coordinator.admin_token
            ) as remote:
                with pytest.raises(UsageError, match=f"mirrors pipeline {created.pipeline_id}"):
                    await remote.play(pipeline_id, "go")
        await bench.coordinator.play(created.pipeline_id, "work")
        await do(bench, "work")
        await do(bench, "after")
        status = await last_status(bench, pipeline_id)
    assert status == "success"


async def test_a_failed_bridge_recovers_when_its_child_does(tmp_path: Path) -> None:
    child = (
        "stages: [a, b]\nwork: {stage: a, script: [echo]}\n"
        "mend: {stage: a, script: [echo], when: manual}\n"
    )
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DEPEND, child)
        await do(bench, "work", "failed")
        events = await seen(bench, pipeline_id)
        assert status_of(events) == "failed"
        (created,) = (e for e in events if isinstance(e, ChildPipelineCreated))
        await bench.coordinator.play(created.pipeline_id, "mend")
        assert (await results(bench, pipeline_id))["go"].status == "running"
        await do(bench, "mend")
        status = await last_status(bench, pipeline_id)
    assert status == "failed"  # work is still failed


async def test_canceling_the_parent_cancels_its_children(tmp_path: Path) -> None:
    child = "work: {script: [echo]}\ngo: {trigger: {include: second.yml, strategy: depend}}\n"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(
            bench, DEPEND, child, more={"second.yml": "deep: {script: [echo]}\n"}
        )
        await until(bench, pipeline_id, "deep", "pending")
        await bench.coordinator.cancel(pipeline_id)
        status = await last_status(bench, pipeline_id)
        found = await results(bench, pipeline_id)
    assert status == "canceled"
    assert {name: one.status for name, one in found.items()} == dict.fromkeys(found, "canceled")
    assert set(found) == {"go", "go/work", "go/go", "go/go/deep"}


async def test_a_canceled_child_cancels_the_bridge_that_depends_on_it(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DEPEND)
        await until(bench, pipeline_id, "work", "pending")
        child_id = (await results(bench, pipeline_id))["go"].child
        assert child_id is not None
        await bench.coordinator.cancel(child_id.pipeline_id)
        found = await results(bench, pipeline_id)
        status = await last_status(bench, pipeline_id)
    assert found["go"].status == "canceled"
    assert status == "canceled"


async def test_a_bridge_obeys_its_own_when_and_allow_failure(tmp_path: Path) -> None:
    main = (
        "stages: [a, b]\n"
        "go: {stage: a, allow_failure: true, trigger: {include: child.yml, strategy: depend}}\n"
        "asked: {stage: a, when: manual, trigger: {include: child.yml, strategy: depend}}\n"
        "late: {stage: b, when: on_failure, trigger: {include: child.yml}}\n"
    )
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, main)
        await do(bench, "work", "failed")
        status = await last_status(bench, pipeline_id)
        found = await results(bench, pipeline_id)
        assert status == "success"
        states = {name: found[name].status for name in ("go", "asked", "late")}
        assert states == {"go": "failed", "asked": "manual", "late": "skipped"}
        await bench.coordinator.play(pipeline_id, "asked")
        await do(bench, "work")
        assert (await results(bench, pipeline_id))["asked"].status == "success"


async def test_of_two_bridges_with_one_resource_the_second_waits_for_the_first(
    tmp_path: Path,
) -> None:
    one = "{resource_group: r, trigger: {include: child.yml, strategy: depend}}\n"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, f"first: {one}second: {one}")
        first = await taken(bench)
        found = await results(bench, pipeline_id)
        assert [found[name].status for name in ("first", "second")] == ["running", "pending"]
        await bench.client.update_job(first.id, first.token, JobUpdate(state="success"))
        await do(bench, "work")
        await seen(bench, pipeline_id)
        found = await results(bench, pipeline_id)
    assert [found[name].status for name in ("first", "second")] == ["success", "success"]


async def test_files_from_elsewhere_come_with_the_pipeline(tmp_path: Path) -> None:
    address = "https://example.com/ci.yml"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline = compiled(
            bench, {".gitlab-ci.yml": f"go: {{trigger: {{include: '{address}'}}}}\n"}
        )
        refused = await bench.coordinator.create_pipeline(
            Submission(pipeline=pipeline, source=str(bench.tree))
        )
        await until(bench, refused, "go", "failed")
        assert "run `podlane includes update`" in (await results(bench, refused))["go"].trace
        included = IncludedFile(kind="remote", location=address, content=ONE_JOB.encode())
        submission = Submission(
            pipeline=pipeline, source=str(bench.tree), for_children=ChildFacts(included=(included,))
        )
        async with open_coordinator(bench.coordinator.url, bench.coordinator.admin_token) as remote:
            await remote.create_pipeline(submission)
        await do(bench, "work")


async def test_inputs_of_an_include_reach_the_included_file(tmp_path: Path) -> None:
    child = "spec: {inputs: {who: {}}}\n---\nwork-$[[ inputs.who ]]: {script: [echo]}\n"
    main = "one: {trigger: {include: [{local: child.yml, inputs: {who: a}}]}}\n"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        await start(bench, main, child)
        await do(bench, "work-a")


async def test_a_child_compares_with_a_ref_of_the_user(tmp_path: Path) -> None:
    child = (
        "work: {script: [echo], rules: [{changes: {paths: [new.txt], compare_to: main}}]}\n"
        "other: {script: [echo], rules: [{changes: {paths: [committed.txt], compare_to: main}}]}\n"
    )
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        git(bench.tree, "checkout", "--quiet", "-b", "topic")
        await start(bench, DEPEND, child, more={"new.txt": "new\n"})
        await do(bench, "work")


async def test_a_restart_goes_on_with_the_children(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DEPEND)
        await until(bench, pipeline_id, "work", "pending")
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        await do(bench, "work")
        status = await last_status(bench, pipeline_id)
        found = await results(bench, pipeline_id)
    assert status == "success"
    assert set(found) == {"go", "go/work"}


async def test_manual_jobs_can_be_played_beforehand_in_children_too(tmp_path: Path) -> None:
    child = "work: {script: [echo], when: manual, allow_failure: false}\n"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline = compiled(bench, {".gitlab-ci.yml": DEPEND, "child.yml": child})
        pipeline_id = await bench.coordinator.create_pipeline(
            Submission(pipeline=pipeline, source=str(bench.tree), play=("go > work",))
        )
        await do(bench, "work")
        status = await last_status(bench, pipeline_id)
    assert status == "success"


async def test_a_pipeline_that_waits_for_a_person_can_be_canceled(tmp_path: Path) -> None:
    child = "work: {script: [echo], when: manual, allow_failure: false}\n"
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DEPEND, child)
        await seen(bench, pipeline_id)
        await bench.coordinator.cancel(pipeline_id)
        status = await last_status(bench, pipeline_id)
        found = await results(bench, pipeline_id)
    assert status == "canceled"
    assert {name: one.status for name, one in found.items()} == {
        "go": "canceled",
        "go/work": "canceled",
    }


async def test_a_family_is_kept_and_forgotten_as_a_whole(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        for pipeline_id in (1, 3):
            assert await start(bench, DEPEND) == pipeline_id
            await do(bench, "work")
            await seen(bench, pipeline_id)
    async with running_bench(tmp_path, keep_pipelines=1) as bench:
        with anyio.fail_after(20):
            while True:  # the house is tidied soon after the start
                try:
                    await bench.coordinator.job_results(1)
                except UsageError:
                    break
                await anyio.lowlevel.checkpoint()
        with pytest.raises(UsageError, match="no pipeline 2"):
            await bench.coordinator.job_results(2)
        assert set(await results(bench, 3)) == {"go", "go/work"}


async def test_a_bridge_that_a_crash_left_without_its_child_starts_it_again(
    tmp_path: Path,
) -> None:
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        pipeline_id = await start(bench, DEPEND)
        await until(bench, pipeline_id, "work", "pending")
    database = sqlite3.connect(tmp_path / "data" / "coordinator.db")
    database.execute("DELETE FROM jobs WHERE name = 'work'")
    database.execute("DELETE FROM pipelines WHERE id <> ?", (pipeline_id,))
    database.commit()
    database.close()
    async with running_bench(tmp_path, hold_seconds=1.0) as bench:
        await do(bench, "work")
        status = await last_status(bench, pipeline_id)
    assert status == "success"
