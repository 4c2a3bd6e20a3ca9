"""A coordinator as the reporter sees it: keeps the trace, answers as the test says."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import anyio

from podlane.gitlab.answers import PatchOutcome, PatchResult, UpdateOutcome, UpdateResult
from podlane.gitlab.wire import JobUpdate


class FakeJobApi:
    """``puts`` and ``patches`` record what came, with the time; ``trace`` is what is stored."""

    def __init__(self) -> None:
        self.trace = b""
        self.puts: list[tuple[float, JobUpdate]] = []
        self.patches: list[tuple[float, int, int]] = []
        self.interval: float | None = None
        self.canceling = False
        self.over = False
        self.believes = False  # as GitLab does, a runner that says nothing of its trace
        self.answer_patch: Callable[[int], PatchResult | None] = lambda number: None
        self.answer_put: Callable[[JobUpdate], UpdateResult | None] = lambda update: None

    @property
    def states(self) -> list[str]:
        return [update.state for _, update in self.puts]

    @property
    def final(self) -> JobUpdate:
        return self.puts[-1][1]

    async def update_job(self, job_id: int, token: str, update: JobUpdate) -> UpdateResult:
        await anyio.lowlevel.checkpoint()
        self.puts.append((anyio.current_time(), update))
        scripted = self.answer_put(update)
        if scripted is not None:
            return scripted
        if self.over:
            return UpdateResult(outcome=UpdateOutcome.ABORT, message="over")
        if update.state != "running":
            if self.believes and update.output is None and not update.checksum:
                return UpdateResult(outcome=UpdateOutcome.SUCCEEDED)
            assert update.output is not None
            if update.output.bytesize != len(self.trace) or update.output.checksum != self.crc:
                return UpdateResult(outcome=UpdateOutcome.TRACE_INVALID)
        return UpdateResult(outcome=UpdateOutcome.SUCCEEDED, cancel_requested=self.canceling)

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        await anyio.lowlevel.checkpoint()
        assert data
        self.patches.append((anyio.current_time(), start, len(data)))
        scripted = self.answer_patch(len(self.patches))
        if scripted is not None:
            return scripted
        if self.over:
            return PatchResult(outcome=PatchOutcome.ABORT, message="over")
        if start != len(self.trace):
            return PatchResult(
                outcome=PatchOutcome.RANGE_MISMATCH, next_offset=len(self.trace),
                interval_seconds=self.interval,
            )  # fmt: skip
        self.trace += data
        return PatchResult(
            outcome=PatchOutcome.SUCCEEDED, next_offset=len(self.trace),
            cancel_requested=self.canceling, interval_seconds=self.interval,
        )  # fmt: skip

    @property
    def crc(self) -> str:
        return f"crc32:{zlib.crc32(self.trace):08x}"
