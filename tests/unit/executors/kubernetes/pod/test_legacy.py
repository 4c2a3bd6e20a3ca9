"""The exec strategy's attempts, against a pod whose scripts fail at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import anyio
import pytest

from podlane.executors.base import Event, StageFinished, StageScript
from podlane.executors.kubernetes.pod.legacy import LegacyRun
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.kit.clock import SystemClock
from podlane.kube.channels import ExecStatus
from podlane.model import substages
from tests.unit.executors.kubernetes.samples import pod_plan

pytestmark = pytest.mark.anyio


class FailingSession:
    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        yield 1, b"no route"

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def status(self) -> ExecStatus:
        return ExecStatus(exit_code=1, message="")


class FailingPod:
    def __init__(self) -> None:
        self.runs = 0

    @asynccontextmanager
    async def run_stage(self, *_: object) -> AsyncIterator[FailingSession]:
        self.runs += 1
        yield FailingSession()

    async def stop_stage(self, *_: object) -> None: ...


async def test_a_stages_time_limit_is_over_all_attempts_and_the_pauses_between() -> None:
    pod, events = FailingPod(), list[Event]()
    stage = StageScript(
        substage=substages.GET_SOURCES, script="exit 1", attempts=9, timeout_seconds=1
    )
    plan = replace(pod_plan(), stages=(stage,))
    run = LegacyRun(cast("PodDriver", pod), plan, substages.GET_SOURCES)

    async def emit(event: Event) -> None:
        events.append(event)

    with anyio.fail_after(4.5):  # the first pause alone is 5 s
        await run.run(emit, SystemClock())
    assert pod.runs == 1
    assert isinstance(events[-1], StageFinished)
    assert run.outcome is not None
    assert run.outcome.reason is not None
