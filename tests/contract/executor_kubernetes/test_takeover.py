"""A job in its pod, and another executor that goes on with it where the first one was."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest

from podlane.executors.base import Environment, Event, ExecutionPlan, Progress, Resumable
from podlane.kit.errors import PermanentError
from podlane.kube.types import Pod
from podlane.model.failures import FailureReason
from podlane.model.job import Variable
from podlane.model.outcome import SUCCESS, JobOutcome
from tests.contract.executor_kubernetes.conftest import (
    DEADLINE_SECONDS,
    LEGACY,
    Cluster,
    Meanwhile,
    Ran,
    make_plan,
    run_and,
)
from tests.contract.executor_kubernetes.test_jobs import nothing_of

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
COUNTING = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; sleep 0.05; done"
NUMBERED = "".join(f"line {n}\n" for n in range(1, 31))


@dataclass
class Successor:
    """Takes over when the job has printed ``mark``; the first one goes on, and is not asked."""

    cluster: Cluster
    mark: bytes
    cancels: bool = False
    events: list[Event] = field(default_factory=list)
    outcomes: list[JobOutcome] = field(default_factory=list)
    first_ended: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, environment: Environment, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(self.mark)
        assert isinstance(environment, Resumable)
        self.events += meanwhile.events
        memory, progress = environment.memory, environment.progress
        async with (
            self.cluster.executor() as executor,
            executor.resumed(1, memory, progress) as taken,
        ):
            if self.cancels:
                await taken.cancel()
            self.outcomes.append(await taken.run(self._emit))
            await self.first_ended.wait()

    async def _emit(self, event: Event) -> None:
        self.events.append(event)

    @property
    def ran(self) -> Ran:
        return Ran(outcome=self.outcomes[0], events=self.events, seconds=0)


@pytest.mark.parametrize("mark", [b"Running on", b"line 1\n", b"line 17\n", b"after success\n"])
async def test_events_before_and_after_are_those_of_one_run(cluster: Cluster, mark: bytes) -> None:
    successor = Successor(cluster, mark)
    plan = make_plan(COUNTING, after="echo after $CI_JOB_STATUS; sleep 0.5")
    first = await beside(cluster, plan, successor)
    assert successor.outcomes == [SUCCESS]
    assert successor.ran.text == first.text
    assert NUMBERED in first.text
    assert successor.ran.sections == first.sections
    assert successor.ran.exit_codes == first.exit_codes
    assert successor.ran.messages == first.messages


async def test_a_failure_is_judged_as_by_the_first(cluster: Cluster) -> None:
    successor = Successor(cluster, b"line 17\n")
    first = await beside(cluster, make_plan(f"{COUNTING}; exit 42"), successor)
    assert successor.outcomes == [first.outcome]
    assert first.outcome.exit_code == 42
    assert "after failed\n" in successor.ran.text


async def test_who_took_over_can_cancel(cluster: Cluster) -> None:
    successor = Successor(cluster, b"begun\n", cancels=True)
    first = await beside(cluster, make_plan("echo begun; sleep 100"), successor)
    assert successor.outcomes[0].reason is FailureReason.JOB_CANCELED
    assert "after canceled\n" in successor.ran.text
    assert successor.ran.sections == first.sections


async def test_a_pod_that_is_gone_is_told_at_once(cluster: Cluster) -> None:
    async with cluster.executor() as executor:
        async with executor.environment(make_plan("true")) as environment:
            assert isinstance(environment, Resumable)
            memory = environment.memory
        with pytest.raises(PermanentError, match="does not exist: it was removed"):
            async with executor.resumed(1, memory, Progress()):
                pass
        with pytest.raises(PermanentError, match="cannot be read"):
            async with executor.resumed(1, b"{}", Progress()):
                pass


async def test_neither_scripts_nor_variables_are_remembered(cluster: Cluster) -> None:
    hidden = Variable(key="SECRET", value="hidden words")
    plan = make_plan("echo private words", variables=(hidden,))
    async with cluster.executor() as executor, executor.environment(plan) as environment:
        assert isinstance(environment, Resumable)
        assert b"step_script" in environment.memory
        assert b"words" not in environment.memory


async def test_the_exec_strategy_cannot_be_taken_over(cluster: Cluster) -> None:
    plan = make_plan(flags=(LEGACY,))
    async with cluster.executor() as executor, executor.environment(plan) as environment:
        assert isinstance(environment, Resumable)
        assert environment.memory == b""


async def test_what_a_successor_will_take_over_is_not_swept(cluster: Cluster) -> None:
    plan = make_plan("echo begun; sleep 100")
    pods: list[str] = []

    async def restart(environment: Environment, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"begun\n")
        names = frozenset(pod.metadata.name for pod in await left(cluster, plan))
        for identity in ({"kept": names}, {"household": "theirs"}):
            async with cluster.executor(identity=identity):
                pods.extend(pod.metadata.name for pod in await left(cluster, plan))
        assert pods == [*names, *names]
        async with cluster.executor(identity={"household": "ours"}) as successor:
            await nothing_of(successor, plan)

    async with cluster.executor(process="another-1-2.ours") as executor:
        ran = await run_and(executor, plan, restart)
    assert len(pods) == 2
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE


async def left(cluster: Cluster, plan: ExecutionPlan) -> tuple[Pod, ...]:
    async with cluster.client() as client:
        found = await client.list_pods("default", f"podlane.dev/job-id={plan.job.id}")
    return tuple(found.items)


async def beside(cluster: Cluster, plan: ExecutionPlan, successor: Successor) -> Ran:
    """Run a job to its end and ``successor`` beside it; return what the first one saw."""
    meanwhile = Meanwhile()
    with anyio.fail_after(DEADLINE_SECONDS):
        async with (
            cluster.executor() as executor,
            executor.environment(plan) as environment,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(successor, environment, meanwhile)
            outcome = await environment.run(meanwhile.emit)
            successor.first_ended.set()
    return Ran(outcome=outcome, events=meanwhile.events, seconds=0)
