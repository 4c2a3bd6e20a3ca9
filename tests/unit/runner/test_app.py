"""The whole manager against scripted executors and coordinators, in virtual time."""

from __future__ import annotations

import gc
import io
import json
import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from tests.fakes.coordinator_api import FakeJobApi
from tests.fakes.executor import ScriptedEnvironment, ScriptedExecutor, forever
from tests.fakes.jobs import MANAGER, a_job, a_runner
from tests.fakes.virtual_time import Backend, virtual_time

from podlane.executors.base import Emit, ExecutionPlan, StageScript
from podlane.executors.kubernetes.pause_pods.standby import Tenure
from podlane.gitlab.answers import Forbidden, JobOffered, JobUnreadable, NoJob, RequestJobResult
from podlane.gitlab.errors import UnreadableJobError
from podlane.kit import log
from podlane.kit.errors import PermanentError, TemporaryError
from podlane.model.job import Job, Variable
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.runner.app import StopRequest, run_manager
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings, TlsSettings
from podlane.runner.identity import Manager

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_time()


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    root = logging.getLogger("podlane")
    before, level, propagate = list(root.handlers), root.level, root.propagate
    yield
    root.handlers[:] = before
    root.propagate = propagate
    root.setLevel(level)


class FakeQueue:
    """Hands out ``jobs``; holds a request that has seen everything for ``hold`` seconds."""

    def __init__(self, *jobs: Job, hold: float = 0.0) -> None:
        self.jobs = deque[RequestJobResult](JobOffered(job=job, last_update="1") for job in jobs)
        self.asked: list[tuple[float, str]] = []
        self.apis: dict[int, FakeJobApi] = {}
        self.hold = hold
        self.waiting = 0

    async def request_job(self, last_update: str = "") -> RequestJobResult:
        self.asked.append((anyio.current_time(), last_update))
        await anyio.lowlevel.checkpoint()
        if not self.jobs and last_update and self.hold:
            with anyio.move_on_after(self.hold):
                while not self.jobs:  # noqa: ASYNC110 - tests fill the queue from outside
                    await anyio.sleep(0.01)
        return self.jobs.popleft() if self.jobs else NoJob(last_update="1")

    def of(self, job_id: int) -> FakeJobApi:
        return self.apis.setdefault(job_id, FakeJobApi())

    async def update_job(self, job_id: int, token: str, update: Any) -> Any:
        return await self.of(job_id).update_job(job_id, token, update)

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> Any:
        return await self.of(job_id).patch_trace(job_id, token, start, data)


class Busy:
    """Jobs that take ``seconds``; counts how many run at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = self.most = 0
        self.numbers: list[int] = []

    async def __call__(self, environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        self.now += 1
        self.most = max(self.most, self.now)
        self.numbers.append(environment.plan.concurrent_id)
        await anyio.sleep(self.seconds)
        self.now -= 1
        return SUCCESS


class Scene:
    def __init__(self, *queues: FakeQueue, act: Any = None, **settings: Any) -> None:
        self.executor = ScriptedExecutor(act or Busy(1))
        self.stop = StopRequest()
        names = [f"runner {n}" for n in range(len(queues))]
        self._queues = dict(zip(names, queues, strict=True))
        runner = settings.pop("runner", {})
        runners = tuple(a_runner(name=name, **runner) for name in names)
        self.settings = GlobalSettings(runners=runners, **settings)
        self.changed: Any = None

    @asynccontextmanager
    async def open_executor(
        self, runner: RunnerSettings, manager: Manager
    ) -> AsyncIterator[ScriptedExecutor]:
        yield self.executor

    @asynccontextmanager
    async def open_api(self, runner: RunnerSettings, manager: Manager) -> AsyncIterator[FakeQueue]:
        yield self._queues[runner.name]

    async def run(self, *, drain_after: float, interrupt: bool = False) -> float:
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(self._manage)
            await anyio.sleep(drain_after)
            self.stop.ask_interrupt() if interrupt else self.stop.ask_drain()
        return anyio.current_time() - began

    async def _manage(self) -> None:
        await run_manager(
            self.settings, manager=MANAGER, stop=self.stop,
            open_executor=self.open_executor, open_api=self.open_api, changed=self.changed,
        )  # fmt: skip


def jobs(count: int, first: int = 1) -> list[Job]:
    return [a_job(id=n) for n in range(first, first + count)]


async def test_jobs_run_in_parallel_up_to_concurrent_and_are_all_reported() -> None:
    queue, busy = FakeQueue(*jobs(6)), Busy(2)
    scene = Scene(queue, act=busy, concurrent=3)
    await scene.run(drain_after=20)
    assert busy.most == 3
    assert {n: api.states[-1] for n, api in queue.apis.items()} == dict.fromkeys(
        range(1, 7), "success"
    )
    assert sorted(set(busy.numbers)) == [0, 1, 2]


async def test_a_runner_keeps_its_own_limit() -> None:
    busy = Busy(2)
    await Scene(FakeQueue(*jobs(4)), act=busy, concurrent=9, runner={"limit": 2}).run(
        drain_after=20
    )
    assert busy.most == 2


async def test_a_queue_of_jobs_is_drained_faster_than_the_interval() -> None:
    busy = Busy(0.1)
    queue = FakeQueue(*jobs(10))
    await Scene(queue, act=busy, concurrent=1, check_interval_seconds=100.0).run(drain_after=5)
    assert len(queue.apis) == 10


async def test_an_idle_runner_asks_once_an_interval() -> None:
    queue = FakeQueue()
    await Scene(queue, check_interval_seconds=3.0).run(drain_after=60)
    assert 19 <= len(queue.asked) <= 22


async def test_a_coordinator_that_holds_requests_gives_a_new_job_at_once() -> None:
    queue = FakeQueue(hold=50)
    scene = Scene(queue)

    async def later() -> None:
        await anyio.sleep(100.25)
        queue.jobs.extend([JobOffered(job=a_job(id=7))])

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        await scene.run(drain_after=101)
    assert len(queue.asked) <= 5
    assert queue.of(7).puts[0][0] - queue.asked[0][0] < 100.5


async def test_runners_that_share_one_slot_do_not_starve_each_other() -> None:
    idle, other = FakeQueue(hold=50), FakeQueue(hold=50)
    scene = Scene(idle, other, act=Busy(0.1), concurrent=1)

    async def later() -> None:
        await anyio.sleep(20)
        other.jobs.extend(JobOffered(job=job) for job in jobs(5))

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        await scene.run(drain_after=25)
    assert len(other.apis) == 5


async def test_draining_waits_for_running_jobs() -> None:
    queue = FakeQueue(*jobs(1))
    took = await Scene(queue, act=Busy(1000)).run(drain_after=5)
    assert took >= 1000
    assert queue.of(1).states[-1] == "success"


async def test_interrupting_ends_running_jobs_and_reports_them() -> None:
    queue = FakeQueue(*jobs(2))
    scene = Scene(queue, act=forever, concurrent=2)
    assert await scene.run(drain_after=5, interrupt=True) < 35
    assert scene.executor.left == 2
    assert [queue.of(n).states[-1] for n in (1, 2)] == ["failed", "failed"]


async def test_an_environment_that_does_not_let_go_is_given_up_after_the_shutdown_timeout() -> None:
    async def stubborn(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(20)
        raise AssertionError

    took = await Scene(
        FakeQueue(*jobs(1)), act=stubborn, shutdown_timeout_seconds=30.0
    ).run(drain_after=1, interrupt=True)  # fmt: skip
    assert took <= 32


async def test_a_job_that_cannot_be_read_fails_with_a_reason() -> None:
    queue = FakeQueue()
    error = UnreadableJobError("cannot read this job: image is a number", job_id=5, token="t")
    queue.jobs.append(JobUnreadable(error=error))
    await Scene(queue).run(drain_after=1)
    assert b"ERROR: Job failed (system failure): cannot read this job" in queue.of(5).trace
    assert queue.of(5).final.state == "failed"


async def test_a_runner_whose_token_is_refused_does_not_hammer_the_coordinator() -> None:
    queue = FakeQueue()
    queue.jobs.extend(Forbidden(message="bad token") for _ in range(1000))
    await Scene(queue).run(drain_after=600)
    assert len(queue.asked) == 3


class Changes:
    """New settings, when a test gives them."""

    def __init__(self) -> None:
        self.send, self._receive = anyio.create_memory_object_stream[GlobalSettings](9)

    async def changed(self) -> GlobalSettings:
        return await self._receive.receive()

    def close(self) -> None:
        self.send.close()
        self._receive.close()


async def test_new_settings_apply_to_new_jobs_and_leave_running_ones_alone() -> None:
    busy = Busy(10)
    queue = FakeQueue(*jobs(6))
    scene = Scene(queue, act=busy, concurrent=1)
    changes = Changes()
    scene.changed = changes.changed
    wider = GlobalSettings(
        runners=(a_runner(name="runner 0", builds_dir="/elsewhere"),), concurrent=3
    )

    async def later() -> None:
        await anyio.sleep(5)
        changes.send.send_nowait(wider)

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        await scene.run(drain_after=60)
    assert busy.most == 3
    builds = [plan.builds_dir for plan in scene.executor.plans]
    assert builds == ["/builds", *["/elsewhere"] * 5]
    assert all(api.states[-1] == "success" for api in queue.apis.values())
    assert sorted(set(busy.numbers)) == [0, 1, 2]
    changes.close()


async def test_settings_that_cannot_be_used_change_nothing() -> None:
    queue = FakeQueue(*jobs(3))
    scene = Scene(queue, act=Busy(10), concurrent=1)
    changes = Changes()
    scene.changed = changes.changed
    missing = TlsSettings(ca_file="/nowhere/ca.pem")
    changes.send.send_nowait(GlobalSettings(runners=(a_runner(tls=missing),)))
    await scene.run(drain_after=45)
    assert len(queue.apis) == 3
    changes.close()


async def test_runners_may_come_and_go_while_the_manager_runs() -> None:
    queue = FakeQueue(*jobs(3))
    scene = Scene(queue, act=Busy(10), concurrent=1)
    some, none = scene.settings, GlobalSettings(runners=())
    scene.settings = none
    changes = Changes()
    scene.changed = changes.changed

    async def later() -> None:
        for settings in (some, none):
            await anyio.sleep(15)
            changes.send.send_nowait(settings)

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        await scene.run(drain_after=90)
    assert len(queue.apis) == 2
    assert all(time >= 15 for time, _ in queue.asked)
    assert all(api.states[-1] == "success" for api in queue.apis.values())
    changes.close()


class Traced(str):
    """A text of which a test can see whether it still exists."""

    __slots__ = ("__weakref__",)


class Forgetful(ScriptedExecutor):
    """Keeps nothing of a plan, as an environment whose pod exists."""

    @asynccontextmanager
    async def environment(self, plan: ExecutionPlan) -> AsyncIterator[ScriptedEnvironment]:
        plan = replace(plan, job=Job(id=plan.job.id, token=""), stages=(), variables=())
        yield ScriptedEnvironment(plan, self.act)


async def test_payload_and_plan_are_dropped_before_the_script_runs() -> None:
    value, line = Traced("a value"), Traced("echo a line of the script")
    traces = [weakref.ref(value), weakref.ref(line)]
    queue = FakeQueue(a_job(line, more_variables=[Variable(key="LONG", value=value)]))
    del value, line
    left: list[object] = []

    async def look(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        gc.collect()
        left.extend(text for trace in traces if (text := trace()) is not None)
        left.extend(
            each
            for each in gc.get_objects()
            if isinstance(each, StageScript) and "a line of the script" in each.script
        )
        return SUCCESS

    scene = Scene(queue)
    scene.executor = Forgetful(look)
    await scene.run(drain_after=1)
    assert queue.of(10).states == ["running", "success"]
    assert left == []


class Away(Scene):
    """The cluster of ``runner 0`` does not answer before a moment."""

    until = 100.0

    @asynccontextmanager
    async def open_executor(
        self, runner: RunnerSettings, manager: Manager
    ) -> AsyncIterator[ScriptedExecutor]:
        if runner.name == "runner 0" and anyio.current_time() < self.until:
            raise TemporaryError("the cluster does not answer")
        yield self.executor


async def test_a_runner_whose_cluster_is_away_begins_when_it_is_back() -> None:
    first, second = FakeQueue(a_job(id=1)), FakeQueue(a_job(id=2))
    scene = Away(first, second, concurrent=2)
    await scene.run(drain_after=50)
    assert (len(first.jobs), len(second.jobs)) == (1, 0)
    scene = Away(first, second, concurrent=2)
    began = anyio.current_time()
    scene.until = began + 100
    await scene.run(drain_after=200)
    assert not first.jobs
    assert first.of(1).states == ["running", "success"]
    assert first.asked[0][0] - began == pytest.approx(120, abs=1)


async def test_a_manager_with_no_cluster_at_all_does_not_begin() -> None:
    scene = Away(FakeQueue())
    with pytest.raises(TemporaryError, match="does not answer"):
        await scene._manage()


class Refused(Scene):
    """The cluster of the second runner is not one: settings that no waiting mends."""

    opened = closed = 0

    @asynccontextmanager
    async def open_executor(
        self, runner: RunnerSettings, manager: Manager
    ) -> AsyncIterator[ScriptedExecutor]:
        if runner.name == "runner 1":
            raise PermanentError("the server's certificate is not trusted")
        yield self.executor

    @asynccontextmanager
    async def open_api(self, runner: RunnerSettings, manager: Manager) -> AsyncIterator[FakeQueue]:
        self.opened += 1
        try:
            yield FakeQueue()
        finally:
            self.closed += 1


async def test_a_manager_that_cannot_begin_closes_what_it_has_opened() -> None:
    scene = Refused(FakeQueue(), FakeQueue())
    with pytest.raises(PermanentError, match="not trusted"):
        await scene._manage()
    assert (scene.opened, scene.closed) == (2, 2)


async def test_new_settings_are_used_although_the_cluster_is_away_just_then() -> None:
    scene = Away(FakeQueue(a_job(id=1), a_job(id=2)), act=Busy(5), concurrent=1)
    scene.until = 0.0
    told = False

    async def changed() -> GlobalSettings:
        nonlocal told
        if told:
            await anyio.sleep_forever()
        await anyio.sleep(2)
        told, scene.until = True, anyio.current_time() + 40
        return replace(scene.settings, concurrent=3)

    scene.changed = changed
    await scene.run(drain_after=150)
    assert scene.executor.left == 2


async def test_the_log_says_which_runner_is_refused_and_how_long_it_rests() -> None:
    refused = FakeQueue()
    refused.jobs = deque([Forbidden(message="no")])
    sink = io.StringIO()
    log.configure(log_format="json", sink=sink)
    scene = Scene(
        FakeQueue(), refused,
        runner={"unhealthy_requests_limit": 1, "unhealthy_interval_seconds": 60.0},
    )  # fmt: skip
    await scene.run(drain_after=5)
    said = [json.loads(line) for line in sink.getvalue().splitlines()]
    unhealthy = [line for line in said if line["msg"] in {"runner_refused", "runner_unhealthy"}]
    assert [line["runner_name"] for line in unhealthy] == ["runner 1", "runner 1"]
    assert unhealthy[1]["rests_for_seconds"] == 60.0


class Standing(Scene):
    """Remembers what each version of the settings was given to keep pods ready."""

    def __init__(self, *queues: FakeQueue, **settings: Any) -> None:
        super().__init__(*queues, **settings)
        self.tenures: list[Tenure] = []

    @asynccontextmanager
    async def open_executor(
        self, runner: RunnerSettings, manager: Manager
    ) -> AsyncIterator[ScriptedExecutor]:
        self.tenures.append(manager.tenure)
        yield self.executor


async def test_a_runner_has_one_standby_for_all_its_settings_which_knows_its_jobs() -> None:
    scene = Standing(FakeQueue(*jobs(2)), act=Busy(20), concurrent=2)
    changes = Changes()
    scene.changed = changes.changed
    active: list[int] = []
    ended: list[bool] = []

    async def later() -> None:
        await anyio.sleep(5)
        changes.send.send_nowait(replace(scene.settings, check_interval_seconds=1.0))
        await anyio.sleep(5)
        active.append(scene.tenures[1].standby.active_jobs)
        ended.extend(tenure.ended.is_set() for tenure in scene.tenures)
        await anyio.sleep(30)
        active.append(scene.tenures[1].standby.active_jobs)

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        await scene.run(drain_after=50)
    before, after = scene.tenures
    assert before.standby is after.standby
    assert active == [2, 0]
    assert ended == [True, False]
    assert after.ended.is_set()
    changes.close()


async def test_a_manager_that_drains_keeps_nothing_ready_while_its_last_jobs_run() -> None:
    scene = Standing(FakeQueue(*jobs(1)), act=Busy(60), concurrent=1)
    ended: list[tuple[bool, int]] = []

    async def later() -> None:
        await anyio.sleep(12)
        ended.append((scene.tenures[0].ended.is_set(), scene.executor.left))

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        await scene.run(drain_after=10)
    assert ended == [(True, 0)]
